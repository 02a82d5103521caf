"""The definition in f64, and how far from it an answer may be."""

from typing import NamedTuple

import numpy

#: The largest error of a right answer, relative to its row's largest magnitude.
TOLERANCE = 2e-6


def attention(
    query,
    key,
    *,
    scale=None,
    softcap=None,
    bias=None,
    alibi_slopes=None,
    mask=None,
    causal=None,
    window=(None, None),
    key_lengths=None,
    sinks=None,
    stage="weights",
):
    """What ``softdot.attention_weights`` computes, of ``[batch, heads, rows, columns]``."""
    query, key = (numpy.asarray(array, dtype=numpy.float64) for array in (query, key))
    batch, q_heads, rows, head_dim = query.shape
    keys = key.shape[2]
    if scale is None:
        scale = 1.0 / numpy.sqrt(max(head_dim, 1))
    logits = scale * (query @ key.repeat(q_heads // key.shape[1], axis=1).swapaxes(-1, -2))

    lengths = numpy.full(batch, keys) if key_lengths is None else numpy.asarray(key_lengths)
    lengths = lengths.reshape(batch, 1, 1, 1)
    column = numpy.arange(keys)
    missing = numpy.broadcast_to(column >= lengths, logits.shape)
    if stage == "scores":
        return numpy.where(missing, -numpy.inf, logits)

    if softcap is not None:
        logits = softcap * numpy.tanh(logits / softcap)
    if stage == "capped":
        return numpy.where(missing, -numpy.inf, logits)

    first = {None: lengths - rows, "bottom-right": lengths - rows, "top-left": 0}.get(causal, causal)
    position = numpy.arange(rows).reshape(-1, 1) + first
    if bias is not None:
        logits = logits + numpy.asarray(bias, dtype=numpy.float64)
    if alibi_slopes is not None:
        slopes = numpy.asarray(alibi_slopes, dtype=numpy.float64).reshape(-1, 1, 1)
        logits = logits + slopes * (column - position)
    left, right = window
    excluded = missing
    if mask is not None:
        excluded = excluded | ~numpy.asarray(mask)
    if causal is not None:
        excluded = excluded | (column > position)
    if left is not None:
        excluded = excluded | (column < position - left)
    if right is not None:
        excluded = excluded | (column > position + right)
    logits = numpy.where(excluded, -numpy.inf, logits)
    if stage == "biased":
        return logits

    sink = numpy.full((q_heads, 1, 1), -numpy.inf)
    if sinks is not None:
        sink = numpy.asarray(sinks, dtype=numpy.float64).reshape(-1, 1, 1)
    highest = numpy.maximum(logits.max(axis=-1, keepdims=True, initial=-numpy.inf), sink)
    highest = numpy.where(numpy.isinf(highest), 0.0, highest)
    exponentials = numpy.exp(logits - highest)
    total = exponentials.sum(axis=-1, keepdims=True) + numpy.exp(sink - highest)
    return exponentials / numpy.where(total == 0.0, 1.0, total)


class Results(NamedTuple):
    """What ``softdot.attention`` returns, and the values that it is made of."""

    output: numpy.ndarray
    lse: numpy.ndarray
    weights: numpy.ndarray
    max_logit: numpy.ndarray
    max_weight: numpy.ndarray
    entropy: numpy.ndarray
    value: numpy.ndarray

    def of_axes(self, axes):
        """Without the leading axes that arrays with so many do not have."""
        rows = axes - 1
        counts = [axes, rows, axes, rows, rows, rows, axes]
        return Results(
            *(array.reshape(array.shape[array.ndim - n :]) for array, n in zip(self, counts))
        )


def results(query, key, value, *, sinks=None, **options):
    """What ``softdot.attention`` computes, of ``[batch, heads, rows, columns]``."""
    weights = attention(query, key, sinks=sinks, **options)
    logits = attention(query, key, stage="biased", **options)
    value = numpy.asarray(value, dtype=numpy.float64)
    output = weights @ value.repeat(query.shape[1] // value.shape[1], axis=1)
    max_logit = logits.max(axis=-1, initial=-numpy.inf)
    sink = numpy.full((query.shape[1], 1), -numpy.inf)
    if sinks is not None:
        sink = numpy.asarray(sinks, dtype=numpy.float64).reshape(-1, 1)
    lse = numpy.logaddexp(numpy.logaddexp.reduce(logits, axis=-1, initial=-numpy.inf), sink)
    max_weight = weights.max(axis=-1, initial=0.0)
    entropy = -(weights * numpy.log(numpy.where(weights > 0, weights, 1.0))).sum(axis=-1)
    return Results(output, lse, weights, max_logit, max_weight, entropy, value)


def expect_close(found, expected, tolerance=TOLERANCE):
    """Fails unless shapes are equal and every row is as right as its element type can be."""
    found = numpy.asarray(found, dtype=numpy.float64)
    assert found.shape == expected.shape
    finite = numpy.isfinite(expected)
    assert numpy.array_equal(found[~finite], expected[~finite])
    magnitude = numpy.where(finite, numpy.abs(expected), 0.0)
    magnitude = magnitude.max(axis=-1, keepdims=True, initial=1e-30)
    with numpy.errstate(invalid="ignore"):
        error = numpy.where(finite, numpy.abs(found - expected) / magnitude, 0.0)
    assert error.max(initial=0.0) <= tolerance


def four_axes(array):
    """With leading ones."""
    return array.reshape((1,) * (4 - array.ndim) + array.shape)


def numbers(*shape, seed=0):
    """Normal numbers in f32, the same in every run."""
    return numpy.random.default_rng(seed).standard_normal(shape, dtype=numpy.float32)
