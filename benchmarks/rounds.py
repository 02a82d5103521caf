"""Contenders take turns until their times are known."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy

from problem import TOLERANCE, Problem
from workloads import Workload

#: A turn takes at least about this long: shorter calls are repeated within it.
TURN_SECONDS = 1e-3

#: Before each turn, for threads that wait busily for more work to give up: so long at a time, until the
#: process has rested for most of it, and so long at most. (OpenBLAS's take 18 ms, onnxruntime's longer.)
PAUSE_SECONDS = 25e-3
LONGEST_PAUSE_SECONDS = 1.0

#: Calls of each form, to find the fastest: so many, and for so long, at least. (Of a few calls of some
#: microseconds, the shortest says little.)
TRIALS = 3
TRIAL_SECONDS = 5e-3


@dataclass(frozen=True)
class Effort:
    """How much is repeated: so many rounds, and so long, at least."""

    rounds: int
    seconds: float

    @classmethod
    def full(cls) -> Effort:
        # Rounds as many as those of ``softdot bench``: of large workloads one takes seconds.
        return cls(7, 2.0)

    @classmethod
    def quick(cls) -> Effort:
        return cls(3, 0.1)


@dataclass
class Contender:
    """One contender in its fastest form, whose answer is right."""

    name: str
    form: str
    call: Callable
    max_error: float
    calls: int
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0

    def take_turn(self) -> None:
        """One call to find the caches as it would leave them, and then those that count."""
        _rest()
        self.call()
        cpu, start = time.process_time(), time.perf_counter()
        for _ in range(self.calls):
            self.call()
        seconds = time.perf_counter() - start
        self.cpu_seconds += time.process_time() - cpu
        self.seconds.append(seconds / self.calls)


def run(workload: Workload, libraries: list, threads: int, effort: Effort) -> list[dict]:
    """Measures everyone on one workload.

    The records begin with softdot's if it is installed; ratios are to the first's times.
    """
    problem = Problem(workload)
    contenders = [
        _contender(name, forms, problem)
        for library in libraries
        for name, forms in library.contenders(problem, threads).items()
    ]
    start, turn = time.perf_counter(), 0
    while turn < effort.rounds or time.perf_counter() - start < effort.seconds:
        for i in range(len(contenders)):
            contenders[(turn + i) % len(contenders)].take_turn()
        turn += 1
    own = contenders[0].seconds
    return [_record(contender, own, workload) for contender in contenders]


def _contender(name: str, forms: dict[str, Callable], problem: Problem) -> Contender:
    best = None
    for form, call in forms.items():
        error = problem.largest_error(numpy.asarray(call()))
        if not error <= TOLERANCE:
            sys.exit(
                f"{problem.workload.name}: {name}, {form}: expected a relative error of at most "
                f"{TOLERANCE:.0e}, found {error:.1e}"
            )
        once = _shortest(call)
        if best is None or once < best[0]:
            best = once, Contender(name, form, call, error, max(1, round(TURN_SECONDS / once)))
    return best[1]


def _rest() -> None:
    end = time.perf_counter() + LONGEST_PAUSE_SECONDS
    busy = PAUSE_SECONDS
    while busy > PAUSE_SECONDS / 10 and time.perf_counter() < end:
        cpu = time.process_time()
        time.sleep(PAUSE_SECONDS)
        busy = time.process_time() - cpu


def _shortest(call: Callable) -> float:
    end = time.perf_counter() + TRIAL_SECONDS
    seconds = []
    while len(seconds) < TRIALS or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _record(contender: Contender, own: list[float], workload: Workload) -> dict:
    median = statistics.median(contender.seconds)
    ratios = [theirs / ours for theirs, ours in zip(contender.seconds, own)]
    low, ratio, high = statistics.quantiles(ratios, n=4)
    wall = sum(contender.seconds) * contender.calls
    return {
        "workload": workload.name,
        "contender": contender.name,
        "form": contender.form,
        "median_s": median,
        "gflops": workload.flops / median / 1e9,
        "ratio": ratio,
        "ratio_low": low,
        "ratio_high": high,
        "cores": contender.cpu_seconds / wall,
        "max_error": contender.max_error,
        "rounds": len(contender.seconds),
    }
