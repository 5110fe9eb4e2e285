"""The doctor on the embedded engine and MariaDB, with things broken for real."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from zlib import crc32

import pytest

from embedded.database import url_of
from embedded.engine import EngineAddress
from embedded.processes import free_port
from tests.support.command import Command, Ran
from tests.support.deployment import Deployment, secret_text
from tests.support.models import first_feature_model
from tests.support.races import connection_to
from tests.support.standin import running_standin
from tidegauge.adapters.model_file import pack_model
from tidegauge.adapters.mysql.migrate import migrate
from tidegauge.adapters.mysql.models import MysqlModelLedger
from tidegauge.domain.model_record import ModelRecord, ModelState
from tidegauge.ports import ModelChange
from tidegauge.settings import DatabaseAddress

pytestmark = [pytest.mark.engine, pytest.mark.database]

NAMES = ("EVENTS_STREAM", "WINDOWS_STREAM", "ALERTS_TOPIC_ARN", "DATABASE_URL", "ENDPOINT_NAME")

SERVED, MODEL = "served", "a-model"


@pytest.fixture
def database(fresh_database_url: str) -> DatabaseAddress:
    with connection_to(fresh_database_url) as connection:
        migrate(connection)
    return DatabaseAddress.from_url(fresh_database_url)


@pytest.fixture
def deployment(
    engine: EngineAddress, database: DatabaseAddress, request: pytest.FixtureRequest
) -> Deployment:
    return Deployment(engine, f"doctor{crc32(request.node.name.encode())}", database)


@pytest.fixture(scope="module")
def sagemaker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    models = tmp_path_factory.mktemp("models")
    (models / f"{SERVED}.tar.gz").write_bytes(pack_model(first_feature_model(MODEL)))
    with running_standin(models) as address:
        yield address


@pytest.fixture
def doctor(
    deployment: Deployment,
    sagemaker: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> "Doctor":
    for name in (*NAMES, "DATABASE_SECRET_ARN", "HEARTBEATS", "WINDOW_SECONDS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in deployment.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", sagemaker)
    return Doctor(Command(monkeypatch, capsys), monkeypatch)


class Doctor:
    """Runs the command and remembers what it found."""

    def __init__(self, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        self.command = command
        self.set = monkeypatch.setenv

    def __call__(self) -> Ran:
        return self.command("doctor", "--json")

    def wrong(self) -> dict[str, str]:
        """Return what is wrong, with its sentence and remedy; the command says so by its code."""
        ran = self()
        findings = ran.told["findings"]
        assert ran.code == 1
        assert ran.err == ""
        assert not ran.told["sound"]
        return {
            finding["what"]: f"{finding['says']} -> {finding['remedy']}"
            for finding in findings
            if finding["level"] == "wrong"
        }


def test_a_deployment_that_is_whole_is_sound(doctor: Doctor, database: DatabaseAddress) -> None:
    ran = doctor()
    assert (ran.code, ran.err, ran.told["sound"]) == (0, "", True)
    by_level: dict[str, set[str]] = {}
    for finding in ran.told["findings"]:
        by_level.setdefault(finding["level"], set()).add(finding["what"])
    # nobody is subscribed, nothing is counted, and there is no model
    assert by_level["warning"] == {"topic", "counting", "endpoint"}
    # the engine tells no tumbling window
    assert by_level["not checked"] <= {"one clock", "event source mapping"}
    ok = {"roles", "schedule", "functions", "schema", "clock", "retraining"}
    assert ok <= by_level["ok"]
    assert database.password not in ran.out


def test_people_are_shown_a_table_that_fits_their_terminal(
    doctor: Doctor,
) -> None:
    doctor.set("COLUMNS", "80")
    ran = doctor.command("doctor")
    assert ran.code == 0
    assert max(len(line) for line in ran.out.splitlines()) <= 80
    assert "→ subscribe people" in ran.out
    assert ran.out.splitlines()[-1].endswith("not checked")


def test_a_mapping_with_two_batches_of_a_shard_at_once(
    doctor: Doctor, deployment: Deployment
) -> None:
    deployment.client("lambda").update_event_source_mapping(
        UUID=deployment.mapping, ParallelizationFactor=2
    )
    (found,) = doctor.wrong().items()
    assert found[0] == "event source mapping"
    assert f"update-event-source-mapping --uuid {deployment.mapping}" in found[1]


def test_a_mapping_that_is_disabled(doctor: Doctor, deployment: Deployment) -> None:
    deployment.client("lambda").update_event_source_mapping(UUID=deployment.mapping, Enabled=False)
    assert "counting stands still" in doctor.wrong()["event source mapping"]


def test_a_schedule_that_is_disabled(doctor: Doctor, deployment: Deployment) -> None:
    deployment.client("events").disable_rule(Name=deployment.rules["sweep"])
    assert f"enable-rule --name {deployment.rules['sweep']}" in doctor.wrong()["schedule"]


def test_a_stream_that_is_missing(doctor: Doctor) -> None:
    doctor.set("EVENTS_STREAM", "nobody")
    wrong = doctor.wrong()
    assert set(wrong) == {"events stream", "functions"}
    assert "EVENTS_STREAM" in wrong["events stream"]


def test_a_topic_that_is_missing(doctor: Doctor, deployment: Deployment) -> None:
    deployment.client("sns").delete_topic(TopicArn=deployment.topic)
    assert "does not exist" in doctor.wrong()["topic"]


def test_a_role_that_lost_its_policy(doctor: Doctor, deployment: Deployment) -> None:
    deployment.forbid("sweep")
    wrong = doctor.wrong()
    assert set(wrong) == {"roles"}, wrong
    assert f"role/{deployment.role('sweep')}" in wrong["roles"]


def test_a_role_that_may_do_anything_is_not_called_sound(
    doctor: Doctor, deployment: Deployment
) -> None:
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    deployment.client("iam").put_role_policy(
        RoleName=deployment.role("collect"),
        PolicyName="more",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    roles = [f for f in doctor().told["findings"] if f["what"] == "roles"]
    assert [finding["level"] for finding in roles] == ["not checked"] + ["ok"] * 5


def put_secret(deployment: Deployment, address: DatabaseAddress) -> None:
    deployment.client("secretsmanager").put_secret_value(
        SecretId=deployment.secret, SecretString=secret_text(address)
    )


def test_a_wrong_password_in_the_secret(
    doctor: Doctor, deployment: Deployment, database: DatabaseAddress
) -> None:
    put_secret(deployment, replace(database, password="n0t-this-one"))  # noqa: S106
    wrong = doctor.wrong()
    assert set(wrong) == {"database"}
    assert "refuses this account or password" in wrong["database"]
    assert "n0t-this-one" not in repr(wrong)


def test_a_database_that_does_not_listen(
    doctor: Doctor, deployment: Deployment, database: DatabaseAddress
) -> None:
    put_secret(deployment, replace(database, port=free_port()))
    assert "cannot be reached" in doctor.wrong()["database"]


def test_a_database_that_does_not_exist(
    doctor: Doctor, deployment: Deployment, database: DatabaseAddress
) -> None:
    put_secret(deployment, replace(database, database="nobody"))
    assert set(doctor.wrong()) == {"database"}


def test_a_schema_that_was_never_made(doctor: Doctor, database_url: str) -> None:
    doctor.set("DATABASE_URL", database_url)
    with connection_to(database_url) as connection, connection.transaction() as cursor:
        cursor.execute("DROP TABLE IF EXISTS schema_migration")
    assert "tidegauge migrate" in doctor.wrong()["schema"]


def endpoint_found(ran: Ran) -> tuple[str, str]:
    (found,) = [f for f in ran.told["findings"] if f["what"] == "endpoint"]
    return found["level"], found["says"]


def note(database: DatabaseAddress, endpoint: str, version: str, state: ModelState) -> None:
    """Write down where a model is, as train and deploy do."""
    record = ModelRecord(version=version, endpoint=endpoint, state=state, until_ms=0)
    with connection_to(url_of(database)) as connection:
        ledger = MysqlModelLedger(connection, connection, endpoint=endpoint)
        assert ledger.write([ModelChange(record, was=None)])


def test_an_endpoint_that_waits_for_its_first_model_is_no_fault(
    doctor: Doctor, database: DatabaseAddress, deployment: Deployment
) -> None:
    ran = doctor()
    assert ran.code == 0
    level, says = endpoint_found(ran)
    assert level == "warning"
    assert says.startswith(f"{deployment.name} waits for its first model")
    note(database, deployment.name, "model-1", ModelState.REFUSED)
    note(database, "of-another-stack", "model-0", ModelState.LIVE)
    assert "model-1 was refused" in endpoint_found(doctor())[1]


def test_an_endpoint_that_is_missing_and_had_a_model_is_a_fault(
    doctor: Doctor, database: DatabaseAddress, deployment: Deployment
) -> None:
    note(database, deployment.name, "model-1", ModelState.RETIRED)
    note(database, deployment.name, "model-2", ModelState.LIVE)
    wrong = doctor.wrong()
    assert set(wrong) == {"endpoint"}
    assert "model-2 was live on it" in wrong["endpoint"]
    assert "tidegauge rollback VERSION" in wrong["endpoint"]


def test_an_endpoint_is_held_against_the_model_that_should_answer(
    doctor: Doctor, database: DatabaseAddress
) -> None:
    doctor.set("ENDPOINT_NAME", SERVED)
    level, says = endpoint_found(doctor())
    assert level == "ok"
    variant = says.rpartition(" ")[2]
    note(database, SERVED, "model-1", ModelState.LIVE)
    level, says = endpoint_found(doctor())
    assert (level, variant in says, "model-1" in says) == ("warning", True, True)


def test_a_bucket_that_calls_nobody(doctor: Doctor, deployment: Deployment) -> None:
    deployment.client("s3").put_bucket_notification_configuration(
        Bucket=deployment.buckets["models"], NotificationConfiguration={}
    )
    wrong = doctor.wrong()
    assert set(wrong) == {"retraining"}
    assert f"{deployment.buckets['models']} does not call deploy" in wrong["retraining"]


def test_a_bucket_that_calls_somebody_else(doctor: Doctor, deployment: Deployment) -> None:
    deployment.call("exports", "deploy", "exports/", "/manifest.json")
    assert "does not call train" in doctor.wrong()["retraining"]


def test_an_export_that_nobody_asks_for_is_a_choice(doctor: Doctor, deployment: Deployment) -> None:
    deployment.client("events").disable_rule(Name=deployment.rules["export"])
    ran = doctor()
    assert ran.code == 0
    chain = [f["level"] for f in ran.told["findings"] if f["what"] == "retraining"]
    assert chain == ["warning", "ok", "ok", "ok"]


def test_a_cloud_that_does_not_answer_is_given_up_in_seconds(
    doctor: Doctor, database: DatabaseAddress
) -> None:
    doctor.set("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    doctor.set("DATABASE_URL", url_of(database))
    wrong = doctor.wrong()
    assert set(wrong) == {"AWS account"}
    findings: list[dict[str, Any]] = doctor().told["findings"]
    assert [f["level"] for f in findings if f["what"] == "schema"] == ["ok"]


def test_without_a_stream_and_without_a_stack_the_command_is_misused(
    doctor: Doctor, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EVENTS_STREAM")
    monkeypatch.setenv("TIDEGAUGE_STATE", str(tmp_path / "run"))
    monkeypatch.setenv("TIDEGAUGE_LIVE_STATE", str(tmp_path / "live"))
    ran = doctor()
    assert (ran.code, ran.out) == (2, "")
    assert "EVENTS_STREAM" in ran.err
