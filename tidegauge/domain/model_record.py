"""What became of a model: from the training job that bears its name to the endpoint and back.

Training gives a record, deploying moves it on; people read it. A model's version is the name of its
training job, and of the production variant that answers.
"""

from enum import StrEnum
from typing import Final

import msgspec


class ModelState(StrEnum):
    """Where a model is on its way."""

    TRAINING = "training"
    FAILED = "failed"  # its training job failed or was stopped
    REFUSED = "refused"  # the gate, or what its artifact holds
    DEPLOYING = "deploying"
    LIVE = "live"
    RETIRED = "retired"  # another one took its place
    ROLLED_BACK = "rolled_back"  # the endpoint went back, or its answers were not to be used


class Phase(StrEnum):
    """How far a model in state `DEPLOYING` is. What an endpoint is asked for takes minutes."""

    CHOSEN = "chosen"  # the endpoint was asked for nothing yet
    ASKED = "asked"  # it was asked to serve the model
    BACK = "back"  # the model must not serve: the endpoint has to go back
    BACK_ASKED = "back_asked"  # it was asked to


SETTLED: Final = frozenset(ModelState) - {ModelState.TRAINING, ModelState.DEPLOYING}
"""States that nothing moves on from by itself."""


class Parameter(msgspec.Struct, frozen=True):
    """One parameter of a training job.

    Attributes:
        name: Such as `HyperParameters.loss` or `ResourceConfig.InstanceType`.
        value: As text.
        origin: `settings`, `data`, or the name of the job that it was copied from.
    """

    name: str
    value: str
    origin: str


class ModelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One model.

    Attributes:
        version: Name of the training job.
        endpoint: The endpoint that it is meant for.
        state: Where it is on its way.
        until_ms: End of the history that it was trained on, ms since the epoch.
        manifest_uri: Its dataset's manifest, `s3://bucket/key`; empty where nobody knows.
        trigger: Tells an event that asked for the training from its own repetition.
        predecessor: The job whose parameters were copied; empty for the defaults.
        parameters: Every parameter with its origin; empty for a job that we did not start.
        artifact_uri: The verified copy of the artifact that is served.
        artifact_sha256: Of its bytes, hexadecimal.
        config: The endpoint config that serves it.
        previous_config: What the endpoint served before, and goes back to; empty for nothing.
        phase: How far its deployment is, while it is deployed.
        by_hand: A person asked for it, so the gate does not.
        error: Its validation error, the mean absolute error on the label's scale.
        baseline_error: That of the seasonal baseline on the same rows.
        champion: The model that was live as this one was weighed; empty if there was none.
        champion_error: That model's error on the same rows.
        reasons: Why it was refused, failed or was rolled back; else what was decided on.
    """

    version: str
    endpoint: str
    state: ModelState
    until_ms: int
    manifest_uri: str = ""
    trigger: str = ""
    predecessor: str = ""
    parameters: tuple[Parameter, ...] = ()
    artifact_uri: str = ""
    artifact_sha256: str = ""
    config: str = ""
    previous_config: str = ""
    phase: Phase = Phase.CHOSEN
    by_hand: bool = False
    error: float | None = None
    baseline_error: float | None = None
    champion: str = ""
    champion_error: float | None = None
    reasons: tuple[str, ...] = ()
