"""Functions are deployed without what they do not need: nothing they import may need it."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("consumers.collect.app", "numpy"),
        ("consumers.sweep.app", "numpy"),
        ("retrain.train.app", "numpy"),
        ("retrain.deploy.app", "numpy"),
        ("producers.listener_sim.app", "numpy"),
        ("producers.listener_sim.app", "pymysql"),
    ],
)
def test_a_function_starts_without_what_its_artifact_lacks(module: str, absent: str) -> None:
    program = f"import sys; sys.modules[{absent!r}] = None; import {module}"
    done = subprocess.run(  # noqa: S603 - our own interpreter and words
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
