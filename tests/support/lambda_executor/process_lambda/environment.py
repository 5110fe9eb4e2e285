"""One execution environment: a child process of Lambda's own runtime, and the API it polls.

Takes invocations, gives what the function answered. The API is the one that custom runtimes use on
AWS (`/2018-06-01/runtime`), served on loopback for this child alone. Knows nothing of LocalStack.
"""

import json
import queue
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_API = "/2018-06-01/runtime"
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Invocation:
    """What a function is called with, and how long it may take."""

    request_id: str
    function_arn: str
    trace_id: str
    payload: bytes
    timeout_seconds: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an invocation: its result, or an error in Lambda's words."""

    payload: bytes
    is_error: bool


class StartFailed(Exception):
    """The function cannot be loaded; `payload` tells why, in Lambda's words."""

    def __init__(self, payload: bytes) -> None:
        super().__init__(payload.decode(errors="replace"))
        self.payload = payload


class _Ready:
    """The child asks for an invocation."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """The child's process is gone."""

    code: int


@dataclass(frozen=True, slots=True)
class _Refused:
    """The child could not load its function."""

    payload: bytes


_News = _Ready | _Ended | _Refused | tuple[str, Answer]


class Environment:
    """A process that holds a function, started anew by the invocation after one that ended it.

    Args:
        command: Starts a runtime that polls `AWS_LAMBDA_RUNTIME_API`.
        folder: Its working folder, with the function's code.
        variables: All that the function finds in its environment.
        log: File that takes what it prints.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, variables: Mapping[str, str], log: Path
    ) -> None:
        self._command = list(command)
        self._folder = folder
        self._variables = dict(variables)
        self._log = log
        # Who stops it does so from another thread, at any moment.
        self._lock = threading.Lock()
        self._stopped = False
        self._run: _Run | None = None

    def start(self) -> "_Run":
        """Start the process unless it runs, and wait until its function is loaded.

        Raises:
            StartFailed: it cannot be loaded, or the environment was stopped meanwhile.
        """
        if self._run is not None and not self._run.ended:
            return self._run
        with self._lock:
            if self._stopped:
                raise StartFailed(_error("Runtime.ExitError", "the environment was stopped"))
            self._run = run = _Run(self._command, self._folder, self._variables, self._log)
        match run.news.get():
            case _Refused(payload):
                run.end()
                raise StartFailed(payload)
            case _Ended(code):
                run.end()
                raise StartFailed(_error("Runtime.ExitError", f"exit status {code}"))
        return run

    def invoke(self, invocation: Invocation) -> Answer:
        """Have the function called, and wait for its answer, its end or its deadline."""
        try:
            run = self.start()
        except StartFailed as failed:
            return Answer(failed.payload, is_error=True)
        deadline = time.monotonic() + invocation.timeout_seconds
        run.asked.put(invocation)
        request = f"RequestId: {invocation.request_id} Error:"
        while True:
            try:
                news = run.news.get(timeout=max(deadline - time.monotonic(), 0.0))
            except queue.Empty:
                run.end()
                message = f"{request} Task timed out after {invocation.timeout_seconds:.2f} seconds"
                return Answer(_error("Sandbox.Timedout", message), is_error=True)
            match news:
                case (invocation.request_id, Answer() as answer):
                    return answer
                case _Ended(code):
                    run.end()
                    message = f"{request} Runtime exited with error: exit status {code}"
                    return Answer(_error("Runtime.ExitError", message), is_error=True)

    def stop(self) -> None:
        """End the process; a running invocation ends with it."""
        with self._lock:
            self._stopped = True
            if self._run is not None:
                self._run.end()


class _Run:
    """One process of an environment, and the API that it alone polls."""

    def __init__(
        self, command: Sequence[str], folder: Path, variables: Mapping[str, str], log: Path
    ) -> None:
        self.asked: queue.SimpleQueue[Invocation | None] = queue.SimpleQueue()
        self.news: queue.SimpleQueue[_News] = queue.SimpleQueue()
        self._server = _Api(self)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        address = f"{_LOOPBACK}:{self._server.server_port}"
        with log.open("ab") as output:
            # In the group of LocalStack: who ends that group ends its functions too.
            self._process = subprocess.Popen(  # noqa: S603 - a command of ours, no shell
                command,
                cwd=folder,
                env={**variables, "AWS_LAMBDA_RUNTIME_API": address},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self.asked.put(None)  # lets a waiting request go
        self._server.shutdown()
        self._server.server_close()

    def _watch(self) -> None:
        self.news.put(_Ended(self._process.wait()))


class _Api(ThreadingHTTPServer):
    daemon_threads = True
    # A request that waits for an invocation must not hold up the end.
    block_on_close = False

    def __init__(self, run: _Run) -> None:
        super().__init__((_LOOPBACK, 0), _Requests)
        self.run = run


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Api

    def do_GET(self) -> None:
        """Hand out the next invocation, however long that takes to come."""
        if self.path != f"{_API}/invocation/next":
            self.send_error(404)
            return
        self.server.run.news.put(_Ready())
        invocation = self.server.run.asked.get()
        if invocation is None:
            self.close_connection = True
            return
        deadline_ms = int((time.time() + invocation.timeout_seconds) * 1000)
        self._reply(
            200,
            invocation.payload,
            {
                "Content-Type": "application/json",
                "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
                "Lambda-Runtime-Trace-Id": invocation.trace_id,
            },
        )

    def do_POST(self) -> None:
        """Take an answer, an error, or why the function could not be loaded."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        match self.path.removeprefix(_API).split("/")[1:]:
            case ["init", "error"]:
                self.server.run.news.put(_Refused(body))
            case ["invocation", request_id, "response" | "error" as kind]:
                self.server.run.news.put((request_id, Answer(body, is_error=kind == "error")))
            case _:
                self.send_error(404)
                return
        self._reply(202, b"", {})

    def _reply(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the function's log is the function's."""


def _error(kind: str, message: str) -> bytes:
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()
