"""The function of train on a real database, a real S3 and a service that really trains."""

import importlib
import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.support.datasets import EXPORTS, FOLDER, MANIFEST_URI, store_dataset
from tests.support.live import until
from tests.support.standin import put_fault, running_standin
from tests.support.training import RULES
from tests.unit.test_app_contract import CONTEXT
from tests.unit.test_train_function import event
from tests.unit.test_train_step import NEWER, NEWER_URI
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.migrate import migrate
from tidegauge.adapters.mysql.models import MysqlModelLedger
from tidegauge.adapters.s3 import S3ObjectStore
from tidegauge.adapters.sagemaker_training import SageMakerTrainingJobs
from tidegauge.domain.errors import Transient
from tidegauge.domain.model_record import ModelState
from tidegauge.domain.training_job import VALIDATION_ERROR, JobStatus, TrainingJob
from tidegauge.settings import DatabaseSettings

if TYPE_CHECKING:
    from pathlib import Path

    from embedded.engine import EngineAddress
    from tidegauge.domain.model_record import ModelRecord

pytestmark = [pytest.mark.database, pytest.mark.engine]


class Services:
    """What the function works on, seen from outside."""

    def __init__(self, database_url: str, standin: str) -> None:
        self.standin = standin
        settings = DatabaseSettings(database_url=database_url)
        self.databases = [Database.from_settings(settings) for _ in range(2)]
        migrate(self.databases[0])
        self.objects = S3ObjectStore()
        self.jobs = SageMakerTrainingJobs()
        self.ledger = MysqlModelLedger(*self.databases, endpoint="tidegauge")

    def close(self) -> None:
        for database in self.databases:
            database.close()

    def records(self) -> "list[ModelRecord]":
        return [stored.record for stored in self.ledger.all()]

    def ended(self, name: str, status: JobStatus) -> TrainingJob:
        """Wait for the end of a job."""

        def ended() -> TrainingJob | None:
            job = self.jobs.describe(name)
            return job if job is not None and job.ended_ms is not None else None

        job = until(ended, seconds=60, what=f"the end of {name}")
        assert job.status is status, job.failure_reason
        return job


@pytest.fixture(scope="module")
def buckets(request: pytest.FixtureRequest) -> "EngineAddress":
    """The engine with a bucket of exports and one of models."""
    engine = cast("EngineAddress", request.getfixturevalue("engine"))
    for bucket in (EXPORTS, "models"):
        engine.session().s3.create_bucket(Bucket=bucket)
    return engine


