"""What is installed: names, version, documentation, types."""

import importlib.metadata
import inspect
import pathlib

import pytest
import softdot

#: Torch's own types, where it is installed, would take a minute.
MYPY_CONFIG = pathlib.Path(__file__).with_name("mypy.ini")

NAMES = [name for name in softdot.__all__ if name != "__version__"]


def test_the_version_is_that_of_the_wheel():
    assert softdot.__version__ == importlib.metadata.version("softdot")


@pytest.mark.parametrize("name", NAMES)
def test_everything_is_documented(name):
    assert len(inspect.getdoc(getattr(softdot, name))) > 40


def test_the_examples_of_the_documentation_hold():
    import doctest

    results = doctest.testmod(softdot)
    assert results.attempted > 0
    assert results.failed == 0


def test_the_package_is_typed():
    package = pathlib.Path(softdot.__file__).parent
    assert (package / "py.typed").exists()
    assert (package / "_softdot.pyi").exists()


def test_the_stubs_are_those_of_the_module(run_python):
    pytest.importorskip("mypy")
    code = "import sys, mypy.stubtest; sys.exit(mypy.stubtest.main())"
    answer = run_python(code, "softdot", f"--mypy-config-file={MYPY_CONFIG}")
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_the_package_passes_mypy_strictly(run_python):
    pytest.importorskip("mypy")
    code = "import sys, mypy.api; out, err, status = mypy.api.run(sys.argv[1:]); print(out, err); sys.exit(status)"
    answer = run_python(code, "--strict", f"--config-file={MYPY_CONFIG}", "-p", "softdot")
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize("module", ["softdot", "softdot.torch", "softdot.transformers"])
def test_importing_brings_no_other_library(run_python, module):
    answer = run_python(f"import {module}, sys; print(*sorted(sys.modules))")
    assert answer.stderr == ""
    assert {"matplotlib", "torch", "transformers", "jax"}.isdisjoint(answer.stdout.split())
