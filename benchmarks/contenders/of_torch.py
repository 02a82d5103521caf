"""torch: a product, then a softmax, in memory that is there already."""

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
    return {
        "torch, baddbmm": _forms(problem, query, keys, _baddbmm),
        "torch, matmul": _forms(problem, query, keys, _matmul),
    }


def _forms(problem, query, keys, product):
    forms = {}
    added = None if problem.added is None else torch.from_numpy(problem.added)
    for name, key in keys.items():
        scores = torch.from_numpy(problem.output())
        compute = product(query, key, problem.workload.scale, scores, added)
        if problem.workload.stage == "scores":
            forms[name] = compute
        else:
            weights = torch.from_numpy(problem.output())
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
