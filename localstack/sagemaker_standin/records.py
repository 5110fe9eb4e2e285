"""What the stand-in knows: training jobs, models, endpoint configs and endpoints, as plain values.

A request is kept as it came, since describing tells most of it again. Times are seconds since the
epoch, as AWS's JSON has them. Nothing here changes: whoever changes something puts a new value.
"""

from enum import StrEnum
from typing import Any

import msgspec


class JobStatus(StrEnum):
    """A training job's `TrainingJobStatus`."""

    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPING = "Stopping"
    STOPPED = "Stopped"


class EndpointStatus(StrEnum):
    """An endpoint's `EndpointStatus`."""

    CREATING = "Creating"
    UPDATING = "Updating"
    ROLLING_BACK = "RollingBack"
    IN_SERVICE = "InService"
    FAILED = "Failed"


class Stage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of a job's secondary statuses, and when it was so; `ended_s` is None while it is."""

    status: str
    started_s: float
    message: str
    ended_s: float | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A training job.

    Attributes:
        name: Its name.
        request: The CreateTrainingJob request.
        created_s: When it was asked for.
        modified_s: When it changed last.
        stages: Its secondary statuses, oldest first.
        status: What the last stage comes to.
        started_s: When its data began to be read.
        ended_s: When it was over; not before its artifact was there.
        artifact_url: Where the artifact lies; None until it does.
        metrics: The final metrics.
        failure: Why it failed.
    """

    name: str
    request: dict[str, Any]
    created_s: float
    modified_s: float
    stages: tuple[Stage, ...]
    status: JobStatus = JobStatus.IN_PROGRESS
    started_s: float | None = None
    ended_s: float | None = None
    artifact_url: str | None = None
    metrics: dict[str, float] = {}
    failure: str | None = None


class Model(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model.

    Attributes:
        name: Its name.
        request: The CreateModel request.
        created_s: When it was made.
        artifact: Digest of its artifact if the stand-in began with it; it is in no S3.
    """

    name: str
    request: dict[str, Any]
    created_s: float
    artifact: str | None = None


class Config(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An endpoint config: its name, the CreateEndpointConfig request, and when it was made."""

    name: str
    request: dict[str, Any]
    created_s: float

    @property
    def variants(self) -> list[dict[str, Any]]:
        """Its production variants, as they were asked for."""
        return list(self.request["ProductionVariants"])

    @property
    def is_serverless(self) -> bool:
        """Whether it has no instances."""
        return any("ServerlessConfig" in variant for variant in self.variants)


class Variant(msgspec.Struct, frozen=True, omit_defaults=True):
    """What serves under a variant's name.

    Attributes:
        name: The production variant's.
        model_name: The model's.
        artifact: Digest of the artifact that was loaded.
        weight: Its share of the requests, of the sum of all variants' weights.
    """

    name: str
    model_name: str
    artifact: str
    weight: float


class Update(msgspec.Struct, frozen=True, omit_defaults=True):
    """An update under way: to which config, since when, and with which DeploymentConfig."""

    config_name: str
    started_s: float
    deployment: dict[str, Any] | None = None


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An endpoint.

    Attributes:
        name: Its name.
        config_name: The config that serves, or should once it is created.
        created_s: When it was asked for.
        modified_s: When it changed last.
        status: Whether it serves.
        fleet: What serves; empty while nothing does.
        update: The update under way.
        deployment: DeploymentConfig of the last deployment.
        failure: Why nothing serves, or why the last update was taken back.
    """

    name: str
    config_name: str
    created_s: float
    modified_s: float
    status: EndpointStatus = EndpointStatus.CREATING
    fleet: tuple[Variant, ...] = ()
    update: Update | None = None
    deployment: dict[str, Any] | None = None
    failure: str | None = None


class Known(msgspec.Struct, frozen=True):
    """All there is, each kind by name. The dictionaries themselves may be changed."""

    jobs: dict[str, Job] = {}
    models: dict[str, Model] = {}
    configs: dict[str, Config] = {}
    endpoints: dict[str, Endpoint] = {}
