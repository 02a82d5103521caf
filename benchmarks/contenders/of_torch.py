"""torch: a product, then a softmax, in memory that is there already; or its fused attention."""

import torch

NAME = "torch"

#: No gradients, and no bookkeeping for them.
_INFERENCE = torch.inference_mode()


def version():
    return torch.__version__


def set_threads(count):
    torch.set_num_threads(count)
    torch.set_num_interop_threads(1)
    # Not left again: nothing else in this process computes with torch.
    _INFERENCE.__enter__()


def contenders(problem, threads):
    query = torch.from_numpy(problem.query)
    keys = {
        "row-major K": torch.from_numpy(problem.key).transpose(1, 2),
        "Kᵀ": torch.from_numpy(problem.transposed_key),
    }
    products = {
        "torch, baddbmm": _forms(problem, query, keys, _baddbmm),
        "torch, matmul": _forms(problem, query, keys, _matmul),
    }
    if problem.workload.stage != "output":
        return products
    forms = _attention(problem)
    for name, weights in products["torch, baddbmm"].items():
        forms[f"baddbmm, softmax, bmm, {name}"] = _bmm(weights, problem)
    return {"torch": forms}


def _forms(problem, query, keys, product):
    forms = {}
    added = None if problem.added is None else torch.from_numpy(problem.added)
    for name, key in keys.items():
        scores = torch.empty(problem.scores_shape)
        compute = product(query, key, problem.workload.scale, scores, added)
        if problem.workload.stage == "scores":
            forms[name] = compute
        else:
            weights = torch.empty(problem.scores_shape)
            forms[name] = _softmax(compute, weights)
            forms[f"{name}, softmax in place"] = _softmax(compute, scores)
    return forms


def _baddbmm(query, key, scale, scores, added):
    options = {"beta": 0 if added is None else 1, "alpha": scale, "out": scores}
    added = scores if added is None else added

    def compute():
        torch.baddbmm(added, query, key, **options)
        return scores

    return compute


def _matmul(query, key, scale, scores, added):
    scaled = torch.empty_like(query)

    def compute():
        # The queries are fewer than the scores.
        torch.mul(query, scale, out=scaled)
        torch.matmul(scaled, key, out=scores)
        if added is not None:
            scores.add_(added)
        return scores

    return compute


def _softmax(compute, weights):
    def softmax():
        torch.softmax(compute(), -1, out=weights)
        return weights

    return softmax


def _bmm(compute_weights, problem):
    value, out = torch.from_numpy(problem.value), torch.from_numpy(problem.output())

    def compute():
        return torch.bmm(compute_weights(), value, out=out)

    return compute


def _attention(problem):
    forms = {}
    for name, query in problem.batches().items():
        for mask, options in _masks(problem).items():
            parts = ["scaled_dot_product_attention", name, mask]
            forms[", ".join(filter(None, parts))] = _attention_form(problem, query, options)
    return forms


def _masks(problem):
    if problem.added is None:
        return {"": {}}
    if problem.workload.is_causal_anyhow:
        return {"is_causal": {"is_causal": True}}
    masks = {"boolean mask": problem.mask, "−∞ added": problem.added}
    return {name: {"attn_mask": torch.from_numpy(mask)} for name, mask in masks.items()}


def _attention_form(problem, query, options):
    query, key, value = map(torch.from_numpy, (query, problem.key[None], problem.value[None]))
    options = {**options, "scale": problem.workload.scale, "enable_gqa": query.shape[1] != key.shape[1]}

    def compute():
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, **options)

    return compute
