"""docs/semantics.md, "Coming from elsewhere": what other libraries compute, asked of them.

A library that is not installed is skipped, but not where SOFTDOT_TEST_REQUIRE_PEERS is 1.
"""

import importlib
import os

import numpy
import pytest
import softdot
from oracle import numbers

BATCH, Q_HEADS, KV_HEADS, ROWS, KEYS, HEAD_DIM = 2, 4, 2, 5, 9, 8
QUERY = numbers(BATCH, Q_HEADS, ROWS, HEAD_DIM)
KEY = numbers(BATCH, KV_HEADS, KEYS, HEAD_DIM, seed=1)
VALUE = numbers(BATCH, KV_HEADS, KEYS, HEAD_DIM, seed=2)
BIAS = numbers(BATCH, Q_HEADS, ROWS, KEYS, seed=3)
MASK = numpy.random.default_rng(4).random((BATCH, Q_HEADS, ROWS, KEYS)) < 0.6


def peer(name):
    """A module of a library that may not be installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        if os.environ.get("SOFTDOT_TEST_REQUIRE_PEERS") == "1":
            raise
        pytest.skip(f"{name} is not installed: nothing to compare with")


def expect_same(found, expected):
    numpy.testing.assert_allclose(numpy.asarray(found), expected, rtol=1e-5, atol=1e-5)


def softdots(**options):
    return softdot.attention(QUERY, KEY, VALUE, **options)


# torch.


def torchs(**options):
    torch = peer("torch")
    tensors = {
        name: torch.from_numpy(option) if isinstance(option, numpy.ndarray) else option
        for name, option in options.items()
    }
    attention = torch.nn.functional.scaled_dot_product_attention
    return attention(*map(torch.from_numpy, (QUERY, KEY, VALUE)), enable_gqa=True, **tensors)


def test_torch_is_causal_is_top_left():
    expect_same(softdots(causal="top-left"), torchs(is_causal=True))


def test_torch_boolean_mask_is_the_mask():
    expect_same(softdots(mask=MASK), torchs(attn_mask=MASK))


def test_torch_float_mask_is_the_bias():
    expect_same(softdots(bias=BIAS), torchs(attn_mask=BIAS))


def test_torch_grouped_heads_and_default_scale():
    expect_same(softdots(), torchs())


# JAX, whose axes are [batch, rows, heads, head_dim].


def jaxs(query=QUERY, key=KEY, value=VALUE, **options):
    jax = peer("jax")
    arrays = [jax.numpy.asarray(array.swapaxes(1, 2)) for array in (query, key, value)]
    return numpy.asarray(jax.nn.dot_product_attention(*arrays, **options)).swapaxes(1, 2)


def test_jax_is_causal_is_top_left():
    expect_same(softdots(causal="top-left"), jaxs(is_causal=True))


def test_jax_mask_and_bias():
    expect_same(softdots(mask=MASK), jaxs(mask=MASK))
    expect_same(softdots(bias=BIAS), jaxs(bias=BIAS))


def test_jax_lengths_are_key_lengths():
    lengths = numpy.array([4, 9], "int32")
    expect_same(softdots(key_lengths=lengths), jaxs(key_value_seq_lengths=lengths))


def test_jax_window_counts_from_the_top_left():
    options = {"causal": "top-left", "window": (2, 0)}
    expect_same(softdots(**options), jaxs(is_causal=True, local_window_size=(2, 0)))


# ONNX, by its reference and by ONNX Runtime.


def onnx_model(domain, opset, operator, inputs, outputs, attributes):
    onnx = peer("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    kinds = {"float32": types.FLOAT, "bool": types.BOOL, "int64": types.INT64, "int32": types.INT32}

    def described(name, array):
        return helper.make_tensor_value_info(name, kinds[str(array.dtype)], array.shape)

    names = [name if array is not None else "" for name, array in inputs.items()]
    node = helper.make_node(operator, names, outputs, domain=domain, **attributes)
    given = [described(name, array) for name, array in inputs.items() if array is not None]
    results = [helper.make_tensor_value_info(name, types.FLOAT, None) for name in outputs if name]
    versions = [helper.make_opsetid("", max(opset, 21))]
    if domain:
        versions.append(helper.make_opsetid(domain, 1))
    graph = helper.make_graph([node], "attention", given, results)
    return helper.make_model(graph, opset_imports=versions, ir_version=10)


def by_reference(model, feeds):
    return peer("onnx.reference").ReferenceEvaluator(model).run(None, feeds)


def by_onnxruntime(model, feeds):
    onnxruntime = peer("onnxruntime")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)


EVALUATORS = pytest.mark.parametrize("evaluate", [by_reference, by_onnxruntime])
OPSETS = pytest.mark.parametrize("opset", [23, 24])


def onnxs(evaluate, opset, outputs=("y",), key=KEY, value=VALUE, inputs=(), **attributes):
    named = {"q": QUERY, "k": key, "v": value, "mask": None, "past_k": None, "past_v": None}
    named |= {"lengths": None, **dict(inputs)}
    while list(named.values())[-1] is None:
        named.popitem()
    model = onnx_model("", opset, "Attention", named, outputs, attributes)
    return evaluate(model, {name: array for name, array in named.items() if array is not None})


@EVALUATORS
@OPSETS
def test_onnx_mask_and_bias(evaluate, opset):
    expect_same(softdots(mask=MASK), onnxs(evaluate, opset, inputs={"mask": MASK})[0])
    expect_same(softdots(bias=BIAS), onnxs(evaluate, opset, inputs={"mask": BIAS})[0])


@EVALUATORS
@OPSETS
@pytest.mark.parametrize("past", [0, 1, 4])
def test_onnx_is_causal_after_past_keys_is_an_offset(evaluate, opset, past):
    inputs, outputs = {}, ("y",)
    if past:
        inputs = {"past_k": KEY[:, :, :past].copy(), "past_v": VALUE[:, :, :past].copy()}
        outputs = ("y", "present_k", "present_v")
    new_key, new_value = KEY[:, :, past:].copy(), VALUE[:, :, past:].copy()
    found = onnxs(evaluate, opset, outputs, new_key, new_value, inputs, is_causal=1)
    expect_same(softdots(causal=past), found[0])


@EVALUATORS
def test_onnx_nonpad_kv_seqlen_are_key_lengths(evaluate):
    lengths = numpy.array([5, 9])
    found = onnxs(evaluate, 24, inputs={"lengths": lengths})
    expect_same(softdots(key_lengths=lengths), found[0])


@EVALUATORS
@OPSETS
@pytest.mark.parametrize(
    ("mode", "stage"), [(0, "scores"), (1, "capped"), (2, "biased"), (3, "weights")]
)
def test_onnx_output_modes_are_stages(evaluate, opset, mode, stage):
    options = {"softcap": 0.7}
    if (evaluate, mode) == (by_reference, 0):
        # Its mode 0 is what the softcap leaves, where there is one.
        options = {}
    found = onnxs(
        evaluate,
        opset,
        ("y", "", "", "qk"),
        inputs={"mask": BIAS},
        qk_matmul_output_mode=mode,
        **options,
    )
    expected = softdot.attention_weights(QUERY, KEY, bias=BIAS, stage=stage, **options)
    expect_same(expected, found[1])
    expect_same(softdots(bias=BIAS, **options), found[0])


def flat(array):
    """``[batch, rows, heads · head_dim]``."""
    return numpy.ascontiguousarray(array.swapaxes(1, 2)).reshape(BATCH, array.shape[2], -1)


def grouped_query_attention(query=QUERY, key=KEY, value=VALUE, **attributes):
    """ONNX Runtime's own operator, of a prompt without a past; it is causal."""
    rows = query.shape[2]
    nothing = numpy.zeros((BATCH, KV_HEADS, 0, HEAD_DIM), "float32")
    inputs = {
        "q": flat(query),
        "k": flat(key),
        "v": flat(value),
        "past_k": nothing,
        "past_v": nothing,
        "lengths": numpy.full(BATCH, rows - 1, "int32"),
        "total": numpy.array(rows, "int32"),
    }
    attributes |= {"num_heads": Q_HEADS, "kv_num_heads": KV_HEADS}
    outputs = ("y", "present_k", "present_v")
    model = onnx_model("com.microsoft", 21, "GroupQueryAttention", inputs, outputs, attributes)
    found = by_onnxruntime(model, inputs)[0]
    return found.reshape(BATCH, rows, Q_HEADS, HEAD_DIM).swapaxes(1, 2)


