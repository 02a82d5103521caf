"""``plot_weights``: rows, columns, labels and the scale of colours."""

import numpy
import pytest
import softdot
from oracle import numbers

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")
from matplotlib import pyplot  # noqa: E402

TOKENS = ["the", "cat", "sat"]


@pytest.fixture(autouse=True)
def _close():
    yield
    pyplot.close("all")


def weights(rows=3, keys=3):
    return softdot.attention_weights(numbers(rows, 8), numbers(keys, 8, seed=1))


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_a_labelled_map():
    cells = weights()
    axes = softdot.plot_weights(cells, TOKENS)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("key", "query")
    assert labels(axes.xaxis) == labels(axes.yaxis) == TOKENS
    assert numpy.array_equal(axes.images[0].get_array(), cells)
    assert {text.get_text() for text in axes.texts} == {f"{cell:.2f}" for cell in cells.ravel()}
    assert axes.images[0].colorbar is not None
    axes.figure.canvas.draw()


def test_queries_and_keys_of_their_own():
    axes = softdot.plot_weights(weights(2, 3)[None, None], (["x", "y"], TOKENS))
    assert (labels(axes.yaxis), labels(axes.xaxis)) == (["x", "y"], TOKENS)


def test_two_tokens_are_no_pair():
    axes = softdot.plot_weights(weights(2, 2), ("to", "be"))
    assert labels(axes.yaxis) == labels(axes.xaxis) == ["to", "be"]


def test_on_axes_that_are_there():
    figure, axes = pyplot.subplots()
    assert softdot.plot_weights(weights(), ax=axes) is axes
    assert pyplot.get_fignums() == [figure.number]


def test_large_maps_have_no_numbers_in_their_cells():
    axes = softdot.plot_weights(weights(40, 40))
    assert not axes.texts
    axes.figure.canvas.draw()


def test_torch():
    torch = pytest.importorskip("torch")
    cells = weights()
    axes = softdot.plot_weights(torch.from_numpy(cells))
    assert numpy.array_equal(axes.images[0].get_array(), cells)
    narrow = torch.from_numpy(cells).bfloat16().requires_grad_()
    axes = softdot.plot_weights(narrow)
    assert numpy.array_equal(axes.images[0].get_array(), narrow.detach().float())


def test_bfloat16():
    narrow = weights().astype(pytest.importorskip("ml_dtypes").bfloat16)
    axes = softdot.plot_weights(narrow)
    assert numpy.array_equal(axes.images[0].get_array(), narrow.astype("float32"))


def test_without_matplotlib(run_python):
    answer = run_python(
        """
import sys, numpy, softdot
sys.modules["matplotlib"] = None
softdot.plot_weights(numpy.ones((2, 2), "float32"))
"""
    )
    assert "ModuleNotFoundError: plot_weights draws with matplotlib (pip install " in answer.stderr


@pytest.mark.parametrize(
    ("shape", "tokens", "message"),
    [
        ((2, 3, 3), None, r"^weights: expected those of one head.* shape \(2, 3, 3\)"),
        ((3,), None, "^weights: expected those of one head"),
        ((3, 3), TOKENS[:2], "^tokens: expected one for each query row, 3, found 2"),
        ((3, 4), TOKENS, "^tokens: expected one for each key, 4, found 3"),
    ],
)
def test_what_does_not_fit(shape, tokens, message):
    with pytest.raises(ValueError, match=message):
        softdot.plot_weights(numpy.ones(shape, "float32"), tokens)
