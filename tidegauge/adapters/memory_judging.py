"""The judging store in memory: for offline replay, for tests, and as the plain form of the rules.

Whoever closes windows hands the completed ones to `announce`; MySQL's side reads its table.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

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
from tidegauge.ports import OutboxMessage, SliceLimits, alert_message


class _Series:
    """One series of one generation; revisions stand in the order of judging."""

    def __init__(self) -> None:
        self.announced: list[CompletedWindow] = []
        self.judged: list[Prediction] = []
        self.incidents: dict[str, Incident] = {}
        self.cursor: Position | None = None

    def unjudged(self, max_steps: int) -> tuple[CompletedWindow, ...]:
        first = 0
        if self.cursor is not None:
            first = bisect_right(self.announced, self.cursor, key=position_of)
        if first == len(self.announced):
            return ()
        items: list[CompletedWindow] = []
        steps = 0
        for row in self.announced[first:]:
            if not items or row.step_ms != items[-1].step_ms:
                steps += 1
                if steps > max_steps:
                    break
            items.append(row)
        return tuple(items)


class _Past(msgspec.Struct, frozen=True):
    announced: list[CompletedWindow]
    judged: list[Prediction]
    before_step_ms: int | None  # of an earlier generation: only steps before this one


class MemoryJudgingStore:
    """Implements `ports.JudgingStore` in one process; all generations are of one stream.

    Args:
        put_messages: Takes the messages of a transaction, as the counting store's outbox does.
    """

    def __init__(self, put_messages: Callable[[Sequence[OutboxMessage]], None]) -> None:
        self._put_messages = put_messages
        self._generations: dict[int, dict[str, _Series]] = {}

    def announce(self, rows: Sequence[CompletedWindow]) -> None:
        """Take completed windows, in order of step and window for each series."""
        for row in rows:
            held = self._generations.setdefault(row.generation, {})
            held.setdefault(row.series, _Series()).announced.append(row)

    def backlog(
        self, generation: int, series: Sequence[str], limits: SliceLimits
    ) -> list[SeriesBacklog]:
        """Return the next unjudged steps of those series that have any, in order of series."""
        held = self._generations.get(generation, {})
        found: list[SeriesBacklog] = []
        for name in sorted(set(series), key=str.encode):
            one = held.get(name)
            items = one.unjudged(limits.max_steps) if one is not None else ()
            if one is None or not items:
                continue
            past = self._past(generation, name)
            found.append(
                SeriesBacklog(
                    generation,
                    name,
                    one.cursor,
                    next(reversed(one.incidents.values()), None),
                    items,
                    _counts(past, items, limits.size_ms),
                    _residuals(past, items, limits),
                )
            )
        return found

    def _past(self, generation: int, name: str) -> list[_Past]:
        """Return what came before in each generation: of earlier ones, what this one has not."""
        this = self._generations[generation][name]
        first_step_ms = this.announced[0].step_ms
        earlier = [
            _Past(held[name].announced, held[name].judged, first_step_ms)
            for number, held in sorted(self._generations.items())
            if number < generation and name in held
        ]
        return [*earlier, _Past(this.announced, this.judged, None)]

    def write(self, judged: Sequence[JudgedSeries]) -> list[str]:
        """Write each series whose cursor still is where it was judged from."""
        written: list[str] = []
        messages: list[OutboxMessage] = []
        for one in judged:
            series = self._generations[one.generation][one.series]
            if series.cursor != one.follows:
                continue
            series.judged.extend(one.predictions)
            for incident in one.incidents:
                series.incidents[incident.incident_id] = incident
            series.cursor = one.cursor
            messages += map(alert_message, one.alerts)
            written.append(one.series)
        self._put_messages(messages)
        return written

    # --- readers

    def predictions(self, generation: int) -> Mapping[str, Sequence[Prediction]]:
        """Return every judged revision by series, in the order of judging."""
        held = self._generations.get(generation, {})
        return {name: series.judged for name, series in held.items()}

    def incidents(self, generation: int) -> Mapping[str, Sequence[Incident]]:
        """Return the incidents by series, in the order of opening."""
        held = self._generations.get(generation, {})
        return {name: list(series.incidents.values()) for name, series in held.items()}


def _counts(past: Sequence[_Past], items: Sequence[CompletedWindow], size_ms: int) -> CountHistory:
    oldest_ms = min(item.window_start_ms for item in items) - history_windows(size_ms) * size_ms
    rows: list[CompletedWindow] = []
    for one in past:
        until_ms = items[0].step_ms if one.before_step_ms is None else one.before_step_ms
        # A window is never announced before its own step: older steps hold only older windows.
        first = bisect_left(one.announced, oldest_ms, key=_step_ms)
        until = bisect_left(one.announced, until_ms, key=_step_ms)
        rows += one.announced[first:until]
    return CountHistory(
        _whole([row.window_start_ms for row in rows]),
        np.array([trusted_count(row) for row in rows], dtype=np.float64),
    )


def _residuals(
    past: Sequence[_Past], items: Sequence[CompletedWindow], limits: SliceLimits
) -> ResidualHistory:
    oldest_ms = oldest_residual_ms(
        items[0].step_ms, size_ms=limits.size_ms, memory_days=limits.memory_days
    )
    rows: list[Prediction] = []
    for one in past:
        until_ms = items[0].step_ms if one.before_step_ms is None else one.before_step_ms
        first = bisect_left(one.judged, oldest_ms, key=_judged_step_ms)
        until = bisect_left(one.judged, until_ms, key=_judged_step_ms)
        rows += one.judged[first:until]
    nan = float("nan")
    return ResidualHistory(
        _whole([row.window.window_start_ms for row in rows]),
        _whole([row.window.step_ms for row in rows]),
        np.array([row.window.count if row.usable else nan for row in rows], dtype=np.float64),
        np.array([row.expected if row.usable else nan for row in rows], dtype=np.float64),
        np.array([found_either_way(row.verdict, row.reason) for row in rows], dtype=np.int8),
    )


def _whole(values: Sequence[int]) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def _step_ms(row: CompletedWindow) -> int:
    return row.step_ms


def _judged_step_ms(row: Prediction) -> int:
    return row.window.step_ms
