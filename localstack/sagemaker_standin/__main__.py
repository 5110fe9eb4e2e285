"""`python -m sagemaker_standin --port N --models DIR`: serves until it is told to stop."""

import argparse
import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from sagemaker_standin.server import create_app
from sagemaker_standin.service import Settings, start_service
from tidegauge.domain.errors import InvalidInput

# Another address is for containers alone: whoever reaches the stand-in may use it.
LOOPBACK = "127.0.0.1"

# A request that runs still is waited for so long.
SHUTDOWN_S = 5

# No test waits longer, and no timer takes infinity.
MAX_SECONDS = 86_400.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server; returns 2 if the port is taken or the state cannot be used."""
    options = _parser().parse_args(arguments)
    try:
        listener = socket.create_server((options.host, options.port), backlog=128)
    except OSError as error:
        # create_server adds words of its own to the error's text.
        why = os.strerror(error.errno or 0)
        address = f"{options.host}:{options.port}"
        sys.stderr.write(f"cannot listen on {address}: {why}; choose another --port\n")
        return 2
    try:
        service = start_service(_settings(options))
    except InvalidInput as error:
        listener.close()
        sys.stderr.write(f"{error}\n")
        return 2
    port = listener.getsockname()[1]
    if options.port_file:
        _write_whole(options.port_file, f"{port}\n")
    # The socket listens already: a request sent from now on waits, it is not refused.
    sys.stdout.write(f"SageMaker stand-in on http://{options.host}:{port}\n")
    sys.stdout.flush()
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(service),
            log_level=options.log_level,
            lifespan="off",
            timeout_graceful_shutdown=SHUTDOWN_S,
        )
    )
    with listener:
        server.run(sockets=[listener])
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sagemaker_standin", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one")
    parser.add_argument(
        "--host", default=LOOPBACK, help="address to listen on; not loopback only in a container"
    )
    parser.add_argument(
        "--models", type=Path, help="folder of NAME.tar.gz, each an endpoint NAME at the start"
    )
    parser.add_argument(
        "--state", type=Path, help="folder that keeps everything from one start to the next"
    )
    parser.add_argument(
        "--training-seconds", type=_seconds, default=0.0, help="a job takes so long at least"
    )
    parser.add_argument(
        "--endpoint-seconds", type=_seconds, default=0.0, help="a model is ready after so long"
    )
    parser.add_argument(
        "--time-scale", type=_seconds, default=1.0, help="what a deployment's waits are times by"
    )
    parser.add_argument("--port-file", type=Path, help="write the port into this file")
    parser.add_argument("--log-level", default="warning", choices=sorted(uvicorn.config.LOG_LEVELS))
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(
        models=options.models,
        state=options.state,
        training_seconds=options.training_seconds,
        endpoint_seconds=options.endpoint_seconds,
        time_scale=options.time_scale,
    )


def _seconds(text: str) -> float:
    number = float(text)
    if not 0.0 <= number <= MAX_SECONDS:
        raise ValueError
    return number


def _write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees all of it or none."""
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "w") as stream:
        stream.write(text)
    Path(name).replace(path)


if __name__ == "__main__":
    sys.exit(main())
