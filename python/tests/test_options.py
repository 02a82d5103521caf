"""What happens to scores on their way to weights, against the definition."""

import numpy
import pytest
import softdot
from foreign import WRAPPERS
from oracle import attention, expect_close, numbers

QUERY, KEY = numbers(2, 4, 7, 16), numbers(2, 2, 40, 16, seed=1)
BIAS = numbers(2, 4, 7, 40, seed=2)
MASK = numpy.random.default_rng(3).random((2, 4, 7, 40)) < 0.7
SINKS = numbers(4, seed=4)
SLOPES = [0.5, 0.25, 0.125, 0.0625]

OPTIONS = {
    "softcap": {"softcap": 0.7},
    "bias": {"bias": BIAS},
    "bias for all heads": {"bias": BIAS[:1, :1]},
    "bias for all rows": {"bias": BIAS[:, :, :1]},
    "bias that excludes": {"bias": numpy.where(MASK, BIAS, -numpy.inf).astype("float32")},
    "mask": {"mask": MASK},
    "mask of keys": {"mask": MASK[:, :1, :1]},
    "mask of nothing": {"mask": numpy.zeros((1, 1, 1, 1), bool)},
    "alibi_slopes": {"alibi_slopes": SLOPES},
    "alibi_slopes, an array": {"alibi_slopes": numpy.array(SLOPES, "float32")},
    "sinks": {"sinks": SINKS},
    "sinks, a list": {"sinks": SINKS.tolist()},
    "bias of keys": {"bias": BIAS[0, 0, 0]},
    "bias of one axis for all keys": {"bias": BIAS[0, 0, 0, :1]},
    "mask of one axis": {"mask": MASK[0, 0, 0]},
    "no sinks": {"sinks": [-numpy.inf] * 4},
    "causal top-left": {"causal": "top-left"},
    "causal bottom-right": {"causal": "bottom-right"},
    "causal at a key": {"causal": 5},
    "causal before the first key": {"causal": numpy.int64(-3)},
    "window": {"window": (3, 2)},
    "window to the left": {"window": [numpy.int32(4), None]},
    "window to the right": {"window": (None, 0)},
    "window of causal": {"window": (2, 9), "causal": "top-left"},
    "key_lengths": {"key_lengths": [33, 12]},
    "key_lengths, an array": {"key_lengths": numpy.array([40, 0], "int32")},
    "alibi_slopes at lengths": {"alibi_slopes": SLOPES, "key_lengths": (33, 12)},
    "everything": {
        "scale": 0.3,
        "softcap": 2.0,
        "bias": BIAS,
        "alibi_slopes": SLOPES,
        "mask": MASK,
        "causal": "bottom-right",
        "window": (30, None),
        "key_lengths": [40, 31],
        "sinks": SINKS,
    },
}


@pytest.mark.parametrize("stage", ["scores", "capped", "biased", "weights"])
@pytest.mark.parametrize("name", OPTIONS)
def test_options(name, stage):
    found = softdot.attention_weights(QUERY, KEY, stage=stage, **OPTIONS[name])
    expect_close(found, attention(QUERY, KEY, stage=stage, **OPTIONS[name]))


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_options_of_each_protocol(wrap):
    options = {"bias": BIAS, "mask": MASK, "sinks": SINKS, "alibi_slopes": SINKS}
    found = softdot.attention_weights(
        QUERY, KEY, **{name: wrap(option) for name, option in options.items()}
    )
    assert numpy.array_equal(found, softdot.attention_weights(QUERY, KEY, **options))


def test_strides_of_bias_and_mask_are_read_in_place():
    found = softdot.attention_weights(
        QUERY, KEY, bias=numpy.asfortranarray(BIAS), mask=numpy.asfortranarray(MASK)
    )
    assert numpy.array_equal(found, softdot.attention_weights(QUERY, KEY, bias=BIAS, mask=MASK))


def test_options_with_packed_keys():
    everything = OPTIONS["everything"]
    found = softdot.attention_weights(QUERY, softdot.PackedKeys.from_view(KEY), **everything)
    assert numpy.array_equal(found, softdot.attention_weights(QUERY, KEY, **everything))


