"""Installing a database server: which command on which system, and one sentence when it fails."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from embedded.packages import install_database_server
from tidegauge.domain.errors import InvalidInput


class Machine:
    """A machine with some programs, on which some commands fail."""

    def __init__(self, *programs: str, failing: Sequence[str] = ()) -> None:
        self.programs = programs
        self.failing = failing
        self.ran: list[str] = []

    def find(self, program: str) -> str | None:
        return f"/usr/bin/{program}" if program in self.programs else None

    def run(self, command: Sequence[str], _environment: Mapping[str, str]) -> int:
        line = " ".join(command)
        self.ran.append(line)
        return int(any(part in line for part in self.failing))


def install(machine: Machine, tmp_path: Path, *, is_root: bool = True) -> None:
    install_database_server(
        log=tmp_path / "log", find=machine.find, run=machine.run, is_root=is_root
    )


def test_on_debian_the_server_comes_without_a_service(tmp_path: Path) -> None:
    machine = Machine("apt-get", "sudo")
    install(machine, tmp_path)
    assert machine.ran == [
        "apt-get update -qq",
        "apt-get install -y -qq --no-install-recommends mariadb-server-core mariadb-client-core",
    ]


def test_the_next_package_is_tried_when_one_is_unknown(tmp_path: Path) -> None:
    machine = Machine("apt-get", failing=["update", "mariadb-server-core"])
    install(machine, tmp_path)
    assert machine.ran[-1].endswith(" mariadb-server")


@pytest.mark.parametrize("manager", ["dnf", "yum", "apk", "zypper", "pacman", "brew"])
def test_other_systems_use_their_own_manager(manager: str, tmp_path: Path) -> None:
    machine = Machine(manager)
    install(machine, tmp_path)
    assert all(line.startswith(f"{manager} ") for line in machine.ran)
    assert "mariadb" in machine.ran[-1]


def test_a_user_with_sudo_that_asks_nothing_installs_by_it(tmp_path: Path) -> None:
    machine = Machine("apt-get", "sudo")
    install(machine, tmp_path, is_root=False)
    assert machine.ran[0] == "sudo -n true"
    assert machine.ran[-1].startswith("sudo -n env DEBIAN_FRONTEND=noninteractive apt-get install")


@pytest.mark.parametrize(
    "machine", [Machine("apt-get"), Machine("apt-get", "sudo", failing=["sudo -n true"])]
)
def test_without_root_the_sentence_names_the_command(machine: Machine, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"needs root: run `sudo apt-get install .*DATABASE_URL"):
        install(machine, tmp_path, is_root=False)
    assert not any("install" in line for line in machine.ran)


def test_homebrew_is_never_run_as_root(tmp_path: Path) -> None:
    machine = Machine("brew", "sudo")
    install(machine, tmp_path, is_root=False)
    assert machine.ran == ["brew install -q mariadb"]


def test_a_system_without_a_known_manager_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no known package manager .*DATABASE_URL"):
        install(Machine(), tmp_path)


def test_a_failing_installation_names_its_log(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=f"apt-get could not install .*{tmp_path / 'log'}"):
        install(Machine("apt-get", failing=["install"]), tmp_path)
