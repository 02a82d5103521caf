"""torch's function of attention, computed by softdot.

>>> from softdot.torch import scaled_dot_product_attention

torch itself is imported when the function is called.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from softdot._softdot import attention

if TYPE_CHECKING:
    import torch as _torch  # type: ignore[import-not-found, unused-ignore]

__all__ = ["scaled_dot_product_attention"]


def scaled_dot_product_attention(
    query: _torch.Tensor,
    key: _torch.Tensor,
    value: _torch.Tensor,
    attn_mask: _torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> _torch.Tensor:
    """What ``torch.nn.functional.scaled_dot_product_attention`` computes, on the CPU and without
    gradients.

    Parameters
    ----------
    query : tensor, ``[…, q_heads, query_rows, head_dim]``
        Of float32, float16 or bfloat16, as key and value. 2 or more axes; heads and those before them
        broadcast, here and in all other tensors.
    key : tensor, ``[…, kv_heads, keys, head_dim]``
    value : tensor, ``[…, kv_heads, keys, v_dim]``
    attn_mask : tensor, ``[…, q_heads, query_rows, keys]``, optional
        Axes that broadcast to these, one or more. Of bool, True = attend; or what is added to scores, of
        float32 or the query's type.
    dropout_p : float
        0: there is no dropout.
    is_causal : bool
        Row ``i`` attends to keys 0 to ``i``. Not together with ``attn_mask``.
    scale : float, optional
        What dot products are multiplied by; ``1/√head_dim`` if not given.
    enable_gqa : bool
        Whether ``q_heads`` may be a multiple of ``kv_heads``, each of which serves as many query heads.

    Returns
    -------
    tensor, ``[…, q_heads, query_rows, v_dim]``
        Of the query's type, dense. Rows that may attend to no key are 0, as torch's.

    Raises
    ------
    TypeError
        For what is no tensor, other element types and devices, and tensors that require a gradient
        while gradients are recorded.
    ValueError
        For shapes that do not fit each other, dropout, a scale that is not finite.
    RuntimeError
        For ``is_causal`` together with ``attn_mask``, as torch's.
    """
    if dropout_p != 0.0:
        raise ValueError(f"dropout_p: expected 0 (softdot has no dropout), found {dropout_p}")
    if is_causal and attn_mask is not None:
        raise RuntimeError("attn_mask: expected None together with is_causal=True, found a mask")
    query = _plain("query", query)
    key, value = (
        _plain(name, tensor, [query.dtype]) for name, tensor in (("key", key), ("value", value))
    )
    given = [tuple(tensor.shape) for tensor in (query, key, value)]
    axes = max(map(len, given))
    if enable_gqa and min(map(len, given)) < 3:
        raise ValueError(f"enable_gqa: expected 3 or more axes, of heads, found shapes {given}")

    query, key, value = (_lengthened(tensor, axes) for tensor in (query, key, value))
    batch = tuple(
        _common(given, *extents)
        for extents in zip(query.shape[:-3], key.shape[:-3], value.shape[:-3], strict=True)
    )
    heads, key_heads, value_heads = query.shape[-3], key.shape[-3], value.shape[-3]
    if not enable_gqa:
        key_heads = value_heads = _common(given, key_heads, value_heads)
        heads = _common(given, heads, key_heads)
    shape = (*batch, heads, query.shape[-2], key.shape[-2])
    options: dict[str, Any] = {"scale": scale}
    if is_causal:
        options["causal"] = "top-left"
    if attn_mask is not None:
        fitted = _fitted_mask(attn_mask, query.dtype, shape, axes)
        options["bias" if fitted.is_floating_point() else "mask"] = fitted
    output: _torch.Tensor = attention(
        _four_axes(query, batch, heads),
        _four_axes(key, batch, key_heads),
        _four_axes(value, batch, value_heads),
        **options,
    )
    return output.view((*shape[:-1], value.shape[-1])[-axes:])


def _plain(
    name: str,
    tensor: _torch.Tensor,
    dtypes: list[_torch.dtype] | None = None,
    least_axes: int = 2,
) -> _torch.Tensor:
    """A tensor as softdot takes it: without a gradient, with numbers as memory has them."""
    import torch

    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name}: expected a tensor, found {type(tensor).__name__}")
    if dtypes is not None and tensor.dtype not in dtypes:
        expected = " or ".join(str(dtype) for dtype in dict.fromkeys(dtypes))
        raise TypeError(f"{name}: expected {expected}, found {tensor.dtype}")
    if tensor.requires_grad and torch.is_grad_enabled():
        raise TypeError(
            f"{name}: expected a tensor without a gradient (detach(), or torch.no_grad()), found one "
            "that requires it: softdot has no backward pass"
        )
    if tensor.ndim < least_axes:
        raise ValueError(f"{name}: expected {least_axes} or more axes, found {tensor.ndim}")
    return tensor.detach().resolve_neg()


def _fitted_mask(
    mask: _torch.Tensor, dtype: _torch.dtype, shape: tuple[int, ...], axes: int
) -> _torch.Tensor:
    """Masks of scores ``shape``, of which tensors have the last ``axes``, with four axes."""
    import torch

    mask = _plain("attn_mask", mask, [torch.bool, torch.float32, dtype], least_axes=1)
    longer = _lengthened(mask, axes)
    fits = mask.ndim <= axes and all(
        found in (1, expected) for found, expected in zip(longer.shape, shape, strict=True)
    )
    if not fits:
        raise ValueError(
            f"attn_mask: expected a shape that broadcasts to {shape[-axes:]}, found "
            f"{tuple(mask.shape)}"
        )
    # The library repeats what has an extent of 1.
    batch = shape[:-3] if math.prod(longer.shape[:-3]) != 1 else (1,) * len(shape[:-3])
    return _four_axes(longer, batch, longer.shape[-3])


def _lengthened(tensor: _torch.Tensor, axes: int) -> _torch.Tensor:
    """With leading axes of 1, for as many as there are, or four."""
    return tensor[(None,) * (max(axes, 4) - tensor.ndim)]


def _common(given: list[tuple[int, ...]], *extents: int) -> int:
    """What extents of one axis broadcast to."""
    others = {extent for extent in extents if extent != 1}
    if len(others) > 1:
        raise ValueError(
            "query, key, value: expected heads and leading axes that broadcast, found shapes "
            + ", ".join(map(str, given))
        )
    return others.pop() if others else 1


def _four_axes(tensor: _torch.Tensor, batch: tuple[int, ...], heads: int) -> _torch.Tensor:
    """Repeated to these leading axes, which become one: without a copy where strides can say it."""
    repeated = tensor.expand(*batch, heads, -1, -1)
    return repeated.reshape(math.prod(batch), heads, *tensor.shape[-2:])
