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


#: Tokens, and what is seen of them.
TEXTS = {
    "$$": "$$",
    "$x^2$": "$x^2$",
    r"\frac": r"\frac",
    "<|end|>": "<|end|>",
    "&amp;": "&amp;",
    "%_{}#~": "%_{}#~",
    "\n\t\0\x1b": r"\n\t\x00\x1b",
    "\ud800": r"\ud800",
    "\u202e\u2028": r"\u202e\u2028",
    "": "",
    " the": " the",
    "שלום": "שלום",
    "😀": "😀",
}


@pytest.mark.filterwarnings("ignore:Glyph .* missing from font")
@pytest.mark.parametrize("usetex", [False, True])
def test_tokens_are_text(usetex):
    count = len(TEXTS)
    with matplotlib.rc_context({"text.usetex": usetex}):
        axes = softdot.plot_weights(weights(count, count), list(TEXTS))
        assert labels(axes.xaxis) == labels(axes.yaxis) == list(TEXTS.values())
        for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
            assert not label.get_parse_math()
            assert not label.get_usetex()
    if not usetex:
        axes.figure.canvas.draw()


def test_many_tokens_are_labelled_now_and_then():
    tokens = [str(number) for number in range(10_000)]
    axes = softdot.plot_weights(weights(2, 10_000), (["x", "y"], tokens))
    assert labels(axes.xaxis) == tokens[::100]
    assert list(axes.get_xticks()) == list(range(0, 10_000, 100))
    axes.figure.canvas.draw()


def test_a_masked_array_is_refused():
    masked = numpy.ma.masked_array(weights(), mask=numpy.eye(3, dtype=bool))
    with pytest.raises(TypeError, match="^weights: expected an array without a mask"):
        softdot.plot_weights(masked)


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
