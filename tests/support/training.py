"""A world in which datasets are trained on: objects, jobs and a ledger in memory."""

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from tests.support.datasets import EXPORTS, MANIFEST_URI, store_dataset
from tests.support.diagnosis import ManualClock
from tidegauge.adapters.memory_models import MemoryModelLedger
from tidegauge.adapters.memory_objects import MemoryObjectStore
from tidegauge.adapters.memory_training import MemoryTrainingJobs
from tidegauge.domain.model_record import ModelRecord, ModelState
from tidegauge.domain.training import TrainingRules
from tidegauge.domain.training_job import JobSpec, JobStatus, TrainingJob
from tidegauge.ports import ModelChange
from tidegauge.steps.train import TrainOutcome, TrainStep

if TYPE_CHECKING:
    from tidegauge.domain.errors import TidegaugeError

ENDPOINT = "tidegauge"

RULES = TrainingRules(
    job_prefix="linear-learner",
    output_uri="s3://models/training",
    image="438346466558.dkr.ecr.eu-west-1.amazonaws.com/linear-learner:1",
    role_arn="arn:aws:iam::000000000000:role/training",
    instance_type="ml.m5.large",
    max_minutes=60,
)

# As SageMaker describes a job that somebody has tuned.
TUNED = TrainingJob(
    name="linear-learner-tuned-007",
    status=JobStatus.COMPLETED,
    created_ms=1,
    spec=JobSpec(
        hyperparameters={
            "predictor_type": "regressor",
            "loss": "absolute_loss",
            "feature_dim": "7",
            "mini_batch_size": "1000",
            "wd": "0.01",
            "_tuning_objective_metric": "validation:mse",
        },
        channels=(),
        output_uri="s3://elsewhere/output",
        configuration={
            "AlgorithmSpecification": {
                "TrainingImage": "their/image:1",
                "TrainingInputMode": "Pipe",
                "EnableSageMakerMetricsTimeSeries": False,
                "MetricDefinitions": [{"Name": "validation:mse", "Regex": "x"}],
            },
            "ResourceConfig": {
                "InstanceType": "ml.c5.xlarge",
                "InstanceCount": 2,
                "VolumeSizeInGB": 30,
                "SelectedInstanceType": "ml.c5.xlarge",
            },
            "RoleArn": "arn:aws:iam::000000000000:role/theirs",
            "StoppingCondition": {"MaxRuntimeInSeconds": 900},
            "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1", "subnet-2"]},
            "EnableNetworkIsolation": True,
            "EnableInterContainerTrafficEncryption": False,
            "OutputDataConfig": {"KmsKeyId": "alias/models", "CompressionType": "NONE"},
            "Environment": {"TOKEN": "not for a log"},
        },
    ),
)


class FailingJobs(MemoryTrainingJobs):
    """Jobs of a service that fails to start some before it starts any."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.failures: list[TidegaugeError] = []

    def start(self, name: str, spec: JobSpec) -> bool:
        if self.failures:
            raise self.failures.pop(0)
        return super().start(name, spec)


class TrainingWorld:
    """A step, and all that it works on."""

    def __init__(self) -> None:
        self.clock = ManualClock(1_360_627_200_000)
        self.objects = MemoryObjectStore(EXPORTS, clock=self.clock)
        self.jobs = FailingJobs(self.clock)
        self.ledger = MemoryModelLedger(self.clock)
        self.step = TrainStep(self.objects, self.jobs, self.ledger, RULES, endpoint=ENDPOINT)

    def store(self, uri: str = MANIFEST_URI, **changes: Any) -> None:
        self.clock.time_ms += 1_000
        store_dataset(self.objects, uri, **changes)

    def run(self, uri: str = MANIFEST_URI) -> TrainOutcome:
        self.clock.time_ms += 1_000
        return self.step.run(uri)

    def started(self) -> list[str]:
        """Return the names of all jobs that run, newest first."""
        return [one.record.version for one in self.ledger.all() if self.runs(one.record.version)]

    def runs(self, version: str) -> bool:
        job = self.jobs.describe(version)
        return job is not None and job.status is JobStatus.IN_PROGRESS

    def record(self, version: str) -> ModelRecord:
        stored = self.ledger.get(version)
        assert stored is not None
        return stored.record

    def settle(self, version: str, state: ModelState) -> None:
        """Note what became of a model, as the deploying step does."""
        record = self.record(version)
        assert self.ledger.write([ModelChange(replace(record, state=state), record.state)])

    def fail(self, version: str) -> None:
        """Let a job fail, and note it."""
        self.jobs.break_off(version, JobStatus.FAILED, "no memory")
        self.settle(version, ModelState.FAILED)

    def completed(self, name: str, **spec: Any) -> None:
        """Let a job that somebody started end well."""
        self.clock.time_ms += 1_000
        assert self.jobs.start(name, replace(TUNED.spec, **spec))
        self.jobs.complete(name)
