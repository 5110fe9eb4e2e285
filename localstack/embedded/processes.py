"""Child processes that outlive the command which started them, and end when asked.

A process is known by a record on disk: its pid and what makes that pid ours and nobody else's. The
pid alone is not enough: after a crash or a reboot the number may belong to somebody else.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from tidegauge.domain.errors import InvalidInput

POLL_SECONDS = 0.05
STOP_SECONDS = 20.0
LOOPBACK = "127.0.0.1"
_PROC = Path("/proc")


class ProcessRecord(msgspec.Struct, frozen=True):
    """A started process, as its file on disk remembers it.

    Attributes:
        pid: Also the id of its process group, since each is started in a session of its own.
        started: When the kernel started it, in a form that differs after a reboot.
        port: Where it listens on loopback; 0 if nowhere.
    """

    pid: int
    started: str
    port: int


def start_identity(pid: int) -> str | None:
    """Return what tells this process from an earlier or later one with its pid; None if gone."""
    if _PROC.joinpath("self").exists():
        try:
            # The command's name may hold spaces and brackets: count fields after the last bracket.
            fields = _PROC.joinpath(str(pid), "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        boot = _PROC.joinpath("sys/kernel/random/boot_id").read_text().strip()
        return None if fields[0] == "Z" else f"{boot}/{fields[19]}"
    listing = subprocess.run(  # noqa: S603 - fixed program, numeric argument
        ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    state, _, started = listing.partition(" ")
    return None if not listing or state.startswith("Z") else started.strip()


def start(
    command: Sequence[str],
    *,
    record: Path,
    log: Path,
    port: int,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> ProcessRecord:
    """Start a process in a session of its own and write its record.

    Args:
        command: Program and arguments; no shell.
        record: File that remembers it, made anew.
        log: Its output, appended.
        port: Where it will listen; 0 if nowhere.
        environment: Its whole environment; this process's own if None.
        folder: Its working folder; this process's own if None.
    """
    for path in (record, log):
        path.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(  # noqa: S603 - commands of ours, no shell
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            cwd=folder,
            start_new_session=True,
        )
    # The record is the handle from here on: without this the interpreter warns of a child left.
    child.returncode = 0
    made = ProcessRecord(child.pid, start_identity(child.pid) or "", port)
    record.write_bytes(msgspec.json.encode(made))
    return made


def read_record(record: Path) -> ProcessRecord | None:
    """Return the process that a file remembers, running or not; None if there is no such file."""
    try:
        return msgspec.json.decode(record.read_bytes(), type=ProcessRecord)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def running(record: Path) -> ProcessRecord | None:
    """Return the remembered process if that very process still runs."""
    known = read_record(record)
    if known is None:
        return None
    _reap(known.pid)
    return known if start_identity(known.pid) == known.started else None


def stop(record: Path, *, seconds: float = STOP_SECONDS) -> bool:
    """End the remembered process with all its children, and forget it.

    Asks first and kills when `seconds` have passed. Never touches a process that is not the
    remembered one.

    Returns:
        Whether there was something to end.
    """
    known = read_record(record)
    if known is None:
        return False
    found = _is_ours(known)
    if found:
        _signal_group(known.pid, signal.SIGTERM)
        if not _wait_until(lambda: not _group_exists(known.pid), seconds):
            _signal_group(known.pid, signal.SIGKILL)
            _wait_until(lambda: not _group_exists(known.pid), seconds)
    record.unlink(missing_ok=True)
    return found


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Return whether somebody listens on a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def choose_port(preferred: int, *, what: str, setting: str) -> int:
    """Return `preferred` if it is free, any free port if it is 0.

    Raises:
        InvalidInput: somebody listens on it.
    """
    if preferred == 0:
        return free_port()
    with socket.socket() as probe:
        # As servers do: a port whose old connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, preferred))
        except OSError as error:
            msg = (
                f"port {preferred} for {what} is taken: stop what listens there,"
                f" or set {setting} to another port (0 chooses a free one)"
            )
            raise InvalidInput(msg) from error
    return preferred


def wait_for(
    ready: Callable[[], bool], *, record: Path, what: str, log: Path, seconds: float
) -> None:
    """Wait until a started process is ready.

    Raises:
        InvalidInput: it ended, or was not ready within `seconds`; says why as far as its log does.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        ended = running(record) is None
        if ended or time.monotonic() > deadline:
            how = "ended at once" if ended else f"was not ready within {seconds:.0f} s"
            msg = f"{what} {how}: {reason_in(log)} (the whole log: {log})"
            raise InvalidInput(msg)
        time.sleep(POLL_SECONDS)


def reason_in(log: Path) -> str:
    """Return the line of a log that most likely says why its process failed."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-200:]
    except OSError:
        return "it left no log"
    told = [line.strip() for line in lines if line.strip()]
    for sign, sentence in (
        ("No space left on device", "the disk is full"),
        ("Errcode: 28", "the disk is full"),
        ("Address already in use", "its port is taken"),
    ):
        if any(sign in line for line in told):
            return sentence
    faults = [line for line in told if "ERROR" in line or "Error" in line]
    return (faults or told or ["its log is empty"])[-1]


def _is_ours(known: ProcessRecord) -> bool:
    _reap(known.pid)
    identity = start_identity(known.pid)
    if identity is not None:
        return identity == known.started
    # The leader is gone. While members of its group live, the kernel gives its number to nobody,
    # so the group is ours, unless the machine was started anew since.
    return _same_boot(known) and _group_exists(known.pid)


def _same_boot(known: ProcessRecord) -> bool:
    own = start_identity(os.getpid()) or ""
    return known.started.partition("/")[0] == own.partition("/")[0] or sys.platform == "darwin"


def _group_exists(pid: int) -> bool:
    _reap(pid)
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return sys.platform != "darwin"  # there a group of zombies answers so
    return True


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def _reap(pid: int) -> None:
    """Collect an ended child of this very process; others are collected by their parents."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _wait_until(reached: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
