"""softdot as the attention of Hugging Face's transformers, on the CPU and without gradients::

    softdot.transformers.register()
    model = AutoModel.from_pretrained(name, attn_implementation="softdot")

``output_attentions=True`` then returns the weights, which come of the pass that computes the output;
:func:`record` collects them of some layers and heads alone, or their statistics.

transformers and torch are imported when these functions are called.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from softdot._softdot import AttentionResult, _new_empty, attention

if TYPE_CHECKING:
    import torch as _torch  # type: ignore[import-not-found, unused-ignore]

    from softdot._softdot import _Returned

__all__ = ["Layer", "attention_forward", "attention_mask", "record", "register"]

#: What else a model may hand to its attention that changes the result.
_UNKNOWN_TO_SOFTDOT = ("block_indices", "indices", "sinks")


def register() -> None:
    """Makes ``attn_implementation="softdot"`` known to transformers, for all models from now on.

    Raises
    ------
    ModuleNotFoundError
        Without transformers (``pip install 'softdot[transformers]'``).
    """
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register("softdot", attention_forward)
    AttentionMaskInterface.register("softdot", attention_mask)


def attention_forward(
    module: Any,
    query: _torch.Tensor,
    key: _torch.Tensor,
    value: _torch.Tensor,
    attention_mask: _torch.Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    softcap: float | None = None,
    position_bias: _torch.Tensor | None = None,
    s_aux: _torch.Tensor | None = None,
    **others: Any,
) -> tuple[_torch.Tensor, _torch.Tensor | None]:
    """The attention of one layer, as transformers calls it. Tensors are read in place.

    Parameters
    ----------
    module : torch.nn.Module
        The layer. Its ``is_causal`` counts if the argument is None.
    query : tensor, ``[batch, q_heads, query_rows, head_dim]``
    key : tensor, ``[batch, kv_heads, keys, head_dim]``
    value : tensor, ``[batch, kv_heads, keys, v_dim]``
    attention_mask : tensor, ``[batch, q_heads, query_rows, keys]``, or None
        Of bool, True = attend; or what is added to scores. Each of these extents or 1.
    scaling : float, optional
        What dot products are multiplied by; ``1/√head_dim`` if not given.
    dropout : float
        0: there is no dropout.
    is_causal : bool, optional
        Without a mask and for several rows: row ``i`` attends to keys 0 to ``i``.
    softcap : float, optional
        Caps scores softly (Gemma 2).
    position_bias : tensor, as ``attention_mask``, optional
        What is added to scores (T5).
    s_aux : tensor, ``[q_heads]``, optional
        Sinks, logits that take part in the normalisation (GPT-OSS).

    Returns
    -------
    tuple of tensor ``[batch, query_rows, q_heads, v_dim]`` and tensor or None
        The output, and the weights ``[batch, q_heads, query_rows, keys]`` if ``output_attentions`` is
        set. Rows that may attend to no key are 0.

    Raises
    ------
    TypeError
        For tensors that require a gradient while gradients are recorded, other element types and
        devices.
    ValueError
        For dropout, for what softdot has no option for, shapes that do not fit each other.
    """
    import torch

    _refuse(query, key, value, position_bias, dropout=dropout, others=others)
    options = {
        "scale": scaling,
        "softcap": softcap,
        "sinks": None if s_aux is None else s_aux.detach().float(),
        "threads": torch.get_num_threads(),
        **_exclusion_and_bias(attention_mask, position_bias),
    }
    if is_causal is None:
        is_causal = getattr(module, "is_causal", True)
    if is_causal and attention_mask is None and query.shape[2] > 1:
        # More keys than rows are those of a static cache that are not written yet.
        options["causal"] = "top-left"
    batch, heads, rows, _ = query.shape
    output = _new_empty(query, (batch, rows, heads, value.shape[3]))

    layer = _recorded_layer(module)
    returns: tuple[_Returned, ...] = () if layer is None else layer.returns
    recorded = {} if layer is None else layer.options
    with_weights = _weights_are_wanted(others)
    if with_weights:
        # Of all heads, whichever are recorded.
        returns = (*returns, "weights")
        recorded = {name: option for name, option in recorded.items() if name != "heads"}
    result: AttentionResult = attention(
        query, key, value, out=output.transpose(1, 2), returns=returns, **options, **recorded
    )
    if layer is not None:
        layer.add(result, all_heads=with_weights)
    return output, result.weights if with_weights else None


def attention_mask(*arguments: Any, config: Any = None, **options: Any) -> _torch.Tensor | None:
    """The mask of a model's layers, as transformers asks for it: of bool, or None where causal
    attention suffices.

    Raises
    ------
    ValueError
        For a model that has its own attention instead of transformers' interface.
    """
    from transformers.masking_utils import sdpa_mask

    _refuse_own_attention(config)
    mask: _torch.Tensor | None = sdpa_mask(*arguments, config=config, **options)
    return mask


@dataclass
class Layer:
    """What is recorded of one layer."""

    #: Which of the layers it is, in the order of their first calls.
    number: int
    #: The model's module. Decoders' have a ``layer_idx``.
    module: Any
    #: As given to :func:`record`.
    returns: tuple[_Returned, ...]
    options: dict[str, Any]
    #: For each call, which is one step of a generation, what was asked for by its name.
    calls: list[dict[str, Any]] = field(default_factory=list)

    def add(self, result: AttentionResult, *, all_heads: bool) -> None:
        """Adds a call, whose weights may be those of all heads."""
        found: dict[str, Any] = {name: getattr(result, name) for name in self.returns}
        if all_heads and "weights" in found and "heads" in self.options:
            found["weights"] = found["weights"][:, list(self.options["heads"])]
        self.calls.append(found)


@dataclass
class _Recording:
    returns: tuple[_Returned, ...]
    options: dict[str, Any]
    #: Numbers of layers, if not all.
    chosen: Collection[int] | None
    #: Of all modules that have been called; None for those that are not recorded.
    layers: dict[Any, Layer | None] = field(default_factory=dict)
    recorded: list[Layer] = field(default_factory=list)


_RECORDING: ContextVar[_Recording | None] = ContextVar("softdot.transformers.record", default=None)


@contextmanager
def record(
    returns: _Returned | Collection[_Returned],
    *,
    layers: Collection[int] | None = None,
    **options: Any,
) -> Iterator[list[Layer]]:
    """Records the weights of each layer, or statistics of them, of the pass that computes the output::

        with record(("key_mass", "entropy")) as layers:
            model(**inputs)
        layers[3].calls[0]["key_mass"]          # [batch, q_heads, keys]

    Parameters
    ----------
    returns : name or collection of names
        As in :func:`softdot.attention`: "weights", "key_mass", "entropy", …
    layers : collection of int, optional
        The layers to record, by the order in which they are first called; all if not given.
    options
        ``heads``, ``mass_rows``, ``mass_heads`` and ``top_k`` of :func:`softdot.attention`.

    Returns
    -------
    context manager of list of :class:`Layer`
        The layers of models that this thread runs in the context, from their first calls on. Rows of
        padding count for "key_mass", unless they attend to nothing.

    Raises
    ------
    TypeError, ValueError
        From the model's call, those of :func:`softdot.attention`; at the end of the context, for
        numbers of layers that there are not.
    """
    names: tuple[_Returned, ...] = (returns,) if isinstance(returns, str) else tuple(returns)
    recording = _Recording(names, options, layers)
    token = _RECORDING.set(recording)
    try:
        yield recording.recorded
    finally:
        _RECORDING.reset(token)
    for number in layers or ():
        if number not in range(len(recording.layers)):
            raise ValueError(
                f"layers: expected numbers of the {len(recording.layers)} layers that called softdot, "
                f"from 0, found {number}"
            )


def _recorded_layer(module: Any) -> Layer | None:
    """A module's, if it is recorded."""
    recording = _RECORDING.get()
    if recording is None:
        return None
    if module not in recording.layers:
        number = len(recording.layers)
        layer = None
        if recording.chosen is None or number in recording.chosen:
            layer = Layer(number, module, recording.returns, recording.options)
            recording.recorded.append(layer)
        recording.layers[module] = layer
    return recording.layers[module]


