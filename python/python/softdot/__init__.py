"""Attention weights on CPUs, ``softmax(scale · Q Kᵀ)``: which words a transformer focuses on.

>>> import numpy, softdot
>>> query = numpy.ones((4, 64), dtype="float32")
>>> key = numpy.ones((5, 64), dtype="float32")
>>> softdot.attention_weights(query, key)[0]
array([0.2, 0.2, 0.2, 0.2, 0.2], dtype=float32)

The same bits on every machine, for any number of threads, any strides and any split of the rows
into calls.
"""

from softdot._plot import plot_weights
from softdot._softdot import (
    PackedKeys,
    __version__,
    alibi_slopes,
    attention_weights,
    available_isas,
    dot,
    isa,
    scaled_softmax,
)

__all__ = [
    "PackedKeys",
    "__version__",
    "alibi_slopes",
    "attention_weights",
    "available_isas",
    "dot",
    "isa",
    "plot_weights",
    "scaled_softmax",
]
