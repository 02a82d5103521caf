"""``attention``: the output and what else a call returns, against the definition."""

import os
import signal

import numpy
import pytest
import softdot
from foreign import WRAPPERS
from oracle import expect_close, four_axes, numbers, results

QUERY, KEY, VALUE = numbers(2, 4, 7, 16), numbers(2, 2, 40, 16, seed=1), numbers(2, 2, 40, 12, seed=2)
BIAS = numbers(2, 4, 7, 40, seed=3)
MASK = numpy.random.default_rng(4).random((2, 4, 7, 40)) < 0.2
SINKS = numbers(4, seed=5)
ALL = ("lse", "weights", "max_logit", "max_weight", "entropy")

SHAPES = [
    ((7, 5), (9, 5), (9, 3)),
    ((3, 7, 64), (3, 9, 64), (3, 9, 64)),
    ((2, 3, 50, 33), (2, 3, 130, 33), (2, 3, 130, 70)),
    ((6, 4, 16), (2, 1040, 16), (2, 1040, 1)),
    ((2, 8, 1, 128), (2, 2, 1100, 128), (2, 2, 1100, 128)),
    ((4, 3, 8), (5, 8), (5, 8)),
    ((0, 8), (3, 8), (3, 2)),
    ((2, 8), (0, 8), (0, 3)),
    ((2, 8), (3, 8), (3, 0)),
]

OPTIONS = {
    "none": {},
    "scale": {"scale": -0.3},
    "softcap": {"softcap": 0.7},
    "bias": {"bias": BIAS},
    "mask": {"mask": MASK},
    "mask of nothing": {"mask": numpy.zeros((1, 1, 1, 1), bool)},
    "alibi_slopes": {"alibi_slopes": SINKS},
    "causal": {"causal": "top-left"},
    "causal before the first key": {"causal": -3},
    "window": {"window": (3, 2)},
    "key_lengths": {"key_lengths": [33, 0]},
    "sinks": {"sinks": SINKS},
    "sinks alone": {"sinks": SINKS, "key_lengths": [33, 0]},
    "everything": {
        "scale": 0.3,
        "softcap": 2.0,
        "bias": BIAS,
        "alibi_slopes": SINKS,
        "mask": MASK,
        "causal": "bottom-right",
        "window": (30, None),
        "key_lengths": [40, 31],
        "sinks": SINKS,
    },
}


