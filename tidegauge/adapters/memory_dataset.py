"""What datasets are made of, in memory: for tests, and as the plainest form of the port."""

from collections.abc import Iterable, Sequence

import numpy as np

from tidegauge.domain.count import CompletedWindow, Quality
from tidegauge.domain.dataset import (
    Dataset,
    Exclusion,
    SeriesIncident,
    SeriesSpan,
    StreamHistory,
)
from tidegauge.domain.dataset_rows import QUALITIES, WindowColumns, last_revisions
from tidegauge.domain.incident import IncidentStatus
from tidegauge.domain.verdict import Verdict
from tidegauge.ports import Clock
from tidegauge.ports.dataset import StepSpan


class MemoryDatasetStore:
    """Implements `ports.dataset.DatasetStore` and `Exclusions` for one stream.

    Args:
        stream_arn: The stream.
        clock: Tells when something is noted.
    """

    def __init__(self, stream_arn: str, clock: Clock) -> None:
        self._stream_arn = stream_arn
        self._clock = clock
        self._next_ms: dict[int, int | None] = {}
        self._windows: dict[str, list[CompletedWindow]] = {}
        self._incidents: list[SeriesIncident] = []
        self._exclusions: dict[int, Exclusion] = {}
        self._datasets: dict[str, Dataset] = {}
        self._last_id = 0

    # --- what others write

    def close(self, generation: int, next_window_ms: int | None) -> None:
        """Let a generation be closed up to a window."""
        self._next_ms[generation] = next_window_ms

    def announce(self, rows: Iterable[CompletedWindow]) -> None:
        """Take completed windows, in any order."""
        for row in rows:
            self._windows.setdefault(row.series, []).append(row)

    def add_incident(self, incident: SeriesIncident) -> None:
        """Take an incident."""
        self._incidents.append(incident)

    # --- the store

    def history(self) -> StreamHistory | None:
        """Return how far the stream is closed; None if no window of it is."""
        closed = [self._next_ms[generation] for generation in sorted(self._next_ms, reverse=True)]
        next_ms = next((one for one in closed if one is not None), None)
        if next_ms is None:
            return None
        return StreamHistory(self._stream_arn, tuple(sorted(self._next_ms)), next_ms)

    def series(self, generations: Sequence[int], span: StepSpan) -> list[SeriesSpan]:
        """Return the series that have windows in a span, in order of their names' bytes."""
        found: list[SeriesSpan] = []
        for name in sorted(self._windows, key=str.encode):
            rows = self._in(name, generations, span)
            if not rows:
                continue
            starts = [row.window_start_ms for row in rows]
            trusted = [row.window_start_ms for row in rows if row.quality is Quality.COMPLETE]
            numbers = tuple(sorted({row.generation for row in rows}))
            found.append(
                SeriesSpan(name, numbers, min(starts), max(starts), min(trusted, default=None))
            )
        return found

    def windows(self, series: SeriesSpan, span: StepSpan) -> WindowColumns:
        """Return the windows of a series in a span, as they stand at last."""
        rows = sorted(
            self._in(series.series, series.generations, span),
            key=lambda row: (row.generation, row.window_start_ms, row.revision),
        )
        table = [
            (
                row.window_start_ms,
                row.generation,
                row.revision,
                row.count,
                row.late,
                QUALITIES.index(row.quality),
            )
            for row in rows
        ]
        return last_revisions(np.array(table, dtype=np.int64).reshape(len(table), 6))

    def incidents(self, generations: Sequence[int]) -> list[SeriesIncident]:
        """Return the incidents of some generations that may leave windows out."""
        ended = (IncidentStatus.CLEARED, IncidentStatus.EXPIRED)
        return sorted(
            (
                one
                for one in self._incidents
                if one.generation in generations
                and (
                    one.status is IncidentStatus.OPEN
                    or (one.status in ended and one.direction is Verdict.TOO_LOW)
                )
            ),
            key=lambda one: (one.series.encode(), one.first_window_ms, one.incident_id),
        )

    def exclusions(self) -> list[Exclusion]:
        """Return what people have excluded, in order of its numbers."""
        return list(self._exclusions.values())

    def latest(self, stream_arn: str) -> Dataset | None:
        """Return the dataset of a stream that ends last, of several the one noted last."""
        # The dict keeps the order of noting, and of equals `max` takes the first.
        of_stream = [one for one in self._datasets.values() if one.stream_arn == stream_arn]
        return max(reversed(of_stream), key=lambda one: one.until_ms, default=None)

    def note(self, dataset: Dataset) -> None:
        """Note a dataset; one that is noted already is noted anew."""
        self._datasets.pop(dataset.manifest_uri, None)
        self._datasets[dataset.manifest_uri] = dataset

    # --- exclusions

    def add(self, series: str | None, from_ms: int, until_ms: int, why: str) -> Exclusion:
        """Note a period; None stands for all series."""
        self._last_id += 1
        made = Exclusion(self._last_id, series, from_ms, until_ms, why, self._clock.now_ms())
        self._exclusions[self._last_id] = made
        return made

    def remove(self, exclusion_id: int) -> Exclusion | None:
        """Forget a period and return it; None if there is none of that number."""
        return self._exclusions.pop(exclusion_id, None)

    def is_known(self, series: str) -> bool:
        """Return whether anybody has ever seen a series."""
        return series in self._windows

    def _in(self, name: str, generations: Sequence[int], span: StepSpan) -> list[CompletedWindow]:
        return [
            row
            for row in self._windows.get(name, ())
            if row.generation in generations
            and span.from_ms <= row.window_start_ms < span.until_ms
            and row.step_ms < span.step_ms
        ]
