"""jax: compiled, with a result of its own (arrays do not change)."""

import os

import jax
import numpy

NAME = "jax"


def version():
    return jax.__version__


def set_threads(count):
    """It starts as many threads as there are CPUs for this process, once."""
    jax.config.update("jax_platforms", "cpu")
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(cpus)[:count])
    jax.numpy.zeros(1).block_until_ready()
    for task in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(task), cpus)


def contenders(problem, threads):
    scale, stage = problem.workload.scale, problem.workload.stage
    query = jax.numpy.asarray(problem.query)
    value = None if problem.value is None else jax.numpy.asarray(problem.value)
    added = () if problem.added is None else (jax.numpy.asarray(problem.added),)

    def attention(product):
        def compute(query, key, value, *added):
            scores = sum(added, start=jax.numpy.einsum(product, query * scale, key))
            if stage == "scores":
                return scores
            weights = jax.nn.softmax(scores, axis=-1)
            return weights if stage == "weights" else jax.numpy.einsum("hqk,hkd->hqd", weights, value)

        return jax.jit(compute)

    def form(product, key):
        compute, key = attention(product), jax.numpy.asarray(key)
        return lambda: compute(query, key, value, *added).block_until_ready()

    forms = {
        "row-major K": form("hqd,hkd->hqk", problem.key),
        "Kᵀ": form("hqd,hdk->hqk", problem.transposed_key),
    }
    if stage == "output":
        forms = {f"einsum, {name}": call for name, call in forms.items()} | _attention(problem)
    return {"jax": forms}


def _attention(problem):
    forms = {}
    for name, query in problem.batches().items():
        arrays = query, problem.key[None], problem.value[None]
        name = ", ".join(filter(None, ["dot_product_attention", name]))
        forms[f"{name}, heads before rows"] = _heads_first(problem, *arrays)
        forms[f"{name}, rows before heads"] = _rows_first(problem, *arrays)
    return forms


def _heads_first(problem, *arrays):
    attention = _attention_of_rows_first(problem)

    @jax.jit
    def compute(*arrays):
        return attention(*(array.swapaxes(1, 2) for array in arrays)).swapaxes(1, 2)

    arrays = [jax.numpy.asarray(array) for array in arrays]
    return lambda: compute(*arrays).block_until_ready()


def _rows_first(problem, *arrays):
    compute = jax.jit(_attention_of_rows_first(problem))
    arrays = [jax.numpy.asarray(array.swapaxes(1, 2)) for array in arrays]

    def rows_first():
        answer = compute(*arrays).block_until_ready()
        # Views, in less than a microsecond or two.
        return numpy.asarray(answer).swapaxes(1, 2)

    return rows_first


def _attention_of_rows_first(problem):
    options = {"scale": problem.workload.scale}
    if problem.workload.is_causal_anyhow:
        options["is_causal"] = True
    elif problem.mask is not None:
        options["mask"] = jax.numpy.asarray(problem.mask[None, None])
    return lambda *arrays: jax.nn.dot_product_attention(*arrays, **options)