def expect_results(found, expected):
    """Fails unless all of them are there and right."""
    scale = max(1.0, numpy.abs(expected.value).max(initial=0.0))
    assert found.output.shape == expected.output.shape
    assert numpy.abs(found.output - expected.output).max(initial=0.0) <= 2e-6 * scale
    expect_close(found.weights, expected.weights)
    for name in ("lse", "max_logit", "max_weight", "entropy"):
        array = getattr(found, name)
        assert array.dtype == numpy.float32
        assert array.flags.c_contiguous
        assert array.shape == getattr(expected, name).shape
        numpy.testing.assert_allclose(array, getattr(expected, name), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("shapes", SHAPES)
def test_results_are_those_of_the_definition(shapes):
    query, key, value = (numbers(*shape, seed=seed) for seed, shape in enumerate(shapes))
    expected = results(*map(four_axes, (query, key, value))).of_axes(query.ndim)
    found = softdot.attention(query, key, value, returns=ALL)
    expect_results(found, expected)
    alone = softdot.attention(query, key, value)
    assert (type(alone), alone.dtype) == (numpy.ndarray, numpy.float32)
    assert alone.tobytes() == found.output.tobytes()


@pytest.mark.parametrize("name", OPTIONS)
def test_options(name):
    found = softdot.attention(QUERY, KEY, VALUE, returns=ALL, **OPTIONS[name])
    expect_results(found, results(QUERY, KEY, VALUE, **OPTIONS[name]))
    weights = softdot.attention_weights(QUERY, KEY, **OPTIONS[name])
    assert found.weights.tobytes() == weights.tobytes()


@pytest.mark.parametrize("returns", [(), [], "lse", ["weights"], ("max_logit", "lse"), {"lse": 1}, ALL[::-1]])
def test_what_is_not_asked_for_is_none(returns):
    everything = softdot.attention(QUERY, KEY, VALUE, returns=ALL)
    found = softdot.attention(QUERY, KEY, VALUE, returns=returns)
    assert type(found) is softdot.AttentionResult
    assert found.output.tobytes() == everything.output.tobytes()
    names = [returns] if isinstance(returns, str) else returns
    for name in ALL:
        if name in names:
            assert getattr(found, name).tobytes() == getattr(everything, name).tobytes()
        else:
            assert getattr(found, name) is None


def test_what_a_result_says():
    found = softdot.attention(QUERY, KEY, VALUE, returns=("max_logit", "lse"))
    assert repr(found) == "AttentionResult(output, lse, max_logit)"
    with pytest.raises(AttributeError):
        found.lse = None
    with pytest.raises(TypeError):
        softdot.AttentionResult()


@pytest.mark.parametrize("isa", softdot.available_isas())
@pytest.mark.parametrize("threads", [None, 1, 3])
def test_the_bits_are_the_same_on_each_isa_for_any_number_of_threads(isa, threads):
    query, key, value = numbers(4, 70, 64), numbers(2, 300, 64, seed=1), numbers(2, 300, 64, seed=2)
    expected = softdot.attention(query, key, value)
    found = softdot.attention(query, key, value, isa=isa, threads=threads)
    assert found.tobytes() == expected.tobytes()


def test_any_strides_are_read_and_written_in_place():
    expected = softdot.attention(QUERY, KEY, VALUE)
    memory = numpy.full((7, 4, 2, 24), numpy.nan, "float32")
    out = memory[..., ::2].transpose(2, 1, 0, 3)
    strided = [numpy.asfortranarray(array) for array in (QUERY, KEY, VALUE)]
    assert softdot.attention(*strided, out=out) is out
    assert numpy.array_equal(out, expected)
    assert numpy.isnan(memory[..., 1::2]).all()
    repeated = numpy.broadcast_to(VALUE[:, :1], VALUE.shape)
    copied = numpy.ascontiguousarray(repeated)
    found = softdot.attention(QUERY, KEY, repeated)
    assert found.tobytes() == softdot.attention(QUERY, KEY, copied).tobytes()


def test_out_is_the_output_of_a_result():
    out = numpy.empty((2, 4, 7, 12), "float16")
    found = softdot.attention(QUERY, KEY, VALUE, out=out, returns=("weights", "lse"))
    assert found.output is out
    assert (found.weights.dtype, found.lse.dtype) == (numpy.float16, numpy.float32)
    assert numpy.array_equal(out, softdot.attention(QUERY, KEY, VALUE).astype("float16"))


def test_packed_keys():
    packed = softdot.PackedKeys.from_view(KEY)
    expected = softdot.attention(QUERY, KEY, VALUE, returns=ALL)
    found = softdot.attention(QUERY, packed, VALUE, returns=ALL)
    for name in ("output", *ALL):
        assert getattr(found, name).tobytes() == getattr(expected, name).tobytes()
    with pytest.raises(ValueError, match="^value: expected 40 rows .keys.*found 39"):
        softdot.attention(QUERY, packed, VALUE[:, :, :39])


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_narrow_arrays_have_the_bits_of_wide_ones(name):
    dtype = numpy.dtype(name) if name == "float16" else pytest.importorskip("ml_dtypes").bfloat16
    narrow = [array.astype(dtype) for array in (QUERY, KEY, VALUE)]
    wide = [array.astype("float32") for array in narrow]
    expected = softdot.attention(*wide, returns=ALL)
    found = softdot.attention(*narrow, returns=ALL)
    for result in ("output", "weights"):
        array = getattr(found, result)
        assert array.dtype == dtype
        assert array.tobytes() == getattr(expected, result).astype(dtype).tobytes()
    for result in ("lse", "max_logit", "max_weight", "entropy"):
        assert getattr(found, result).tobytes() == getattr(expected, result).tobytes()
    mixed = softdot.attention(wide[0], narrow[1], narrow[2], dtype=name)
    assert mixed.tobytes() == found.output.tobytes()


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_each_protocol(wrap):
    expected = softdot.attention(QUERY, KEY, VALUE, returns=ALL)
    found = softdot.attention(*map(wrap, (QUERY, KEY, VALUE)), returns=ALL)
    kind = memoryview if wrap is memoryview else numpy.ndarray
    for name in ("output", *ALL):
        assert type(getattr(found, name)) is kind
        assert numpy.array_equal(getattr(found, name), getattr(expected, name))
    memory = numpy.zeros((2, 4, 7, 12), "float32")
    out = wrap(memory)
    assert softdot.attention(QUERY, KEY, VALUE, out=out) is out
    assert numpy.array_equal(memory, expected.output)


def test_torch():
    torch = pytest.importorskip("torch")
    expected = softdot.attention(QUERY, KEY, VALUE, returns=ALL)
    tensors = [torch.from_numpy(array) for array in (QUERY, KEY, VALUE)]
    found = softdot.attention(*tensors, returns=ALL)
    for name in ("output", *ALL):
        assert torch.equal(getattr(found, name), torch.from_numpy(getattr(expected, name)))
    narrow = [tensor.bfloat16() for tensor in tensors]
    found = softdot.attention(*narrow, returns="lse")
    assert (found.output.dtype, found.lse.dtype) == (torch.bfloat16, torch.float32)
    assert found.lse.shape == (2, 4, 7)


def test_jax():
    jax_numpy = pytest.importorskip("jax.numpy")
    expected = softdot.attention(QUERY, KEY, VALUE, returns=ALL)
    arrays = [jax_numpy.asarray(array) for array in (QUERY, KEY, VALUE)]
    found = softdot.attention(*arrays, returns=ALL)
    for name in ("output", *ALL):
        assert type(getattr(found, name)) is type(arrays[0])
        assert numpy.array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"value": VALUE[[0, 1, 0]]}, ValueError, "^value: expected 2 batch entries .*, or 1.*found 3"),
        ({"key": KEY[[0, 1, 0]]}, ValueError, "^key: expected 2 batch entries .*, or 1.*found 3"),
        ({"value": VALUE[:, :1]}, ValueError, "^value: expected 2 heads .as the key., found 1"),
        ({"value": VALUE[:, :, 1:]}, ValueError, "^value: expected 40 rows .keys. .*found 39"),
        ({"value": VALUE[..., ::-1]}, ValueError, "^value: expected strides of at least 0"),
        ({"value": VALUE.astype("float64")}, TypeError, "^value: .*found float64"),
        ({"value": None}, TypeError, "^value: .*found NoneType"),
        ({"value": softdot.PackedKeys.from_view(KEY)}, TypeError, "^value: .*found PackedKeys"),
        ({"key": KEY[..., :8]}, ValueError, "^key: expected 16 columns .head_dim"),
        ({"out": numpy.full((2, 4, 7, 11), 7, "float32")}, ValueError, "^out: .*12 columns .v_dim"),
        ({"dtype": "float16"}, ValueError, "^out: expected an array of float16 .as dtype."),
        ({"returns": "output"}, ValueError, '^returns: expected any of lse, .*, found "output"'),
        ({"returns": ["lse", "sum"]}, ValueError, '^returns: .*max_weight_key, entropy, top_k, key_mass, key_max, found "sum"'),
        ({"returns": 1}, TypeError, "^returns: expected a name or .*, found int"),
        ({"returns": ["lse", 1]}, TypeError, "^returns: .*, found int"),
        ({"isa": "sse"}, ValueError, "^isa: "),
        ({"scale": float("nan")}, ValueError, "^scale: expected a finite number"),
        ({"mask": MASK[:, :3]}, ValueError, "^mask: expected 4 heads"),
        ({"stage": "scores"}, TypeError, "stage"),
    ],
)
def test_errors_write_nothing(changed, error, message):
    out = changed.get("out", numpy.full((2, 4, 7, 12), 7, "float32"))
    arguments = {"query": QUERY, "key": KEY, "value": VALUE, "returns": ALL}
    with pytest.raises(error, match=message):
        softdot.attention(**{**arguments, "out": out, **changed})
    assert (out == 7).all()