@pytest.fixture
def services(
    buckets: "EngineAddress",
    fresh_database_url: str,
    tmp_path: "Path",
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Services]:
    """Everything empty but the buckets, and the function's environment."""
    with running_standin(s3=buckets.url, state=tmp_path) as standin:
        settings = {
            **buckets.environment,
            "AWS_ENDPOINT_URL_SAGEMAKER": standin,
            "DATABASE_URL": fresh_database_url,
            "ENDPOINT_NAME": "tidegauge",
            "MODELS_BUCKET": "models",
            "TRAINING_IMAGE": RULES.image,
            "TRAINING_ROLE_ARN": RULES.role_arn,
            "POWERTOOLS_SERVICE_NAME": "train",
            "POWERTOOLS_TRACE_DISABLED": "true",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        made = Services(fresh_database_url, standin)
        yield made
        made.close()


@pytest.fixture
def app(services: Services, monkeypatch: pytest.MonkeyPatch) -> ModuleType:  # noqa: ARG001
    """The function's module as a new process imports it, with its environment set."""
    monkeypatch.delitem(sys.modules, "retrain.train.app", raising=False)
    return importlib.import_module("retrain.train.app")


def ring(app: ModuleType, uri: str = MANIFEST_URI) -> dict[str, Any]:
    """Hand S3's notification of a manifest to the function."""
    answer: dict[str, Any] = app.handler(event(uri), CONTEXT)
    return answer


def test_a_dataset_becomes_a_model_and_the_next_one_copies_it(
    services: Services, app: ModuleType
) -> None:
    store_dataset(services.objects)
    assert ring(app) == {"started": 1}
    (first,) = services.records()
    assert (first.state, first.predecessor) == (ModelState.TRAINING, "")
    job = services.ended(first.version, JobStatus.COMPLETED)
    assert job.metrics[VALIDATION_ERROR] >= 0.0
    assert job.artifact_uri == f"s3://models/training/{first.version}/output/model.tar.gz"
    assert services.objects.look(job.artifact_uri) is not None
    assert job.spec.channel_uri("train") == f"{FOLDER}/train.csv"

    store_dataset(services.objects, NEWER_URI, **NEWER)
    assert ring(app, NEWER_URI) == {"started": 1}
    second = next(one for one in services.records() if one.manifest_uri == NEWER_URI)
    assert second.predecessor == first.version
    assert first.version in {one.origin for one in second.parameters}
    services.ended(second.version, JobStatus.COMPLETED)
    assert ring(app) == {"started": 0}  # the older one comes again, long after


def test_a_failed_job_and_other_peoples_jobs_are_passed_over(
    services: Services, app: ModuleType
) -> None:
    store_dataset(services.objects)
    ring(app)
    (first,) = services.records()
    spec = services.ended(first.version, JobStatus.COMPLETED).spec
    assert services.jobs.start("my-linear-learner", spec)
    services.ended("my-linear-learner", JobStatus.COMPLETED)
    put_fault(services.standin, fault="training", times=1)
    assert services.jobs.start("linear-learner-by-hand", spec)
    services.ended("linear-learner-by-hand", JobStatus.FAILED)
    store_dataset(services.objects, NEWER_URI, **NEWER)
    ring(app, NEWER_URI)
    second = next(one for one in services.records() if one.manifest_uri == NEWER_URI)
    assert second.predecessor == first.version


def test_an_event_that_comes_many_times_at_once_starts_one_job(
    services: Services, app: ModuleType
) -> None:
    store_dataset(services.objects)
    fronts = threading.Barrier(6)
    started: list[int] = []

    def handle() -> None:
        step = app.train_step.__wrapped__()  # a process of its own has a step of its own
        fronts.wait(timeout=30)
        started.append(step.run(MANIFEST_URI).decision == "started")

    threads = [threading.Thread(target=handle) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(started) == 6
    assert sum(started) == 1
    (record,) = services.records()
    services.ended(record.version, JobStatus.COMPLETED)


@pytest.mark.filterwarnings("ignore:No application metrics to publish")
def test_a_job_that_the_service_would_not_start_is_started_by_the_next_event(
    services: Services, app: ModuleType
) -> None:
    store_dataset(services.objects)
    put_fault(services.standin, fault="ThrottlingException", operation="CreateTrainingJob", times=3)
    with pytest.raises(Transient, match="starting training job"):
        ring(app)
    (noted,) = services.records()
    assert noted.state is ModelState.TRAINING
    assert services.jobs.describe(noted.version) is None
    assert ring(app) == {"started": 1}
    services.ended(noted.version, JobStatus.COMPLETED)


def test_a_failed_training_is_tried_again_when_its_manifest_is_stored_again(
    services: Services, app: ModuleType
) -> None:
    store_dataset(services.objects)
    put_fault(services.standin, fault="training", times=1)
    ring(app)
    (first,) = services.records()
    services.ended(first.version, JobStatus.FAILED)
    assert ring(app) == {"started": 0}
    stored = services.objects.look(MANIFEST_URI)
    assert stored is not None

    def stored_later() -> bool:
        store_dataset(services.objects)  # S3 tells the time of storing in whole seconds
        again = services.objects.look(MANIFEST_URI)
        return again is not None and again.modified_ms > stored.modified_ms

    until(stored_later, seconds=10, what="a later time of storing")
    assert ring(app) == {"started": 1}
    assert services.jobs.describe(f"{first.version}-2") is not None


def test_a_manifest_that_is_gone_is_refused_and_not_tried_again(
    services: Services, app: ModuleType
) -> None:
    gone = f"s3://{EXPORTS}/exports/gone/manifest.json"
    assert ring(app, gone) == {"started": 0}
    assert services.records() == []
