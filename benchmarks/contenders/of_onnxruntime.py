"""onnxruntime: a graph of a product and a softmax, on memory that is bound to it."""

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
    if problem.workload.stage == "weights":
        nodes = [*nodes, helper.make_node("Softmax", [result], ["weights"], axis=-1)]
        result = "weights"

    def described(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    scale = helper.make_tensor("scale", TensorProto.FLOAT, [], [problem.workload.scale])
    graph = helper.make_graph(
        nodes,
        "attention",
        [described(name, array.shape) for name, array in inputs.items()],
        [described(result, problem.shape)],
        [scale],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), _options(threads), providers=["CPUExecutionProvider"]
    )

    out = problem.output()
    binding = session.io_binding()
    for name, array in inputs.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
    binding.bind_ortvalue_output(result, onnxruntime.OrtValue.ortvalue_from_numpy(out))

    def compute():
        session.run_with_iobinding(binding)
        return out

    return compute


def _options(threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Its threads wait busily inside a run, and not into the next contender's turn.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3
    return options