@pytest.mark.parametrize("argument", ["query", "key", "value"])
def test_an_out_that_shares_memory_with_an_input(argument):
    arrays = {"query": numbers(8, 16), "key": numbers(8, 16, seed=1), "value": numbers(8, 16, seed=2)}
    before = arrays[argument].copy()
    with pytest.raises(ValueError, match=f"^out: expected memory of its own.* {argument}'s$"):
        softdot.attention(**arrays, out=arrays[argument])
    assert numpy.array_equal(arrays[argument], before)


def test_a_value_that_does_not_fit_is_refused_before_there_is_memory():
    endless = numpy.broadcast_to(numbers(1, 1), (3, 1 << 40))
    with pytest.raises(ValueError, match="^value: expected 2 rows"):
        softdot.attention(numbers(1 << 10, 8), numbers(2, 8), endless)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("v_dim", [1, 64, 700])
def test_a_fork_counts_the_work_of_the_values(v_dim):
    # From few enough dot products for one thread to more work than stays on one.
    problem = numbers(4, 64, 2), numbers(4, 64, 2, seed=1), numbers(4, 64, v_dim, seed=2)
    large = numbers(4, 300, 64)
    softdot.attention(large, large, large)
    expected = softdot.attention(*problem)
    child = os.fork()
    if child == 0:
        # Killed by its alarm where it would wait for threads that it does not have.
        signal.alarm(30)
        found = softdot.attention(*problem)
        os._exit(0 if numpy.array_equal(found, expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
