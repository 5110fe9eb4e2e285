"""LocalStack's hooks as files, and what they say where they cannot do their work."""

import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "localstack" / "ready.d"
HOOKS = sorted(FOLDER.iterdir())
NAME = re.compile(r"(\d\d)_[a-z_]+\.py")
each_hook = pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook.name)
VARIABLES = ("HOST", "PORT", "USER", "NAME", "PASSWORD_FILE")


def test_hooks_are_numbered_and_no_number_is_used_twice() -> None:
    numbers = [NAME.fullmatch(hook.name) for hook in HOOKS]
    assert all(numbers), [hook.name for hook in HOOKS]
    assert len({one[1] for one in numbers if one}) == len(HOOKS) >= 2


@each_hook
def test_a_hook_is_executable_compiles_and_says_what_runs_it(hook: Path) -> None:
    assert stat.S_IMODE(hook.stat().st_mode) == 0o755
    source = hook.read_text()
    assert source.startswith("#!/usr/bin/env python3\n")
    compile(source, str(hook), "exec")


def test_the_compose_file_mounts_the_folder_where_localstack_looks_for_hooks() -> None:
    services = yaml.safe_load((FOLDER.parent / "docker-compose.yml").read_text())["services"]
    assert "./ready.d:/etc/localstack/init/ready.d:ro" in services["localstack"]["volumes"]


@pytest.fixture
def variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the secret's hook needs, of which a test takes something away."""
    password = tmp_path / "password"
    password.write_text("hard to guess\n")
    told = dict(zip(VARIABLES, ("mysql", "3306", "tide", "gauge", str(password)), strict=True))
    told = {f"TIDEGAUGE_DB_{name}": value for name, value in told.items()}
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    return told


def refusal() -> str:
    """Return what the secret's hook says, which is the same by `exec` and by hand."""
    hook = FOLDER / "20_secret.py"
    with pytest.raises(Exception, match=r".") as caught:
        exec(hook.read_bytes(), {})  # noqa: S102 - LocalStack's own way
    done = subprocess.run(  # noqa: S603 - our own file
        [sys.executable, str(hook)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{caught.value}\n"
    return str(caught.value)


@pytest.mark.parametrize("missing", VARIABLES)
@pytest.mark.usefixtures("variables")
def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.delenv(f"TIDEGAUGE_DB_{missing}")
    assert refusal() == f"set TIDEGAUGE_DB_{missing}: the functions must find their database"


@pytest.mark.usefixtures("variables")
def test_a_port_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_DB_PORT", "mysql")
    assert refusal() == "TIDEGAUGE_DB_PORT must be a port, not 'mysql'"


def test_a_password_that_is_missing_or_empty_is_told_with_its_file(
    variables: dict[str, str],
) -> None:
    password = Path(variables["TIDEGAUGE_DB_PASSWORD_FILE"])
    password.write_text("\n")
    assert refusal() == f"{password} holds no password"
    password.unlink()
    assert refusal() == (
        f"the database's password cannot be read from {password}: No such file or directory"
    )


@each_hook
def test_a_hook_that_is_only_imported_does_nothing(hook: Path) -> None:
    exec(hook.read_bytes(), {"__name__": "somebody's import"})  # noqa: S102 - our own file
