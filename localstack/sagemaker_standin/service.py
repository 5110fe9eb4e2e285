"""All that the stand-in is, put together: what its operations work on."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sagemaker_standin.artifacts import Artifacts
from sagemaker_standin.endpoint_life import Lives
from sagemaker_standin.faults import Faults
from sagemaker_standin.first_models import take_first_models
from sagemaker_standin.objects import Objects
from sagemaker_standin.records import JobStatus
from sagemaker_standin.registry import Registry
from sagemaker_standin.traffic import Traffic
from sagemaker_standin.training import Trainer, ended
from tidegauge.adapters.clock import SystemClock


class Settings(NamedTuple):
    """How the stand-in was started.

    Attributes:
        models: Folder of `NAME.tar.gz`, each an endpoint at the start.
        state: Folder that keeps everything from one start to the next.
        training_seconds: A training job takes so long at least.
        endpoint_seconds: A model takes so long to be ready.
        time_scale: Every wait of a deployment is multiplied by this.
    """

    models: Path | None = None
    state: Path | None = None
    training_seconds: float = 0.0
    endpoint_seconds: float = 0.0
    time_scale: float = 1.0


class Service(NamedTuple):
    """What operations work on; see each one's class."""

    registry: Registry
    traffic: Traffic
    trainer: Trainer
    lives: Lives
    faults: Faults
    now_s: Callable[[], float]


def start_service(settings: Settings) -> Service:
    """Put everything together and go on where the last process stopped.

    Raises:
        InvalidInput: The state folder cannot be used.
    """
    registry, objects, faults, traffic = Registry(settings.state), Objects(), Faults(), Traffic()
    artifacts = Artifacts(settings.state, objects)
    lives = Lives(
        registry,
        artifacts,
        traffic,
        now_s=_now_s,
        ready_seconds=settings.endpoint_seconds,
        time_scale=settings.time_scale,
    )
    trainer = Trainer(
        registry, objects, faults, now_s=_now_s, least_seconds=settings.training_seconds
    )
    _fail_cut_jobs(registry)
    if settings.models is not None:
        take_first_models(settings.models, registry, artifacts, now_s=_now_s())
    with registry.reading() as known:
        served = {
            variant.artifact for endpoint in known.endpoints.values() for variant in endpoint.fleet
        }
        first = {model.artifact for model in known.models.values() if model.artifact}
    artifacts.forget_all_but(served | first)
    lives.resume()
    return Service(registry, traffic, trainer, lives, faults, _now_s)


def _fail_cut_jobs(registry: Registry) -> None:
    with registry.changing() as known:
        for name, job in known.jobs.items():
            if job.status in {JobStatus.IN_PROGRESS, JobStatus.STOPPING}:
                why = "InternalServerError: the stand-in was stopped while the job ran"
                known.jobs[name] = ended(job, JobStatus.FAILED, why, now_s=_now_s(), metrics={})


def _now_s() -> float:
    return SystemClock().now_ms() / 1000.0
