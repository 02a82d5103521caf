"""What ``attention`` returns of the weights without storing them, against the definition."""

import numpy
import pytest
import softdot
from foreign import WRAPPERS
from oracle import attention, four_axes, numbers

QUERY, KEY, VALUE = numbers(2, 4, 7, 16), numbers(2, 2, 40, 16, seed=1), numbers(2, 2, 40, 12, seed=2)
NAMES = ("max_weight_key", "top_k", "key_mass", "key_max")
ASKED = {"returns": NAMES, "top_k": 5}

SHAPES = [
    ((7, 5), (9, 5), (9, 3)),
    ((4, 7, 64), (2, 19, 64), (2, 19, 64)),
    ((4, 3, 8), (5, 8), (5, 8)),
    ((2, 6, 20, 33), (2, 3, 1130, 33), (2, 3, 1130, 4)),
    ((2, 8, 1, 128), (2, 2, 1100, 128), (2, 2, 1100, 128)),
    ((0, 8), (6, 8), (6, 2)),
]

OPTIONS = {
    "causal": {"causal": "top-left"},
    "no keys": {"causal": -3},
    "fewer than k keys": {"window": (1, 0), "causal": "bottom-right"},
    "sinks": {"sinks": numbers(4, seed=5)},
    "mask": {"mask": numpy.random.default_rng(4).random((2, 4, 7, 40)) < 0.2},
    "key_lengths": {"key_lengths": [33, 0]},
}


def expect_statistics(found, weights, k, kv_heads=None, rows=slice(None)):
    """Fails unless all of them are those of weights in f64, ``[batch, heads, rows, keys]``.

    Weights of which each differs from the next by more than their error have one order.
    """
    batch, q_heads, query_rows, keys = weights.shape
    order = numpy.argsort(-weights, axis=-1, kind="stable")[..., :k]
    best = numpy.take_along_axis(weights, order, axis=-1)
    order = numpy.where(best > 0, order, -1)
    best = numpy.pad(best, [(0, 0)] * 3 + [(0, k - best.shape[-1])])
    order = numpy.pad(order, [(0, 0)] * 3 + [(0, k - order.shape[-1])], constant_values=-1)

    def same(array, expected, dtype):
        array = numpy.asarray(array)
        assert array.dtype == dtype
        assert array.flags.c_contiguous
        expected = expected.reshape(expected.shape[expected.ndim - array.ndim :])
        assert array.shape == expected.shape
        numpy.testing.assert_allclose(array, expected, rtol=2e-6, atol=2e-6)

    same(found.top_k.weights, best, "float32")
    same(found.top_k.keys, order, "int64")
    same(found.max_weight_key, order[..., 0], "int64")
    counted = weights[:, :, rows]
    if kv_heads is not None:
        counted = counted.reshape(batch, kv_heads, -1, keys)
    mass = counted.sum(axis=2)
    same(found.key_mass, mass, "float64")
    numpy.testing.assert_allclose(found.key_mass, mass.reshape(found.key_mass.shape), atol=1e-6)
    same(found.key_max, counted.max(axis=2, initial=0.0), "float32")


@pytest.mark.parametrize("shapes", SHAPES)
def test_statistics_are_those_of_the_definition(shapes):
    query, key, value = (numbers(*shape, seed=seed) for seed, shape in enumerate(shapes))
    found = softdot.attention(query, key, value, **ASKED)
    expect_statistics(found, attention(four_axes(query), four_axes(key)), 5)
    assert found.max_weight_key.shape == query.shape[:-1]
    assert found.top_k.keys.shape == (*query.shape[:-1], 5)
    assert found.key_mass.shape == found.key_max.shape == (*query.shape[:-2], key.shape[-2])
    alone = softdot.attention(query, key, value)
    assert found.output.tobytes() == alone.tobytes()


@pytest.mark.parametrize("name", OPTIONS)
def test_options(name):
    found = softdot.attention(QUERY, KEY, VALUE, **ASKED, **OPTIONS[name])
    expect_statistics(found, attention(QUERY, KEY, **OPTIONS[name]), 5)


@pytest.mark.parametrize("k", [1, 39, 41, 256])
def test_any_number_of_weights(k):
    found = softdot.attention(QUERY, KEY, VALUE, returns=NAMES, top_k=numpy.int64(k))
    expect_statistics(found, attention(QUERY, KEY), k)
    weights, keys = found.top_k
    assert (weights is found.top_k.weights, keys is found.top_k.keys) == (True, True)


