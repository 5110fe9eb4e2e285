"""What LocalStack asks of a runtime executor, answered by environments that are child processes.

A function finds in its environment what LocalStack and its configuration put there, and addresses
of single services (`AWS_ENDPOINT_URL_…`) that LocalStack's own process was started with.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from localstack.services.lambda_.invocation.executor_endpoint import (  # type: ignore[import-untyped]
    StatusErrorException,
)
from localstack.services.lambda_.invocation.lambda_models import (  # type: ignore[import-untyped]
    FunctionVersion,
    InvocationResult,
)
from localstack.services.lambda_.invocation.plugins import (  # type: ignore[import-untyped]
    RuntimeExecutorPlugin,
)
from localstack.services.lambda_.invocation.runtime_executor import (  # type: ignore[import-untyped]
    RuntimeExecutor,
)

from process_lambda.environment import Environment, Invocation, StartFailed

_LOOPBACK = "127.0.0.1"


class ProcessExecutor(RuntimeExecutor):  # type: ignore[misc]
    """One execution environment of a function version."""

    def __init__(self, id: str, function_version: FunctionVersion) -> None:  # noqa: A002
        super().__init__(id, function_version)
        name = f"{function_version.id.function_name}-{id}"
        self._folder = Path(tempfile.gettempdir()) / "environments" / name
        self._log = self._folder / "log"
        self._environment: Environment | None = None

    def start(self, env_vars: dict[str, Any]) -> None:
        """Start the function's process, and wait until the function is loaded."""
        config = self.function_version.config
        code = config.code.get_unzipped_code_location()
        own_tmp = self._folder / "tmp"
        own_tmp.mkdir(parents=True)
        self._environment = Environment(
            [sys.executable, "-m", "awslambdaric", config.handler],
            code,
            {
                **{key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ},
                **{key: v for key, v in os.environ.items() if key.startswith("AWS_ENDPOINT_URL_")},
                **{key: str(value) for key, value in env_vars.items()},
                "AWS_EXECUTION_ENV": f"AWS_Lambda_{config.runtime}",
                "LAMBDA_TASK_ROOT": str(code),
                "PYTHONUNBUFFERED": "1",
                "TMPDIR": str(own_tmp),
            },
            self._log,
        )
        try:
            self._environment.start()
        except StartFailed as failed:
            msg = "the function was not loaded"
            raise StatusErrorException(msg, failed.payload) from failed

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        """Call the function, and return its answer with what it printed meanwhile."""
        assert self._environment is not None, "LocalStack calls what it has started"
        request_id = payload["invoke-id"]
        before = len(self._printed())
        answer = self._environment.invoke(
            Invocation(
                request_id=request_id,
                function_arn=payload["invoked-function-arn"],
                trace_id=payload["trace-id"],
                payload=payload["payload"].encode(),
                timeout_seconds=self.function_version.config.timeout,
            )
        )
        printed = self._printed()[before:].decode(errors="replace")
        logs = f"START RequestId: {request_id}\n{printed}\nEND RequestId: {request_id}\n"
        return InvocationResult(request_id, answer.payload, is_error=answer.is_error, logs=logs)

    def stop(self) -> None:
        """End the function's process."""
        if self._environment is not None:
            self._environment.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def get_logs(self) -> str:
        """Return all that the function printed."""
        return self._printed().decode(errors="replace")

    def _printed(self) -> bytes:
        try:
            return self._log.read_bytes()
        except FileNotFoundError:  # it was stopped meanwhile, or never started
            return b""

    def get_address(self) -> str:
        """Return where the function runs, for LocalStack."""
        return _LOOPBACK

    def get_endpoint_from_executor(self) -> str:
        """Return where LocalStack is, for the function."""
        return _LOOPBACK

    def get_runtime_endpoint(self) -> str:
        """Return nothing: a process is called through its own API, not through LocalStack's."""
        return ""

    @classmethod
    def prepare_version(cls, function_version: FunctionVersion) -> None:
        """Lay the code out on disk."""
        if function_version.config.code:
            function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: FunctionVersion) -> None:
        """Leave the code to LocalStack, which laid it out."""


class ProcessExecutorPlugin(RuntimeExecutorPlugin):  # type: ignore[misc]
    """Tells LocalStack of the executor."""

    name = "process"

    def load(self, *_args: object, **_kwargs: object) -> type[ProcessExecutor]:
        """Return the executor."""
        return ProcessExecutor
