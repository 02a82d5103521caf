"""openvino: a graph of products and a softmax, or of one node, on memory that is bound to it."""

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
    if problem.workload.stage == "output":
        forms = _attention(problem, threads)
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
    if problem.workload.stage != "scores":
        result = opset.softmax(result, -1)
    if problem.workload.stage == "output":
        arrays.append(problem.value)
        parameters.append(opset.parameter(problem.value.shape, dtype=openvino.Type.f32))
        result = opset.matmul(result, parameters[-1], False, False)
    return _bound(_compile(result, parameters, threads), arrays, problem.output())


def _attention(problem, threads):
    forms = {}
    for name, query in problem.batches().items():
        if query.shape[1] != problem.workload.kv_heads:
            # It has no grouped heads.
            continue
        for mask, options in _masks(problem).items():
            path, compute = _attention_form(problem, query, options, threads)
            parts = ["scaled_dot_product_attention", name, mask, path]
            forms[", ".join(filter(None, parts))] = compute
    return forms


def _masks(problem):
    """Names, each with a mask, and whether it is causal beside."""
    if problem.added is None:
        return {"": (None, False)}
    if problem.workload.is_causal_anyhow:
        return {"causal": (None, True)}
    return {"boolean mask": (problem.mask, False), "−∞ added": (problem.added, False)}


def _attention_form(problem, query, options, threads):
    mask, causal = options
    arrays = [query, problem.key[None], problem.value[None]]
    if mask is not None:
        arrays.append(mask[None, None])
    parameters = [opset.parameter(array.shape, dtype=openvino.Type(array.dtype)) for array in arrays]
    scale = opset.constant(problem.workload.scale, dtype=openvino.Type.f32)
    result = opset.scaled_dot_product_attention(*parameters, scale=scale, causal=causal)
    model = _compile(result, parameters, threads)
    return _path(model), _bound(model, arrays, problem.output().reshape(query.shape))


def _path(model):
    """The layers that it became."""
    layers = [node.get_rt_info() for node in model.get_runtime_model().get_ordered_ops()]
    names = [f"{layer['layerType'].value} ({layer['primitiveType'].value})" for layer in layers]
    return " → ".join(name for name in names if not name.startswith(("Input", "Output", "Const")))


def _compile(result, parameters, threads):
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": "1",
        # Other contenders' threads run where they like, too.
        "ENABLE_CPU_PINNING": False,
    }
    return _CORE.compile_model(openvino.Model([result], parameters), "CPU", settings)


def _bound(model, arrays, out):
    request = model.create_infer_request()
    for i, array in enumerate(arrays):
        request.set_input_tensor(i, openvino.Tensor(array, shared_memory=True))
    request.set_output_tensor(0, openvino.Tensor(out, shared_memory=True))

    def compute():
        request.infer()
        return out

    return compute
