"""The judging store in memory: for offline replay, for tests, and as the plain form of the rules.

Whoever closes windows hands the completed ones to `announce`; MySQL's side reads its table.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.features import history_windows
from tidegauge.domain.history import CountHistory, ResidualHistory, trusted_count
from tidegauge.domain.incident import Incident
from tidegauge.domain.judging import (
    JudgedSeries,
    SeriesBacklog,
    found_either_way,
    oldest_residual_ms,
)
from tidegauge.domain.prediction import Position, Prediction, position_of
from tidegauge.domain.residual import FIT_EVERY_WINDOWS, memory_windows
from tidegauge.ports import OutboxMessage, SliceLimits, alert_message

_NOTHING: Final = float("nan")


class _Column:
    """An array that grows at its end: history is asked for as arrays, again and again."""

    def __init__(self, dtype: DTypeLike) -> None:
        self._values: NDArray[Any] = np.empty(64, dtype=dtype)
        self._size = 0

    @property
    def values(self) -> NDArray[Any]:
        return self._values[: self._size]

    def extend(self, values: Sequence[Any]) -> None:
        size = self._size + len(values)
        if size > len(self._values):
            self._values = np.resize(self._values, max(size, 2 * len(self._values)))
        self._values[self._size : size] = values
        self._size = size

    def drop(self, n_oldest: int) -> None:
        self._values = self.values[n_oldest:].copy()
        self._size = len(self._values)


class _Table:
    """Columns of equal length, oldest first by step."""

    def __init__(self, **dtypes: DTypeLike) -> None:
        self._columns = {name: _Column(dtype) for name, dtype in dtypes.items()}

    def extend(self, rows: Iterable[tuple[Any, ...]]) -> None:
        for column, values in zip(self._columns.values(), zip(*rows, strict=True), strict=False):
            column.extend(values)

    def between(self, oldest_ms: int, until_ms: int) -> list[NDArray[Any]]:
        """Return all columns for the steps `[oldest_ms, until_ms)`."""
        first, until = np.searchsorted(self._columns["step_ms"].values, (oldest_ms, until_ms))
        return [column.values[first:until] for column in self._columns.values()]

    def drop_before(self, before_ms: int) -> None:
        n_oldest = int(np.searchsorted(self._columns["step_ms"].values, before_ms))
        for column in self._columns.values():
            column.drop(n_oldest)


class _Series:
    """One series of one generation; revisions stand in the order of judging."""

    def __init__(self) -> None:
        self.first_step_ms: int | None = None
        self.unjudged: list[CompletedWindow] = []
        self.judged: list[Prediction] = []
        self.incidents: dict[str, Incident] = {}
        self.cursor: Position | None = None
        self.counts = _Table(window_start_ms=np.int64, step_ms=np.int64, count=np.float64)
        self.residuals = _Table(
            window_start_ms=np.int64,
            step_ms=np.int64,
            actual=np.float64,
            expected=np.float64,
            anomalous=np.int8,
        )

    def announce(self, row: CompletedWindow) -> None:
        if self.first_step_ms is None:
            self.first_step_ms = row.step_ms
        self.unjudged.append(row)

    def next_steps(self, max_steps: int) -> tuple[CompletedWindow, ...]:
        items: list[CompletedWindow] = []
        steps = 0
        for row in self.unjudged:
            if not items or row.step_ms != items[-1].step_ms:
                steps += 1
                if steps > max_steps:
                    break
            items.append(row)
        return tuple(items)

    def take(self, judged: JudgedSeries) -> None:
        done = bisect_right(self.unjudged, judged.cursor, key=position_of)
        self.counts.extend(
            (row.window_start_ms, row.step_ms, trusted_count(row)) for row in self.unjudged[:done]
        )
        del self.unjudged[:done]
        self.residuals.extend(map(_residual, judged.predictions))
        self.judged.extend(judged.predictions)
        self.incidents.update({one.incident_id: one for one in judged.incidents})
        self.cursor = judged.cursor


def _residual(prediction: Prediction) -> tuple[int, int, float, float | None, int]:
    window, usable = prediction.window, prediction.usable
    return (
        window.window_start_ms,
        window.step_ms,
        window.count if usable else _NOTHING,
        prediction.expected if usable else _NOTHING,
        found_either_way(prediction.verdict, prediction.reason),
    )


class MemoryJudgingStore:
    """Implements `ports.JudgingStore` in one process; all generations are of one stream.

    Args:
        put_messages: Takes the messages of a transaction, as the counting store's outbox does.
    """

    def __init__(self, put_messages: Callable[[Sequence[OutboxMessage]], None]) -> None:
        self._put_messages = put_messages
        self._generations: dict[int, dict[str, _Series]] = {}
        self._reach_ms = 0

    def announce(self, rows: Sequence[CompletedWindow]) -> None:
        """Take completed windows, in order of step and window for each series."""
        for row in rows:
            held = self._generations.setdefault(row.generation, {})
            if row.series not in held:
                held[row.series] = _Series()
            held[row.series].announce(row)

    def backlog(
        self, generation: int, series: Sequence[str], limits: SliceLimits
    ) -> list[SeriesBacklog]:
        """Return the next unjudged steps of those series that have any, in order of series."""
        held = self._generations.get(generation, {})
        self._reach_ms = _reach_ms(limits)
        found: list[SeriesBacklog] = []
        for name in sorted(set(series), key=str.encode):
            one = held.get(name)
            items = one.next_steps(limits.max_steps) if one is not None else ()
            if one is None or not items:
                continue
            found.append(
                SeriesBacklog(
                    generation,
                    name,
                    one.cursor,
                    next(reversed(one.incidents.values()), None),
                    items,
                    one.unjudged[-1].step_ms,
                    self._counts(generation, name, items, limits),
                    self._residuals(generation, name, items, limits),
                )
            )
        return found

    def write(self, judged: Sequence[JudgedSeries]) -> list[str]:
        """Write each series whose cursor still is where it was judged from."""
        written: list[str] = []
        messages: list[OutboxMessage] = []
        for one in judged:
            series = self._generations[one.generation][one.series]
            if series.cursor == one.follows:
                series.take(one)
                messages += map(alert_message, one.alerts)
                written.append(one.series)
        self._put_messages(messages)
        return written

    def forget(self, before_ms: int) -> None:
        """Drop what windows from a time on cannot ask for any more.

        Args:
            before_ms: No window that starts before this will be announced again.
        """
        for held in self._generations.values():
            for series in held.values():
                series.counts.drop_before(before_ms - self._reach_ms)
                series.residuals.drop_before(before_ms - self._reach_ms)
                series.judged = [
                    row for row in series.judged if row.window.window_start_ms >= before_ms
                ]

    # --- readers

    def predictions(self, generation: int) -> Mapping[str, Sequence[Prediction]]:
        """Return the judged revisions by series, in the order of judging."""
        held = self._generations.get(generation, {})
        return {name: series.judged for name, series in held.items()}

    def incidents(self, generation: int) -> Mapping[str, Sequence[Incident]]:
        """Return the incidents by series, in the order of opening."""
        held = self._generations.get(generation, {})
        return {name: list(series.incidents.values()) for name, series in held.items()}

    # --- history

    def _counts(
        self,
        generation: int,
        name: str,
        items: Sequence[CompletedWindow],
        limits: SliceLimits,
    ) -> CountHistory:
        back_ms = history_windows(limits.size_ms) * limits.size_ms
        oldest_ms = min(item.window_start_ms for item in items) - back_ms
        # A window is never announced before its own step: older steps hold only older windows.
        starts, _, counts = _joined(
            series.counts.between(oldest_ms, until_ms)
            for series, until_ms in self._past(generation, name, items[0].step_ms)
        )
        return CountHistory(starts, counts)

    def _residuals(
        self,
        generation: int,
        name: str,
        items: Sequence[CompletedWindow],
        limits: SliceLimits,
    ) -> ResidualHistory:
        oldest_ms = oldest_residual_ms(
            items[0].step_ms, size_ms=limits.size_ms, memory_days=limits.memory_days
        )
        columns = _joined(
            series.residuals.between(oldest_ms, until_ms)
            for series, until_ms in self._past(generation, name, items[0].step_ms)
        )
        return ResidualHistory(*columns)

    def _past(self, generation: int, name: str, step_ms: int) -> list[tuple[_Series, int]]:
        """Return the series of each generation so far, and up to which step it is the past.

        Of earlier generations only what this one has not counted itself.
        """
        this = self._generations[generation][name]
        first_step_ms = step_ms if this.first_step_ms is None else this.first_step_ms
        earlier = [
            (held[name], first_step_ms)
            for number, held in sorted(self._generations.items())
            if number < generation and name in held
        ]
        return [*earlier, (this, step_ms)]


def _reach_ms(limits: SliceLimits) -> int:
    """Return how far before a window anything is that judging it may ask for."""
    memory = memory_windows(limits.size_ms, limits.memory_days) + FIT_EVERY_WINDOWS
    return max(history_windows(limits.size_ms), memory) * limits.size_ms


def _joined(parts: Iterable[list[NDArray[Any]]]) -> list[NDArray[Any]]:
    return [np.concatenate(columns) for columns in zip(*parts, strict=True)]
