"""The contract of `ports.TrainingJobs`, on memory and on the stand-in that really trains."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, cast

import pytest
from msgspec.structs import replace

from tests.support.live import until
from tests.support.standin import AWS_ENVIRONMENT, put_fault, running_standin
from tidegauge.adapters.clock import SystemClock
from tidegauge.adapters.memory_training import MemoryTrainingJobs
from tidegauge.adapters.sagemaker_training import SageMakerTrainingJobs
from tidegauge.domain.errors import Misconfigured, Transient
from tidegauge.domain.training_job import (
    VALIDATION_ERROR,
    Channel,
    JobSpec,
    JobStatus,
    TrainingJob,
)
from tidegauge.ports import TrainingJobs

if TYPE_CHECKING:
    from pathlib import Path

    from embedded.engine import EngineAddress

BUCKET = "training-contract"
SPEC = JobSpec(
    hyperparameters={
        "predictor_type": "regressor",
        "loss": "huber_loss",
        "feature_dim": "1",
        "mini_batch_size": "8",
    },
    channels=(
        Channel("train", f"s3://{BUCKET}/data/train.csv"),
        Channel("validation", f"s3://{BUCKET}/data/validation.csv"),
    ),
    output_uri=f"s3://{BUCKET}/training",
    configuration={
        "AlgorithmSpecification": {
            "TrainingImage": "438346466558.dkr.ecr.eu-west-1.amazonaws.com/linear-learner:1",
            "TrainingInputMode": "File",
        },
        "ResourceConfig": {
            "InstanceType": "ml.m5.large",
            "InstanceCount": 1,
            "VolumeSizeInGB": 10,
        },
        "RoleArn": "arn:aws:iam::000000000000:role/training",
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1", "subnet-2"]},
        "EnableNetworkIsolation": True,
        "Environment": {"NAME": "value"},
        "OutputDataConfig": {"KmsKeyId": "alias/models"},
    },
)


class Services(Protocol):
    """One implementation under test, and what its service does by itself."""

    jobs: TrainingJobs

    def complete(self, name: str, spec: JobSpec = SPEC) -> TrainingJob:
        """Start a job that ends well, and wait for its end."""
        ...

    def fail(self, name: str) -> TrainingJob:
        """Start a job that fails, and wait for its end."""
        ...

    def stop(self, name: str) -> TrainingJob:
        """Start a job, stop it, and wait for its end."""
        ...


class InMemory:
    """The jobs in memory."""

    def __init__(self) -> None:
        self.memory = MemoryTrainingJobs(SystemClock())
        self.jobs: TrainingJobs = self.memory

    def complete(self, name: str, spec: JobSpec = SPEC) -> TrainingJob:
        assert self.jobs.start(name, spec)
        self.memory.complete(name, {VALIDATION_ERROR: 0.5})
        return described(self.jobs, name)

    def fail(self, name: str) -> TrainingJob:
        assert self.jobs.start(name, SPEC)
        self.memory.break_off(name, JobStatus.FAILED, "no memory")
        return described(self.jobs, name)

    def stop(self, name: str) -> TrainingJob:
        assert self.jobs.start(name, SPEC)
        self.memory.break_off(name, JobStatus.STOPPED)
        return described(self.jobs, name)


class OnTheStandIn:
    """The jobs of the stand-in, by boto3; names come two to a page."""

    def __init__(self, address: str) -> None:
        import boto3

        self._address = address
        self._client = boto3.client("sagemaker", endpoint_url=address)
        self.jobs: TrainingJobs = SageMakerTrainingJobs(client=self._client, page_size=2)

    def complete(self, name: str, spec: JobSpec = SPEC) -> TrainingJob:
        assert self.jobs.start(name, spec)
        return self._ended(name, JobStatus.COMPLETED)

    def fail(self, name: str) -> TrainingJob:
        put_fault(self._address, fault="training", times=1, reason="no memory")
        assert self.jobs.start(name, SPEC)
        return self._ended(name, JobStatus.FAILED)

    def stop(self, name: str) -> TrainingJob:
        assert self.jobs.start(name, SPEC)
        self._client.stop_training_job(TrainingJobName=name)
        return self._ended(name, JobStatus.STOPPED)

    def _ended(self, name: str, status: JobStatus) -> TrainingJob:
        def ended() -> TrainingJob | None:
            job = described(self.jobs, name)
            return job if job.ended_ms is not None else None

        job = until(ended, seconds=60, what=f"the end of {name}")
        assert job.status is status, job.failure_reason
        return job


def described(jobs: TrainingJobs, name: str) -> TrainingJob:
    job = jobs.describe(name)
    assert job is not None
    return job


@pytest.fixture(scope="module")
def standin(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    engine = cast("EngineAddress", request.getfixturevalue("engine"))
    s3 = engine.session().s3
    s3.create_bucket(Bucket=BUCKET)
    rows = b"".join(b"%d.5,%d.0\n" % (number, number) for number in range(16))
    for name in ("train", "validation"):
        s3.put_object(Bucket=BUCKET, Key=f"data/{name}.csv", Body=rows)
    state: Path = tmp_path_factory.mktemp("standin")
    # A second is long enough to stop a job while it trains.
    with running_standin(s3=engine.url, state=state, training_seconds=1.0) as address:
        yield address


@pytest.fixture(params=["memory", pytest.param("standin", marks=pytest.mark.engine)])
def services(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Services:
    """Each implementation in turn."""
    if request.param == "memory":
        return InMemory()
    for name, value in AWS_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return OnTheStandIn(cast("str", request.getfixturevalue("standin")))


def test_a_job_that_nobody_started_is_none(services: Services) -> None:
    assert services.jobs.describe("nobody-knows-it") is None


def test_a_started_job_is_described_as_it_was_asked_for(services: Services) -> None:
    before_ms = SystemClock().now_ms()
    assert services.jobs.start("asked", SPEC)
    job = described(services.jobs, "asked")
    assert job.name == "asked"
    assert job.spec == SPEC
    assert job.status is JobStatus.IN_PROGRESS
    assert abs(job.created_ms - before_ms) < 60_000
    assert (job.ended_ms, job.artifact_uri, job.metrics) == (None, "", {})


def test_a_name_is_taken_once(services: Services) -> None:
    assert services.jobs.start("once", SPEC)
    other = replace(SPEC, output_uri=f"s3://{BUCKET}/elsewhere")
    assert not services.jobs.start("once", other)
    assert described(services.jobs, "once").spec == SPEC


def test_a_job_that_ended_well_names_its_artifact_and_its_error(services: Services) -> None:
    job = services.complete("well")
    assert job.status is JobStatus.COMPLETED
    assert job.artifact_uri == f"{SPEC.output_uri}/well/output/model.tar.gz"
    assert job.metrics[VALIDATION_ERROR] >= 0.0
    assert job.ended_ms is not None
    assert job.ended_ms >= job.created_ms


def test_a_job_that_failed_says_why(services: Services) -> None:
    job = services.fail("failing")
    assert job.status is JobStatus.FAILED
    assert "no memory" in job.failure_reason


def test_completed_jobs_are_listed_newest_first_and_no_others(services: Services) -> None:
    """Failed and stopped ones and those that run are left out, on whatever page they lie."""
    names = ["listed-b", "listed-a", "old-listed", "listed-d", "listed-c"]
    services.complete(names[0])
    services.fail("listed-failed")
    services.complete(names[1])
    services.complete(names[2])  # holds the text, does not begin with it
    services.stop("listed-stopped")
    services.complete(names[3])
    services.complete(names[4])
    assert services.jobs.start("listed-runs", SPEC)
    assert list(services.jobs.completed(containing="listed")) == names[::-1]
    assert list(services.jobs.completed(containing="listed-b")) == ["listed-b"]
    assert list(services.jobs.completed(containing="unlisted")) == []


@pytest.mark.engine
def test_what_sagemaker_refuses_is_for_a_person_to_mend(
    standin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in AWS_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    jobs = OnTheStandIn(standin).jobs
    configuration = {name: part for name, part in SPEC.configuration.items() if name != "RoleArn"}
    with pytest.raises(Misconfigured, match="starting training job refused failed"):
        jobs.start("refused", replace(SPEC, configuration=configuration))
    assert jobs.describe("refused") is None


def test_a_service_that_cannot_be_reached_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in AWS_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    # Port 9 (discard): nobody listens there.
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", "http://127.0.0.1:9")
    jobs = SageMakerTrainingJobs()
    with pytest.raises(Transient, match="describing training job x failed"):
        jobs.describe("x")
    with pytest.raises(Transient, match="starting training job x failed"):
        jobs.start("x", SPEC)
    with pytest.raises(Transient, match="listing training jobs"):
        next(jobs.completed(containing="x"))
