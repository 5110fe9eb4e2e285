"""collect and sweep are deployed without numpy: nothing they import may need it."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["consumers.collect.app", "consumers.sweep.app"])
def test_a_counting_function_starts_without_numpy(module: str) -> None:
    program = f"import sys; sys.modules['numpy'] = None; import {module}"
    done = subprocess.run(  # noqa: S603 - our own interpreter and words
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
