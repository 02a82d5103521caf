"""What is refused, with which words; ``out`` is as before then."""

import numpy
import pytest
import softdot
from foreign import CopiedDlpack, Dlpack, ElsewhereDlpack, ExchangeDlpack, NowhereDlpack
from oracle import numbers

QUERY, KEY = numbers(4, 5, 16), numbers(2, 30, 16, seed=1)


def misaligned(array):
    memory = numpy.zeros(array.nbytes + 1, "uint8")[1:]
    return memory.view("float32").reshape(array.shape)


def fields(array):
    """Numbers at every fifth byte."""
    records = numpy.zeros(array.shape, [("number", "float32"), ("flag", "uint8")])
    return records["number"]


class WantsGradient(ExchangeDlpack):
    requires_grad = True


class Negated(ExchangeDlpack):
    def is_neg(self):
        return True


WRONG_TYPES = {
    "float64": lambda array: array.astype("float64"),
    "int32": lambda array: numpy.ones(array.shape, "int32"),
    ">f4": lambda array: array.astype(">f4"),
    "list": lambda array: array.tolist(),
    "bytes of format \"B\"": lambda array: array.tobytes(),
    "memoryview of format \"d\"": lambda array: memoryview(array.astype("float64")).cast("B").cast("d"),
    "NoneType": lambda array: None,
}


