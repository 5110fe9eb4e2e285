"""The database's passwords in Docker: made once, kept, and for their owner's eyes alone."""

import getpass
import re
import stat
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "localstack" / "make_passwords.sh"
FILES = ("client.cnf", "password", "root-password")


def make(folder: Path, path: str = "/usr/bin:/bin") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - our own file
        ["/bin/sh", str(SCRIPT), str(folder), getpass.getuser()],
        env={"PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


def test_the_first_start_makes_them_and_every_other_keeps_them(tmp_path: Path) -> None:
    done = make(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    first = contents(tmp_path)
    assert tuple(first) == FILES
    assert make(tmp_path).returncode == 0
    assert contents(tmp_path) == first


def test_they_are_random_and_two_and_the_clients_file_has_the_users(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        make(folder)
    found = [contents(folder) for folder in folders]
    passwords = [told[name] for told in found for name in ("password", "root-password")]
    assert len(set(passwords)) == 4
    assert all(re.fullmatch(r"[0-9a-f]{48}", one) for one in passwords)
    for told in found:
        assert told["client.cnf"] == f"[client]\nuser=tidegauge\npassword={told['password']}\n"


def test_nobody_but_their_owner_may_read_them_and_nobody_write(tmp_path: Path) -> None:
    make(tmp_path)
    for name in FILES:
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o400


@pytest.mark.parametrize("lost", FILES)
def test_a_start_that_was_cut_off_is_made_good_and_keeps_what_was_whole(
    tmp_path: Path, lost: str
) -> None:
    make(tmp_path)
    before = contents(tmp_path)
    (tmp_path / lost).unlink()
    half = tmp_path / f"{lost}.new"
    half.write_text("half")
    half.chmod(0o400)
    assert make(tmp_path).returncode == 0
    after = contents(tmp_path)
    assert tuple(after) == FILES
    assert all(after[name] == before[name] for name in FILES if name != lost)


def test_without_a_source_of_randomness_it_fails_and_leaves_no_empty_password(
    tmp_path: Path,
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("cat", "chmod", "chown", "mv", "rm", "tr"):
        program = next(
            path for path in (Path("/usr/bin") / name, Path("/bin") / name) if path.exists()
        )
        (tools / name).symlink_to(program)
    folder = tmp_path / "made"
    folder.mkdir()
    assert make(folder, str(tools)).returncode != 0
    assert not (folder / "root-password").exists()
