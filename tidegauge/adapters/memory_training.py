"""Training jobs in memory: for tests, and as the plainest statement of what the port says."""

from collections.abc import Iterator

from msgspec.structs import replace

from tidegauge.domain.training_job import JobSpec, JobStatus, TrainingJob
from tidegauge.ports import Clock


class MemoryTrainingJobs:
    """Implements `ports.TrainingJobs`; no job ever ends by itself.

    Args:
        clock: Tells when a job starts and ends.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._jobs: dict[str, TrainingJob] = {}

    def completed(self, *, containing: str) -> Iterator[str]:
        """Yield the names of completed jobs that hold a text somewhere, newest first."""
        for job in reversed(self._jobs.values()):
            if job.status is JobStatus.COMPLETED and containing in job.name:
                yield job.name

    def describe(self, name: str) -> TrainingJob | None:
        """Return a job; None if there is none of that name."""
        return self._jobs.get(name)

    def start(self, name: str, spec: JobSpec) -> bool:
        """Start a job; False, and nothing was done, where one of that name exists already."""
        if name in self._jobs:
            return False
        self._jobs[name] = TrainingJob(
            name=name, status=JobStatus.IN_PROGRESS, spec=spec, created_ms=self._clock.now_ms()
        )
        return True

    # --- what the service does with a job

    def complete(self, name: str, metrics: dict[str, float] | None = None) -> None:
        """End a job that went well."""
        job = self._jobs[name]
        self._jobs[name] = replace(
            job,
            status=JobStatus.COMPLETED,
            ended_ms=self._clock.now_ms(),
            artifact_uri=f"{job.spec.output_uri}/{name}/output/model.tar.gz",
            metrics=metrics or {},
        )

    def break_off(self, name: str, status: JobStatus, reason: str = "") -> None:
        """End a job that gives no model.

        Args:
            name: The job.
            status: `FAILED`, or what comes of stopping it.
            reason: Why it failed.
        """
        self._jobs[name] = replace(
            self._jobs[name],
            status=status,
            ended_ms=self._clock.now_ms(),
            failure_reason=reason,
        )
