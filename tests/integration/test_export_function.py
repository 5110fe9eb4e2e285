"""The function of export on a real database and a real S3, as Lambda calls it."""

import gzip
import importlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from embedded.engine import EngineAddress
from tests.support.dataset_stores import STREAM_NAME, MysqlDatasetWorld, completed
from tests.support.exported import DAY, SIZE, START, days_of
from tests.support.year_of_windows import fill
from tidegauge.domain.errors import InvalidInput, Misconfigured
from tidegauge.domain.manifest import Manifest

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = [
    pytest.mark.database,
    pytest.mark.engine,
    pytest.mark.filterwarnings("ignore:No application metrics to publish"),
]

ROOT = Path(__file__).parents[2]
EVENT: dict[str, Any] = json.loads((ROOT / "retrain" / "export" / "event.json").read_text())
CONTEXT = SimpleNamespace(
    function_name="export",
    memory_limit_in_mb=1024,
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:export",
    aws_request_id="1",
)
MAX_PEAK_MB = 256


@pytest.fixture
def bucket(request: pytest.FixtureRequest) -> str:
    """A bucket that no other test uses."""
    return "export-" + "".join(c for c in request.node.name.lower() if c.isalnum())[:50]


@pytest.fixture
def s3(engine: EngineAddress, bucket: str) -> "S3Client":
    """The engine's S3 with that bucket."""
    client = engine.session().s3
    client.create_bucket(Bucket=bucket)
    return client


