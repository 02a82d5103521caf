"""``softdot.torch`` against torch's own function."""

import itertools
import os
import re
import sys

import numpy
import pytest
import softdot
from softdot.torch import scaled_dot_product_attention

torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
from torch.nn.functional import scaled_dot_product_attention as expected_attention  # noqa: E402

#: The largest error relative to the largest element: of float32, and one rounding of others.
TOLERANCES = {"float32": 2e-6, "float16": 2**-10, "bfloat16": 2**-7}


def tensors(*shapes, dtype="float32", seed=0):
    generator = torch.Generator().manual_seed(seed)
    made = (torch.randn(shape, generator=generator) for shape in shapes)
    return [tensor.to(getattr(torch, dtype)) for tensor in made]


def expect_torchs(query, key, value, attn_mask=None, **options):
    """Compares with torch's in float32, which is more exact than it is in narrow types."""
    found = scaled_dot_product_attention(query, key, value, attn_mask, **options)
    if attn_mask is not None and attn_mask.is_floating_point():
        attn_mask = attn_mask.float()
    wide = (tensor.float() for tensor in (query, key, value))
    expected = expected_attention(*wide, attn_mask, **options)
    assert (found.shape, found.dtype) == (expected.shape, query.dtype)
    assert found.is_contiguous()
    difference = (found.float() - expected).abs().max() if found.numel() else torch.tensor(0.0)
    tolerance = TOLERANCES[str(query.dtype).removeprefix("torch.")]
    assert difference <= tolerance * max(1.0, expected.abs().max() if found.numel() else 0.0)


SHAPES = {
    "one head": ((7, 8), (9, 8), (9, 5)),
    "heads": ((3, 7, 8), (3, 9, 8), (3, 9, 8)),
    "batch": ((2, 3, 50, 33), (2, 3, 130, 33), (2, 3, 130, 16)),
    "decoding": ((2, 4, 1, 64), (2, 4, 700, 64), (2, 4, 700, 64)),
    "five axes": ((2, 3, 2, 7, 8), (2, 3, 2, 9, 8), (2, 3, 2, 9, 4)),
    "six axes": ((2, 1, 3, 2, 7, 8), (2, 1, 3, 2, 9, 8), (2, 1, 3, 2, 9, 4)),
    "heads that broadcast": ((2, 4, 7, 8), (2, 1, 9, 8), (2, 4, 9, 8)),
    "one query head": ((2, 1, 7, 8), (2, 4, 9, 8), (2, 4, 9, 8)),
    "batches that broadcast": ((1, 2, 7, 8), (3, 2, 9, 8), (2, 9, 4)),
    "leading axes that broadcast": ((2, 3, 2, 7, 8), (3, 2, 9, 8), (2, 1, 1, 9, 4)),
    "one head for many": ((7, 8), (3, 9, 8), (9, 4)),
    "no rows": ((2, 2, 0, 8), (2, 2, 9, 8), (2, 2, 9, 8)),
    "no keys": ((2, 2, 7, 8), (2, 2, 0, 8), (2, 2, 0, 8)),
    "no batch": ((0, 2, 7, 8), (0, 2, 9, 8), (0, 2, 9, 8)),
}


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name, is_causal):
    expect_torchs(*tensors(*SHAPES[name]), is_causal=is_causal)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["one head", "batch", "five axes"])
def test_narrow_types(name, dtype):
    query, key, value = tensors(*SHAPES[name], dtype=dtype)
    expect_torchs(query, key, value)
    expect_torchs(query, key, value, is_causal=True)
    [bias] = tensors((query.shape[-2], key.shape[-2]), seed=1)
    expect_torchs(query, key, value, bias)
    expect_torchs(query, key, value, bias.to(query.dtype))
    expect_torchs(query, key, value, bias > 0.5)


MASKS = list(itertools.product((None, 1, 2), (1, 4), (1, 7), (1, 9)))


@pytest.mark.parametrize("shape", MASKS)
def test_masks_broadcast(shape):
    query, key, value = tensors((2, 4, 7, 8), (2, 4, 9, 8), (2, 4, 9, 8))
    shape = tuple(extent for extent in shape if extent is not None)
    [bias] = tensors(shape, seed=1)
    expect_torchs(query, key, value, bias)
    expect_torchs(query, key, value, bias > 0.0)