@pytest.mark.parametrize("found", WRONG_TYPES)
@pytest.mark.parametrize("argument", ["query", "key", "out"])
def test_arrays_of_other_types(argument, found):
    arrays = {"query": QUERY, "key": KEY, "out": numpy.empty((4, 5, 30), "float32")}
    if argument == "out" and found == "NoneType":
        pytest.skip("out=None is a new array")
    arrays[argument] = WRONG_TYPES[found](arrays[argument])
    message = f"^{argument}: expected an array of float32 or float16 or bfloat16, found {found}$"
    with pytest.raises(TypeError, match=message):
        softdot.attention_weights(**arrays)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (QUERY[0, 0], "query: expected 2, 3 or 4 axes, found 1"),
        (QUERY[None, None], "query: expected 2, 3 or 4 axes, found 5"),
        (QUERY[..., ::-1], "query: expected strides of at least 0, found -1"),
        (QUERY[::-1], "query: expected strides of at least 0, found -80"),
        (QUERY[:3], "query: expected heads to be a multiple of the key's 2, found 3"),
        (QUERY[..., :8], "key: expected 8 columns .head_dim. .as the query., found 16"),
        (misaligned(QUERY), "query: expected memory aligned to 4 bytes"),
        (fields(QUERY), "query: expected strides of whole elements of 4 bytes"),
    ],
)
def test_arrays_that_do_not_fit(query, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        softdot.attention_weights(query, KEY)


def test_a_result_that_no_memory_holds():
    repeated = numpy.broadcast_to(QUERY[0, :1], (1 << 40, 16))
    with pytest.raises(ValueError, match="^out: "):
        softdot.attention_weights(repeated, repeated)


def test_dlpack_that_is_not_for_the_cpu():
    with pytest.raises(TypeError, match="^key: ElsewhereDlpack: expected memory of the CPU"):
        softdot.attention_weights(QUERY, ElsewhereDlpack(KEY))


def test_dlpack_that_wants_gradients():
    with pytest.raises(TypeError, match="^key: WantsGradient: expected one without a gradient"):
        softdot.attention_weights(QUERY, WantsGradient(KEY))


def test_dlpack_whose_memory_has_the_other_sign():
    with pytest.raises(TypeError, match="^key: Negated: expected .*resolve_neg.*negated view"):
        softdot.attention_weights(QUERY, Negated(KEY))


def test_dlpack_without_memory():
    with pytest.raises(TypeError, match="^key: expected elements in memory, found a NowhereDlpack"):
        softdot.attention_weights(QUERY, NowhereDlpack(KEY))
    empty = NowhereDlpack(KEY[:, :0])
    assert softdot.attention_weights(QUERY, empty).shape == (4, 5, 0)


def test_what_dlpack_raises_is_the_cause():
    class Broken(Dlpack):
        def __dlpack__(self, *, max_version=None):
            raise BufferError("out of order")

    with pytest.raises(TypeError, match="^key: Broken: out of order$") as caught:
        softdot.attention_weights(QUERY, Broken(KEY))
    assert isinstance(caught.value.__cause__, BufferError)


def test_an_interrupt_while_memory_is_handed_over_stays_one():
    class Interrupted(Dlpack):
        def __dlpack__(self, *, max_version=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        softdot.attention_weights(QUERY, Interrupted(KEY))


@pytest.mark.parametrize(
    ("option", "error", "message"),
    [
        ({"scale": float("nan")}, ValueError, "^scale: expected a finite number, found NaN"),
        ({"scale": float("inf")}, ValueError, "^scale: expected a finite number, found inf"),
        ({"scale": 1e300}, ValueError, "^scale: expected a number that float32 has, found 1e[+]300"),
        ({"scale": "1"}, TypeError, "^scale: expected a real number, found str"),
        ({"scale": True}, TypeError, "^scale: expected a real number, found bool"),
        ({"scale": 10**400}, ValueError, "^scale: expected a number that float32 has"),
        ({"stage": "logits"}, ValueError, '^stage: expected one of .*weights.*, found "logits"'),
        ({"stage": 1}, TypeError, "^stage: expected one of scores, .*, found int"),
        ({"isa": "sse"}, ValueError, '^isa: expected one of .*avx512.*, found "sse"'),
        ({"isa": 512}, TypeError, "^isa: expected one of .*avx512, found int"),
        ({"threads": 0}, ValueError, "^threads: expected a number from 1 to [0-9]+, found 0"),
        ({"threads": -1}, ValueError, "^threads: .*found -1"),
        ({"threads": 10**30}, ValueError, "^threads: .*found 10{30}"),
        ({"threads": 1.5}, TypeError, "^threads: expected a whole number, found float"),
        ({"threads": True}, TypeError, "^threads: expected a whole number, found bool"),
        ({"flash": True}, TypeError, r"^attention_weights\(\) got an unexpected keyword argument 'flash'$"),
    ],
)
def test_options(option, error, message):
    out = numpy.full((4, 5, 30), 7, "float32")
    with pytest.raises(error, match=message):
        softdot.attention_weights(QUERY, KEY, out=out, **option)
    assert (out == 7).all()


def test_an_isa_that_this_cpu_lacks():
    missing = {"avx512", "avx2", "neon"}.difference(softdot.available_isas())
    for isa in missing:
        with pytest.raises(ValueError, match=f"^isa: expected one that this CPU has .*{isa}$"):
            softdot.attention_weights(QUERY, KEY, isa=isa)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (numpy.full((4, 5, 29), 7, "float32"), "out: expected 30 columns .keys.*found 29"),
        (numpy.full((5, 4, 30), 7, "float32"), "out: expected 4 heads.*found 5"),
        (numpy.full((4, 5, 30), 7, "float32")[..., ::-1], "out: expected strides of at least 0"),
        (
            numpy.lib.stride_tricks.as_strided(
                numpy.full(300, 7, "float32"), (4, 5, 30), (0, 120, 4)
            ),
            "out: expected strides that keep elements apart",
        ),
    ],
)
def test_outs_that_do_not_fit(out, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        softdot.attention_weights(QUERY, KEY, out=out)
    assert (out == 7).all()


@pytest.mark.parametrize("wrap", [numpy.asarray, memoryview, Dlpack, ExchangeDlpack])
def test_an_out_that_is_read_only(wrap):
    out = numpy.full((4, 5, 30), 7, "float32")
    out.flags.writeable = False
    with pytest.raises(ValueError, match="^out: .*read-only"):
        softdot.attention_weights(QUERY, KEY, out=wrap(out))
    assert (out == 7).all()


def test_an_out_that_is_handed_over_as_a_copy():
    out = numpy.full((4, 5, 30), 7, "float32")
    with pytest.raises(ValueError, match="^out: .*found a copy of it$"):
        softdot.attention_weights(QUERY, KEY, out=CopiedDlpack(out))
    copied = softdot.attention_weights(CopiedDlpack(QUERY), KEY)
    assert numpy.array_equal(copied, softdot.attention_weights(QUERY, KEY))


@pytest.mark.parametrize("argument", ["query", "key"])
def test_an_out_that_shares_memory_with_an_input(argument):
    memory = numbers(64, 64)
    arrays = {"query": numbers(64, 16, seed=1), "key": numbers(16, 16, seed=2)}
    arrays[argument] = memory[: len(arrays[argument]), :16]
    out = memory[:, 10:26] if argument == "key" else memory[:, 40:56]
    with pytest.raises(ValueError, match=f"^out: expected memory of its own.* {argument}'s$"):
        softdot.attention_weights(**arrays, out=out)
    assert numpy.array_equal(memory, numbers(64, 64))


def test_a_limit_in_the_environment_that_is_no_isa(run_python):
    answer = run_python("import softdot; softdot.isa()", SOFTDOT_MAX_ISA="mmx")
    assert 'ValueError: SOFTDOT_MAX_ISA: expected one of' in answer.stderr
