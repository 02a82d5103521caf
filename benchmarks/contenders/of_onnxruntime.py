"""onnxruntime: a graph of products and a softmax, or of one node, on memory that is bound to it."""

import numpy
import onnxruntime
from onnx import TensorProto, helper

NAME = "onnxruntime"


def version():
    return onnxruntime.__version__


def set_threads(count):
    """Each session is told."""


def contenders(problem, threads):
    keys = {"row-major K": problem.key, "Kᵀ": problem.transposed_key}
    forms = {
        f"FusedMatMul, {name}": _form(problem, key, _fused(name == "row-major K", problem), threads)
        for name, key in keys.items()
    }
    forms["Mul, MatMul, Kᵀ"] = _form(problem, problem.transposed_key, _standard(), threads)
    if problem.workload.stage == "output":
        forms |= _attention(problem, threads)
        forms |= _of_rows_first(problem, threads)
    return {"onnxruntime": forms}


def _fused(transpose, problem):
    attributes = {"alpha": problem.workload.scale, "transB": int(transpose)}
    return [
        helper.make_node("FusedMatMul", ["Q", "K"], ["scores"], domain="com.microsoft", **attributes)
    ]


def _standard():
    return [
        helper.make_node("Mul", ["Q", "scale"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "K"], ["scores"]),
    ]


def _form(problem, key, nodes, threads):
    inputs, result = {"Q": problem.query, "K": key}, "scores"
    if problem.added is not None:
        inputs["added"], result = problem.added, "sums"
        nodes = [*nodes, helper.make_node("Add", ["scores", "added"], ["sums"])]
    if problem.workload.stage != "scores":
        nodes = [*nodes, helper.make_node("Softmax", [result], ["weights"], axis=-1)]
        result = "weights"
    if problem.workload.stage == "output":
        inputs["V"], result = problem.value, "output"
        nodes = [*nodes, helper.make_node("MatMul", ["weights", "V"], ["output"])]
    scale = helper.make_tensor("scale", TensorProto.FLOAT, [], [problem.workload.scale])
    return _bound(nodes, inputs, {result: problem.output()}, threads, [scale])


def _attention(problem, threads):
    forms = {}
    for name, query in problem.batches().items():
        for mask, options in _masks(problem).items():
            parts = ["Attention", name, mask]
            forms[", ".join(filter(None, parts))] = _attention_form(problem, query, options, threads)
    return forms


def _masks(problem):
    """Names, each with optional inputs, and with attributes."""
    workload = problem.workload
    if problem.added is None:
        return {"": ({}, {})}
    if workload.option == "causal":
        # Without the number of keys, row 0 would stand at key 0.
        keys = {"nonpad_kv_seqlen": numpy.array([workload.keys])}
        causal = {"is_causal": (keys, {"is_causal": 1})}
        if workload.is_causal_anyhow:
            causal["is_causal, top-left"] = ({}, {"is_causal": 1})
        return causal
    # It wants every row's.
    shape = (workload.query_rows, workload.keys)
    masks = {"boolean mask": problem.mask, "−∞ added": problem.added}
    full = {name: numpy.broadcast_to(mask, shape).copy() for name, mask in masks.items()}
    return {name: ({"attn_mask": mask}, {}) for name, mask in full.items()}


def _attention_form(problem, query, options, threads):
    optional, attributes = options
    inputs = {"Q": query, "K": problem.key[None], "V": problem.value[None], **optional}
    names = ["Q", "K", "V", "attn_mask", "past_key", "past_value", "nonpad_kv_seqlen"]
    names = [name if name in inputs else "" for name in names]
    attributes = {"scale": problem.workload.scale, **attributes}
    nodes = [helper.make_node("Attention", names, ["output"], **attributes)]
    return _bound(nodes, inputs, {"output": problem.output().reshape(query.shape)}, threads)


def _of_rows_first(problem, threads):
    """onnxruntime's own nodes, where what they compute is asked for."""
    workload = problem.workload
    if workload.option == "causal" or workload.query_rows == 1:
        return {"GroupQueryAttention, cache in place": _group_query_attention(problem, threads)}
    if workload.q_heads == workload.kv_heads and problem.added is None:
        return {"MultiHeadAttention": _multi_head_attention(problem, threads)}
    return {}


def _group_query_attention(problem, threads):
    """Keys and values but for those of the new rows are cached, in memory with room for all."""
    workload = problem.workload
    cached = workload.keys - workload.query_rows
    inputs = {
        "query": _rows_first(problem.with_query_heads(problem.query)),
        "key": _rows_first(problem.key[:, cached:]),
        "value": _rows_first(problem.value[:, cached:]),
        "past_key": problem.key[None].copy(),
        "past_value": problem.value[None].copy(),
        "seqlens_k": numpy.array([workload.keys - 1], numpy.int32),
        "total_sequence_length": numpy.array(workload.keys, numpy.int32),
    }
    heads = {"num_heads": workload.q_heads, "kv_num_heads": workload.kv_heads}
    caches = {"present_key": inputs["past_key"], "present_value": inputs["past_value"]}
    return _rows_first_form("GroupQueryAttention", problem, inputs, heads, caches, threads)


def _multi_head_attention(problem, threads):
    arrays = {"query": problem.query, "key": problem.key, "value": problem.value}
    inputs = {name: _rows_first(array) for name, array in arrays.items()}
    heads = {"num_heads": problem.workload.q_heads}
    return _rows_first_form("MultiHeadAttention", problem, inputs, heads, {}, threads)


def _rows_first(array):
    """(heads, rows, head_dim) as (1, rows, heads · head_dim)."""
    return array.swapaxes(0, 1).reshape(1, array.shape[1], -1)


def _rows_first_form(operator, problem, inputs, attributes, caches, threads):
    workload = problem.workload
    out = numpy.full_like(inputs["query"], numpy.nan)
    outputs = {"output": out, **caches}
    attributes = {"scale": workload.scale, "domain": "com.microsoft", **attributes}
    nodes = [helper.make_node(operator, list(inputs), list(outputs), **attributes)]
    compute = _bound(nodes, inputs, outputs, threads)
    heads_first = out.reshape(workload.query_rows, workload.q_heads, -1).swapaxes(0, 1)

    def rows_first():
        compute()
        return heads_first

    return rows_first


def _bound(nodes, inputs, outputs, threads, constants=()):
    """A session's run on arrays, which returns the first of the outputs."""
    graph = helper.make_graph(
        nodes,
        "attention",
        [_described(name, array) for name, array in inputs.items()],
        [_described(name, array) for name, array in outputs.items()],
        constants,
    )
    opsets = [helper.make_opsetid("", 24), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=11)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), _options(threads), providers=["CPUExecutionProvider"]
    )

    binding = session.io_binding()
    for name, array in inputs.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
    for name, array in outputs.items():
        binding.bind_ortvalue_output(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
    out = next(iter(outputs.values()))

    def compute():
        session.run_with_iobinding(binding)
        return out

    return compute


def _described(name, array):
    return helper.make_tensor_value_info(
        name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
    )


def _options(threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Its threads wait busily inside a run, and not into the next contender's turn.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3
    return options
