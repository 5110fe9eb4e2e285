"""The SageMaker stand-in as its own process, and unmodified boto3 pointed at it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

# What any client of AWS needs; no engine checks them.
AWS_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "eu-west-1",
}


@contextmanager
def running_standin(models: Path) -> Iterator[str]:
    """Serve a folder of models on a free port; give the address, stop it after the block."""
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "sagemaker_standin", "--port", "0", "--models", str(models)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'localstack'}"},
        cwd=models,
    )
    try:
        assert process.stdout is not None
        # The line comes once the socket listens, so nothing needs to be polled.
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.communicate(timeout=20)
