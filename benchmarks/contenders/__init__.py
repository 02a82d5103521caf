"""The contenders, one library each.

A module has a ``NAME``, ``version()``, ``set_threads(count)`` for the process, and
``contenders(problem, threads)``: for each name the forms in which its call is known to be fast, as
functions that compute and return the answer as an array. The fastest form takes part.
"""

from __future__ import annotations

import importlib
from types import ModuleType

_MODULES = {
    "softdot": "of_softdot",
    "onnxruntime": "of_onnxruntime",
    "openvino": "of_openvino",
    "torch": "of_torch",
    "jax": "of_jax",
    "numpy": "of_numpy",
}


def load(threads: int) -> tuple[list[ModuleType], list[str]]:
    """Those that are installed, told how many threads to use; the names of the others."""
    found, missing = [], []
    for name, module in _MODULES.items():
        try:
            library = importlib.import_module(f"contenders.{module}")
        except ModuleNotFoundError:
            missing.append(name)
            continue
        library.set_threads(threads)
        found.append(library)
    return found, missing
