"""jax: compiled, with a result of its own (arrays do not change)."""

import os

import jax

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
    added = () if problem.added is None else (jax.numpy.asarray(problem.added),)

    def attention(product):
        def compute(query, key, *added):
            scores = sum(added, start=jax.numpy.einsum(product, query * scale, key))
            return scores if stage == "scores" else jax.nn.softmax(scores, axis=-1)

        return jax.jit(compute)

    def form(product, key):
        compute, key = attention(product), jax.numpy.asarray(key)
        return lambda: compute(query, key, *added).block_until_ready()

    return {
        "jax": {
            "row-major K": form("hqd,hkd->hqk", problem.key),
            "Kᵀ": form("hqd,hdk->hqk", problem.transposed_key),
        }
    }
