"""LocalStack's hooks, on a real S3 and Secrets Manager: run twice, they leave what once leaves.

They are run as LocalStack runs them, by `exec` without a name, and as a person runs them.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError

from embedded.engine import EngineAddress
from embedded.places import REPOSITORY
from embedded.stack import BUCKET, SECRET, secret_of
from tidegauge.settings import DatabaseAddress

pytestmark = pytest.mark.engine

HOOKS = REPOSITORY / "localstack" / "ready.d"
DATABASE = DatabaseAddress("mysql", 3306, "tidegauge", "of the first start", "tidegauge")


@pytest.fixture
def reached(
    engine: EngineAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """What hooks find in their environment; the password lies in a file."""
    password = tmp_path / "password"
    password.write_text(f"{DATABASE.password}\n")
    variables = {
        "AWS_ENDPOINT_URL": engine.url,
        "TIDEGAUGE_DB_HOST": DATABASE.host,
        "TIDEGAUGE_DB_PORT": str(DATABASE.port),
        "TIDEGAUGE_DB_USER": DATABASE.user,
        "TIDEGAUGE_DB_NAME": DATABASE.database,
        "TIDEGAUGE_DB_PASSWORD_FILE": str(password),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def run_as_localstack_does(name: str) -> None:
    exec((HOOKS / name).read_bytes(), {})  # noqa: S102 - LocalStack's own way


def run_by_hand(name: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - our own file
        [sys.executable, str(HOOKS / name)],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.usefixtures("reached")
def test_run_twice_the_bucket_is_there_with_what_it_held(engine: EngineAddress) -> None:
    s3 = engine.session().s3
    run_as_localstack_does("10_artifacts.py")
    s3.put_object(Bucket=BUCKET, Key="kept", Body=b"as it was")
    run_as_localstack_does("10_artifacts.py")
    assert run_by_hand("10_artifacts.py").returncode == 0
    assert s3.get_object(Bucket=BUCKET, Key="kept")["Body"].read() == b"as it was"


def test_run_twice_there_is_one_secret_with_the_password_of_the_last_run(
    engine: EngineAddress, reached: dict[str, str]
) -> None:
    secrets = engine.session().secrets
    run_as_localstack_does("20_secret.py")
    first = secrets.get_secret_value(SecretId=SECRET)
    assert json.loads(first["SecretString"]) == json.loads(secret_of(DATABASE))
    run_as_localstack_does("20_secret.py")
    again = secrets.get_secret_value(SecretId=SECRET)
    assert (again["ARN"], again["SecretString"]) == (first["ARN"], first["SecretString"])

    Path(reached["TIDEGAUGE_DB_PASSWORD_FILE"]).write_text("of another start\n")
    assert run_by_hand("20_secret.py").returncode == 0
    changed = secrets.get_secret_value(SecretId=SECRET)
    assert changed["ARN"] == first["ARN"]
    known = DatabaseAddress.from_secret(changed["SecretString"])
    assert known == replace(DATABASE, password="of another start")  # noqa: S106 - made up
    listed = secrets.list_secrets()["SecretList"]
    assert [one["Name"] for one in listed].count(SECRET) == 1


@pytest.mark.parametrize("name", sorted(path.name for path in HOOKS.glob("*.py")))
def test_a_hook_that_cannot_reach_s3_or_secrets_says_so_in_a_sentence_and_fails(
    reached: dict[str, str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    nobody = "http://127.0.0.1:1"
    monkeypatch.setenv("AWS_ENDPOINT_URL", nobody)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(Exception, match="could not be") as caught:
        run_as_localstack_does(name)
    assert isinstance(caught.value.__cause__, BotoCoreError)
    done = run_by_hand(name)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert nobody in done.stderr
    password = Path(reached["TIDEGAUGE_DB_PASSWORD_FILE"]).read_text().strip()
    assert password not in done.stderr
