"""Heat maps of attention weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Cells of a row or column at most for their values to be written into them.
_MOST_WRITTEN = 12

#: Labels of an axis at most: as many lines of text as the largest figure has room for.
_MOST_LABELS = 100


def plot_weights(
    weights: Any,
    tokens: Sequence[str] | tuple[Sequence[str], Sequence[str]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A heat map of one head's weights: a row for each query, a column for each key.

    Parameters
    ----------
    weights : array, ``[query_rows, keys]``
        What :func:`softdot.attention_weights` gives for one head; leading axes of extent 1 are
        fine. The scale of colours is the square root, so that small weights are seen, too.
    tokens : sequence of str, or a pair of them, optional
        The labels of rows and columns alike, or ``(of the queries, of the keys)``. They are text,
        whatever characters they have; those that cannot be seen are escaped. Of more than 100, every
        second, third … is written.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
        With the map and its scale of colours.

    Raises
    ------
    TypeError
        For a masked array of NumPy.
    ValueError
        For weights that are not of one head, and tokens that are not one for each row and column.
    ModuleNotFoundError
        Without matplotlib, which the extra ``plot`` brings.
    """
    try:
        from matplotlib import pyplot
        from matplotlib.colors import PowerNorm
    except ModuleNotFoundError as error:
        error.msg = f"plot_weights draws with matplotlib (pip install matplotlib): {error.msg}"
        raise

    cells = _one_head(weights)
    labels = _labels(cells.shape, tokens)
    if ax is None:
        _, ax = pyplot.subplots(figsize=_inches(cells.shape), layout="constrained")
    highest = max(float(cells.max(initial=0.0)), 1e-9)
    image = ax.imshow(cells, cmap="viridis", norm=PowerNorm(0.5, vmin=0.0, vmax=highest))
    for axis, names, name in zip((ax.yaxis, ax.xaxis), labels, ("query", "key")):
        axis.set_label_text(name)
        if names is not None:
            step = -(-len(names) // _MOST_LABELS) or 1
            shown = [_visible(name) for name in names[::step]]
            axis.set_ticks(range(0, len(names), step), shown, parse_math=False, usetex=False)
    if labels[1] is not None:
        ax.tick_params(axis="x", labelrotation=90)
    if max(cells.shape) <= _MOST_WRITTEN:
        _write_values(ax, cells, highest)
    ax.figure.colorbar(image, ax=ax, label="weight", shrink=0.8, aspect=30)
    return ax


def _one_head(weights: Any) -> numpy.ndarray:
    if hasattr(weights, "detach"):
        # A tensor of torch, whose bfloat16 is not for NumPy.
        weights = weights.detach().float()
    if isinstance(weights, numpy.ma.MaskedArray):
        raise TypeError("weights: expected an array without a mask of its own, found MaskedArray")
    cells = numpy.asarray(weights, dtype=numpy.float32)
    if cells.ndim < 2 or any(extent != 1 for extent in cells.shape[:-2]):
        raise ValueError(
            "weights: expected those of one head, [query_rows, keys], found an array of shape "
            f"{cells.shape}"
        )
    return cells.reshape(cells.shape[-2:])


def _labels(
    shape: tuple[int, ...],
    tokens: Sequence[str] | tuple[Sequence[str], Sequence[str]] | None,
) -> tuple[Sequence[str] | None, Sequence[str] | None]:
    if tokens is None:
        return None, None
    pair = len(tokens) == 2 and not any(isinstance(label, str) for label in tokens)
    labels: Any = tokens if pair else (tokens, tokens)
    for names, extent, name in zip(labels, shape, ("query row", "key")):
        if len(names) != extent:
            raise ValueError(f"tokens: expected one for each {name}, {extent}, found {len(names)}")
    return labels[0], labels[1]


def _visible(token: str) -> str:
    """A token with escapes for what cannot be seen: control characters, line breaks, spaces but one."""
    seen = (part if part.isprintable() else repr(part)[1:-1] for part in str(token))
    return "".join(seen)


def _inches(shape: tuple[int, ...]) -> tuple[float, float]:
    """The size of a figure in which labels of cells have room."""
    rows, columns = shape
    return min(2.5 + 0.3 * columns, 14.0), min(1.5 + 0.3 * rows, 14.0)


def _write_values(ax: Axes, cells: numpy.ndarray, highest: float) -> None:
    for row, column in numpy.ndindex(*cells.shape):
        value = float(cells[row, column])
        colour = "black" if value > 0.4 * highest else "white"
        ax.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=8)