SQUARE = QUERY, KEY[:, :, :ROWS].copy(), VALUE[:, :, :ROWS].copy()


def test_onnxruntime_local_window_size_counts_the_own_key():
    for size in (1, 3):
        found = grouped_query_attention(*SQUARE, local_window_size=size)
        expected = softdot.attention(*SQUARE, causal="bottom-right", window=(size - 1, 0))
        expect_same(expected, found)


def test_onnxruntime_smooth_softmax_is_a_sink_of_zero():
    found = grouped_query_attention(*SQUARE, smooth_softmax=1)
    expect_same(softdot.attention(*SQUARE, causal="top-left", sinks=[0.0] * Q_HEADS), found)


def test_onnxruntime_softcap_is_the_softcap():
    found = grouped_query_attention(*SQUARE, softcap=0.7)
    expect_same(softdot.attention(*SQUARE, causal="top-left", softcap=0.7), found)


# GPT-OSS, as transformers computes it where nothing is fused.


def test_gpt_oss_sinks_are_the_sinks():
    torch, model = peer("torch"), peer("transformers.models.gpt_oss.modeling_gpt_oss")

    class Module:
        num_key_value_groups = Q_HEADS // KV_HEADS
        training = False
        sinks = torch.from_numpy(numbers(Q_HEADS, seed=5))

    tensors = map(torch.from_numpy, (QUERY, KEY, VALUE))
    scale = HEAD_DIM**-0.5
    output, _ = model.eager_attention_forward(Module, *tensors, None, scaling=scale, dropout=0.0)
    expect_same(softdots(sinks=Module.sinks), output.transpose(1, 2))
