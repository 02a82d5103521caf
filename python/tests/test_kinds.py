"""Arrays of other libraries in, arrays of the same kind out, no copies between."""

import array
import ctypes
import gc
import weakref

import numpy
import pytest
import softdot
from foreign import WRAPPERS, Dlpack, ExchangeDlpack
from oracle import numbers


def problem():
    query, key = numbers(3, 5, 16), numbers(3, 30, 16, seed=1)
    return query, key, softdot.attention_weights(query, key)


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_each_protocol_hands_over_memory_and_strides(wrap):
    query, key, expected = problem()
    far_apart = numpy.asfortranarray(key)
    assert numpy.array_equal(softdot.attention_weights(wrap(query), wrap(far_apart)), expected)


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_each_protocol_is_written_in_place(wrap):
    query, key, expected = problem()
    memory = numpy.zeros((3, 5, 60), "float32")
    out = wrap(memory[..., ::2])
    assert softdot.attention_weights(query, key, out=out) is out
    assert numpy.array_equal(memory[..., ::2], expected)
    assert not memory[..., 1::2].any()


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_memory_is_given_back(wrap):
    class Watched(numpy.ndarray):
        """An array that can be watched."""

    query, key, _ = problem()
    watched = query.view(Watched)
    gone = weakref.ref(watched)
    softdot.attention_weights(wrap(watched), key)
    with pytest.raises(ValueError):
        softdot.attention_weights(wrap(watched), key[..., :3])
    with pytest.raises(TypeError):
        softdot.attention_weights(wrap(watched), "no key")
    del watched
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    ("wrap", "kind"),
    [
        (numpy.asarray, numpy.ndarray),
        (memoryview, memoryview),
        (Dlpack, numpy.ndarray),
        (ExchangeDlpack, numpy.ndarray),
    ],
)
def test_the_result_is_of_the_querys_kind(wrap, kind):
    query, key, expected = problem()
    found = softdot.attention_weights(wrap(query), key)
    assert type(found) is kind
    assert numpy.array_equal(found, expected)


def test_a_memoryview_of_nothing():
    found = softdot.attention_weights(memoryview(numbers(2, 8)), numbers(0, 8))
    assert (type(found), found.shape, found.format) == (memoryview, (2, 0), "f")


def test_arrays_of_ctypes_and_of_the_standard_library():
    query, key, expected = problem()
    structured = (ctypes.c_float * 16 * 5 * 3).from_buffer_copy(query)
    found = softdot.attention_weights(structured, key)
    assert type(found) is memoryview
    assert numpy.array_equal(found, expected)
    swapped = (ctypes.c_float.__ctype_be__ * 16 * 5 * 3)()
    with pytest.raises(TypeError, match='^query: expected .*of format ">f"'):
        softdot.attention_weights(swapped, key)

    row = array.array("f", query[0, 0])
    assert softdot.dot(row, query[0, 0]) == softdot.dot(query[0, 0], query[0, 0])
    with pytest.raises(TypeError, match='^a: expected .*found array of format "d"'):
        softdot.dot(array.array("d", row), row)


def test_torch():
    torch = pytest.importorskip("torch")
    query, key, expected = problem()
    tensors = torch.from_numpy(query), torch.from_numpy(key)
    found = softdot.attention_weights(*tensors)
    assert type(found) is torch.Tensor
    assert found.dtype == torch.float32
    assert numpy.array_equal(found.numpy(), expected)
    assert numpy.array_equal(softdot.attention_weights(query, tensors[1]), expected)

    transposed = torch.from_numpy(numpy.ascontiguousarray(query.swapaxes(0, 1))).transpose(0, 1)
    assert torch.equal(softdot.attention_weights(transposed, tensors[1]), found)

    out = torch.zeros(5, 3, 60)[..., ::2].transpose(0, 1)
    assert softdot.attention_weights(*tensors, out=out) is out
    assert torch.equal(out, found)

    products = torch.softmax(tensors[0] @ tensors[1].transpose(1, 2) / 4, -1)
    assert torch.allclose(found, products, rtol=1e-5, atol=1e-7)


def test_torch_that_wants_gradients_is_refused():
    torch = pytest.importorskip("torch")
    query = torch.ones(2, 8, requires_grad=True)
    with pytest.raises(TypeError, match=r"^query: .*gradient \(detach\(\), or torch.no_grad\(\)\)"):
        softdot.attention_weights(query, torch.ones(3, 8))
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            parameter = torch.nn.Parameter(query)
            out = torch.empty(2, 3, requires_grad=True)
            assert softdot.attention_weights(parameter, torch.ones(3, 8), out=out) is out
            found = softdot.attention_weights(query, torch.nn.Parameter(torch.ones(3, 8)))
            assert torch.equal(found, out)
            assert not found.requires_grad
    assert softdot.attention_weights(query.detach(), torch.ones(3, 8)).shape == (2, 3)


def test_torch_of_the_other_sign_is_refused():
    torch = pytest.importorskip("torch")
    negated = torch.complex(torch.ones(2, 8), torch.ones(2, 8)).conj().imag
    with pytest.raises(TypeError, match=r"^query: Tensor: .*\(resolve_neg\(\)\)"):
        softdot.attention_weights(negated, torch.ones(3, 8))
    with pytest.raises(TypeError, match="^out: Tensor: .*negated view"):
        softdot.attention_weights(torch.ones(2, 8), torch.ones(8, 8), out=negated)


def test_torch_without_memory_is_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="^query: expected elements in memory"):
        softdot.attention_weights(torch._efficientzerotensor(2, 8), torch.ones(3, 8))


def test_torch_elsewhere_is_refused_in_one_line():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="^query: Tensor: .*meta") as caught:
        softdot.attention_weights(torch.ones(2, 8, device="meta"), torch.ones(3, 8))
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*(nested|Sparse CSR).*")
def test_torch_that_is_not_dense_is_refused_in_words():
    torch = pytest.importorskip("torch")
    query, key = torch.ones(2, 3, 8), torch.ones(2, 5, 8)
    nested = torch.nested.nested_tensor([query[0], query[1, :2]], layout=torch.jagged)
    strided = torch.nested.nested_tensor([query[0], query[1, :2]])
    for tensor, message in [
        (nested, "^query: NestedTensor: expected a dense tensor, found a nested one$"),
        (strided, "^query: Tensor: expected a dense tensor, found a nested one$"),
        (query.to_sparse(), "^query: Tensor: expected a dense .*found one of torch.sparse_coo$"),
        (query[0].to_sparse_csr(), "^query: Tensor: .*found one of torch.sparse_csr$"),
    ]:
        with pytest.raises(TypeError, match=message):
            softdot.attention_weights(tensor, key)
    with pytest.raises(TypeError, match="^key: Tensor: .*found one without memory .*torch.vmap"):
        torch.vmap(lambda key: softdot.attention_weights(query, key))(key[None])


def test_jax():
    jax_numpy = pytest.importorskip("jax.numpy")
    query, key, expected = problem()
    arrays = jax_numpy.asarray(query), jax_numpy.asarray(key)
    found = softdot.attention_weights(*arrays)
    assert type(found) is type(arrays[0])
    assert numpy.array_equal(found, expected)
    with pytest.raises(ValueError, match="out: .*read-only"):
        softdot.attention_weights(*arrays, out=found)
