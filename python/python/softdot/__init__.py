"""Attention on CPUs: the output ``softmax(scale · Q Kᵀ) · V``, and the weights, which words a
transformer focuses on.

>>> import numpy, softdot
>>> query = numpy.ones((4, 64), dtype="float32")
>>> key = numpy.ones((5, 64), dtype="float32")
>>> value = numpy.arange(10, dtype="float32").reshape(5, 2)
>>> softdot.attention(query, key, value)[0]
array([4., 5.], dtype=float32)
>>> softdot.attention_weights(query, key)[0]
array([0.2, 0.2, 0.2, 0.2, 0.2], dtype=float32)

``softdot.torch`` has torch's own function, ``scaled_dot_product_attention``; ``softdot.transformers``
makes softdot the attention of Hugging Face's models.

The same bits on every machine, for any number of threads, any strides and any split of the rows
into calls.
"""

from softdot._plot import plot_weights
from softdot._softdot import (
    AttentionResult,
    PackedKeys,
    __version__,
    alibi_slopes,
    attention,
    attention_weights,
    available_isas,
    dot,
    isa,
    release_memory,
    scaled_softmax,
)
from softdot._top_k import TopK

__all__ = [
    "AttentionResult",
    "PackedKeys",
    "TopK",
    "__version__",
    "alibi_slopes",
    "attention",
    "attention_weights",
    "available_isas",
    "dot",
    "isa",
    "plot_weights",
    "release_memory",
    "scaled_softmax",
]
