"""numpy: its product, and a softmax step by step, in memory that is there already."""

import numpy

NAME = "numpy"


def version():
    return numpy.__version__


def set_threads(count):
    """OpenBLAS has read OPENBLAS_NUM_THREADS; all else is one thread."""


def contenders(problem, threads):
    keys = {"row-major K": problem.key.swapaxes(1, 2), "Kᵀ": problem.transposed_key}
    return {"numpy": {name: _form(problem, key) for name, key in keys.items()}}


def _form(problem, key):
    out, scaled = problem.output(), numpy.empty_like(problem.query)
    column = numpy.empty((*problem.shape[:-1], 1), numpy.float32)
    scale, added = numpy.float32(problem.workload.scale), problem.added

    def scores():
        numpy.multiply(problem.query, scale, out=scaled)
        return numpy.matmul(scaled, key, out=out)

    def weights():
        scores()
        if added is not None:
            numpy.add(out, added, out=out)
        numpy.max(out, axis=-1, keepdims=True, out=column)
        numpy.subtract(out, column, out=out)
        numpy.exp(out, out=out)
        numpy.sum(out, axis=-1, keepdims=True, out=column)
        return numpy.divide(out, column, out=out)

    return scores if problem.workload.stage == "scores" else weights
