"""What training and deploying need of the service that runs training jobs."""

from collections.abc import Iterator
from typing import Protocol

from tidegauge.domain.training_job import JobSpec, TrainingJob


class TrainingJobs(Protocol):
    """Training jobs by name; every method raises Transient or Misconfigured."""

    def completed(self, *, containing: str) -> Iterator[str]:
        """Yield the names of completed jobs, newest first, by the time of their start.

        Args:
            containing: What a name holds somewhere, not only at its beginning.
        """
        ...

    def describe(self, name: str) -> TrainingJob | None:
        """Return a job; None if there is none of that name."""
        ...

    def start(self, name: str, spec: JobSpec) -> bool:
        """Start a job; False, and nothing was done, where one of that name exists already."""
        ...