def _weights_are_wanted(others: dict[str, Any]) -> bool:
    """Whether the model's caller set ``output_attentions``.

    Not all models hand it on to their layers (GPT-2 and OPT don't): then transformers alone knows what
    it is about to collect from them.
    """
    from transformers.utils.output_capturing import _active_collector

    collected = _active_collector.get() or ()
    return bool(others.get("output_attentions")) or any(
        name.endswith("attentions") for name in collected
    )


def _exclusion_and_bias(
    mask: _torch.Tensor | None, bias: _torch.Tensor | None
) -> dict[str, _torch.Tensor | None]:
    """softdot's options for a mask and what is added to scores."""
    import torch

    if mask is None or mask.dtype == torch.bool:
        return {"mask": mask, "bias": bias}
    return {"bias": mask if bias is None else bias + mask}


def _refuse(*tensors: _torch.Tensor | None, dropout: float, others: dict[str, Any]) -> None:
    """Refuses what softdot does not compute."""
    import torch

    if dropout != 0.0:
        raise ValueError(
            f"dropout: expected 0 (softdot has no dropout: call the model's eval()), found {dropout}"
        )
    if torch.is_grad_enabled() and any(
        tensor is not None and tensor.requires_grad for tensor in tensors
    ):
        raise TypeError(
            "query, key, value, position_bias: expected tensors without a gradient (with "
            "torch.no_grad(): model(…)), found one that requires it: softdot has no backward pass"
        )
    for name in _UNKNOWN_TO_SOFTDOT:
        if others.get(name) is not None:
            raise ValueError(f"{name}: expected None (softdot has no such option), found {name}")


def _refuse_own_attention(config: Any) -> None:
    """Refuses models whose attention takes masks of float from transformers and never calls softdot:
    they would add masks of bool to their scores.
    """
    name = type(config).__module__.replace(".configuration_", ".modeling_")
    model = vars(sys.modules[name]) if name in sys.modules else {}
    own = [
        found
        for found, value in model.items()
        if "Attention" in found and getattr(value, "__module__", None) == name
    ]
    if own and "ALL_ATTENTION_FUNCTIONS" not in model:
        raise ValueError(
            'attn_implementation: expected another than "softdot" for a model that does not call '
            f"transformers' attention interface, found {config.model_type} with its {own[0]}"
        )
