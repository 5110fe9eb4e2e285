"""Child processes that outlive their command: only ours are ended, with all their children."""

import os
import signal
import socket
import sys
from pathlib import Path

import msgspec
import pytest

from embedded import processes
from tidegauge.domain.errors import InvalidInput

# Starts a child of its own that ignores a polite end, tells its pid, and waits.
PARENT = """
import signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c",
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True);"
    "signal.pause()"], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
signal.pause()
"""


def start(code: str, folder: Path) -> tuple[Path, Path]:
    record, log = folder / "it.pid", folder / "it.log"
    processes.start([sys.executable, "-c", code], record=record, log=log, port=0)
    return record, log


def wait_for_output(record: Path, log: Path) -> str:
    processes.wait_for(
        lambda: log.read_text().endswith("\n"), record=record, what="it", log=log, seconds=20
    )
    return log.read_text().strip()


def test_stopping_ends_the_children_too_even_stubborn_ones(tmp_path: Path) -> None:
    record, log = start(PARENT, tmp_path)
    child = int(wait_for_output(record, log))
    assert processes.start_identity(child) is not None
    assert processes.stop(record, seconds=0.2)
    assert processes.start_identity(child) is None
    assert processes.running(record) is None
    assert not processes.stop(record)


def test_children_of_a_parent_that_died_are_ended(tmp_path: Path) -> None:
    record, log = start(PARENT, tmp_path)
    child = int(wait_for_output(record, log))
    known = processes.read_record(record)
    assert known is not None
    os.kill(known.pid, signal.SIGKILL)
    processes._wait_until(lambda: processes.running(record) is None, 20)  # noqa: SLF001
    assert processes.start_identity(child) is not None
    assert processes.stop(record, seconds=0.2)
    assert processes.start_identity(child) is None


def test_a_process_that_took_over_the_pid_is_left_alone(tmp_path: Path) -> None:
    record, _ = start("import signal; signal.pause()", tmp_path)
    known = processes.read_record(record)
    assert known is not None
    stranger = msgspec.structs.replace(known, started="another start")
    other = tmp_path / "other.pid"
    other.write_bytes(msgspec.json.encode(stranger))
    assert processes.running(other) is None
    assert not processes.stop(other)
    assert processes.running(record) == known
    assert processes.stop(record)


@pytest.mark.parametrize("content", [b"", b"not json", b'{"pid": 1}'])
def test_a_damaged_record_is_no_process(content: bytes, tmp_path: Path) -> None:
    record = tmp_path / "it.pid"
    record.write_bytes(content)
    assert processes.running(record) is None
    assert not processes.stop(record)


def test_a_process_that_ends_at_once_is_told_with_its_reason(tmp_path: Path) -> None:
    record, log = start("raise OSError(28, 'No space left on device')", tmp_path)
    with pytest.raises(InvalidInput, match="the server ended at once: the disk is full"):
        processes.wait_for(lambda: False, record=record, what="the server", log=log, seconds=20)
    processes.stop(record)


def test_a_process_that_never_gets_ready_is_told_after_the_deadline(tmp_path: Path) -> None:
    record, log = start("import signal; print('thinking'); signal.pause()", tmp_path)
    with pytest.raises(InvalidInput, match=r"the server was not ready within 0 s"):
        processes.wait_for(lambda: False, record=record, what="the server", log=log, seconds=0.2)
    processes.stop(record)


def test_a_taken_port_is_told_and_a_free_one_is_given() -> None:
    with socket.create_server((processes.LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
        assert processes.listens(port)
        with pytest.raises(InvalidInput, match=f"port {port} for it is taken.* SETTING"):
            processes.choose_port(port, what="it", setting="SETTING")
        assert processes.choose_port(0, what="it", setting="SETTING") != port
    assert not processes.listens(port)
    assert processes.choose_port(port, what="it", setting="SETTING") == port
