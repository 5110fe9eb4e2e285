"""What a training job is started with: the last good job's parameters, the data's, or ours.

Takes a dataset's manifest, the rules of the settings and the job before; gives a job's name, what
to start it with, and the origin of every parameter.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tidegauge.domain.event_time import format_time
from tidegauge.domain.feature_names import WEEK_MS
from tidegauge.domain.manifest import Manifest, beside
from tidegauge.domain.model_record import Parameter
from tidegauge.domain.training_job import (
    TRAIN_CHANNEL,
    VALIDATION_CHANNEL,
    Channel,
    JobSpec,
    JobStatus,
    TrainingJob,
)

SETTINGS: Final = "settings"
DATA: Final = "data"

MAX_ATTEMPTS: Final = 9
"""How often one dataset is tried; a tenth attempt's name would need a character more."""

# What one job hands on to the next: where and as whom it runs, with which code. Its data, tags,
# experiment and debugger are its own. So are its checkpoints: a container that finds those of
# another job goes on from that job's weights.
_COPIED = (
    "AlgorithmSpecification",
    "ResourceConfig",
    "RoleArn",
    "StoppingCondition",
    "VpcConfig",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "Environment",
    "OutputDataConfig",
)
_NOT_COPIED = {
    # SageMaker tells those of its own algorithms, and takes them in no request for one.
    "AlgorithmSpecification": {"MetricDefinitions"},
    # What was chosen in the end is an answer's; a reservation ends.
    "ResourceConfig": {"SelectedInstanceType", "SelectedInstanceCount", "TrainingPlanArn"},
    # Without compression there would be no model.tar.gz to wait for.
    "OutputDataConfig": {"CompressionType"},
}

# An environment may hold a key: that it is copied is told, not what it says.
_HIDDEN_PART, _HIDDEN = "Environment.", "(hidden)"

_REGRESSOR = "regressor"
_MOST_BATCH_ROWS = 512
_LEAST_BATCHES = 16
# Measured on departures, from their 4th to their 22nd day of history: without the first, errors of
# the first two weeks are up to five times as large.
_SHORT_WEIGHT_DECAY, _WEIGHT_DECAY = "0.1", "0.005"
_VOLUME_GB = 10
_SPARE_VOLUME_GB = 5
_GB = 1024**3


class TrainingRules(msgspec.Struct, frozen=True):
    """What the settings say of training jobs.

    Attributes:
        job_prefix: What their names begin with.
        output_uri: Where their artifacts go.
        image: The algorithm's image; this and what follows only where no job came before.
        role_arn: The role that they run as.
        instance_type: What they run on.
        max_minutes: A job that takes longer is stopped.
    """

    job_prefix: str
    output_uri: str
    image: str
    role_arn: str
    instance_type: str
    max_minutes: int


class PlannedJob(msgspec.Struct, frozen=True):
    """What a job shall be started with, and why.

    Attributes:
        spec: All of it.
        predecessor: The job whose parameters were copied; empty for the defaults.
        parameters: Every parameter with its origin.
    """

    spec: JobSpec
    predecessor: str
    parameters: tuple[Parameter, ...]


def job_name(prefix: str, *, until_ms: int, manifest_uri: str, etag: str, attempt: int = 1) -> str:
    """Return the name of the job that trains on a dataset: always the same for the same manifest.

    Args:
        prefix: At most 40 characters, so that the name has at most 63.
        until_ms: End of the dataset's last window, ms since the epoch.
        manifest_uri: Where its manifest lies.
        etag: Of the manifest, as stored.
        attempt: 1 for the first one.

    >>> job_name("linear-learner", until_ms=1_360_627_200_000, manifest_uri="s3://b/k", etag="e")
    'linear-learner-20130212-0218ccde'
    """
    day = format_time(until_ms)[:10].replace("-", "")
    content = hashlib.sha256(f"{manifest_uri}\n{etag}".encode()).hexdigest()[:8]
    return f"{prefix}-{day}-{content}" + (f"-{attempt}" if attempt > 1 else "")


def unfit_because(job: TrainingJob) -> str:
    """Return why a job's parameters cannot be copied; empty if they can."""
    configuration = job.spec.configuration
    algorithm = configuration.get("AlgorithmSpecification", {})
    if job.status is not JobStatus.COMPLETED:
        return f"it is {job.status.value}"
    if not algorithm.get("TrainingImage") and not algorithm.get("AlgorithmName"):
        return "it names no image and no algorithm"
    kind = job.spec.hyperparameters.get("predictor_type", "")
    if kind != _REGRESSOR:
        return f"its predictor_type is {kind!r}, not {_REGRESSOR!r}"
    missing = [part for part in ("ResourceConfig", "RoleArn") if not configuration.get(part)]
    return f"it has no {' and no '.join(missing)}" if missing else ""


