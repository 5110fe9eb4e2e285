"""One closing on MySQL, under the frontier's lock: implements `ports.CloseTransaction`."""

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING, Any

from tidegauge.adapters.mysql.gaps import WHOLE_STREAM, add_gaps
from tidegauge.adapters.mysql.lineage import lock_frontier, shard_rows
from tidegauge.adapters.mysql.outbox import add_messages
from tidegauge.adapters.mysql.queries import query, slices
from tidegauge.adapters.mysql.times import from_sql, to_sql
from tidegauge.adapters.shard_lines import times_of
from tidegauge.domain.close import Closing, SeriesState, StepCount
from tidegauge.domain.count import CompletedWindow, Quality
from tidegauge.domain.fold import Gap
from tidegauge.ports import Frontier, OutboxMessage, ShardTimes

if TYPE_CHECKING:
    from datetime import datetime

    from pymysql.cursors import Cursor

# From 1,000 on MariaDB would read all windows of the generation instead of these.
_PLACES_PER_QUERY = 500


class MysqlClosing:
    """Reads and writes one closing.

    Args:
        cursor: Of a transaction that has done nothing yet.
        generation: The stream generation's number.
    """

    def __init__(self, cursor: "Cursor", generation: int) -> None:
        self._cursor = cursor
        self._generation = generation
        self._frontier = lock_frontier(cursor, generation)

    @property
    def frontier(self) -> Frontier:
        """Return the frontier as it stood when it was locked."""
        return self._frontier

    def _all(self, name: str, **values: object) -> tuple[tuple[Any, ...], ...]:
        self._cursor.execute(query(name), {"generation": self._generation, **values})
        return self._cursor.fetchall()

    def shard_times(self) -> list[ShardTimes]:
        """Return the stream times of all shards. Read before any count."""
        rows = shard_rows(self._cursor, self._generation)
        lines = {line.shard_id: line for line, _ in rows}
        return times_of(lines, {line.shard_id: first_ms for line, first_ms in rows})

    def last_step_ms(self) -> int | None:
        """Return the greatest step that has counts; None where nothing was counted."""
        last: datetime | None = self._all("last_step")[0][0]
        return from_sql(last)

    def next_step_ms(self, from_ms: int) -> int | None:
        """Return the least step from `from_ms` on that has counts; None for none."""
        step: datetime | None = self._all("next_step", **{"from": to_sql(from_ms)})[0][0]
        return from_sql(step)

    def counts(self, first_ms: int | None, until_ms: int) -> list[StepCount]:
        """Return the counts of the steps `[first_ms, until_ms)` over all shards; None: from all."""
        until = to_sql(until_ms)
        if first_ms is None:
            rows = self._all("step_counts_from_all", until=until)
        else:
            rows = self._all("step_counts", first=to_sql(first_ms), until=until)
        return [
            StepCount(from_sql(step), from_sql(window), series.decode(), int(events))
            for step, window, series, events in rows
        ]

    def latest(self, places: Set[tuple[int, str]]) -> dict[tuple[int, str], CompletedWindow]:
        """Return the last announced revision of each (window start, series) that has one."""
        found: dict[tuple[int, str], CompletedWindow] = {}
        pairs = [(series.encode(), to_sql(window_ms)) for window_ms, series in sorted(places)]
        for some in slices(pairs, _PLACES_PER_QUERY):
            for row in self._all("latest_revisions", places=some):
                completed = completed_window(self._generation, row)
                found[(completed.window_start_ms, completed.series)] = completed
        return found

    def series(self) -> dict[str, SeriesState]:
        """Return all series of the generation by name."""
        return {
            name.decode(): SeriesState(
                from_sql(first), from_sql(last_event), from_sql(retired), bool(active)
            )
            for name, first, last_event, retired, active in self._all("all_series")
        }

    def gaps(self, from_ms: int, until_ms: int) -> list[tuple[int, int]]:
        """Return the known gaps that touch a span of event time."""
        span = {"from": to_sql(from_ms), "until": to_sql(until_ms)}
        return [(from_sql(a), from_sql(b)) for a, b in self._all("gaps_in_span", **span)]

    def suspect(self, from_ms: int, until_ms: int) -> set[int]:
        """Return the windows of a span whose partial counts and ledger keys disagree."""
        span = {"from": to_sql(from_ms), "until": to_sql(until_ms)}
        return {from_sql(window) for (window,) in self._all("suspect_windows", **span)}

    def write(
        self,
        closing: Closing,
        frontier: Frontier,
        messages: Sequence[OutboxMessage],
        gaps: Sequence[Gap] = (),
    ) -> None:
        """Write completed windows, series, frontier, outbox and losses of the whole stream."""
        rows = [
            {
                "generation": row.generation,
                "series": row.series.encode(),
                "window_start": to_sql(row.window_start_ms),
                "revision": row.revision,
                "step": to_sql(row.step_ms),
                "count": row.count,
                "late": row.late,
                "quality": row.quality.value,
            }
            for row in closing.rows
        ]
        if rows:
            self._cursor.executemany(query("add_completed_window"), rows)
        states = [
            {
                "generation": self._generation,
                "series": name.encode(),
                "first_window": to_sql(state.first_window_ms),
                "last_event_window": to_sql(state.last_event_window_ms),
                "retired_window": to_sql(state.retired_window_ms),
                "active": state.active,
            }
            for name, state in closing.series.items()
        ]
        if states:
            self._cursor.executemany(query("put_series"), states)
        moved = {
            "generation": self._generation,
            "next_window": to_sql(frontier.next_window_ms),
            "observed_from": to_sql(frontier.observed_from_ms),
            "ended": frontier.ended,
        }
        self._cursor.execute(query("move_frontier"), moved)
        add_messages(self._cursor, self._generation, messages)
        add_gaps(self._cursor, self._generation, WHOLE_STREAM, gaps)


def completed_window(generation: int, row: Sequence[Any]) -> CompletedWindow:
    """Return a row of (series, window start, revision, step, count, late, quality)."""
    series, window_start, revision, step, count, late, quality = row
    return CompletedWindow(
        generation,
        series.decode(),
        from_sql(window_start),
        revision,
        from_sql(step),
        count,
        late,
        Quality(quality),
    )
