"""The slower circle on the deployed stack: one model followed from export to prediction, and on."""

import hashlib
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
import numpy as np
import pytest
from pymysql.cursors import Cursor

from embedded import results
from embedded.circle import ledger_on
from embedded.local import Running
from embedded.report import Report
from embedded.run import HISTORY_UNTIL_MS, events_stream
from tests.support.command import Command
from tidegauge.adapters.model_file import unpack_model
from tidegauge.adapters.mysql.models import MysqlModelLedger
from tidegauge.cli.reached import reached_in
from tidegauge.domain.features import feature_matrix
from tidegauge.domain.manifest import Manifest
from tidegauge.domain.model_record import ModelRecord, ModelState
from tidegauge.domain.prediction import expected_of
from tidegauge.domain.window import MINUTE_MS

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

SIZE_MS = 5 * MINUTE_MS
PATIENCE_SECONDS = 60.0
T = TypeVar("T")
_TIME = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', window_start) DIV 1000"


@dataclass(frozen=True)
class Circle:
    """The stack behind its first circle."""

    running: Running
    ledger: MysqlModelLedger
    sagemaker: "SageMakerClient"
    first: ModelRecord
    generation: int

    def jobs(self) -> list[str]:
        listed = self.sagemaker.list_training_jobs(MaxResults=100)
        return [job["TrainingJobName"] for job in listed["TrainingJobSummaries"]]

    def object(self, uri: str) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return self.running.engine.session().s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def invoke(self, function: str, event: dict[str, Any]) -> dict[str, Any]:
        answer = self.running.engine.session().functions.invoke(
            FunctionName=function, Payload=json.dumps(event).encode()
        )
        assert "FunctionError" not in answer, answer["Payload"].read()
        told: dict[str, Any] = json.loads(answer["Payload"].read())
        return told

    @contextmanager
    def fault(self, what: dict[str, Any]) -> Iterator[None]:
        """Let something go wrong in SageMaker until the block ends."""
        url = f"{self.running.sagemaker_url}/_standin/faults"
        _request(url, "PUT", json.dumps(what).encode())
        try:
            yield
        finally:
            _request(url, "DELETE")

    def noted(self, manifest_uri: str) -> str:
        """Return the model of a dataset, once train has noted it."""
        return _once(
            lambda: next(
                (
                    one.record.version
                    for one in self.ledger.all()
                    if one.record.manifest_uri == manifest_uri
                ),
                None,
            )
        )

    def until_job_is(self, status: str, name: str) -> None:
        """Wait until a training job has a status."""

        def reached() -> bool | None:
            if name not in self.jobs():
                return None
            job = self.sagemaker.describe_training_job(TrainingJobName=name)
            return job["TrainingJobStatus"] == status or None

        _once(reached)

    def until_a_second_after(self, uri: str) -> None:
        """Wait until an object that is stored now is younger for S3, which knows whole seconds."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        stored = self.running.engine.session().s3.head_object(Bucket=bucket, Key=key)
        stored_s = stored["LastModified"].timestamp()
        _once(lambda: time.time() >= stored_s + 1.0 or None)

    def notices(self, queue_url: str, number: int) -> list[str]:
        """Return what a queue heard about models, once it heard so much."""
        heard: list[str] = []

        def enough() -> list[str] | None:
            heard.extend(results.take_messages(self.running, queue_url)[1])
            return heard if len(heard) >= number else None

        return _once(enough)

    def stored(self, uri: str) -> dict[str, Any]:
        """Return S3's notification of an object, as it was sent when that was stored."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        head = self.running.engine.session().s3.head_object(Bucket=bucket, Key=key)
        thing = {"key": key, "size": head["ContentLength"], "eTag": head["ETag"].strip('"')}
        return {
            "Records": [
                {
                    "eventVersion": "2.1",
                    "eventSource": "aws:s3",
                    "eventName": "ObjectCreated:Put",
                    "eventTime": "2026-01-01T00:00:00.000Z",
                    "s3": {"bucket": {"name": bucket}, "object": {**thing, "sequencer": "00"}},
                }
            ]
        }


@pytest.fixture(scope="module")
def circle(stack: Running, storm: Report) -> Iterator[Circle]:
    """The stack once the storm was judged by its first model."""
    assert len(storm.models) == 1
    database, lock = stack.connect(), stack.connect()
    ledger = ledger_on(database, lock)
    first = ledger.get(storm.models[0].version)
    assert first is not None
    with database.transaction() as cursor:
        generation = results.generation_of(cursor, events_stream(stack).identity())
    assert generation is not None
    client = boto3.client(
        "sagemaker",
        endpoint_url=stack.sagemaker_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - the stand-in takes any
    )
    yield Circle(stack, ledger, client, first.record, generation)
    client.close()
    database.close()
    lock.close()