@pytest.fixture
def world(
    fresh_database_url: str,
    engine: EngineAddress,
    bucket: str,
    s3: "S3Client",  # noqa: ARG001 - has made the bucket
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[MysqlDatasetWorld]:
    """An empty database, and the function's environment."""
    settings = {
        **engine.environment,
        "DATABASE_URL": fresh_database_url,
        "EVENTS_STREAM": STREAM_NAME,
        "WINDOWS_STREAM": "windows",
        "EXPORTS_BUCKET": bucket,
        "ENDPOINT_NAME": "tidegauge",
        "POWERTOOLS_SERVICE_NAME": "export",
        "POWERTOOLS_TRACE_DISABLED": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    made = MysqlDatasetWorld(fresh_database_url)
    yield made
    made.database.close()


@pytest.fixture
def app(world: MysqlDatasetWorld, monkeypatch: pytest.MonkeyPatch) -> ModuleType:  # noqa: ARG001
    """The function's module as a new process imports it, with its environment set."""
    monkeypatch.delitem(sys.modules, "retrain.export.app", raising=False)
    return importlib.import_module("retrain.export.app")


def keys(s3: "S3Client", bucket: str) -> list[str]:
    return [found["Key"] for found in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_a_day_after_day_is_exported_and_asked_again_only_by_hand(
    world: MysqlDatasetWorld, app: ModuleType, s3: "S3Client", bucket: str
) -> None:
    generation = world.generation()
    world.announce(list(days_of(4, generation=generation)))
    late = completed(generation, "a", START, 77, revision=2, step_ms=START + SIZE, late=50)
    world.announce([late])
    world.close(generation, START + round(4.2 * DAY))
    answer = app.handler(EVENT, CONTEXT)
    assert answer["exported"] is True
    folder = answer["manifest"].removeprefix(f"s3://{bucket}/").removesuffix("manifest.json")
    assert folder.startswith("exports/20130111T000000Z-")
    assert sorted(keys(s3, bucket)) == sorted(
        folder + name
        for name in (
            "counts.csv.gz", "data_card.json", "manifest.json", "train.csv", "validation.csv",
        )
    )  # fmt: skip
    stored = {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys(s3, bucket)}
    manifest = Manifest.from_json(stored[f"{folder}manifest.json"])
    # Three days before the split, of which one and a half warm up.
    assert (manifest.train.rows, manifest.validation.rows) == (432, 288)
    lines = gzip.decompress(stored[f"{folder}counts.csv.gz"]).decode().splitlines()
    assert lines[1] == "a,2013-01-07T00:00:00Z,2013-01-07T00:05:00Z,77,2,50,complete,"
    assert len(lines) == 4 * 288 + 1

    again = app.handler(EVENT, CONTEXT)
    assert again["exported"] is False
    assert again["reason"].startswith("not due: the last dataset ends at 2013-01-11T00:00:00Z")
    assert app.handler({"force": True}, CONTEXT) == answer
    assert {
        key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys(s3, bucket)
    } == stored


def test_too_little_history_writes_nothing(
    world: MysqlDatasetWorld, app: ModuleType, s3: "S3Client", bucket: str
) -> None:
    assert app.handler(EVENT, CONTEXT)["reason"].startswith("too little history")
    generation = world.generation()
    world.announce(list(days_of(1.5, generation=generation)))
    world.close(generation, START + round(1.5 * DAY))
    assert app.handler({"force": True}, CONTEXT)["reason"].startswith("too little history")
    assert keys(s3, bucket) == []


@pytest.mark.usefixtures("world")
def test_a_wish_that_is_none_is_refused(app: ModuleType) -> None:
    with pytest.raises(InvalidInput, match="must be true or false, not 'yes'"):
        app.handler({"force": "yes"}, CONTEXT)


def test_a_bucket_that_is_missing_is_raised_and_nothing_is_noted(
    world: MysqlDatasetWorld, app: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPORTS_BUCKET", "nobodys-bucket")
    generation = world.generation()
    world.announce(list(days_of(4, generation=generation)))
    world.close(generation, START + 4 * DAY)
    with pytest.raises(Misconfigured, match="nobodys-bucket"):
        app.handler(EVENT, CONTEXT)
    history = world.store.history()
    assert history is not None
    assert world.store.latest(history.stream_arn) is None


def test_of_two_at_once_one_exports_and_the_other_says_so(
    world: MysqlDatasetWorld, app: ModuleType, s3: "S3Client", bucket: str
) -> None:
    generation = world.generation()
    world.announce(list(days_of(4, generation=generation)))
    world.close(generation, START + 4 * DAY)
    first, second = app.export_step(), app.export_step.__wrapped__()
    answers: list[Any] = []

    def told(done: int, _of: int) -> None:
        # In the middle of the first one.
        if done == 0:
            other = threading.Thread(target=lambda: answers.append(second.run(force=True)))
            other.start()
            other.join()

    outcome = first.run(force=True, told=told)
    assert outcome.exported
    (answer,) = answers
    assert (answer.exported, answer.reason) == (False, "another export is running")
    assert len(keys(s3, bucket)) == 5
    # The lock is free again.
    assert second.run(force=True).manifest_uri == outcome.manifest_uri


def export_in_a_process(*arguments: str) -> dict[str, Any]:
    ran = subprocess.run(  # noqa: S603 - our own interpreter and words
        [sys.executable, "-m", "tests.support.export_run", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "localstack")])},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert ran.returncode == 0, ran.stderr
    told: dict[str, Any] = json.loads(ran.stderr)
    return told


def test_a_year_of_one_series_is_exported_in_little_memory(
    world: MysqlDatasetWorld, s3: "S3Client", bucket: str
) -> None:
    generation = world.generation()
    fill(world, generation, "a", from_ms=START, windows=365 * 288)
    world.close(generation, START + 365 * DAY)
    answer = export_in_a_process()
    assert answer["exported"] is True
    assert answer["peak_mb"] < MAX_PEAK_MB
    manifest = manifest_at(s3, bucket, answer["manifest"])
    assert manifest.counts.rows == 365 * 288
    assert manifest.train.rows == (365 - 7 - 7) * 288
    assert manifest.validation.rows == 7 * 288


@pytest.mark.usefixtures("world")
def test_years_of_many_series_are_exported_in_little_memory(s3: "S3Client", bucket: str) -> None:
    answer = export_in_a_process("8")
    assert answer["exported"] is True
    assert answer["peak_mb"] < MAX_PEAK_MB
    manifest = manifest_at(s3, bucket, answer["manifest"])
    assert manifest.counts.rows == 8 * 365 * 288
    assert (manifest.train.rows, manifest.validation.rows) == (200_000, 8 * 7 * 288)


def manifest_at(s3: "S3Client", bucket: str, uri: str) -> Manifest:
    key = uri.removeprefix(f"s3://{bucket}/")
    return Manifest.from_json(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
