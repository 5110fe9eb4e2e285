"""What a build and a deployment are made from, and the template's variables."""

import json
import re
import shutil
from pathlib import Path

import pytest

from embedded.engine import EngineAddress
from embedded.invoke import functions
from embedded.local import Ports
from embedded.places import REPOSITORY
from embedded.processes import reason_in
from embedded.stack import Wanted, secret_of, source_hash
from tidegauge.domain.errors import InvalidInput
from tidegauge.settings import DatabaseAddress

FOLDERS = ("tidegauge", "consumers", "producers", "retrain", "sql")
FILES = ("template.yaml", "samconfig.toml", "pyproject.toml", "uv.lock")


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    for folder in FOLDERS:
        (tmp_path / folder / "__pycache__").mkdir(parents=True)
        (tmp_path / folder / "code.py").write_text("1")
    for file in FILES:
        (tmp_path / file).write_text("1")
    return tmp_path


@pytest.mark.parametrize("changed", [*(f"{folder}/code.py" for folder in FOLDERS), *FILES])
def test_any_changed_source_asks_for_a_new_build(sources: Path, changed: str) -> None:
    before = source_hash(sources, {})
    (sources / changed).write_text("2")
    assert source_hash(sources, {}) != before


def test_a_new_a_moved_and_a_removed_file_ask_for_a_new_build(sources: Path) -> None:
    hashes = [source_hash(sources, {})]
    (sources / "sql" / "more.sql").write_text("1")
    hashes.append(source_hash(sources, {}))
    shutil.move(sources / "sql" / "more.sql", sources / "tidegauge" / "more.sql")
    hashes.append(source_hash(sources, {}))
    assert len(set(hashes)) == 3


def test_parameters_ask_for_a_new_build_and_caches_do_not(sources: Path) -> None:
    before = source_hash(sources, {"A": "1"})
    (sources / "tidegauge" / "__pycache__" / "code.pyc").write_text("2")
    assert source_hash(sources, {"A": "1"}) == before
    assert source_hash(sources, {"A": "2"}) != before


def test_every_parameter_we_pass_is_the_templates() -> None:
    template = (REPOSITORY / "template.yaml").read_text()
    declared = re.findall(r"^  (\w+):$", template.split("\nConditions:")[0], re.MULTILINE)
    assert {*Wanted().parameters, "DatabaseSecretArn"} <= set(declared)


def test_the_secret_is_read_back_as_the_same_address() -> None:
    address = DatabaseAddress("127.0.0.1", 3307, "tide", 'p"a%s', "gauge")
    assert DatabaseAddress.from_secret(secret_of(address)) == address
    assert json.loads(secret_of(address))["port"] == 3307


@pytest.mark.parametrize("text", ["x", "-1", "65536", "1.5"])
def test_a_port_that_is_none_is_one_sentence(text: str) -> None:
    with pytest.raises(InvalidInput, match="TIDEGAUGE_ENGINE_PORT must be a port"):
        Ports.from_env({"TIDEGAUGE_ENGINE_PORT": text})


def test_ports_default_to_free_ones() -> None:
    assert Ports.from_env({"TIDEGAUGE_DATABASE_PORT": "3307"}) == Ports(database=3307)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("[ERROR] mariadbd: Can't create file (Errcode: 28)", "the disk is full"),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("bind: Address already in use", "its port is taken"),
        ("fine\n[ERROR] unknown option\nmore", "[ERROR] unknown option"),
        ("only this", "only this"),
        ("", "its log is empty"),
    ],
)
def test_a_log_gives_the_reason_in_one_line(lines: str, reason: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(lines)
    assert reason_in(log) == reason


def test_the_users_own_aws_settings_never_reach_the_engines_clients() -> None:
    engine = EngineAddress(4567)
    within = engine.within({"AWS_PROFILE": "work", "AWS_ENDPOINT_URL_S3": "x", "PATH": "/bin"})
    assert within == {"PATH": "/bin", **engine.environment}
    assert within["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4567"


def test_every_function_with_an_example_can_be_invoked_by_name() -> None:
    found = functions(REPOSITORY)
    assert set(found) >= {"collect", "predict", "sweep", "listener_sim"}
    assert all((folder / "app.py").exists() for folder in found.values())
