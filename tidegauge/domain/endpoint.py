"""Endpoints and their configs: what serves, and the config that shall serve next.

Takes what the host of models tells of an endpoint, gives the config for the next model. Settings
that are copied keep SageMaker's names and nesting, so that all of them can go from one config to
the next without a word of ours between.
"""

from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

import msgspec

MAX_NAME_CHARS: Final = 63
_HASH_CHARS: Final = 8

# What else a variant's name and model go with is its own; a weight has no meaning for one alone.
_OWN = frozenset({"VariantName", "ModelName", "InitialVariantWeight"})
_COUNT = "InitialInstanceCount"
_SERVERLESS = "ServerlessConfig"


class EndpointStatus(StrEnum):
    """Where an endpoint is, as SageMaker says it."""

    CREATING = "Creating"
    UPDATING = "Updating"
    SYSTEM_UPDATING = "SystemUpdating"
    ROLLING_BACK = "RollingBack"
    DELETING = "Deleting"
    IN_SERVICE = "InService"
    OUT_OF_SERVICE = "OutOfService"
    FAILED = "Failed"
    UPDATE_ROLLBACK_FAILED = "UpdateRollbackFailed"


BUSY: Final = frozenset(
    {
        EndpointStatus.CREATING,
        EndpointStatus.UPDATING,
        EndpointStatus.SYSTEM_UPDATING,
        EndpointStatus.ROLLING_BACK,
        EndpointStatus.DELETING,
    }
)
"""It comes out of these by itself, and takes nothing until then."""

DEAD: Final = frozenset({EndpointStatus.FAILED, EndpointStatus.OUT_OF_SERVICE})
"""Nothing answers, and all that helps is to delete it."""


class Variant(msgspec.Struct, frozen=True):
    """One production variant of a config.

    Attributes:
        name: With ours, the model's version.
        model: The model's name.
        settings: All the rest: `ServerlessConfig`, or `InstanceType` and `InitialInstanceCount`.
    """

    name: str
    model: str
    settings: dict[str, Any]

    @property
    def serverless(self) -> bool:
        """Whether it runs on no instances of its own."""
        return _SERVERLESS in self.settings

    @property
    def instances(self) -> int:
        """How many instances it begins with; none for a serverless one."""
        return int(self.settings.get(_COUNT, 0))


class EndpointConfig(msgspec.Struct, frozen=True):
    """What an endpoint runs.

    Attributes:
        name: Its name.
        variants: Who answers.
        settings: What holds for all of it, such as `DataCaptureConfig` and `KmsKeyId`.
    """

    name: str
    variants: tuple[Variant, ...]
    settings: dict[str, Any] = {}

    @property
    def models(self) -> frozenset[str]:
        """The models that it needs."""
        return frozenset(variant.model for variant in self.variants)


class RunningVariant(msgspec.Struct, frozen=True):
    """A variant as it runs: how many instances are wanted of it now; none if it is serverless."""

    name: str
    instances: int = 0


class Endpoint(msgspec.Struct, frozen=True):
    """An endpoint as it is now.

    Attributes:
        name: Its name.
        status: Where it is.
        config: The config that serves.
        pending_config: The one that it is being updated to; empty for none.
        failure: Why its last change failed, as far as it says.
        variants: Who answers now.
    """

    name: str
    status: EndpointStatus
    config: str
    pending_config: str = ""
    failure: str = ""
    variants: tuple[RunningVariant, ...] = ()

    @property
    def busy(self) -> bool:
        """Whether it is on its way to something else."""
        return self.status in BUSY

    @property
    def dead(self) -> bool:
        """Whether nothing answers and nothing can be updated."""
        return self.status in DEAD


class Rollout(msgspec.Struct, frozen=True):
    """How an update of instances goes: a few first, back if an alarm rings.

    Attributes:
        canary_instances: How many get the new model first; 0 for all at once.
        wait_s: How long they are watched, and how long the old ones are kept behind it.
        alarms: Names of the alarms that turn it back.
    """

    canary_instances: int
    wait_s: int
    alarms: tuple[str, ...]


class DeployRules(msgspec.Struct, frozen=True):
    """The settings of deploying.

    Attributes:
        endpoint: The endpoint.
        job_prefix: What names of our training jobs begin with.
        margin: How much worse than the champion a model may be, as a part of its error.
        keep: How many models and configs are kept beside the live one.
        new_variant: Settings of the variant of an endpoint that is made anew.
        canary_percent: The share of instances that a new model gets first.
        canary_minutes: How long it keeps that share.
        alarms: Names of alarms that roll an update of instances back.
    """

    endpoint: str
    job_prefix: str
    margin: float
    keep: int
    new_variant: dict[str, Any]
    canary_percent: int = 25
    canary_minutes: int = 10
    alarms: tuple[str, ...] = ()

    def rollout_of(self, config: EndpointConfig) -> Rollout | None:
        """Return how an update to a config goes; None for a plain one, as serverless ones are.

        A single instance cannot be split: it is replaced at once, and the alarms still hold.
        """
        (variant,) = config.variants
        if variant.serverless:
            return None
        share = max(1, variant.instances * self.canary_percent // 100)
        canary = share if variant.instances > 1 else 0
        return Rollout(canary, self.canary_minutes * 60, self.alarms)


def config_like(
    served: EndpointConfig, endpoint: Endpoint, version: str, *, model: str
) -> EndpointConfig:
    """Return the config in which a model takes the place of the one in service.

    It has as many instances as are wanted now: those that the config began with may be out of date.

    Args:
        served: The config in service, of one variant.
        endpoint: The endpoint that it serves.
        version: The model's version, which names the variant.
        model: The model's name.
    """
    (variant,) = served.variants
    settings = {name: value for name, value in variant.settings.items() if name not in _OWN}
    wanted = next((one.instances for one in endpoint.variants if one.name == variant.name), 0)
    if _COUNT in settings and wanted > 0:
        settings[_COUNT] = wanted
    return named_config(Variant(version, model, settings), served.settings)


def named_config(variant: Variant, settings: dict[str, Any]) -> EndpointConfig:
    """Return a config whose name follows from what it holds: the same again is no second one."""
    held = msgspec.json.encode((variant, settings), order="deterministic")
    return EndpointConfig(
        f"{config_stem(variant.name)}{sha256(held).hexdigest()[:_HASH_CHARS]}",
        (variant,),
        settings,
    )


def config_stem(version: str) -> str:
    """Return what the names of a model's configs begin with; eight more characters follow."""
    return f"{version[: MAX_NAME_CHARS - 1 - _HASH_CHARS].rstrip('-')}-"


def is_config_of(name: str, version: str) -> bool:
    """Return whether a config's name is one of those that we give to a model's.

    >>> is_config_of("job-7-0a1b2c3d", "job-7"), is_config_of("job-7-2-0a1b2c3d", "job-7")
    (True, False)
    """
    rest = name.removeprefix(config_stem(version))
    return rest != name and len(rest) == _HASH_CHARS and set(rest) <= set("0123456789abcdef")