@pytest.mark.parametrize("shape", [(7, 9), (1, 7, 9), (3, 1, 1, 9), (2, 1, 1, 7, 9), (1, 3, 2, 7, 1)])
def test_masks_of_five_axes_broadcast(shape):
    query, key, value = tensors((2, 3, 2, 7, 8), (2, 3, 2, 9, 8), (2, 3, 2, 9, 8))
    [bias] = tensors(shape, seed=1)
    expect_torchs(query, key, value, bias)
    expect_torchs(query, key, value, bias > 0.0)


@pytest.mark.parametrize("extent", [1, 9])
def test_masks_of_keys(extent):
    query, key, value = tensors((2, 4, 7, 8), (2, 4, 9, 8), (2, 4, 9, 8))
    [bias] = tensors((extent,), seed=1)
    for mask in (bias, bias < 10.0):
        found = scaled_dot_product_attention(query, key, value, mask)
        expected = expected_attention(query, key, value, mask.expand(7, 9))
        assert torch.allclose(found, expected, atol=2e-6)


def test_rows_without_keys_are_0():
    query, key, value = tensors((2, 7, 8), (2, 9, 8), (2, 9, 4))
    attend = torch.rand(7, 9) < 0.5
    attend[2] = False
    found = scaled_dot_product_attention(query, key, value, attend)
    assert not found[:, 2].any()
    expect_torchs(query, key, value, attend)
    expect_torchs(query, key, value, torch.where(attend, 0.0, -torch.inf))


@pytest.mark.parametrize("kv_heads", [1, 2, 4, 8])
def test_grouped_queries(kv_heads):
    shapes = (2, 8, 7, 16), (2, kv_heads, 30, 16), (2, kv_heads, 30, 16)
    expect_torchs(*tensors(*shapes), enable_gqa=True)
    expect_torchs(*tensors(*shapes), enable_gqa=True, is_causal=True)
    query, key, value = tensors(*(shape[1:] for shape in shapes))
    expect_torchs(query, key, value, torch.rand(8, 1, 30) < 0.5, enable_gqa=True)


@pytest.mark.parametrize("scale", [0.0, 0.3, -1.0])
def test_scale(scale):
    expect_torchs(*tensors(*SHAPES["heads"]), scale=scale)


def test_strides_are_read_in_place():
    query, key, value = tensors((2, 7, 3, 8), (2, 9, 3, 8), (2, 9, 3, 16))
    expect_torchs(*(tensor.transpose(1, 2) for tensor in (query, key, value[..., ::2])))
    expect_torchs(query[:, :, :1].expand(-1, -1, 3, -1), key[:, :1].expand(-1, 7, -1, -1), query)


def test_negated_views():
    [real] = tensors((2, 7, 8))
    negated = torch.complex(real, real).conj().imag
    assert negated.is_neg()
    expect_torchs(negated, real, negated)


def test_gradients():
    query, key, value = tensors(*SHAPES["heads"])
    expected = scaled_dot_product_attention(query, key, value)
    key.requires_grad_()
    with pytest.raises(TypeError, match=r"^key: .*\(detach\(\), or torch.no_grad\(\)\)"):
        scaled_dot_product_attention(query, key, value)
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            assert torch.equal(scaled_dot_product_attention(query, key, value), expected)
    [bias] = tensors((7, 9))
    with pytest.raises(TypeError, match="^attn_mask: .*gradient"):
        scaled_dot_product_attention(query, key.detach(), value, bias.requires_grad_())