@pytest.mark.parametrize("mass_heads", [None, "query", "kv"])
@pytest.mark.parametrize(
    ("mass_rows", "rows"),
    [
        (None, slice(None)),
        (2, slice(5, 7)),
        (0, slice(7, 7)),
        (7, slice(None)),
        (numpy.int32(1), slice(6, 7)),
        ((1, 4), slice(1, 4)),
        ([0, numpy.int64(2)], slice(0, 2)),
        ((3, 3), slice(3, 3)),
    ],
)
def test_rows_and_heads_that_count(mass_heads, mass_rows, rows):
    found = softdot.attention(
        QUERY, KEY, VALUE, **ASKED, mass_rows=mass_rows, mass_heads=mass_heads
    )
    kv_heads = 2 if mass_heads == "kv" else None
    expect_statistics(found, attention(QUERY, KEY), 5, kv_heads, rows)
    assert found.key_mass.shape == (2, kv_heads or 4, 40)


def test_the_masses_of_rows_add_up_to_the_same_bits():
    query, key = numbers(3, 50, 16), numbers(3, 70, 16, seed=1)
    whole = softdot.attention(query, key, key, returns="key_mass").key_mass
    parts = [
        softdot.attention(query, key, key, returns="key_mass", mass_rows=rows).key_mass
        for rows in [(40, 50), (0, 9), (9, 40)]
    ]
    assert sum(parts).tobytes() == whole.tobytes()


@pytest.mark.parametrize("heads", [[2], [3, 0], (1, 1, 2), numpy.array([0, 3]), range(4), []])
def test_weights_of_some_heads(heads):
    expected = softdot.attention(QUERY, KEY, VALUE, returns=("weights", "lse"))
    found = softdot.attention(QUERY, KEY, VALUE, returns=("weights", "lse"), heads=heads)
    assert found.weights.tobytes() == expected.weights[:, list(heads)].tobytes()
    assert found.weights.shape == (2, len(heads), 7, 40)
    assert found.lse.tobytes() == expected.lse.tobytes()
    one_entry = softdot.attention(QUERY[0], KEY[0], VALUE[0], returns="weights", heads=heads)
    assert numpy.array_equal(one_entry.weights, found.weights[0])


def test_weights_of_some_heads_have_the_elements_of_the_output():
    found = softdot.attention(QUERY, KEY, VALUE, returns="weights", heads=[1], dtype="float16")
    assert found.weights.dtype == numpy.float16


def test_what_a_result_says():
    found = softdot.attention(QUERY, KEY, VALUE, **ASKED)
    assert repr(found) == "AttentionResult(output, max_weight_key, top_k, key_mass, key_max)"
    assert type(found.top_k) is softdot.TopK
    assert softdot.attention(QUERY, KEY, VALUE, returns="lse").top_k is None


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_each_protocol(wrap):
    expected = softdot.attention(QUERY, KEY, VALUE, **ASKED)
    found = softdot.attention(*map(wrap, (QUERY, KEY, VALUE)), **ASKED)
    kind = memoryview if wrap is memoryview else numpy.ndarray
    for array, same in [
        *zip(found.top_k, expected.top_k),
        *((getattr(found, name), getattr(expected, name)) for name in NAMES if name != "top_k"),
    ]:
        assert type(array) is kind
        assert numpy.array_equal(array, same)


def test_torch():
    torch = pytest.importorskip("torch")
    expected = softdot.attention(QUERY, KEY, VALUE, **ASKED)
    tensors = [torch.from_numpy(array).bfloat16() for array in (QUERY, KEY, VALUE)]
    found = softdot.attention(*(tensor.float() for tensor in tensors), **ASKED)
    narrow = softdot.attention(*tensors, **ASKED)
    dtypes = {"max_weight_key": torch.int64, "key_mass": torch.float64, "key_max": torch.float32}
    for name, dtype in dtypes.items():
        tensor = getattr(narrow, name)
        assert (type(tensor), tensor.dtype) == (torch.Tensor, dtype)
        assert torch.equal(tensor, getattr(found, name))
        assert tensor.shape == getattr(expected, name).shape
    assert [tensor.dtype for tensor in narrow.top_k] == [torch.float32, torch.int64]


