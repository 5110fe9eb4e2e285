"""Installs a database server with the system's package manager, where none is on the machine."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tidegauge.domain.errors import InvalidInput

Runner = Callable[[Sequence[str], Mapping[str, str]], int]
Finder = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class PackageManager:
    """One system's way to install a database server.

    Attributes:
        program: The command that tells that the system is of this kind.
        refresh: Arguments that fetch the lists of packages; empty where that is not needed.
        install: Arguments that install the packages named after them, asking nothing.
        candidates: Sets of packages to try in this order. Those that bring the server without
            starting a system-wide one come first.
        needs_root: False where the manager works, and wants to work, as the user.
    """

    program: str
    refresh: tuple[str, ...]
    install: tuple[str, ...]
    candidates: tuple[tuple[str, ...], ...]
    needs_root: bool = True


MANAGERS = (
    PackageManager(
        "apt-get",
        ("update", "-qq"),
        ("install", "-y", "-qq", "--no-install-recommends"),
        # The client's core has what mariadb-install-db calls.
        (("mariadb-server-core", "mariadb-client-core"), ("mariadb-server",), ("mysql-server",)),
    ),
    PackageManager("dnf", (), ("install", "-y", "-q"), (("mariadb-server",), ("mysql-server",))),
    PackageManager("yum", (), ("install", "-y", "-q"), (("mariadb-server",), ("mysql-server",))),
    PackageManager("apk", ("update", "-q"), ("add", "-q"), (("mariadb", "mariadb-client"),)),
    PackageManager("zypper", (), ("--non-interactive", "install"), (("mariadb",),)),
    PackageManager("pacman", (), ("-Sy", "--noconfirm"), (("mariadb",),)),
    PackageManager("brew", (), ("install", "-q"), (("mariadb",),), needs_root=False),
)


def install_database_server(
    *,
    log: Path,
    find: Finder = shutil.which,
    run: Runner | None = None,
    is_root: bool | None = None,
) -> None:
    """Install MariaDB or MySQL by the first package manager that is there.

    Args:
        log: What the package manager says goes there.
        find: Looks a program up.
        run: Runs a command to its end and gives its exit code.
        is_root: Whether this user may install; asked of the system if None.

    Raises:
        InvalidInput: it cannot be installed; names the command that would.
    """
    manager = next((each for each in MANAGERS if find(each.program)), None)
    if manager is None:
        msg = (
            "no database server is installed and no known package manager is there:"
            " install MariaDB 10.11 or MySQL 8.4, or set DATABASE_URL to a server"
        )
        raise InvalidInput(msg)
    run = run or _logged(log)
    prefix = _privilege(manager, find, run, os.geteuid() == 0 if is_root is None else is_root)
    if manager.refresh:
        # A failing refresh is not yet a failure: the lists at hand may do.
        run([*prefix, manager.program, *manager.refresh], _UNATTENDED)
    for packages in manager.candidates:
        if run([*prefix, manager.program, *manager.install, *packages], _UNATTENDED) == 0:
            return
    msg = (
        f"{manager.program} could not install a database server (see {log}):"
        " install MariaDB 10.11 or MySQL 8.4, or set DATABASE_URL to a server"
    )
    raise InvalidInput(msg)


_UNATTENDED = {"DEBIAN_FRONTEND": "noninteractive"}


def _privilege(
    manager: PackageManager,
    find: Finder,
    run: Runner,
    is_root: bool,
) -> list[str]:
    if is_root or not manager.needs_root:
        return []
    # -n: a password prompt in the middle of a progress bar would look like a hang.
    if find("sudo") and run(["sudo", "-n", "true"], {}) == 0:
        return ["sudo", "-n", "env", *(f"{name}={value}" for name, value in _UNATTENDED.items())]
    command = " ".join(["sudo", manager.program, *manager.install, *manager.candidates[0]])
    msg = (
        "no database server is installed, and installing one needs root:"
        f" run `{command}` once, or set DATABASE_URL to a server"
    )
    raise InvalidInput(msg)


def _logged(log: Path) -> Runner:
    def run(command: Sequence[str], environment: Mapping[str, str]) -> int:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            return subprocess.run(  # noqa: S603 - commands of the table above
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                check=False,
            ).returncode

    return run
