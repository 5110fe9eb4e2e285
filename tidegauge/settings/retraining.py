"""Retraining: where datasets and models lie, how jobs are started, what is deployed and how."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from tidegauge.domain.endpoint import DeployRules
from tidegauge.domain.training import TrainingRules
from tidegauge.setting_reader import Reader
from tidegauge.settings.concern import Settings
from tidegauge.settings.judging import ENDPOINT_NAME
from tidegauge.settings.streams import BUCKET_NAME

# A job's name is the prefix with a date, a hash and perhaps an attempt: 63 characters in all.
_PREFIX = re.compile(r"[A-Za-z0-9](-*[A-Za-z0-9]){0,39}")
_ROLE_ARN = re.compile(r"arn:[a-z-]+:iam::\d{12}:role/\S+")
_INSTANCE_TYPE = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9]+")
_ALARMS = re.compile(r"[^\s,]+(,[^\s,]+){0,9}")
_BUCKET = "the name of an S3 bucket"


class Serving(StrEnum):
    """What an endpoint runs on."""

    SERVERLESS = "serverless"
    INSTANCES = "instances"


@dataclass(frozen=True, slots=True)
class ExportSettings(Settings):
    """Where datasets go.

    Attributes:
        exports_bucket: The bucket; each dataset is a folder below `exports/`.
    """

    exports_bucket: str

    @property
    def folder_uri(self) -> str:
        """The folder of datasets."""
        return f"s3://{self.exports_bucket}/exports"

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take the variables of this concern."""
        return cls(reader.text("EXPORTS_BUCKET", None, BUCKET_NAME, _BUCKET))


@dataclass(frozen=True, slots=True)
class ModelSettings(Settings):
    """Which models are meant: what names their jobs, and the endpoint they are for.

    Attributes:
        endpoint_name: The endpoint; made with the first model.
        training_job_prefix: What names of training jobs begin with.
    """

    endpoint_name: str
    training_job_prefix: str = "linear-learner"

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take the variables of this concern."""
        return cls(
            endpoint_name=reader.text(
                "ENDPOINT_NAME", None, ENDPOINT_NAME, "the name of a SageMaker endpoint"
            ),
            training_job_prefix=reader.text(
                "TRAINING_JOB_PREFIX",
                "linear-learner",
                _PREFIX,
                "1 to 40 letters, digits and inner hyphens",
            ),
        )


@dataclass(frozen=True, slots=True)
class TrainingSettings(Settings):
    """How a training job is started that has no predecessor.

    Attributes:
        models_bucket: Where artifacts go, below `training/`.
        training_image: Registry path of the algorithm's image.
        training_role_arn: The role that training jobs and models run as.
        training_instance_type: What a job runs on.
        training_max_minutes: A job that takes longer is stopped.
    """

    models_bucket: str
    training_image: str
    training_role_arn: str
    training_instance_type: str = "ml.m5.large"
    training_max_minutes: int = 60

    def training_rules(self, *, job_prefix: str) -> TrainingRules:
        """Return what jobs are started with.

        Args:
            job_prefix: What their names begin with.
        """
        return TrainingRules(
            job_prefix=job_prefix,
            output_uri=f"s3://{self.models_bucket}/training",
            image=self.training_image,
            role_arn=self.training_role_arn,
            instance_type=self.training_instance_type,
            max_minutes=self.training_max_minutes,
        )

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take the variables of this concern."""
        return cls(
            models_bucket=reader.text("MODELS_BUCKET", None, BUCKET_NAME, _BUCKET),
            training_image=reader.text(
                "TRAINING_IMAGE", None, re.compile(r"\S{1,255}"), "the path of a training image"
            ),
            training_role_arn=reader.text(
                "TRAINING_ROLE_ARN", None, _ROLE_ARN, "the ARN of an IAM role"
            ),
            training_instance_type=reader.text(
                "TRAINING_INSTANCE_TYPE",
                "ml.m5.large",
                _INSTANCE_TYPE,
                "a type such as ml.m5.large",
            ),
            training_max_minutes=reader.whole("TRAINING_MAX_MINUTES", 60, 1, 1440),
        )


@dataclass(frozen=True, slots=True)
class DeploySettings(Settings):
    """What is deployed, and on what an endpoint runs that is made anew.

    Attributes:
        gate_margin: How much worse than the live model a new one may be, as a part of its error.
        keep_models: How many models and endpoint configs are kept beside the live one.
        serving: What a new endpoint runs on; one that exists stays what it is.
        serverless_memory_mb: Memory of a serverless endpoint.
        serverless_concurrency: Its concurrent invocations.
        serving_instance_type: What an endpoint on instances runs on.
        serving_instances: How many of them.
        canary_percent: The share of instances that a new model gets first.
        canary_minutes: How long it keeps that share, and how long the old one waits behind it.
        rollback_alarms: Names of CloudWatch alarms that roll back an update of instances, joined
            by commas.
    """

    gate_margin: float = 0.05
    keep_models: int = 5
    serving: Serving = Serving.SERVERLESS
    serverless_memory_mb: int = 2048
    serverless_concurrency: int = 5
    serving_instance_type: str = "ml.m5.large"
    serving_instances: int = 1
    canary_percent: int = 25
    canary_minutes: int = 10
    rollback_alarms: str = ""

    @property
    def alarms(self) -> tuple[str, ...]:
        """The alarms' names."""
        return tuple(name for name in self.rollback_alarms.split(",") if name)

    def deploy_rules(self, models: ModelSettings) -> DeployRules:
        """Return what the deploy step needs of these settings and of those of the models."""
        serverless: dict[str, object] = {
            "ServerlessConfig": {
                "MemorySizeInMB": self.serverless_memory_mb,
                "MaxConcurrency": self.serverless_concurrency,
            }
        }
        instances: dict[str, object] = {
            "InstanceType": self.serving_instance_type,
            "InitialInstanceCount": self.serving_instances,
        }
        return DeployRules(
            endpoint=models.endpoint_name,
            job_prefix=models.training_job_prefix,
            margin=self.gate_margin,
            keep=self.keep_models,
            new_variant=serverless if self.serving is Serving.SERVERLESS else instances,
            canary_percent=self.canary_percent,
            canary_minutes=self.canary_minutes,
            alarms=self.alarms,
        )

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take the variables of this concern."""
        memory_mb = reader.whole("SERVERLESS_MEMORY_MB", 2048, 1024, 6144)
        reader.require(
            memory_mb % 1024 == 0, f"SERVERLESS_MEMORY_MB must be whole GB of 1024, not {memory_mb}"
        )
        return cls(
            gate_margin=reader.real("GATE_MARGIN", 0.05, 0.0, 10.0),
            keep_models=reader.whole("KEEP_MODELS", 5, 1, 100),
            serving=Serving(reader.choice("SERVING", Serving.SERVERLESS, tuple(Serving))),
            serverless_memory_mb=memory_mb,
            serverless_concurrency=reader.whole("SERVERLESS_CONCURRENCY", 5, 1, 200),
            serving_instance_type=reader.text(
                "SERVING_INSTANCE_TYPE", "ml.m5.large", _INSTANCE_TYPE, "a type such as ml.m5.large"
            ),
            serving_instances=reader.whole("SERVING_INSTANCES", 1, 1, 100),
            canary_percent=reader.whole("CANARY_PERCENT", 25, 1, 50),
            canary_minutes=reader.whole("CANARY_MINUTES", 10, 1, 60),
            rollback_alarms=reader.text(
                "ROLLBACK_ALARMS", "", _ALARMS, "up to ten names of alarms, joined by commas"
            ),
        )
