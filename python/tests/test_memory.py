"""Memory between calls: little is kept, and even that can be freed."""

import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy
import pytest
import softdot
from oracle import numbers

#: What is kept at most.
KEPT = 64 << 20

#: Keys of which packed ones, 4 bytes each, are twice what is kept, and take no memory themselves.
HUGE = numpy.broadcast_to(numpy.ones(8, "float16"), (2 * KEPT // (8 * 4), 8))

#: Packed, a quarter of that.
QUARTER = HUGE[: len(HUGE) // 8]

#: Rows enough for keys to be packed.
QUERY = numbers(40, 8)


def test_a_call_keeps_its_workspace_until_it_is_released():
    softdot.release_memory()
    assert softdot.release_memory() == 0
    expected = softdot.attention_weights(QUERY, QUERY)
    assert 0 < softdot.release_memory() < 1 << 20
    assert softdot.release_memory() == 0
    assert numpy.array_equal(softdot.attention_weights(QUERY, QUERY), expected)


def test_a_large_workspace_is_freed():
    softdot.release_memory()
    softdot.attention(QUERY, HUGE, HUGE, threads=1)
    assert softdot.release_memory() == 0
    softdot.attention(QUERY, QUARTER, QUARTER, threads=1)
    assert KEPT // 4 < softdot.release_memory() < KEPT


def test_all_threads_together_keep_no_more():
    softdot.release_memory()
    count = 8
    together = Barrier(count)

    def compute(_):
        together.wait()
        softdot.attention(QUERY, QUARTER, QUARTER, threads=1)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(compute, range(count)))
        # The executor's threads are idle, not gone.
        assert 0 < softdot.release_memory() <= KEPT


def test_an_error_keeps_the_workspace():
    softdot.release_memory()
    softdot.attention_weights(QUERY, QUERY)
    with pytest.raises(ValueError, match="key"):
        softdot.attention_weights(QUERY, QUERY[:, :7])
    assert softdot.release_memory() > 0


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted as Linux tells")
def test_the_process_gets_smaller(run_python):
    answer = run_python(
        """
import numpy, softdot
def resident():
    lines = open("/proc/self/status")
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS"))
key = numpy.broadcast_to(numpy.ones(8, "float16"), (4 << 20, 8))
query = numpy.ones((40, 8), "float16")
before = resident()
softdot.attention(query, key, key, threads=1)
print((resident() - before) >> 20)
"""
    )
    assert answer.stderr == ""
    assert int(answer.stdout) < 64
