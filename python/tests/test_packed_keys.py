"""``PackedKeys``: the same bits as the keys that went in."""

import copy
import os
import pickle
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy
import pytest
import softdot
from foreign import WRAPPERS
from oracle import numbers

KEY = numbers(2, 4, 50, 16)
QUERY = numbers(2, 8, 3, 16, seed=1)


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_packed_keys_give_the_bits_of_their_view(wrap):
    packed = softdot.PackedKeys.from_view(wrap(numpy.asfortranarray(KEY)))
    assert packed.shape == KEY.shape
    found = softdot.attention_weights(QUERY, packed)
    assert found.tobytes() == softdot.attention_weights(QUERY, KEY).tobytes()


def test_a_decoder_appends_and_truncates():
    packed = softdot.PackedKeys(2, 4, 16)
    assert len(packed) == 0
    for first, last in [(0, 1), (1, 20), (20, 20), (20, 50)]:
        packed.append(KEY[:, :, first:last])
        assert len(packed) == last
        found = softdot.attention_weights(QUERY, packed)
        assert found.tobytes() == softdot.attention_weights(QUERY, KEY[:, :, :last]).tobytes()
    packed.truncate(7)
    packed.truncate(100)
    assert packed.shape == (2, 4, 7, 16)
    found = softdot.attention_weights(QUERY, packed)
    assert found.tobytes() == softdot.attention_weights(QUERY, KEY[:, :, :7]).tobytes()


def test_room_is_made_once():
    packed = softdot.PackedKeys(1, 1, 8)
    packed.reserve(100)
    capacity = packed.capacity
    assert capacity >= 100
    packed.append(numbers(100, 8))
    assert packed.capacity == capacity


def test_a_copy_is_independent():
    packed = softdot.PackedKeys.from_view(KEY)
    copy = packed.copy()
    copy.append(KEY)
    packed.truncate(1)
    assert (len(packed), len(copy)) == (1, 100)
    assert repr(packed) == "PackedKeys(shape=(2, 4, 1, 16))"


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda packed: pickle.loads(pickle.dumps(packed))]
)
@pytest.mark.parametrize("keys", [0, 1, 50])
def test_copies_and_pickles(copied, keys):
    packed = softdot.PackedKeys.from_view(KEY[:, :, :keys])
    same = copied(packed)
    same.append(KEY[:, :, keys:])
    assert (len(packed), same.shape) == (keys, KEY.shape)
    for found, expected in [(packed, KEY[:, :, :keys]), (same, KEY)]:
        weights = softdot.attention_weights(QUERY, found)
        assert weights.tobytes() == softdot.attention_weights(QUERY, expected).tobytes()


def test_a_copy_of_many_keys_is_cut_short_in_memory_for_few():
    packed = softdot.PackedKeys.from_view(KEY)
    copied = packed.copy()
    copied.truncate(5)
    assert (copied.shape, copied.capacity) == ((2, 4, 5, 16), 16)
    assert packed.shape == KEY.shape
    packed.copy().reserve(1)
    assert packed.capacity == 64


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as on Linux")
def test_copies_without_memory_are_a_memory_error(run_python):
    answer = run_python(
        """
import resource, numpy, softdot
key = numpy.ones((1, 1 << 20, 64), "float32")
packed = softdot.PackedKeys.from_view(key)
del key
copy = packed.copy()
used = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize"))
limit = (used << 10) + (64 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
one = numpy.ones((1, 1, 64), "float32")
for change in (lambda: copy.append(one), lambda: copy.reserve(1 << 21), lambda: copy.truncate(1 << 19)):
    try:
        change()
    except MemoryError as error:
        print(str(error).split(":")[0], len(copy))
copy.truncate(5)
print(len(copy), len(packed))
""",
        OPENBLAS_NUM_THREADS="1",
    )
    assert answer.stderr == ""
    assert answer.stdout.splitlines() == [*["packed keys 1048576"] * 3, "5 1048576"]


@pytest.mark.parametrize("wrap", [lambda key: key, softdot.PackedKeys.from_view])
def test_keys_and_values_of_one_entry_serve_all_beams(wrap):
    query, value = numbers(4, 8, 3, 16), numbers(1, 4, 50, 12, seed=2)
    key = wrap(KEY[:1])
    everywhere = [numpy.ascontiguousarray(array.repeat(4, 0)) for array in (KEY[:1], value)]
    expected = softdot.attention(query, *everywhere, returns=("weights", "key_mass"))
    for values in (value, everywhere[1]):
        found = softdot.attention(query, key, values, returns=("weights", "key_mass"))
        for name in ("output", "weights", "key_mass"):
            assert getattr(found, name).tobytes() == getattr(expected, name).tobytes()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_forks_while_another_thread_appends():
    packed, done = softdot.PackedKeys(2, 4, 16), threading.Event()
    portion = numpy.ones((2, 4, 2000, 16), "float32")

    def append():
        while not done.is_set():
            packed.append(portion)
            packed.truncate(0 if len(packed) > 100_000 else len(packed))

    worker = threading.Thread(target=append)
    worker.start()
    try:
        for _ in range(30):
            child = os.fork()
            if child == 0:
                # Killed by its alarm where it would wait for a thread that it does not have.
                signal.alarm(30)
                before = len(packed)
                packed.append(portion)
                os._exit(0 if len(packed) == before + 2000 and before % 2000 == 0 else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        done.set()
        worker.join()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: p.append(KEY[:, :3]), ValueError, "^key: expected 4 heads .*found 3"),
        (lambda p: p.append(KEY[..., :8]), ValueError, "^key: expected 16 columns .*found 8"),
        (lambda p: p.append(KEY[..., ::-1]), ValueError, "^key: expected strides of at least 0"),
        (lambda p: p.append(KEY.astype("float64")), TypeError, "^key: .*found float64"),
        (lambda p: p.reserve(-1), ValueError, "^additional: expected a number from 0"),
        (lambda p: p.reserve(1 << 62), ValueError, "^key: "),
        (lambda p: p.reserve(1 << 48), MemoryError, "^packed keys: "),
        (lambda p: p.truncate(-1), ValueError, "^keys: expected a number from 0"),
        (lambda p: p.truncate("all"), TypeError, "^keys: expected a whole number, found str"),
    ],
)
def test_errors_change_nothing(call, error, message):
    packed = softdot.PackedKeys.from_view(KEY)
    with pytest.raises(error, match=message):
        call(packed)
    assert packed.shape == KEY.shape
    found = softdot.attention_weights(QUERY, packed)
    assert found.tobytes() == softdot.attention_weights(QUERY, KEY).tobytes()


def test_extents_that_are_no_numbers():
    with pytest.raises(ValueError, match="^batch: expected a number from 0"):
        softdot.PackedKeys(-1, 1, 8)
    with pytest.raises(TypeError, match="^head_dim: expected a whole number, found float"):
        softdot.PackedKeys(1, 1, 8.0)
    with pytest.raises(TypeError, match="^kv_heads: expected a whole number, found bool"):
        softdot.PackedKeys(1, True, 8)


def test_calls_see_the_keys_as_they_were_while_others_append():
    packed = softdot.PackedKeys.from_view(KEY[:, :, :1])

    def append(last):
        packed.append(KEY[:, :, :1])

    def answer(turn):
        found = softdot.attention_weights(QUERY, packed)
        return numpy.allclose(found, 1 / found.shape[-1])

    with ThreadPoolExecutor(4) as pool:
        appended = pool.map(append, range(100))
        answers = pool.map(answer, range(100))
        assert all(answers)
        list(appended)
    assert len(packed) == 101
