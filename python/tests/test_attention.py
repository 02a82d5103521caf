"""``attention_weights`` against the definition: shapes, layouts, options."""

import numpy
import pytest
import softdot
from oracle import attention, expect_close, four_axes, numbers

SHAPES = [
    ((7, 5), (9, 5)),
    ((3, 7, 64), (3, 9, 64)),
    ((2, 3, 50, 33), (2, 3, 130, 33)),
    ((6, 4, 16), (2, 40, 16)),
    ((2, 8, 1, 128), (2, 2, 1100, 128)),
    ((4, 3, 8), (5, 8)),
]


@pytest.mark.parametrize(("query_shape", "key_shape"), SHAPES)
def test_weights_and_scores_are_those_of_the_definition(query_shape, key_shape):
    query, key = numbers(*query_shape), numbers(*key_shape, seed=1)
    shape = (*query_shape[:-1], key_shape[-2])
    for stage in ("weights", "scores"):
        expected = attention(four_axes(query), four_axes(key), stage=stage)
        found = softdot.attention_weights(query, key, stage=stage)
        assert found.dtype == numpy.float32
        expect_close(found, expected.reshape(shape))


@pytest.mark.parametrize("scale", [0.0, -0.5, 3, numpy.float32(0.25)])
def test_scale(scale):
    query, key = numbers(1, 1, 3, 8), numbers(1, 1, 4, 8, seed=1)
    found = softdot.attention_weights(query, key, scale=scale)
    expect_close(found, attention(query, key, scale=float(scale)))


@pytest.mark.parametrize("isa", softdot.available_isas())
@pytest.mark.parametrize("threads", [None, 1, 2, 3])
def test_the_bits_are_the_same_on_each_isa_for_any_number_of_threads(isa, threads):
    query, key = numbers(4, 70, 64), numbers(2, 300, 64, seed=1)
    found = softdot.attention_weights(query, key, isa=isa, threads=threads)
    assert found.tobytes() == softdot.attention_weights(query, key).tobytes()


def strided(query):
    """The same numbers in other places: permuted, with gaps, far apart."""
    rows_first = numpy.ascontiguousarray(query.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)
    columns_first = numpy.asfortranarray(query)
    gaps = numpy.full((*query.shape[:-1], 2 * query.shape[-1]), numpy.nan, "float32")[..., ::2]
    gaps[...] = query
    return [rows_first, columns_first, gaps]


def test_any_strides_are_read_in_place():
    query, key = numbers(2, 3, 5, 16), numbers(2, 3, 30, 16, seed=1)
    expected = softdot.attention_weights(query, key).tobytes()
    for same_query in strided(query):
        for same_key in strided(key):
            assert not same_query.flags.c_contiguous
            assert softdot.attention_weights(same_query, same_key).tobytes() == expected


def test_strides_of_0_repeat_an_axis():
    query, key = numbers(4, 5, 16), numbers(1, 30, 16, seed=1)
    repeated = numpy.broadcast_to(key, (4, 30, 16))
    found = softdot.attention_weights(query, repeated)
    assert found.tobytes() == softdot.attention_weights(query, key).tobytes()


def test_strides_of_axes_with_one_element_mean_nothing():
    query, key = numbers(1, 5, 16), numbers(1, 30, 16, seed=1)
    found = softdot.attention_weights(query[::-1], key[::-1])
    assert found.tobytes() == softdot.attention_weights(query, key).tobytes()


@pytest.mark.parametrize(
    ("query_shape", "key_shape", "shape"),
    [
        ((0, 8), (3, 8), (0, 3)),
        ((2, 8), (0, 8), (2, 0)),
        ((0, 2, 8), (0, 3, 8), (0, 2, 3)),
        ((0, 2, 3, 8), (0, 2, 3, 8), (0, 2, 3, 3)),
    ],
)
def test_nothing_gives_nothing(query_shape, key_shape, shape):
    found = softdot.attention_weights(numbers(*query_shape), numbers(*key_shape))
    assert found.shape == shape
    assert found.dtype == numpy.float32


def test_without_dimensions_all_keys_weigh_the_same():
    found = softdot.attention_weights(numbers(2, 0), numbers(4, 0))
    assert found.tolist() == [[0.25] * 4] * 2


def test_out_is_written_in_place_and_returned():
    query, key = numbers(3, 5, 16), numbers(3, 30, 16, seed=1)
    expected = softdot.attention_weights(query, key)
    memory = numpy.full((5, 3, 60), numpy.nan, "float32")
    out = memory[..., ::2].transpose(1, 0, 2)
    assert softdot.attention_weights(query, key, out=out) is out
    assert numpy.array_equal(out, expected)
    assert numpy.isnan(memory[..., 1::2]).all()


def test_out_may_have_leading_ones():
    query, key = numbers(5, 16), numbers(30, 16, seed=1)
    out = numpy.empty((1, 1, 5, 30), "float32")
    softdot.attention_weights(query, key, out=out)
    assert numpy.array_equal(out[0, 0], softdot.attention_weights(query, key))


def test_inputs_are_as_before_and_may_be_read_only():
    query, key = numbers(1, 1, 5, 16), numbers(1, 1, 30, 16, seed=1)
    for array in (query, key):
        array.flags.writeable = False
    expect_close(softdot.attention_weights(query, key), attention(query, key))
    assert numpy.array_equal(query, numbers(1, 1, 5, 16))
    assert numpy.array_equal(key, numbers(1, 1, 30, 16, seed=1))


def test_query_and_key_may_be_the_same():
    array = numbers(1, 1, 12, 16)
    expect_close(softdot.attention_weights(array, array), attention(array, array))
