"""What docs/python.md shows runs, where the sources are there."""

import pathlib
import re

import numpy
import pytest

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "python.md"


def examples():
    """The document's pieces of Python, in its order."""
    if not DOCUMENT.exists():
        pytest.skip("docs/python.md is not here")
    return re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)


def test_the_examples_of_the_document_run(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    token = [numpy.ones((1, heads, 1, 128), "float32") for heads in (32, 8)]
    names = {"tokens": [token, token]}
    for example in examples():
        if "import torch" in example:
            continue
        exec(compile(example, str(DOCUMENT), "exec"), names)
    assert names["output"].shape == (2, 12, 128, 64)
    assert names["kept"].shape == (2, 4, 256)
    assert names["keys"].shape == (2, 12, 128, 8)
    assert names["result"].max_logit is None
    assert (tmp_path / "map.png").exists()
    assert len(names["cache"]) == 2


def test_the_example_of_torch_runs():
    pytest.importorskip("torch")
    [example] = [example for example in examples() if "import torch" in example]
    names = {}
    exec(compile(example, str(DOCUMENT), "exec"), names)
    assert names["output"].shape == (2, 8, 128, 64)
