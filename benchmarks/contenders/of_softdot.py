"""softdot: keys as they are, and packed beforehand."""

import softdot

NAME = "softdot"


def version():
    return softdot.__version__


def set_threads(count):
    """Each call says how many."""


def contenders(problem, threads):
    workload = problem.workload
    packed = softdot.PackedKeys.from_view(problem.key)

    def form(key):
        out = problem.output()
        options = {"stage": workload.stage, "out": out, "threads": threads}
        if workload.option == "causal":
            options["causal"] = "bottom-right"
        elif workload.option is not None:
            options |= {"mask": problem.mask, "bias": problem.bias}
        return lambda: softdot.attention_weights(problem.query, key, **options)

    return {
        "softdot": {"row-major K": form(problem.key)},
        "softdot, PackedKeys": {"packed K": form(packed)},
    }
