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
        ({"softcap": 0.0}, ValueError, "^softcap: expected a finite number above 0, found 0"),
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
        ({"alibi_slopes": SINKS[::2]}, ValueError, "^alibi_slopes: expected elements without gaps"),
        ({"sinks": SINKS.astype("float64")}, TypeError, "^sinks: .*float32, found float64"),
        ({"sinks": SINKS[None]}, ValueError, "^sinks: expected 1 axis, found 2"),
        ({"causal": "left"}, ValueError, '^causal: expected top-left, .*found "left"'),
        ({"causal": True}, TypeError, "^causal: expected .*bottom-right.*, found True"),
        ({"causal": 1 << 70}, ValueError, "^causal: expected .*, found 1180591620717411303424"),
        ({"causal": 0.5}, TypeError, "^causal: expected .*, found 0.5"),
        ({"window": 5}, TypeError, "^window: expected a pair .*, found 5"),
        ({"window": (1, 2, 3)}, TypeError, "^window: expected a pair"),
        ({"window": (True, None)}, TypeError, "^window: expected a whole number, found bool"),
        ({"window": (-1, None)}, ValueError, "^window: expected a number from 0 .*found -1"),
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


def test_an_out_that_shares_memory_with_the_bias():
    with pytest.raises(ValueError, match="^out: expected memory of its own, found some of bias's"):
        softdot.attention_weights(QUERY, KEY, bias=BIAS, out=BIAS)