def plan_job(
    manifest: Manifest,
    manifest_uri: str,
    *,
    rules: TrainingRules,
    predecessor: TrainingJob | None = None,
) -> PlannedJob:
    """Return what to start a job with for a dataset.

    Args:
        manifest: The dataset's.
        manifest_uri: Where it lies; the files of the dataset lie beside it.
        rules: What the settings say.
        predecessor: A fit job to copy from; None takes the defaults.
    """
    data = {
        "feature_dim": str(len(manifest.feature_names)),
        "mini_batch_size": str(_batch_rows(manifest.train.rows)),
    }
    if predecessor is None:
        name, hyperparameters = "", _default_hyperparameters()
        configuration = _default_configuration(rules)
    else:
        name = predecessor.name
        hyperparameters = _copied_hyperparameters(predecessor)
        configuration = _copied_configuration(predecessor)
    if hyperparameters.get("wd", _WEIGHT_DECAY) in (_SHORT_WEIGHT_DECAY, _WEIGHT_DECAY):
        data["wd"] = _weight_decay(manifest)  # another value is somebody's who tuned it
    computed = {f"HyperParameters.{parameter}" for parameter in data}
    resources = configuration["ResourceConfig"]
    if resources.get("VolumeSizeInGB", _VOLUME_GB) < (volume_gb := _volume_gb(manifest)):
        configuration["ResourceConfig"] = {**resources, "VolumeSizeInGB": volume_gb}
        computed.add("ResourceConfig.VolumeSizeInGB")
    spec = JobSpec(
        hyperparameters={**hyperparameters, **data},
        channels=_channels(manifest, manifest_uri),
        output_uri=rules.output_uri,
        configuration=configuration,
    )
    return PlannedJob(spec, name, _parameters(spec, name or SETTINGS, computed))


def _default_hyperparameters() -> dict[str, str]:
    """The regressor on the stabilised scale; a storm in the history bends it little."""
    return {
        "predictor_type": _REGRESSOR,
        "loss": "huber_loss",
        "normalize_data": "true",
        "normalize_label": "true",
        "epochs": "15",
    }


def _default_configuration(rules: TrainingRules) -> dict[str, Any]:
    return {
        "AlgorithmSpecification": {"TrainingImage": rules.image, "TrainingInputMode": "File"},
        "ResourceConfig": {
            "InstanceType": rules.instance_type,
            "InstanceCount": 1,
            "VolumeSizeInGB": _VOLUME_GB,
        },
        "RoleArn": rules.role_arn,
        "StoppingCondition": {"MaxRuntimeInSeconds": rules.max_minutes * 60},
    }


def _copied_hyperparameters(job: TrainingJob) -> dict[str, str]:
    """Return a job's hyperparameters without those that a tuning has added for itself."""
    return {
        name: value
        for name, value in job.spec.hyperparameters.items()
        if not name.startswith("_tuning")
    }


def _copied_configuration(job: TrainingJob) -> dict[str, Any]:
    told = job.spec.configuration
    copied: dict[str, Any] = {}
    for part in _COPIED:
        value = told.get(part)
        if isinstance(value, Mapping):
            left_out = _NOT_COPIED.get(part, set())
            value = {
                name: inner
                for name, inner in value.items()
                if name not in left_out and not _is_empty(inner)
            }
        if not _is_empty(value):
            copied[part] = value
    if "CheckpointConfig" in told or not copied.get("EnableManagedSpotTraining"):
        # A spot job is given long to wait because it can go on from its checkpoints; without them
        # we take no interruption. How long to wait is asked of spot jobs only.
        copied.pop("EnableManagedSpotTraining", None)
        condition = copied.get("StoppingCondition", {})
        copied["StoppingCondition"] = {
            name: value for name, value in condition.items() if name != "MaxWaitTimeInSeconds"
        }
    return copied


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, (str, Mapping, list)) and not value)


def _batch_rows(rows: int) -> int:
    """Return a power of two such that an epoch has some batches, however small the data."""
    most = max(1, min(_MOST_BATCH_ROWS, rows // _LEAST_BATCHES))
    return 1 << (most.bit_length() - 1)


def _weight_decay(manifest: Manifest) -> str:
    """Return how much weights are drawn towards zero.

    A series' first week is no row, it is what rows look back on. While the rows are of less than
    another week, some hours of the week are in none of them, and weights on those would be guesses.
    """
    rows_ms = manifest.split_ms - manifest.start_ms - WEEK_MS
    return _SHORT_WEIGHT_DECAY if rows_ms < WEEK_MS else _WEIGHT_DECAY


def _volume_gb(manifest: Manifest) -> int:
    """Return the disk that a job needs to copy its inputs to: twice their size, and some."""
    size_bytes = manifest.train.size_bytes + manifest.validation.size_bytes
    return _SPARE_VOLUME_GB + -(-2 * size_bytes // _GB)


def _channels(manifest: Manifest, manifest_uri: str) -> tuple[Channel, ...]:
    return (
        Channel(TRAIN_CHANNEL, beside(manifest_uri, manifest.train.name)),
        Channel(VALIDATION_CHANNEL, beside(manifest_uri, manifest.validation.name)),
    )


def _parameters(spec: JobSpec, source: str, computed: set[str]) -> tuple[Parameter, ...]:
    """Return every parameter of a job with its origin, sorted by name.

    Args:
        spec: The job's.
        source: Where those come from that nobody computed.
        computed: Names of those that depend on the data.
    """
    values = {
        **{f"HyperParameters.{name}": value for name, value in spec.hyperparameters.items()},
        **_flat(spec.configuration),
    }
    origins = dict.fromkeys(values, source) | dict.fromkeys(computed, DATA)
    for channel in spec.channels:
        values[name := f"InputDataConfig.{channel.name}"] = channel.uri
        origins[name] = DATA
    values[name := "OutputDataConfig.S3OutputPath"] = spec.output_uri
    origins[name] = SETTINGS
    return tuple(
        Parameter(name, _HIDDEN if name.startswith(_HIDDEN_PART) else value, origins[name])
        for name, value in sorted(values.items())
    )


def _flat(parts: Mapping[str, Any], above: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in parts.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{path}.")
        else:
            flat[path] = value if isinstance(value, str) else json.dumps(value, default=str)
    return flat