def test_torch():
    torch = pytest.importorskip("torch")
    options = {"bias": BIAS, "mask": MASK, "sinks": SINKS}
    tensors = {name: torch.from_numpy(option) for name, option in options.items()}
    lengths = torch.tensor([33, 12])
    found = softdot.attention_weights(QUERY, KEY, key_lengths=lengths, **tensors)
    expected = softdot.attention_weights(QUERY, KEY, key_lengths=[33, 12], **options)
    assert numpy.array_equal(found, expected)


def test_alibi_slopes():
    assert softdot.alibi_slopes(4) == [0.25, 0.0625, 0.015625, 0.00390625]
    assert softdot.alibi_slopes(0) == []
    with pytest.raises(ValueError, match="^heads: expected a number from 0"):
        softdot.alibi_slopes(-1)


def with_a_two(mask):
    mask = mask.copy()
    mask.view("uint8")[0, 1, 2, 3] = 2
    return mask


@pytest.mark.parametrize(
    ("option", "error", "message"),
    [
        ({"softcap": -1}, ValueError, "^softcap: expected a finite number above 0, found -1"),
        ({"bias": BIAS[..., :39]}, ValueError, "^bias: expected 40 columns .* found 39"),
        ({"bias": MASK}, TypeError, "^bias: expected an array of float32 .*, found bool"),
        ({"bias": BIAS[..., ::-1]}, ValueError, "^bias: expected strides of at least 0"),
        ({"mask": BIAS}, TypeError, "^mask: expected an array of bool, found float32"),
        ({"mask": MASK.view("uint8")}, TypeError, "^mask: expected an array of bool, found uint8"),
        ({"mask": with_a_two(MASK)}, ValueError, "^mask: expected bytes that are 0 or 1, found 2"),
        ({"mask": MASK[:, :3]}, ValueError, "^mask: expected 4 heads .* found 3"),
        ({"alibi_slopes": SLOPES[:3]}, ValueError, "^alibi_slopes: expected .* 4, found length 3"),
        ({"alibi_slopes": ["a"] * 4}, TypeError, "^alibi_slopes: expected a real number, found str"),
        ({"sinks": [True] * 4}, TypeError, "^sinks: expected a real number, found bool"),
        ({"softcap": True}, TypeError, "^softcap: expected a real number, found bool"),
        ({"softcap": 0}, ValueError, "^softcap: expected .* or None for no cap, found 0"),
        ({"softcap": 1e39}, ValueError, "^softcap: expected a number that float32 has, found 1e[+]39"),
        ({"bias": BIAS[None]}, ValueError, "^bias: expected 1 to 4 axes, found 5"),
        ({"mask": numpy.array(True)}, ValueError, "^mask: expected 1 to 4 axes, found 0"),
        ({"mask": MASK[0, 0, 0, :39]}, ValueError, "^mask: expected 40 columns .*found 39"),
        ({"alibi_slopes": SINKS[::2]}, ValueError, "^alibi_slopes: expected .* 4, found length 2"),
        ({"sinks": SINKS.astype("int32")}, TypeError, "^sinks: .* or float64, found int32"),
        ({"sinks": SINKS.reshape(2, 2)}, ValueError, "^sinks: .*along 1 axis, found shape .2, 2."),
        ({"sinks": numpy.array(1, "float32")}, ValueError, "^sinks: expected 1 to 4 axes, found 0"),
        ({"sinks": [1e39, 0, 0, 0]}, ValueError, "^sinks: .*float32 has, found 1e[+]39"),
        ({"sinks": numpy.array([0, 0, -1e39, 0])}, ValueError, "^sinks: .*float32 has, found -1e39"),
        ({"causal": "left"}, ValueError, '^causal: expected top-left, .*found "left"'),
        ({"causal": True}, TypeError, "^causal: .*bottom-right.*True is the first in torch.*, found True"),
        ({"causal": False}, TypeError, "^causal: expected .*None is not causal.*, found False"),
        ({"is_causal": True}, TypeError, r"^attention_weights\(\) got .*'is_causal' .*causal='top-left'"),
        ({"attn_mask": MASK}, TypeError, "'attn_mask' .here it is mask for bool, bias for"),
        ({"causal": 1 << 70}, ValueError, "^causal: expected .*, found 1180591620717411303424"),
        ({"causal": 0.5}, TypeError, "^causal: expected .*, found 0.5"),
        ({"window": 5}, TypeError, "^window: expected a pair .*, found 5"),
        ({"window": (1, 2, 3)}, TypeError, "^window: expected a pair"),
        ({"window": (True, None)}, TypeError, "^window: expected a whole number, found bool"),
        ({"window": (-1, None)}, ValueError, "^window: expected .* or None for unbounded, found -1"),
        ({"window": (0, -1)}, ValueError, "^window: expected .* or None for unbounded, found -1"),
        ({"key_lengths": [41, 0]}, ValueError, "^key_lengths: expected at most 40 .*found 41"),
        ({"key_lengths": [1]}, ValueError, "^key_lengths: expected one for each batch entry"),
        ({"key_lengths": [1, -1]}, ValueError, "^key_lengths: expected a number from 0"),
        ({"key_lengths": [1, True]}, TypeError, "^key_lengths: expected a whole .*found bool"),
        ({"key_lengths": 3}, TypeError, "^key_lengths: expected a row .*found int"),
    ],
)
def test_errors(option, error, message):
    out = numpy.full((2, 4, 7, 40), 7, "float32")
    with pytest.raises(error, match=message):
        softdot.attention_weights(QUERY, KEY, out=out, **option)
    assert (out == 7).all()


