"""openvino: a graph of a product and a softmax, on memory that is bound to it."""

import openvino
from openvino import opset13 as opset

NAME = "openvino"

_CORE = openvino.Core()


def version():
    return openvino.__version__.split("-")[0]


def set_threads(count):
    """Each model is told."""


def contenders(problem, threads):
    forms = {}
    for scaled in ("query", "scores"):
        forms[f"row-major K, {scaled} scaled"] = _form(problem, problem.key, scaled, True, threads)
        forms[f"Kᵀ, {scaled} scaled"] = _form(problem, problem.transposed_key, scaled, False, threads)
    return {"openvino": forms}


def _form(problem, key, scaled, transpose, threads):
    query = opset.parameter(problem.query.shape, dtype=openvino.Type.f32)
    keys = opset.parameter(key.shape, dtype=openvino.Type.f32)
    scale = opset.constant(problem.workload.scale, dtype=openvino.Type.f32)
    if scaled == "query":
        result = opset.matmul(opset.multiply(query, scale), keys, False, transpose)
    else:
        result = opset.multiply(opset.matmul(query, keys, False, transpose), scale)
    arrays, parameters = [problem.query, key], [query, keys]
    if problem.added is not None:
        arrays.append(problem.added)
        parameters.append(opset.parameter(problem.added.shape, dtype=openvino.Type.f32))
        result = opset.add(result, parameters[-1])
    if problem.workload.stage == "weights":
        result = opset.softmax(result, -1)

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": "1",
        # Other contenders' threads run where they like, too.
        "ENABLE_CPU_PINNING": False,
    }
    model = _CORE.compile_model(openvino.Model([result], parameters), "CPU", settings)
    out = problem.output()
    request = model.create_infer_request()
    for i, array in enumerate(arrays):
        request.set_input_tensor(i, openvino.Tensor(array, shared_memory=True))
    request.set_output_tensor(0, openvino.Tensor(out, shared_memory=True))

    def compute():
        request.infer()
        return out

    return compute
