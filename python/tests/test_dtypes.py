"""float16 and bfloat16: widened exactly on the way in, rounded once on the way out."""

import numpy
import pytest
import softdot
from foreign import Dlpack
from oracle import attention, expect_close, numbers

QUERY, KEY = numbers(2, 4, 7, 16), numbers(2, 2, 40, 16, seed=1)
BIAS = numbers(2, 4, 7, 40, seed=2)


def narrow(name):
    if name == "bfloat16":
        return numpy.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    return numpy.dtype(name)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_narrow_arrays_have_the_bits_of_wide_ones(name):
    dtype = narrow(name)
    arrays = [array.astype(dtype) for array in (QUERY, KEY, BIAS)]
    wide = [array.astype("float32") for array in arrays]
    query, key, bias = arrays
    expected = softdot.attention_weights(*wide[:2], bias=wide[2])

    found = softdot.attention_weights(query, key, bias=bias, dtype="float32")
    assert found.dtype == numpy.float32
    assert found.tobytes() == expected.tobytes()

    found = softdot.attention_weights(query, key, bias=bias)
    assert found.dtype == dtype
    assert found.tobytes() == expected.astype(dtype).tobytes()

    packed = softdot.PackedKeys.from_view(numpy.asfortranarray(key))
    assert softdot.attention_weights(query, packed, bias=bias).tobytes() == found.tobytes()

    memory = numpy.zeros((2, 4, 7, 80), dtype)
    softdot.attention_weights(query, wide[1], bias=wide[2], out=memory[..., ::2])
    assert memory[..., ::2].tobytes() == found.tobytes()
    assert not memory[..., 1::2].any()


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16"])
def test_dtypes_by_any_name(name):
    dtype = narrow(name)
    for given in (name, dtype, dtype.type):
        found = softdot.attention_weights(QUERY, KEY, dtype=given)
        assert found.dtype == dtype
        expect_close(found, attention(QUERY, KEY), {"float32": 2e-6}.get(name, 2**-8))


def test_other_kinds():
    half = QUERY.astype("float16")
    expected = softdot.attention_weights(half, KEY)
    assert numpy.array_equal(softdot.attention_weights(Dlpack(half), KEY), expected)
    found = softdot.attention_weights(memoryview(half), KEY)
    assert (type(found), found.format) == (memoryview, "e")
    assert numpy.array_equal(found, expected)
    with pytest.raises(ValueError, match="^dtype: .*memoryview, found bfloat16"):
        softdot.attention_weights(memoryview(half), KEY, dtype="bfloat16")


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_torch(name):
    torch = pytest.importorskip("torch")
    dtype = getattr(torch, name)
    query, key = (torch.from_numpy(array).to(dtype) for array in (QUERY, KEY))
    found = softdot.attention_weights(query, key)
    assert found.dtype == dtype
    wide = softdot.attention_weights(query.float(), key.float())
    assert torch.equal(found, wide.to(dtype))
    assert torch.equal(softdot.attention_weights(query, key, dtype=torch.float32), wide)
    assert softdot.attention_weights(query.float(), key, dtype=name).dtype == dtype


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_jax(name):
    jax_numpy = pytest.importorskip("jax.numpy")
    query, key = (jax_numpy.asarray(array, dtype=name) for array in (QUERY, KEY))
    found = softdot.attention_weights(query, key)
    assert (type(found), found.dtype) == (type(query), query.dtype)
    wide = softdot.attention_weights(query, key, dtype=jax_numpy.float32)
    assert numpy.array_equal(found, wide.astype(name))


@pytest.mark.parametrize(
    ("option", "error", "message"),
    [
        ({"dtype": "float64"}, ValueError, "^dtype: expected float32 or float16 or bfloat16, found float64"),
        ({"dtype": numpy.int32}, ValueError, "^dtype: .*found int32"),
        ({"dtype": numpy.dtype(">f4")}, ValueError, "^dtype: .*found >f4"),
        (
            {"dtype": "float16", "out": numpy.full((2, 4, 7, 40), 7, "float32")},
            ValueError,
            "^out: expected an array of float16 .as dtype., found float32",
        ),
    ],
)
def test_errors(option, error, message):
    with pytest.raises(error, match=message):
        softdot.attention_weights(QUERY, KEY, **option)
    assert numpy.all(option.get("out", 7) == 7)