def test_jax():
    jax_numpy = pytest.importorskip("jax.numpy")
    expected = softdot.attention(QUERY, KEY, VALUE, **ASKED)
    arrays = [jax_numpy.asarray(array) for array in (QUERY, KEY, VALUE)]
    found = softdot.attention(*arrays, **ASKED)
    assert type(found.key_mass) is type(arrays[0])
    assert numpy.array_equal(found.max_weight_key, expected.max_weight_key)
    assert numpy.array_equal(found.top_k.keys, expected.top_k.keys)
    # As JAX is set here, it has no 64 bits.
    numpy.testing.assert_allclose(found.key_mass, expected.key_mass, rtol=1e-6)


@pytest.mark.parametrize("isa", softdot.available_isas())
@pytest.mark.parametrize("threads", [1, 3])
def test_the_bits_are_the_same_on_each_isa_for_any_number_of_threads(isa, threads):
    query, key, value = numbers(4, 70, 64), numbers(2, 300, 64, seed=1), numbers(2, 300, 64, seed=2)
    expected = softdot.attention(query, key, value, **ASKED, mass_heads="kv")
    found = softdot.attention(
        query, key, value, **ASKED, mass_heads="kv", isa=isa, threads=threads
    )
    assert found.key_mass.tobytes() == expected.key_mass.tobytes()
    assert found.key_max.tobytes() == expected.key_max.tobytes()
    for array, same in zip(found.top_k, expected.top_k):
        assert array.tobytes() == same.tobytes()


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"top_k": None}, ValueError, "^top_k: expected a number with top_k in returns, found none"),
        ({"top_k": 0}, ValueError, "^top_k: expected a number from 1 to 256, found 0"),
        ({"top_k": 257}, ValueError, "^top_k: expected a number from 1 to 256, found 257"),
        ({"top_k": 1.5}, TypeError, "^top_k: expected a whole number, found float"),
        ({"top_k": True}, TypeError, "^top_k: expected a whole number, found bool"),
        ({"returns": "lse"}, ValueError, "^top_k: expected top_k in returns"),
        ({"mass_rows": 8}, ValueError, "^mass_rows: expected a number from 0 to 7, found 8"),
        ({"mass_rows": -1}, ValueError, "^mass_rows: expected a number from 0 to 7, found -1"),
        ({"mass_rows": (0, 8)}, ValueError, "^mass_rows: .* from 0 to 7, found 8"),
        ({"mass_rows": (5, 2)}, ValueError, "^mass_rows: expected an ascending range .*found 5"),
        ({"mass_rows": (1, 2, 3)}, TypeError, "^mass_rows: .*pair .start, stop., found .1, 2, 3"),
        ({"mass_rows": (1, "2")}, TypeError, "^mass_rows: expected a whole number, found str"),
        ({"mass_rows": "all"}, TypeError, "^mass_rows: expected how many .*, found all"),
        ({"mass_heads": "key"}, ValueError, '^mass_heads: expected query or kv, found "key"'),
        ({"mass_heads": 2}, TypeError, "^mass_heads: expected query or kv, found int"),
        ({"mass_rows": 1, "returns": "top_k"}, ValueError, "^mass_rows: .*key_mass or key_max in"),
        ({"mass_heads": "kv", "returns": "top_k"}, ValueError, "^mass_heads: .*key_mass or key_max in"),
        ({"heads": [1]}, ValueError, "^heads: expected weights in returns"),
        ({"heads": [4], "returns": "weights"}, ValueError, "^heads: .* heads below 4, found 4"),
        ({"heads": [-1], "returns": "weights"}, ValueError, "^heads: expected a number from 0"),
        ({"heads": [1.0], "returns": "weights"}, TypeError, "^heads: .*whole number, found float"),
        ({"heads": 1, "returns": "weights"}, TypeError, "^heads: expected a row of .*found int"),
    ],
)
def test_errors_write_nothing(changed, error, message):
    out = numpy.full((2, 4, 7, 12), 7, "float32")
    asked = {**ASKED, "out": out, **changed}
    if changed.get("returns") == "weights":
        del asked["top_k"]
    with pytest.raises(error, match=message):
        softdot.attention(QUERY, KEY, VALUE, **asked)
    assert (out == 7).all()


def test_heads_of_a_query_without_such_an_axis():
    query = numbers(5, 8)
    with pytest.raises(ValueError, match="^heads: expected a query with an axis of heads"):
        softdot.attention(query, query, query, returns="weights", heads=[0])
