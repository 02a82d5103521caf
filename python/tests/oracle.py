"""The definition in f64, and how far from it an answer may be."""

import numpy

#: The largest error of a right answer, relative to its row's largest magnitude.
TOLERANCE = 2e-6


def scores(query, key, scale=None):
    """``scale · query · keyᵀ`` with grouped heads, as numpy does it."""
    query, key = (numpy.asarray(array, dtype=numpy.float64) for array in (query, key))
    if scale is None:
        scale = 1.0 / numpy.sqrt(max(query.shape[-1], 1))
    if query.ndim > 2 and key.ndim > 2:
        key = key.repeat(query.shape[-3] // key.shape[-3], axis=-3)
    return scale * (query @ key.swapaxes(-1, -2))


def weights(query, key, scale=None):
    """The softmax of :func:`scores` over the keys."""
    logits = scores(query, key, scale)
    exponentials = numpy.exp(logits - logits.max(axis=-1, keepdims=True, initial=-numpy.inf))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def expect_close(found, expected):
    """Fails unless shapes are equal and every row is as right as f32 can be."""
    found = numpy.asarray(found)
    assert found.dtype == numpy.float32
    assert found.shape == expected.shape
    magnitude = numpy.abs(expected).max(axis=-1, keepdims=True, initial=1e-30)
    assert numpy.all(numpy.abs(found - expected) <= TOLERANCE * magnitude)


def numbers(*shape, seed=0):
    """Normal numbers in f32, the same in every run."""
    return numpy.random.default_rng(seed).standard_normal(shape, dtype=numpy.float32)
