"""The SageMaker stand-in as its own process, and unmodified boto3 pointed at it."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]

# What any client of AWS needs; no engine checks them.
AWS_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "eu-west-1",
}


@contextmanager
def running_standin(
    models: Path | None = None,
    *,
    s3: str | None = None,
    state: Path | None = None,
    training_seconds: float = 0.0,
    endpoint_seconds: float = 0.0,
    time_scale: float = 1.0,
) -> Iterator[str]:
    """Run the stand-in on a free port; give the address, stop it after the block.

    Args:
        models: Folder of files `NAME.tar.gz`, each an endpoint at the start.
        s3: Address of the S3 that it reads and writes; without one it can do neither.
        state: Folder that it keeps everything in; without one it forgets.
        training_seconds: A training job takes so long at least.
        endpoint_seconds: A model takes so long to be ready.
        time_scale: Every wait of a deployment is multiplied by this.
    """
    process = subprocess.Popen(  # noqa: S603
        [
            *(sys.executable, "-m", "sagemaker_standin", "--port", "0"),
            *(("--models", str(models)) if models else ()),
            *(("--state", str(state)) if state else ()),
            *("--training-seconds", str(training_seconds)),
            *("--endpoint-seconds", str(endpoint_seconds)),
            *("--time-scale", str(time_scale)),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={
            "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'localstack'}",
            **({"AWS_ENDPOINT_URL_S3": s3} if s3 else {}),
        },
        cwd=models or state,
    )
    try:
        assert process.stdout is not None
        # The line comes once the socket listens, so nothing needs to be polled.
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.communicate(timeout=20)


def put_fault(address: str, **fault: Any) -> None:
    """Let something go wrong in a running stand-in; see its README for what there is."""
    _ask_faults(address, "PUT", json.dumps(fault).encode())


def clear_faults(address: str) -> None:
    """Let nothing go wrong any more."""
    _ask_faults(address, "DELETE", None)


def faults_left(address: str) -> list[dict[str, Any]]:
    """Return the faults that are still to happen."""
    return _ask_faults(address, "GET", None)


def _ask_faults(address: str, method: str, body: bytes | None) -> list[dict[str, Any]]:
    request = urllib.request.Request(  # noqa: S310
        f"{address}/_standin/faults", data=body, method=method
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        told: dict[str, list[dict[str, Any]]] = json.load(answer)
    return told["faults"]