def four(array):
    """One number for each head, from among others, in any order."""
    memory = numpy.full((4, 3), numpy.nan, array.dtype)
    memory[:, 1] = array[::-1]
    return memory[::-1, 1]


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16", "float64"])
@pytest.mark.parametrize("option", ["sinks", "alibi_slopes"])
def test_numbers_of_heads_are_of_any_float_type(option, name):
    dtype = getattr(pytest.importorskip("ml_dtypes"), name, name)
    numbers_of_heads = (SINKS.astype("float64") / 3).astype(dtype)
    nearest = numbers_of_heads.astype("float32")
    expected = softdot.attention_weights(QUERY, KEY, **{option: nearest})
    shapes = [(4,), (4, 1), (1, 4), (1, 4, 1, 1), (1, 1, 1, 4)]
    for array in [four(numbers_of_heads), *(numbers_of_heads.reshape(s) for s in shapes)]:
        found = softdot.attention_weights(QUERY, KEY, **{option: array})
        assert found.tobytes() == expected.tobytes()
    found = softdot.attention_weights(QUERY, KEY, **{option: [float(n) for n in numbers_of_heads]})
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16", "float64"])
def test_parameters_of_torch(name):
    torch = pytest.importorskip("torch")
    sinks = torch.nn.Parameter(torch.from_numpy(SINKS).to(getattr(torch, name))[None, :, None, None])
    expected = softdot.attention_weights(QUERY, KEY, sinks=sinks.detach().flatten().float())
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            found = softdot.attention_weights(QUERY, KEY, sinks=sinks)
            assert found.tobytes() == expected.tobytes()
    with pytest.raises(TypeError, match=r"^sinks: Parameter: .*gradient \(detach\(\), or torch.no_grad"):
        softdot.attention_weights(QUERY, KEY, sinks=sinks)


def test_sinks_of_a_head_without_others():
    query = QUERY[:1, :1]
    found = softdot.attention_weights(query, KEY[:1, :1], sinks=numpy.ones((1, 1, 1, 1)))
    expect_close(found, attention(query, KEY[:1, :1], sinks=[1.0]))


@pytest.mark.parametrize("argument", ["query", "key", "bias", "mask", "sinks", "alibi_slopes", "key_lengths", "out"])
def test_masked_arrays_are_refused(argument):
    arguments = {"query": QUERY, "key": KEY, "bias": BIAS, "mask": MASK, "sinks": SINKS}
    arguments |= {"alibi_slopes": SINKS, "key_lengths": numpy.array([40, 3])}
    arguments["out"] = numpy.full((2, 4, 7, 40), 7, "float32")
    arguments[argument] = numpy.ma.masked_array(arguments[argument], mask=False)
    with pytest.raises(TypeError, match=f"^{argument}: expected an array without a mask .*MaskedArray"):
        softdot.attention_weights(**arguments)


def test_an_out_that_shares_memory_with_the_bias():
    with pytest.raises(ValueError, match="^out: expected memory of its own, found some of bias's"):
        softdot.attention_weights(QUERY, KEY, bias=BIAS, out=BIAS)
