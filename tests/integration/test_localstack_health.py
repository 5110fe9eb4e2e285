"""When LocalStack's container is healthy: a server answers as LocalStack's own code does."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "localstack" / "localstack_health.py"


@contextmanager
def localstack_that_tells(body: bytes, status: int = 200) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told = body if self.path == "/_localstack/init/ready" else b"{}"
            self.send_response(status)
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as inherited
            """Keep quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def asked(url: str) -> tuple[int, str]:
    done = subprocess.run(  # noqa: S603 - our own file
        [sys.executable, "-I", str(PROGRAM)],
        env={"PATH": os.environ["PATH"], "AWS_ENDPOINT_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr.strip()


def told(completed: bool, **states: str) -> bytes:
    scripts = [
        {"stage": "READY", "name": f"{name}.py", "state": state} for name, state in states.items()
    ]
    return json.dumps({"completed": completed, "scripts": scripts}).encode()


def test_it_is_ready_when_all_hooks_succeeded() -> None:
    with localstack_that_tells(told(True, a="SUCCESSFUL", b="SUCCESSFUL")) as url:
        assert asked(url) == (0, "")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        # LocalStack calls this completed too.
        (told(True, a="SUCCESSFUL", b="ERROR"), "the hook b.py failed: LocalStack's log says why"),
        (told(False, a="ERROR", b="UNKNOWN"), "the hook a.py failed: LocalStack's log says why"),
        (told(False, a="SUCCESSFUL", b="RUNNING"), "LocalStack's hooks have not run yet"),
        (told(True), "LocalStack has no hooks: ready.d is not mounted"),
        (told(True, a="UNKNOWN"), "the hook a.py did not succeed"),
    ],
)
def test_it_is_not_ready_while_a_hook_has_failed_or_not_run(body: bytes, why: str) -> None:
    with localstack_that_tells(body) as url:
        assert asked(url) == (1, why)


@pytest.mark.parametrize("body", [b"{}", b"[]", b"not json", b'{"scripts": [{}]}'])
def test_another_server_in_its_place_is_not_ready(body: bytes) -> None:
    with localstack_that_tells(body) as url:
        code, why = asked(url)
    assert code == 1
    assert why.startswith("LocalStack does not tell of its hooks")
    assert "\n" not in why


def test_it_is_not_ready_while_nobody_answers_or_it_answers_with_an_error() -> None:
    assert asked("http://127.0.0.1:1")[0] == 1
    with localstack_that_tells(told(True, a="SUCCESSFUL"), status=500) as url:
        assert asked(url)[0] == 1
