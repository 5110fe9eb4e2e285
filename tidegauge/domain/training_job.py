"""Training jobs: what one is started with, and what is known of it afterwards.

Ports give and take these; nothing here knows where jobs run. Names and nesting of a job's
configuration are those of SageMaker's API, so that every part of it can be copied from one job to
the next without a word of ours between.
"""

from enum import StrEnum
from typing import Any, Final

import msgspec

TRAIN_CHANNEL: Final = "train"
VALIDATION_CHANNEL: Final = "validation"

VALIDATION_ERROR: Final = "validation:absolute_loss"
"""The final metric that is a model's error: mean absolute, on the label's scale."""


class JobStatus(StrEnum):
    """How far a job is."""

    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    DELETING = "Deleting"


BROKEN_OFF: Final = frozenset(
    {JobStatus.FAILED, JobStatus.STOPPING, JobStatus.STOPPED, JobStatus.DELETING}
)
"""A job in one of these states will never give a model."""


class Channel(msgspec.Struct, frozen=True):
    """One input of a job.

    Attributes:
        name: `train` or `validation` with ours.
        uri: Its one object, `s3://bucket/key`.
        content_type: Such as `text/csv`.
    """

    name: str
    uri: str
    content_type: str = "text/csv"


class JobSpec(msgspec.Struct, frozen=True):
    """What a job is started with.

    Attributes:
        hyperparameters: As texts.
        channels: Its inputs.
        output_uri: Where its artifact goes: `OUTPUT/JOB/output/model.tar.gz`.
        configuration: All the rest, named and nested as in SageMaker's `CreateTrainingJob`:
            `AlgorithmSpecification`, `ResourceConfig`, `RoleArn`, `VpcConfig` and others, and
            `OutputDataConfig` without the place.
    """

    hyperparameters: dict[str, str]
    channels: tuple[Channel, ...]
    output_uri: str
    configuration: dict[str, Any]

    @property
    def image(self) -> str:
        """Registry path of the algorithm's image; empty for an algorithm that is named."""
        return str(self.configuration.get("AlgorithmSpecification", {}).get("TrainingImage", ""))

    @property
    def role_arn(self) -> str:
        """The role that it runs as."""
        return str(self.configuration.get("RoleArn", ""))

    def channel_uri(self, name: str) -> str:
        """Return a channel's object; empty if there is no such channel."""
        return next((channel.uri for channel in self.channels if channel.name == name), "")


class TrainingJob(msgspec.Struct, frozen=True):
    """A job as the service tells it.

    Attributes:
        name: Its name, which is the model's version.
        status: How far it is.
        spec: What it was started with.
        created_ms: When it was started, ms since the epoch.
        ended_ms: When it ended; None while it runs.
        failure_reason: Why it failed; else empty.
        artifact_uri: Its artifact, `s3://bucket/key`; empty as long as there is none.
        metrics: Its last metrics by name.
    """

    name: str
    status: JobStatus
    spec: JobSpec
    created_ms: int
    ended_ms: int | None = None
    failure_reason: str = ""
    artifact_uri: str = ""
    metrics: dict[str, float] = {}
