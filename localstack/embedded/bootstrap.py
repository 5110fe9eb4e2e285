"""Makes the virtual environments: uv, the project's own, the engine's and SAM's.

Runs on a bare Python 3.11 (`make setup`), so it imports the standard library alone. Each
environment is made once, and anew only when its list of packages or the Python version changes.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TOOLS = REPOSITORY / ".tidegauge" / "envs"
REQUIREMENTS = Path(__file__).resolve().parent
MINIMUM = (3, 11)


class SetupFailed(Exception):
    """An environment cannot be made; the message says what to do."""


def environment(name: str, *, tools: Path = TOOLS, python: str = sys.executable) -> Path:
    """Return the environment of a `requirements-NAME.txt`, made or brought up to date first.

    Args:
        name: uv, engine, sam or localstack.
        tools: Folder that holds the environments.
        python: The Python that it is made with, by its path.

    Raises:
        SetupFailed: venv is missing, or the packages cannot be installed.
    """
    listed = REQUIREMENTS / f"requirements-{name}.txt"
    folder = tools / name
    made_with = sys.version if python == sys.executable else python
    wanted = hashlib.sha256(listed.read_bytes() + made_with.encode()).hexdigest()
    make_once(folder, wanted, lambda: _make(name, listed, folder, python))
    return folder


def make_once(folder: Path, wanted: str, make: Callable[[], None]) -> None:
    """Make a folder of tools, unless it was made of the very same before.

    Args:
        folder: Where the tools go.
        wanted: Names all that decides what is in it.
        make: Makes the folder, whatever stands there; one process at a time.
    """
    stamp = folder / "tidegauge-stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        # Two test processes may want it at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (stamp.exists() and stamp.read_text() == wanted):
            make()
            stamp.write_text(wanted)


def project_environment(*, tools: Path = TOOLS) -> Path:
    """Return `.venv`, brought in step with `uv.lock`. Raises SetupFailed."""
    uv = environment("uv", tools=tools) / "bin" / "uv"
    # uv knows what is there: it is quick when nothing changed.
    run_logged(
        [str(uv), "sync", "--frozen", "--quiet", "--python", sys.executable],
        log=tools / "project.log",
    )
    return REPOSITORY / ".venv"


def _make(name: str, listed: Path, folder: Path, base: str) -> None:
    _check_venv()
    log = folder.with_suffix(".log")
    # Half an environment, or one of another Python, is worse than none.
    shutil.rmtree(folder, ignore_errors=True)
    run_logged([base, "-m", "venv", str(folder)], log=log)
    python = str(folder / "bin" / "python")
    if name == "uv":
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    else:
        uv = environment("uv", tools=folder.parent) / "bin" / "uv"
        # The project's own constraints are not for this environment, and have no hashes.
        install = [str(uv), "pip", "install", "--no-config", "--quiet", "--python", python]
    run_logged([*install, "--require-hashes", "-r", str(listed)], log=log)


def _check_venv() -> None:
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        msg = (
            f"this Python {version} cannot make virtual environments: install its venv package"
            f" (Debian, Ubuntu: apt-get install python{version}-venv)"
        )
        raise SetupFailed(msg) from error


def run_logged(command: Sequence[str], *, log: Path, folder: Path = REPOSITORY) -> None:
    """Run a command that installs something, its output in a log.

    Raises:
        SetupFailed: it failed; the message has its last line.
    """
    told = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    with log.open("wb") as output:
        code = subprocess.run(  # noqa: S603 - commands of ours, no shell
            list(command),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**told, "UV_PYTHON_DOWNLOADS": "never"},
            check=False,
        ).returncode
    if code == 0:
        return
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    if any("No space left" in line for line in lines):
        msg = f"the disk is full: {TOOLS} needs up to 1.5 GB"
    else:
        msg = f"could not set up {log.stem}: {(lines or ['no output'])[-1].strip()} (see {log})"
    raise SetupFailed(msg)


def main() -> int:
    """Make the project's environment for `make setup`; 2 and one sentence when it cannot be."""
    if sys.version_info < MINIMUM:
        sys.stderr.write("Tidegauge needs Python 3.11 or newer\n")
        return 2
    try:
        project_environment()
    except SetupFailed as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
