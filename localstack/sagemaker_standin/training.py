"""A training job as it runs: reads its channels, fits, puts the artifact, tells its metrics.

Each job has a thread; one job at a time reads and fits, so that memory is bounded by the largest.
Whatever ends a job is written down in the registry, and nowhere else.
"""

import threading
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np

from sagemaker_standin.aws import ClientFault
from sagemaker_standin.channels import TRAIN, VALIDATION, Examples, read_channel, sources_of
from sagemaker_standin.faults import Faults
from sagemaker_standin.hyperparameters import Hyperparameters, read_hyperparameters
from sagemaker_standin.objects import Objects, Place
from sagemaker_standin.records import Job, JobStatus, Stage
from sagemaker_standin.registry import Registry
from sagemaker_standin.regressor import fit_regressor, metrics_of
from tidegauge.adapters.model_file import pack_model
from tidegauge.domain.features import FEATURE_NAMES
from tidegauge.domain.linear_model import MAX_FEATURES, LinearModel

ARTIFACT = "output/model.tar.gz"


class Trained(NamedTuple):
    """What a fit gave."""

    packed: bytes
    metrics: dict[str, float]


class _Stopped(Exception):
    """Somebody asked for the job's end."""


class Trainer:
    """Runs training jobs.

    Args:
        registry: Where they are known.
        objects: Where data and artifacts lie.
        faults: What is to go wrong.
        now_s: Tells the time, seconds since the epoch.
        least_seconds: A job takes so long at least.
    """

    def __init__(
        self,
        registry: Registry,
        objects: Objects,
        faults: Faults,
        *,
        now_s: Callable[[], float],
        least_seconds: float,
    ) -> None:
        self._registry = registry
        self._objects = objects
        self._faults = faults
        self._now_s = now_s
        self._least_seconds = least_seconds
        self._one_at_a_time = threading.Lock()
        self._stops: dict[str, threading.Event] = {}

    def start(self, job: Job) -> None:
        """Run a job that the registry knows, in the background."""
        stop = self._stops[job.name] = threading.Event()
        threading.Thread(
            target=self._run, args=(job, stop), name=f"job {job.name}", daemon=True
        ).start()

    def stop(self, name: str) -> None:
        """Let a job end at its next stage."""
        if name in self._stops:
            self._stops[name].set()

    def _run(self, job: Job, stop: threading.Event) -> None:
        try:
            self._train(job, stop)
        except _Stopped:
            self._end(job.name, JobStatus.STOPPED, "Stopped as asked")
        except ClientFault as fault:
            self._end(job.name, JobStatus.FAILED, f"ClientError: {fault}")
        except Exception as error:
            # A job must not stay in progress for ever: the fault is ours, and it is told.
            self._end(job.name, JobStatus.FAILED, f"InternalServerError: {error}")
            raise
        finally:
            del self._stops[job.name]

    def _train(self, job: Job, stop: threading.Event) -> None:
        fault = self._faults.of_training()
        deadline_s = self._now_s() + self._least_seconds
        with self._one_at_a_time:
            self._enter(job.name, "Downloading", "Reading the channels")
            hyperparameters = read_hyperparameters(job.request.get("HyperParameters", {}))
            sources = sources_of(job.request.get("InputDataConfig", []))
            train = read_channel(self._objects, sources[TRAIN])
            validation = (
                read_channel(self._objects, sources[VALIDATION]) if VALIDATION in sources else None
            )
            self._enter(job.name, "Training", "Fitting the model")
            trained = trained_on(train, validation, hyperparameters, version=job.name)
        if stop.wait(max(0.0, deadline_s - self._now_s())):
            raise _Stopped
        if fault is not None:
            raise ClientFault(fault)
        self._enter(job.name, "Uploading", "Putting the artifact")
        output = Place.of(job.request["OutputDataConfig"]["S3OutputPath"].rstrip("/") + "/")
        place = Place(output.bucket, f"{output.key}{job.name}/{ARTIFACT}")
        self._objects.write(place, trained.packed)
        self._end(
            job.name,
            JobStatus.COMPLETED,
            "The artifact is there",
            artifact_url=str(place),
            metrics=trained.metrics,
        )

    def _enter(self, name: str, status: str, message: str) -> None:
        now_s = self._now_s()
        with self._registry.changing() as known:
            job = known.jobs[name]
            if job.status is JobStatus.STOPPING:
                raise _Stopped
            known.jobs[name] = msgspec.structs.replace(
                job,
                stages=next_stage(job.stages, status, now_s, message),
                started_s=job.started_s or now_s,
                modified_s=now_s,
            )

    def _end(
        self,
        name: str,
        status: JobStatus,
        message: str,
        *,
        artifact_url: str | None = None,
        metrics: dict[str, float] | None = None,
    ) -> None:
        with self._registry.changing() as known:
            known.jobs[name] = ended(
                known.jobs[name],
                status,
                message,
                now_s=self._now_s(),
                artifact_url=artifact_url,
                metrics=metrics or {},
            )


