"""Numbers to compute with, and how far answers are from the definition."""

from __future__ import annotations

import numpy

from workloads import Workload

#: The largest error of a right answer, relative to its row's largest magnitude: that of
#: ``softdot bench``.
TOLERANCE = 1e-5


class Problem:
    """A workload with its data. Query heads that share a key head are rows of one product."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        heads, rows, keys = workload.kv_heads, workload.query_rows, workload.keys
        group = workload.q_heads // heads
        numbers = numpy.random.default_rng(1).standard_normal
        self.query = numbers((heads, group * rows, workload.head_dim), dtype=numpy.float32)
        self.key = numbers((heads, keys, workload.head_dim), dtype=numpy.float32)
        self.transposed_key = numpy.ascontiguousarray(self.key.swapaxes(1, 2))
        self.scores_shape = self.shape = (heads, group * rows, keys)
        self.mask = self.bias = None
        if workload.option == "causal":
            self.mask = numpy.tri(rows, keys, keys - rows, dtype=bool)
        elif workload.option == "padding":
            # Alike for all rows.
            self.mask = numpy.arange(keys)[None] < keys - workload.padding
        elif workload.option == "mask":
            self.mask = numpy.random.default_rng(2).random(self.scores_shape, dtype=numpy.float32) < 0.9
        elif workload.option == "bias":
            self.bias = numbers(self.scores_shape, dtype=numpy.float32)
        #: What others add to the scores for the option: its bias, or −∞ where the mask excludes.
        self.added = self.bias
        if self.mask is not None:
            self.added = numpy.where(self.mask, numpy.float32(0), numpy.float32(-numpy.inf))
        self.value = None
        if workload.stage == "output":
            self.value = numbers(self.key.shape, dtype=numpy.float32)
            #: An answer's.
            self.shape = self.query.shape

    def with_query_heads(self, array: numpy.ndarray) -> numpy.ndarray:
        """A view of the query, or of an output, as (heads, rows, head_dim) with every query head."""
        workload = self.workload
        return array.reshape(workload.q_heads, workload.query_rows, workload.head_dim)

    def batches(self) -> dict[str, numpy.ndarray]:
        """Views of the query as (batch, heads, rows, head_dim).

        One with every query head, and, where all rows attend to the same keys, one in which those
        that share a key head are its rows.
        """
        batches = {"": self.with_query_heads(self.query)[None]}
        if self.workload.q_heads != self.workload.kv_heads:
            batches = {"query heads": batches[""]}
            if self.added is None:
                batches["query heads as rows"] = self.query[None]
        return batches

    def output(self) -> numpy.ndarray:
        """Memory for a result, filled with what no right answer has."""
        return numpy.full(self.shape, numpy.nan, numpy.float32)

    def largest_error(self, answer: numpy.ndarray) -> float:
        """Of the first, middle and last rows and heads; infinite where it is no number."""
        heads, rows, _ = self.shape
        answer = answer.reshape(self.shape)
        errors = []
        for head in {0, heads // 2, heads - 1}:
            for row in {0, rows // 2, rows - 1}:
                expected = self._row(head, row)
                difference = numpy.abs(answer[head, row] - expected).max()
                errors.append(difference / numpy.abs(expected).max())
        return float(numpy.nan_to_num(numpy.max(errors), nan=numpy.inf))

    def _row(self, head: int, row: int) -> numpy.ndarray:
        products = self.key[head].astype(numpy.float64) @ self.query[head, row].astype(numpy.float64)
        scores = self.workload.scale * products
        if self.workload.stage == "scores":
            return scores
        if self.added is not None:
            scores += numpy.broadcast_to(self.added, self.scores_shape)[head, row]
        exponentials = numpy.exp(scores - scores.max())
        weights = exponentials / exponentials.sum()
        if self.value is None:
            return weights
        return weights @ self.value[head].astype(numpy.float64)
