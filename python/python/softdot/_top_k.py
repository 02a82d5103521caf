"""The largest weights of each row."""

from __future__ import annotations

from typing import Any, NamedTuple


class TopK(NamedTuple):
    """``AttentionResult.top_k``: the largest weights of each row and their keys, of the same shape."""

    weights: Any
    keys: Any