def trained_on(
    train: Examples, validation: Examples | None, given: Hyperparameters, *, version: str
) -> Trained:
    """Fit a model and measure it.

    Returns:
        The artifact, and the linear-learner's metrics by name, on the label's own scale.

    Raises:
        ClientFault: Data and hyperparameters do not fit each other.
    """
    n_rows, n_features = train.rows.shape
    if n_rows < given.mini_batch_size:
        msg = (
            f"the train channel has {n_rows} rows, fewer than a mini-batch of "
            f"{given.mini_batch_size}: no step could be made"
        )
        raise ClientFault(msg)
    if given.feature_dim not in {None, n_features}:
        msg = f"feature_dim is {given.feature_dim}, but the train channel has {n_features} features"
        raise ClientFault(msg)
    if n_features > MAX_FEATURES:
        msg = f"{n_features} features are more than the stand-in's {MAX_FEATURES}"
        raise ClientFault(msg)
    if validation is not None and validation.rows.shape[1] != n_features:
        msg = f"the validation channel has {validation.rows.shape[1]} features, not {n_features}"
        raise ClientFault(msg)
    names = FEATURE_NAMES if n_features == len(FEATURE_NAMES) else _numbered(n_features)
    model = fit_regressor(
        train.rows, train.labels, given.rules, feature_names=names, version=version
    )
    metrics = {"train:objective_loss": _measured(model, train, given)["objective_loss"]}
    if validation is not None:
        measured = _measured(model, validation, given)
        metrics |= {f"validation:{name}": value for name, value in measured.items()}
    return Trained(pack_model(model), metrics)


def next_stage(
    stages: tuple[Stage, ...], status: str, now_s: float, message: str
) -> tuple[Stage, ...]:
    """Return a job's stages with a new one, the last before it ended."""
    return (
        *stages[:-1],
        msgspec.structs.replace(stages[-1], ended_s=now_s),
        Stage(status, now_s, message),
    )


def ended(
    job: Job,
    status: JobStatus,
    message: str,
    *,
    now_s: float,
    artifact_url: str | None = None,
    metrics: dict[str, float],
) -> Job:
    """Return a job as it is when it is over; `message` is the reason if it failed."""
    stages = next_stage(job.stages, status, now_s, message)
    return msgspec.structs.replace(
        job,
        status=status,
        stages=(*stages[:-1], msgspec.structs.replace(stages[-1], ended_s=now_s)),
        ended_s=now_s,
        modified_s=now_s,
        artifact_url=artifact_url,
        metrics=metrics,
        # The service model gives a reason so many characters.
        failure=message[:1024] if status is JobStatus.FAILED else None,
    )


def _measured(model: LinearModel, examples: Examples, given: Hyperparameters) -> dict[str, float]:
    residuals = examples.labels - model.score(np.ascontiguousarray(examples.rows))
    return metrics_of(given.rules.loss, residuals)


def _numbered(n_features: int) -> tuple[str, ...]:
    return tuple(f"f{number}" for number in range(n_features))
