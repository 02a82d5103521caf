"""``PackedKeys``: the same bits as the keys that went in."""

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
