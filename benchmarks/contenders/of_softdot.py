"""softdot: keys as they are, and packed beforehand."""

import softdot

NAME = "softdot"


def version():
    return softdot.__version__


def set_threads(count):
    """Each call says how many."""


def contenders(problem, threads):
    if problem.workload.stage == "output":
        return {"softdot": {"row-major K and V": _output(problem, threads)}}
    packed = softdot.PackedKeys.from_view(problem.key)

    def form(key):
        options = _options(problem, threads)
        options |= {"stage": problem.workload.stage, "out": problem.output()}
        return lambda: softdot.attention_weights(problem.query, key, **options)

    return {
        "softdot": {"row-major K": form(problem.key)},
        "softdot, PackedKeys": {"packed K": form(packed)},
    }


def _output(problem, threads):
    query, out = (problem.with_query_heads(array) for array in (problem.query, problem.output()))
    options = {**_options(problem, threads), "out": out}
    return lambda: softdot.attention(query, problem.key, problem.value, **options)


def _options(problem, threads):
    options = {"threads": threads}
    if problem.workload.option == "causal":
        options["causal"] = "bottom-right"
    elif problem.workload.option is not None:
        options |= {"mask": problem.mask, "bias": problem.bias}
    return options
