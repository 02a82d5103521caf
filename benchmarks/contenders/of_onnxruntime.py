"""onnxruntime: a graph of products and a softmax, or of one node, on memory that is bound to it."""

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
    """Names, each with an input, and with attributes."""
    if problem.added is None:
        return {"": ({}, {})}
    if problem.workload.is_causal_anyhow:
        return {"is_causal": ({}, {"is_causal": 1})}
    return {
        "boolean mask": ({"mask": problem.mask}, {}),
        "−∞ added": ({"mask": problem.added}, {}),
    }


def _attention_form(problem, query, options, threads):
    more_inputs, attributes = options
    inputs = {"Q": query, "K": problem.key[None], "V": problem.value[None], **more_inputs}
    attributes = {"scale": problem.workload.scale, **attributes}
    nodes = [helper.make_node("Attention", list(inputs), ["output"], **attributes)]
    return _bound(nodes, inputs, {"output": problem.output().reshape(query.shape)}, threads)


def _bound(nodes, inputs, outputs, threads, constants=()):
    """A session's run on arrays, which returns the first of the outputs."""
    graph = helper.make_graph(
        nodes,
        "attention",
        [_described(name, array) for name, array in inputs.items()],
        [_described(name, array) for name, array in outputs.items()],
        constants,
    )
    opsets = [helper.make_opsetid("", 23), helper.make_opsetid("com.microsoft", 1)]
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
