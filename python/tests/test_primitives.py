"""``dot``, ``scaled_softmax``, ``isa`` and ``available_isas``."""

import numpy
import pytest
import softdot
from foreign import WRAPPERS
from oracle import expect_close, numbers


@pytest.mark.parametrize("isa", [None, *softdot.available_isas()])
@pytest.mark.parametrize("length", [0, 1, 63, 1000])
def test_dot(isa, length):
    a, b = numbers(length), numbers(length, seed=1)
    expected = a.astype("float64") @ b.astype("float64")
    found = softdot.dot(a, b, isa=isa)
    assert type(found) is float
    assert abs(found - expected) <= 1e-6 * (numpy.abs(a) @ numpy.abs(b) + 1e-30)
    assert found == softdot.dot(a, b)


@pytest.mark.parametrize("isa", [None, *softdot.available_isas()])
@pytest.mark.parametrize("length", [1, 15, 5000])
def test_scaled_softmax(isa, length):
    row = numbers(length)
    logits = 0.5 * row.astype("float64")
    expected = numpy.exp(logits - logits.max())
    found = softdot.scaled_softmax(row, 0.5, isa=isa)
    expect_close(found, expected / expected.sum())

    out = numpy.empty_like(row)
    assert softdot.scaled_softmax(row, 0.5, out=out, isa=isa) is out
    assert out.tobytes() == found.tobytes()
    assert row.tobytes() == numbers(length).tobytes()

    softdot.scaled_softmax(row, 0.5, out=row, isa=isa)
    assert row.tobytes() == found.tobytes()


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_rows_of_each_protocol(wrap):
    row = numbers(40)
    assert softdot.dot(wrap(row), row) == softdot.dot(row, row)
    found = softdot.scaled_softmax(wrap(row), 1)
    assert numpy.array_equal(found, softdot.scaled_softmax(row, 1))
    softdot.scaled_softmax(row, 1, out=wrap(row))
    assert numpy.array_equal(row, found)


def test_attention_is_made_of_the_two():
    query, key = numbers(64), numbers(50, 64, seed=1)
    products = numpy.array([softdot.dot(query, row) for row in key], "float32")
    weights = softdot.scaled_softmax(products, 0.125)
    expect_close(softdot.attention_weights(query[None], key)[0], weights.astype("float64"))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda a: softdot.dot(a, a[:3]), ValueError, "^b: expected the length .* 8, found length 3"),
        (lambda a: softdot.dot(a[::2], a[:4]), ValueError, "^a: expected elements without gaps"),
        (lambda a: softdot.dot(a[::-1], a), ValueError, "^a: expected elements without gaps"),
        (lambda a: softdot.dot(a[None], a), ValueError, "^a: expected 1 axis, found 2"),
        (lambda a: softdot.dot(a, a.astype("int32")), TypeError, "^b: .*found int32"),
        (lambda a: softdot.dot(a, a, isa="mmx"), ValueError, "^isa: "),
        (lambda a: softdot.scaled_softmax(a, float("inf")), ValueError, "^scale: .*found inf"),
        (lambda a: softdot.scaled_softmax(a, 1, out=a[:3]), ValueError, "^out: "),
        (lambda a: softdot.scaled_softmax(a[:4], 1, out=a[2:6]), ValueError, "^out: .* row's$"),
    ],
)
def test_errors_change_nothing(call, error, message):
    row = numbers(8)
    with pytest.raises(error, match=message):
        call(row)
    assert row.tobytes() == numbers(8).tobytes()


def test_isas(run_python):
    available = softdot.available_isas()
    assert available[0] == "scalar"
    assert softdot.isa() in available
    answer = run_python("import softdot; print(softdot.isa())", SOFTDOT_MAX_ISA="scalar")
    assert answer.stdout == "scalar\n"