QUERY, KEY, VALUE = tensors((2, 4, 7, 8), (2, 4, 9, 8), (2, 4, 9, 8))


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"dropout_p": 0.1}, ValueError, "^dropout_p: expected 0 .*found 0.1"),
        (
            {"attn_mask": torch.ones(7, 9), "is_causal": True},
            RuntimeError,
            "^attn_mask: expected None together with is_causal",
        ),
        ({"query": QUERY.numpy()}, TypeError, "^query: expected a tensor, found ndarray"),
        ({"key": KEY.half()}, TypeError, "^key: expected torch.float32, found torch.float16"),
        ({"attn_mask": torch.ones(7, 9).int()}, TypeError, "^attn_mask: .*torch.bool.*torch.int32"),
        ({"attn_mask": torch.ones(7, 9).half()}, TypeError, "^attn_mask: .*, found torch.float16"),
        ({"attn_mask": torch.ones(8)}, ValueError, r"^attn_mask: .*\(2, 4, 7, 9\), found \(8,\)"),
        ({"attn_mask": torch.ones(())}, ValueError, "^attn_mask: expected 1 or more axes, found 0"),
        ({"attn_mask": torch.ones(7, 8)}, ValueError, r"^attn_mask: .*\(2, 4, 7, 9\), found \(7, 8\)"),
        ({"attn_mask": torch.ones(1, 1, 1, 7, 9)}, ValueError, "^attn_mask: .*found .1, 1, 1, 7, 9"),
        ({"query": QUERY[0, 0, 0]}, ValueError, "^query: expected 2 or more axes, found 1"),
        ({"key": KEY[:, :2], "value": VALUE[:, :2]}, ValueError, "^query, key, value: .*broadcast"),
        ({"key": KEY[:, :3], "value": VALUE[:, :3], "enable_gqa": True}, ValueError, "^query: .*heads"),
        ({"query": QUERY[0, 0], "enable_gqa": True}, ValueError, "^enable_gqa: expected 3 or more"),
        ({"key": KEY[..., :7]}, ValueError, "^key: expected 8 columns .head_dim"),
        ({"value": VALUE[..., :8, :]}, ValueError, "^value: expected 9 rows .keys"),
        ({"scale": float("inf")}, ValueError, "^scale: expected a finite number"),
    ],
)
def test_errors(changed, error, message):
    with pytest.raises(error, match=message):
        scaled_dot_product_attention(**{"query": QUERY, "key": KEY, "value": VALUE, **changed})


def test_double_precision_is_refused():
    arguments = [tensor.double() for tensor in (QUERY, KEY, VALUE)]
    with pytest.raises(TypeError, match="^query: expected an array of float32 .*float64"):
        scaled_dot_product_attention(*arguments)


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted as Linux tells")
@pytest.mark.skipif(not torch.backends.openmp.is_available(), reason="torch has other threads")
def test_calls_run_on_torchs_threads(run_python):
    answer = run_python(
        """
import os, signal, torch, softdot
count = lambda: len(os.listdir("/proc/self/task"))
torch.set_num_threads(3)
query, keys, values = torch.randn(3, 4, 300, 64)
expected = softdot.attention(query, keys, values, threads=1)
torch.randn(500, 500) @ torch.randn(500, 500) + 1
torch.randn(4, 500, 500).exp()
before = count()
for threads in (None, 3):
    found = softdot.attention(query, keys, values, threads=threads)
    print(count() - before, torch.equal(found, expected))
found = softdot.attention(query, keys, values, threads=2)
print(count() - before, torch.equal(found, expected))
child = os.fork()
if child == 0:
    # Killed by its alarm where it would wait for threads that it does not have, as torch's functions do.
    signal.alarm(30)
    found = softdot.attention(query, keys, values)
    os._exit(0 if found.tolist() == expected.tolist() else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""",
        RAYON_NUM_THREADS="2",
        PYTHONWARNINGS="ignore",
    )
    assert answer.stdout.splitlines() == ["0 True", "0 True", "2 True", "0"], answer.stderr


@pytest.mark.skipif(
    not os.path.exists("/sys/kernel/mm/transparent_hugepage"), reason="no huge pages here"
)
def test_large_results_are_in_huge_pages():
    [query] = tensors((3, 700, 16))
    weights = softdot.attention_weights(query, query)
    expected = softdot.attention_weights(query.numpy(), query.numpy())
    assert numpy.array_equal(weights.numpy(), expected)
    middle = weights.data_ptr() + weights.nbytes // 2
    with open("/proc/self/smaps") as smaps:
        mapping = r"^([0-9a-f]+)-([0-9a-f]+) .*?^VmFlags: ([^\n]*)"
        mappings = re.findall(mapping, smaps.read(), re.MULTILINE | re.DOTALL)
    [flags] = [flags for start, end, flags in mappings if int(start, 16) <= middle < int(end, 16)]
    # As madvise sets it.
    assert "hg" in flags.split()