@pytest.fixture
def command(
    stack: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """The command, reaching the stack as it reaches a local one."""
    for name, value in reached_in("the stack under test", stack).variables.items():
        monkeypatch.setenv(name, value)
    return Command(monkeypatch, capsys)


def _once(found: Callable[[], T | None]) -> T:
    """Return what is found once it is there."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (answer := found()) is None:
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return answer


def _request(url: str, method: str, body: bytes | None = None) -> None:
    request = urllib.request.Request(url, data=body, method=method)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        assert answer.status < 300


def rows_of(circle: Circle, statement: str, *values: object) -> list[tuple[Any, ...]]:
    database = circle.running.connect()
    try:
        with database.transaction() as cursor:
            return _fetched(cursor, statement, values)
    finally:
        database.close()


def _fetched(cursor: Cursor, statement: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
    cursor.execute(statement, values)
    return list(cursor.fetchall())


def test_one_model_from_the_export_to_the_predictions_that_name_it(circle: Circle) -> None:
    record, sagemaker = circle.first, circle.sagemaker
    version = record.version

    # The dataset: its manifest tells the truth about its files.
    manifest = Manifest.from_json(circle.object(record.manifest_uri))
    folder = record.manifest_uri.rpartition("/")[0]
    for file in (manifest.train, manifest.validation, manifest.counts, manifest.data_card):
        data = circle.object(f"{folder}/{file.name}")
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size_bytes, file.sha256)
    assert manifest.until_ms == record.until_ms == HISTORY_UNTIL_MS

    # The job: trained on those files, by parameters whose origins are known.
    job = sagemaker.describe_training_job(TrainingJobName=version)
    channels = {
        channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"]
        for channel in job["InputDataConfig"]
    }
    assert channels == {
        "train": f"{folder}/{manifest.train.name}",
        "validation": f"{folder}/{manifest.validation.name}",
    }
    metrics = {one["MetricName"]: one["Value"] for one in job["FinalMetricDataList"]}
    assert record.error == pytest.approx(metrics["validation:absolute_loss"], rel=1e-6)
    assert record.error is not None
    assert record.error < manifest.baseline_error == record.baseline_error
    told = {one.name: (one.value, one.origin) for one in record.parameters}
    assert told["HyperParameters.loss"] == ("huber_loss", "settings")
    assert told["HyperParameters.feature_dim"] == ("31", "data")

    # The model: a verified copy of what the job stored, behind a variant of that name.
    artifact = circle.object(record.artifact_uri)
    assert artifact == circle.object(job["ModelArtifacts"]["S3ModelArtifacts"])
    assert hashlib.sha256(artifact).hexdigest() == record.artifact_sha256
    assert record.artifact_sha256 in record.artifact_uri
    endpoint = sagemaker.describe_endpoint(EndpointName=record.endpoint)
    config = sagemaker.describe_endpoint_config(EndpointConfigName=record.config)
    (variant,) = config["ProductionVariants"]
    assert endpoint["EndpointStatus"] == "InService"
    assert (variant["VariantName"], endpoint["EndpointConfigName"]) == (version, record.config)
    model = sagemaker.describe_model(ModelName=variant["ModelName"])
    assert model["PrimaryContainer"]["ModelDataUrl"] == record.artifact_uri

    # The predictions: each names it, and is what it says of the counts before.
    generation = circle.generation
    named = rows_of(
        circle,
        f"SELECT {_TIME}, expected, model_version FROM prediction"  # noqa: S608
        " WHERE generation = %s AND status = 'ok' ORDER BY window_start",
        generation,
    )
    assert {name for _, _, name in named} == {version}
    assert named[0][0] >= HISTORY_UNTIL_MS
    counted = rows_of(
        circle,
        f"SELECT {_TIME}, count FROM completed_window"  # noqa: S608
        " WHERE generation = %s ORDER BY window_start",
        generation,
    )
    counts = np.array([count for _, count in counted], dtype=np.float64)
    first_row = int((named[0][0] - counted[0][0]) // SIZE_MS)
    features = feature_matrix(
        counts, first_window_ms=int(counted[0][0]), size_ms=SIZE_MS, first_row=first_row
    )
    scores = unpack_model(artifact).score(features).tolist()
    assert [expected for _, expected, _ in named] == [expected_of(score) for score in scores]


def test_before_there_was_a_model_windows_say_so(circle: Circle) -> None:
    reasons = rows_of(
        circle,
        "SELECT DISTINCT verdict, reason FROM prediction"
        " WHERE generation = %s AND window_start < FROM_UNIXTIME(%s)",
        circle.generation,
        HISTORY_UNTIL_MS // 1000,
    )
    assert set(reasons) <= {("NOT_JUDGED", "no model"), ("NOT_JUDGED", "too little history")}
    assert ("NOT_JUDGED", "no model") in reasons


def test_people_were_told_that_it_is_live(storm: Report, circle: Circle) -> None:
    (notice,) = storm.notices
    assert circle.first.version in notice
    assert "live" in notice


def test_doubled_events_start_no_second_job_and_deploy_nothing_twice(circle: Circle) -> None:
    jobs, models = circle.jobs(), circle.ledger.all()
    artifact = circle.sagemaker.describe_training_job(TrainingJobName=circle.first.version)[
        "ModelArtifacts"
    ]["S3ModelArtifacts"]
    outputs = circle.running.outputs
    for _ in range(2):
        circle.invoke(outputs.train_function_name, circle.stored(circle.first.manifest_uri))
        circle.invoke(outputs.deploy_function_name, circle.stored(artifact))
    assert circle.jobs() == jobs
    assert circle.ledger.all() == models


def test_a_failed_training_is_told_and_the_next_attempt_copies_the_last_good_job(
    circle: Circle, command: Command
) -> None:
    queue_url = results.subscribe_queue(circle.running, "retraining-tests")
    with circle.fault({"fault": "training", "times": 1, "reason": "the disk was full"}):
        asked = command("retrain", "--json").told
        version = circle.noted(asked["manifest_uri"])
        circle.until_job_is("Failed", version)
    # A failed job stores nothing that would call deploy: the schedule's next run finds it.
    circle.invoke(circle.running.outputs.deploy_function_name, {"source": "aws.events"})
    failed = circle.ledger.get(version)
    assert failed is not None
    assert failed.record.state is ModelState.FAILED
    assert "the disk was full" in failed.record.reasons[0]

    circle.until_a_second_after(asked["manifest_uri"])
    again = command("retrain", "--wait", "--json")
    assert again.told["manifest_uri"] == asked["manifest_uri"]
    assert again.told["manifest"] == asked["manifest"]
    model = again.told["model"]
    assert model["version"] == f"{version}-2"
    assert model["predecessor"] == circle.first.version
    told = {one["name"]: one["origin"] for one in model["parameters"]}
    assert told["HyperParameters.loss"] == circle.first.version
    assert told["HyperParameters.feature_dim"] == "data"
    assert (again.code, model["state"]) == (0, "live")
    assert model["champion"] == circle.first.version
    assert model["error"] < model["champion_error"]

    notices = circle.notices(queue_url, 2)
    assert version in notices[0]
    assert model["version"] in notices[1]


def test_the_storm_is_left_out_of_training_and_listed(circle: Circle, command: Command) -> None:
    told = command("retrain", "--json").told
    folder = told["manifest_uri"].rpartition("/")[0]
    card = json.loads(circle.object(f"{folder}/data_card.json"))
    outages = [one for one in card["exclusions"] if one["kind"] == "outage"]
    assert [one["from"][:10] for one in outages] == ["2013-02-08"]
    assert told["excluded_windows"] >= 12 * 12


def test_a_model_that_was_live_is_live_again_by_hand_and_predictions_name_it(
    circle: Circle, command: Command
) -> None:
    live = command("retrain", "--wait", "--json").told["model"]["version"]
    assert live != circle.first.version
    refused = command("rollback", live, "--yes")
    assert refused.code == 2
    assert "live already" in refused.err
    ran = command("rollback", circle.first.version, "--yes", "--json")
    assert ran.code == 0, ran.err
    states = {one.record.version: one.record.state for one in circle.ledger.all()}
    assert states[circle.first.version] is ModelState.LIVE
    assert states[live] is ModelState.RETIRED
    endpoint = circle.sagemaker.describe_endpoint(EndpointName=circle.first.endpoint)
    assert endpoint["ProductionVariants"][0]["VariantName"] == circle.first.version
