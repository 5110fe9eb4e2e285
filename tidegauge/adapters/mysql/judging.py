"""The judging store on MySQL: implements `ports.JudgingStore`.

Reads are plain and may see each other's gaps; nothing depends on that, since `write` locks the rows
of `judging`, as its first statement, and writes only where the cursor still is the one that was
read. Whatever was read before it moved is then of one piece.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

import msgspec

from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.history import Past, WarmHistory, with_ranges
from tidegauge.adapters.mysql.outbox import add_messages
from tidegauge.adapters.mysql.queries import query
from tidegauge.adapters.mysql.times import from_sql, to_sql
from tidegauge.domain.count import CompletedWindow, Quality
from tidegauge.domain.event_time import LATEST_TIME_MS
from tidegauge.domain.incident import Incident, IncidentStatus, Severity
from tidegauge.domain.judging import JudgedSeries, SeriesBacklog
from tidegauge.domain.prediction import Position, Prediction
from tidegauge.domain.verdict import Verdict
from tidegauge.ports import SliceLimits, alert_message

if TYPE_CHECKING:
    from pymysql.cursors import Cursor


class _State(msgspec.Struct, frozen=True):
    """One row of `judging`, with what there is to judge."""

    cursor: Position | None
    first_step_ms: int
    last_step_ms: int
    following_ms: int | None
    incident: Incident | None


class MysqlJudgingStore:
    """Judgements on MySQL 8.4 or MariaDB 10.11.

    Args:
        database: One connection of this process.
        interval_level: Stored with each prediction.
    """

    def __init__(self, database: Database, *, interval_level: float) -> None:
        self._database = database
        self._interval_level = interval_level
        self._history = WarmHistory()

    def backlog(
        self, generation: int, series: Sequence[str], limits: SliceLimits
    ) -> list[SeriesBacklog]:
        """Return the next unjudged steps of those series that have any, in order of series."""
        if not series:
            return []
        with self._database.transaction() as cursor:
            states = _states(cursor, generation, series, limits)
            if len(states) < len(set(series)):
                names = {"generation": generation, "series": _encoded(series)}
                cursor.execute(query("add_judging"), names)
                states = _states(cursor, generation, series, limits)
            waiting = _waiting(cursor, generation, states)
            if not waiting:
                return []
            items = _items(cursor, generation, waiting, limits)
            pasts = {
                name: Past(
                    first_step_ms=states[name].first_step_ms,
                    next_step_ms=of_series[0].step_ms,
                    oldest_window_ms=min(item.window_start_ms for item in of_series),
                )
                for name, of_series in items.items()
            }
            earlier = _earlier(cursor, generation)
            counts = self._history.counts(cursor, generation, earlier, pasts, limits)
            residuals = self._history.residuals(cursor, generation, earlier, pasts, limits)
        return [
            SeriesBacklog(
                generation,
                name,
                states[name].cursor,
                states[name].incident,
                items[name],
                states[name].last_step_ms,
                counts[name],
                residuals[name],
            )
            for name in items
        ]

    def write(self, judged: Sequence[JudgedSeries]) -> list[str]:
        """Write, in one transaction, each series whose cursor is where it was judged from."""
        if not judged:
            return []
        written: list[str] = []
        with self._database.transaction() as cursor:
            ordered = sorted(judged, key=lambda one: (one.generation, one.series.encode()))
            for generation, of_generation in groupby(ordered, key=attrgetter("generation")):
                standing = _lock(cursor, generation, list(of_generation))
                self._write(cursor, generation, standing)
                written += [one.series for one in standing]
        return written

    def _write(self, cursor: "Cursor", generation: int, judged: Sequence[JudgedSeries]) -> None:
        predictions = [
            self._prediction_row(prediction) for one in judged for prediction in one.predictions
        ]
        incidents = [
            _incident_row(generation, one.series, incident)
            for one in judged
            for incident in one.incidents
        ]
        cursors = [_cursor_row(one) for one in judged]
        for name, rows in (
            ("add_prediction", predictions),
            ("put_incident", incidents),
            ("move_judging", cursors),
        ):
            if rows:
                cursor.executemany(query(name), rows)
        alerts = [alert_message(alert) for one in judged for alert in one.alerts]
        add_messages(cursor, generation, alerts)

    def _prediction_row(self, prediction: Prediction) -> dict[str, Any]:
        window = prediction.window
        return {
            "generation": window.generation,
            "series": window.series.encode(),
            "window_start": to_sql(window.window_start_ms),
            "revision": window.revision,
            "step": to_sql(window.step_ms),
            "actual": window.count,
            "quality": window.quality.value,
            "status": prediction.status.value,
            "expected": prediction.expected,
            "lower_bound": prediction.lower,
            "upper_bound": prediction.upper,
            "level": self._interval_level,
            "verdict": prediction.verdict.value,
            "reason": prediction.reason.value,
            "windows_judged": prediction.windows_judged,
            "tail_probability": prediction.tail_probability,
            "model_version": prediction.model_version,
        }


def _encoded(series: Iterable[str]) -> list[bytes]:
    return sorted({name.encode() for name in series})


def _states(
    cursor: "Cursor", generation: int, series: Sequence[str], limits: SliceLimits
) -> dict[str, _State]:
    names = {
        "generation": generation,
        "series": _encoded(series),
        "size_seconds": limits.size_ms // 1000,
    }
    cursor.execute(query("judging_states"), names)
    found: dict[str, _State] = {}
    for name, step, window_start, revision, first, last, following, *incident in cursor.fetchall():
        if first is None:
            continue
        position = None
        if step is not None:
            position = Position(from_sql(step), from_sql(window_start), int(revision))
        found[name.decode()] = _State(
            position,
            from_sql(first),
            from_sql(last),
            from_sql(first if step is None else following),
            _incident(incident),
        )
    return found


def _waiting(cursor: "Cursor", generation: int, states: Mapping[str, _State]) -> dict[str, int]:
    """Return the first unjudged step of each series that has one, in order of series."""
    next_steps = {name: state.following_ms for name, state in states.items()}
    names: dict[str, Any] = {"generation": generation}
    parts: list[str] = []
    for name, state in states.items():
        if (
            state.following_ms is None
            and state.cursor
            and state.cursor.step_ms < state.last_step_ms
        ):
            # it fell silent, retired and came back: its next step lies anywhere
            number = len(parts)
            names[f"series_{number}"] = name.encode()
            names[f"step_{number}"] = to_sql(state.cursor.step_ms)
            parts.append(f"series = %(series_{number})s AND step > %(step_{number})s")
    if parts:
        cursor.execute(with_ranges("next_steps", parts), names)
        next_steps.update((name.decode(), from_sql(step)) for name, step in cursor.fetchall())
    return {name: step_ms for name, step_ms in next_steps.items() if step_ms is not None}


def _incident(columns: Sequence[Any]) -> Incident | None:
    incident_id, direction, severity, status, first, last, anomalous, clear_run, closed = columns
    if incident_id is None:
        return None
    return Incident(
        incident_id,
        Verdict(direction),
        Severity(severity),
        IncidentStatus(status),
        from_sql(first),
        from_sql(last),
        int(anomalous),
        int(clear_run),
        from_sql(closed),
    )


def _earlier(cursor: "Cursor", generation: int) -> list[int]:
    cursor.execute(query("earlier_generations"), {"generation": generation})
    return [int(number) for (number,) in cursor.fetchall()]


def _items(
    cursor: "Cursor", generation: int, waiting: Mapping[str, int], limits: SliceLimits
) -> dict[str, tuple[CompletedWindow, ...]]:
    """Return the next steps of each series; those of one step were committed together."""
    names: dict[str, Any] = {"generation": generation}
    parts: list[str] = []
    for number, (name, next_step_ms) in enumerate(waiting.items()):
        names[f"series_{number}"] = name.encode()
        names[f"from_{number}"] = to_sql(next_step_ms)
        until_ms = next_step_ms + limits.max_steps * limits.size_ms
        names[f"until_{number}"] = to_sql(min(until_ms, LATEST_TIME_MS))
        parts.append(
            f"series = %(series_{number})s"
            f" AND step >= %(from_{number})s AND step < %(until_{number})s"
        )
    cursor.execute(with_ranges("unjudged_windows", parts), names)
    return {
        name.decode(): tuple(
            CompletedWindow(
                generation,
                name.decode(),
                int(window_ms),
                int(revision),
                int(step_ms),
                int(count),
                int(late),
                Quality(quality),
            )
            for _, window_ms, revision, step_ms, count, late, quality in rows
        )
        for name, rows in groupby(cursor.fetchall(), key=itemgetter(0))
    }


def _lock(cursor: "Cursor", generation: int, judged: Sequence[JudgedSeries]) -> list[JudgedSeries]:
    """Lock the series in their order; return those that nobody judged meanwhile."""
    names = {"generation": generation, "series": _encoded(one.series for one in judged)}
    cursor.execute(query("lock_judging"), names)
    standing = {
        name.decode(): None
        if step is None
        else Position(from_sql(step), from_sql(window_start), int(revision))
        for name, step, window_start, revision in cursor.fetchall()
    }
    return [one for one in judged if one.series in standing and standing[one.series] == one.follows]


def _cursor_row(judged: JudgedSeries) -> dict[str, Any]:
    return {
        "generation": judged.generation,
        "series": judged.series.encode(),
        "step": to_sql(judged.cursor.step_ms),
        "window_start": to_sql(judged.cursor.window_start_ms),
        "revision": judged.cursor.revision,
        "incident_id": judged.incidents[-1].incident_id if judged.incidents else None,
    }


def _incident_row(generation: int, series: str, incident: Incident) -> dict[str, Any]:
    return {
        "generation": generation,
        "incident_id": incident.incident_id,
        "series": series.encode(),
        "direction": incident.direction.value,
        "severity": incident.severity.value,
        "status": incident.status.value,
        "first_window": to_sql(incident.first_window_ms),
        "last_window": to_sql(incident.last_window_ms),
        "anomalous_windows": incident.anomalous_windows,
        "clear_run": incident.clear_run,
        "closed_window": to_sql(incident.closed_window_ms),
    }
