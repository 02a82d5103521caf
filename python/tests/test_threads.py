"""Several Python threads, Python's lock, forks, interrupts."""

import json
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy
import pytest
import softdot
from oracle import numbers

#: Long enough to look at from elsewhere: about a tenth of a second on one core.
LARGE = numbers(8, 2048, 64), numbers(8, 2048, 64, seed=1)

#: More than stays on one thread.
MIDDLE = numbers(4, 128, 64), numbers(4, 300, 64, seed=1)


def test_several_python_threads_at_once():
    problems = [(numbers(4, 64 + i, 64, seed=i), numbers(2, 300, 64, seed=100 + i)) for i in range(8)]
    expected = [softdot.attention_weights(*problem, threads=1) for problem in problems]

    def answer(turn):
        index = turn % len(problems)
        threads = [None, 1, 2, 3][turn % 4]
        found = softdot.attention_weights(*problems[index], threads=threads)
        return numpy.array_equal(found, expected[index])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(answer, range(200)))


def test_other_python_threads_run_meanwhile():
    span, ticks = [], []

    def compute():
        span.append(time.perf_counter())
        softdot.attention_weights(*LARGE, threads=1)
        span.append(time.perf_counter())

    worker = threading.Thread(target=compute)
    worker.start()
    while worker.is_alive():
        ticks.append(time.perf_counter())
        time.sleep(0.001)
    start, end = span
    third = (end - start) / 3
    assert any(start + third < tick < end - third for tick in ticks)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
def test_an_interrupt_comes_after_the_call_and_leaves_all_whole():
    def interrupt(number, frame):
        raise KeyboardInterrupt

    out = numpy.zeros((8, 2048, 2048), "float32")
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            softdot.attention_weights(*LARGE, out=out)
            pytest.fail("the call was shorter than the timer")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert numpy.array_equal(out, softdot.attention_weights(*LARGE))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("threads", [None, 1, 3])
def test_a_fork_computes_with_threads_of_its_own(threads):
    expected = softdot.attention_weights(*MIDDLE, threads=threads)
    child = os.fork()
    if child == 0:
        # Killed by its alarm where it would wait for threads that it does not have.
        signal.alarm(30)
        found = softdot.attention_weights(*MIDDLE, threads=threads)
        os._exit(0 if numpy.array_equal(found, expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
@pytest.mark.parametrize("before", [{"threads": 3}, {"threads": 1}, {}, {"scale": float("nan")}])
def test_a_fork_knows_which_threads_it_lacks_whatever_was_called_before(run_python, before):
    answer = run_python(
        """
import json, os, signal, sys, numpy, softdot
array = numpy.ones((4, 300, 64), "float32")
try:
    softdot.attention_weights(array, array, **json.loads(sys.argv[1]))
except ValueError:
    pass
child = os.fork()
if child == 0:
    signal.alarm(30)
    softdot.attention_weights(array, array)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""",
        json.dumps(before),
        RAYON_NUM_THREADS="2",
        PYTHONWARNINGS="ignore",
    )
    assert (answer.stderr, answer.stdout) == ("", "0\n")


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted as Linux tells")
@pytest.mark.parametrize("all_threads", ["1", "2"])
def test_as_many_threads_as_asked_for(run_python, all_threads):
    answer = run_python(
        """
import os, numpy, softdot
count = lambda: len(os.listdir("/proc/self/task"))
array = numpy.ones((4, 300, 64), "float32")
before = count()
softdot.attention_weights(array, array, threads=1)
print(count() - before)
softdot.attention_weights(array, array)
all_threads = count()
print(all_threads - before)
softdot.attention_weights(array, array, threads=3)
print(count() - all_threads)
""",
        RAYON_NUM_THREADS=all_threads,
    )
    assert answer.stderr == ""
    assert answer.stdout.split() == ["0", all_threads, "3"]


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted as Linux tells")
def test_pools_that_are_no_longer_used_end(run_python):
    answer = run_python(
        """
import os, time, numpy, softdot
array = numpy.ones((4, 300, 64), "float32")
for threads in [*range(20, 40), 2, 3, 4, 5]:
    softdot.attention_weights(array, array, threads=threads)
main, all_threads, pools = 1, 2, 2 + 3 + 4 + 5
deadline = time.monotonic() + 60
while len(os.listdir("/proc/self/task")) > main + all_threads + pools:
    assert time.monotonic() < deadline, "threads of old pools are still there"
    time.sleep(0.01)
""",
        RAYON_NUM_THREADS="2",
        OPENBLAS_NUM_THREADS="1",
    )
    assert answer.stderr == ""


@pytest.mark.skipif(sys.platform != "linux", reason="threads are made impossible as on Linux")
@pytest.mark.parametrize("first", ["None", "2"])
def test_where_no_thread_can_be_started(run_python, first):
    """Threads have larger stacks here than there is memory, then not."""
    answer = run_python(
        """
import resource, sys, numpy, softdot
array = numpy.ones((4, 300, 64), "float32")
expected = softdot.attention_weights(array, array, threads=1)
used = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize"))
unlimited = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, ((used << 10) + (256 << 20), unlimited[1]))
for threads in (eval(sys.argv[1]), None, 2, None, 1):
    try:
        print(threads, (softdot.attention_weights(array, array, threads=threads) == expected).all())
    except RuntimeError as error:
        print(threads, error)
resource.setrlimit(resource.RLIMIT_AS, unlimited)
for threads in (2, None):
    print(threads, (softdot.attention_weights(array, array, threads=threads) == expected).all())
""",
        first,
        RUST_MIN_STACK=str(512 << 20),
        RAYON_NUM_THREADS="3",
        OPENBLAS_NUM_THREADS="1",
    )
    assert answer.stderr == ""
    lines = answer.stdout.splitlines()
    limited, recovered = lines[:5], lines[5:]
    assert recovered == ["2 True", "None True"]
    for line, threads in zip(limited, [first, "None", "2", "None", "1"], strict=True):
        if threads == "2":
            assert line.startswith("2 threads: expected 2 that can be started, found fewer: ")
        else:
            assert line == f"{threads} True"
