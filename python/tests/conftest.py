"""What several tests share."""

import os
import subprocess
import sys

import pytest


@pytest.fixture
def run_python(tmp_path):
    """Runs code in a Python of its own, with more environment."""

    def run(code, *arguments, **environment):
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={**os.environ, **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
