"""Judging's store and predictor."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    # Judging needs numpy, which collect and sweep are deployed without.
    from tidegauge.domain.judging import JudgedSeries, SeriesBacklog


class Scores(msgspec.Struct, frozen=True):
    """A predictor's answer: one score a row, on the stabilised scale, and who answered."""

    values: tuple[float, ...]
    model_version: str


class Predictor(Protocol):
    """Answers feature rows with scores; one call a batch."""

    def predict(self, rows: Sequence[Sequence[float]]) -> Scores:
        """Return one score for each row of features (n_rows, n_features).

        Raises:
            Transient: the model cannot be reached, is updating or is failing: retry the batch.
            UnusableAnswer: it answered, but not with one score a row.
            NoModel: there is none, and as far as is known there has never been one.
        """
        ...


class SliceLimits(msgspec.Struct, frozen=True):
    """How much of a backlog is judged at once, and how far back what it is judged by reaches.

    Attributes:
        size_ms: Window length.
        max_steps: Steps taken of each series at most; a step is never cut.
        memory_days: How far back residuals are wanted.
    """

    size_ms: int
    max_steps: int
    memory_days: int


class JudgingStore(Protocol):
    """Predictions, verdicts, incidents and how far each series is judged.

    It reads the completed windows that the counting side wrote. Counts and residuals of the same
    stream's earlier generations are given too, up to the series' first step in this one; where two
    generations have the same window, the later one comes after.
    """

    def backlog(
        self, generation: int, series: Sequence[str], limits: SliceLimits
    ) -> "list[SeriesBacklog]":
        """Return the next unjudged steps of those series that have any, in order of series.

        The number of queries does not depend on the number of series.

        Raises:
            Transient: the database asks for another try.
        """
        ...

    def write(self, judged: "Sequence[JudgedSeries]") -> list[str]:
        """Write, in one transaction, each series whose cursor still is where it was judged from.

        Locks the series in their order, checks the cursors, then writes predictions, incidents,
        cursors and alerts (to the outbox). A series that somebody else judged meanwhile is left
        alone: its backlog has to be read again.

        Returns:
            The series that were written.

        Raises:
            Transient: nothing was written, or the outcome is unknown: read the backlog again.
        """
        ...
