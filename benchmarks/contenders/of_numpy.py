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
    stage, out = problem.workload.stage, problem.output()
    products = numpy.empty(problem.scores_shape, numpy.float32) if stage == "output" else out
    scaled = numpy.empty_like(problem.query)
    column = numpy.empty((*problem.shape[:-1], 1), numpy.float32)
    scale, added = numpy.float32(problem.workload.scale), problem.added

    def scores():
        numpy.multiply(problem.query, scale, out=scaled)
        return numpy.matmul(scaled, key, out=products)

    def exponentials():
        scores()
        if added is not None:
            numpy.add(products, added, out=products)
        numpy.max(products, axis=-1, keepdims=True, out=column)
        numpy.subtract(products, column, out=products)
        numpy.exp(products, out=products)
        numpy.sum(products, axis=-1, keepdims=True, out=column)

    def weights():
        exponentials()
        return numpy.divide(out, column, out=out)

    def output():
        exponentials()
        numpy.matmul(products, problem.value, out=out)
        # The columns of an output are fewer than the keys.
        return numpy.divide(out, column, out=out)

    return {"scores": scores, "weights": weights, "output": output}[stage]
