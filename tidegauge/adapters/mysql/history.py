"""What series are judged by: counts and residuals of weeks, read once and then followed.

What was announced and judged up to a step never changes. So a warm process keeps the arrays it has
read, and reads only the steps since; a cold one reads all. Only committed rows are ever kept.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.adapters.mysql.queries import query
from tidegauge.adapters.mysql.times import to_sql
from tidegauge.domain.features import DAY_MS, history_windows
from tidegauge.domain.history import CountHistory, ResidualHistory
from tidegauge.domain.judging import found_either_way, oldest_residual_ms
from tidegauge.domain.verdict import Reason, Verdict
from tidegauge.ports import SliceLimits

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

# About 100 MB; what does not fit is read again.
MAX_KEPT_ROWS = 4_000_000

# Read beyond what is asked for: a late event's window looks back further than those around it.
SLACK_MS = DAY_MS

_Columns = tuple[NDArray[Any], ...]


class Past(msgspec.Struct, frozen=True):
    """Which steps are the past of a series' unjudged items.

    Attributes:
        first_step_ms: First step of the series in this generation.
        next_step_ms: Step of the first item.
        oldest_window_ms: Oldest window among the items.
    """

    first_step_ms: int
    next_step_ms: int
    oldest_window_ms: int


class _Kept(msgspec.Struct):
    """Rows of at least the windows from `oldest_ms` on, of all steps before `until_ms`."""

    oldest_ms: int
    until_ms: int
    columns: _Columns


class WarmHistory:
    """Reads and keeps the history of series, for one process and one connection at a time.

    Args:
        max_rows: Rows kept over all series; beyond it all are forgotten.
    """

    def __init__(self, max_rows: int = MAX_KEPT_ROWS) -> None:
        self._max_rows = max_rows
        self._kept: dict[tuple[str, int, str], _Kept] = {}

    def counts(
        self,
        cursor: "Cursor",
        generation: int,
        earlier: Sequence[int],
        pasts: Mapping[str, Past],
        limits: SliceLimits,
    ) -> dict[str, CountHistory]:
        """Return the counts that the features of each series' items look back on."""
        back_ms = history_windows(limits.size_ms) * limits.size_ms
        oldest_ms = {name: past.oldest_window_ms - back_ms for name, past in pasts.items()}
        read = _Reading("count_history", generation, earlier, _count_columns)
        return {
            name: CountHistory(*columns)
            for name, columns in self._read(cursor, read, pasts, oldest_ms).items()
        }

    def residuals(
        self,
        cursor: "Cursor",
        generation: int,
        earlier: Sequence[int],
        pasts: Mapping[str, Past],
        limits: SliceLimits,
    ) -> dict[str, ResidualHistory]:
        """Return the residuals that each series' items are judged by."""
        oldest_ms = {
            name: oldest_residual_ms(
                past.next_step_ms, size_ms=limits.size_ms, memory_days=limits.memory_days
            )
            for name, past in pasts.items()
        }
        read = _Reading("residual_history", generation, earlier, _residual_columns)
        return {
            name: ResidualHistory(*columns)
            for name, columns in self._read(cursor, read, pasts, oldest_ms).items()
        }

    def _read(
        self,
        cursor: "Cursor",
        read: "_Reading",
        pasts: Mapping[str, Past],
        oldest_ms: Mapping[str, int],
    ) -> dict[str, _Columns]:
        kept: dict[str, _Kept] = {}
        for name, past in pasts.items():
            held = self._kept.get((read.query_name, read.generation, name))
            if held is None or held.until_ms > past.next_step_ms:
                continue
            if held.oldest_ms <= oldest_ms[name]:
                kept[name] = held
        since = {name: one.until_ms for name, one in kept.items()}
        from_ms = {name: oldest - SLACK_MS for name, oldest in oldest_ms.items()}
        for name, columns in read.fetch(cursor, pasts, from_ms, since).items():
            one = _Kept(from_ms[name], pasts[name].next_step_ms, columns)
            if name in kept:
                one = _followed(kept[name], one)
            self._kept[(read.query_name, read.generation, name)] = kept[name] = one
        if sum(len(one.columns[0]) for one in self._kept.values()) > self._max_rows:
            self._kept.clear()
        return {name: one.columns for name, one in kept.items()}


def _followed(before: _Kept, since: _Kept) -> _Kept:
    """Return what was kept with the steps since; what nobody asks for any more is dropped."""
    pairs = zip(before.columns, since.columns, strict=True)
    columns = tuple(np.concatenate(pair) for pair in pairs)
    if before.oldest_ms >= since.oldest_ms - SLACK_MS:
        return _Kept(before.oldest_ms, since.until_ms, columns)
    # The first column is the window's start.
    wanted = columns[0] >= since.oldest_ms
    return _Kept(since.oldest_ms, since.until_ms, tuple(column[wanted] for column in columns))


class _Reading(msgspec.Struct, frozen=True):
    """One of the two queries for history, and how its rows become columns."""

    query_name: str
    generation: int
    earlier: Sequence[int]
    columns: Callable[[Sequence[Sequence[Any]]], _Columns]

    def fetch(
        self,
        cursor: "Cursor",
        pasts: Mapping[str, Past],
        oldest_ms: Mapping[str, int],
        from_step_ms: Mapping[str, int],
    ) -> dict[str, _Columns]:
        """Read each series' rows from its oldest window, or from a step, to its first item."""
        names: dict[str, Any] = {"generation": self.generation, "earlier": list(self.earlier)}
        parts: list[str] = []
        for number, (series, past) in enumerate(pasts.items()):
            names[f"series_{number}"] = series.encode()
            names[f"oldest_{number}"] = to_sql(oldest_ms[series])
            names[f"next_{number}"] = to_sql(past.next_step_ms)
            names[f"first_{number}"] = to_sql(past.first_step_ms)
            of_series = f"series = %(series_{number})s AND step <"
            since = f"AND window_start >= %(oldest_{number})s"
            if series in from_step_ms:
                names[f"from_{number}"] = to_sql(from_step_ms[series])
                since = f"AND step >= %(from_{number})s"
            elif self.earlier:
                # Of earlier generations only what this one has not counted itself.
                parts.append(
                    f"generation IN %(earlier)s AND {of_series} %(first_{number})s {since}"
                )
            parts.append(f"generation = %(generation)s AND {of_series} %(next_{number})s {since}")
        cursor.execute(with_ranges(self.query_name, parts), names)
        rows: dict[str, list[Sequence[Any]]] = {series: [] for series in pasts}
        for series, *row in cursor.fetchall():
            rows[series.decode()].append(row)
        return {series: self.columns(of_series) for series, of_series in rows.items()}


def with_ranges(name: str, parts: Sequence[str]) -> str:
    """Return a named query with its `{ranges}` filled in: any one of the parts."""
    return query(name).replace("{ranges}", " OR ".join(f"({part})" for part in parts))


def _count_columns(rows: Sequence[Sequence[Any]]) -> _Columns:
    return _whole(rows, 0), _real(rows, 1)


def _residual_columns(rows: Sequence[Sequence[Any]]) -> _Columns:
    found = [found_either_way(Verdict(row[4]), Reason(row[5])) for row in rows]
    return (
        _whole(rows, 0),
        _whole(rows, 1),
        _real(rows, 2),
        _real(rows, 3),
        np.array(found, dtype=np.int8),
    )


def _whole(rows: Sequence[Sequence[Any]], column: int) -> NDArray[np.int64]:
    return np.array([row[column] for row in rows], dtype=np.int64)


def _real(rows: Sequence[Sequence[Any]], column: int) -> NDArray[np.float64]:
    nothing = float("nan")
    values = [nothing if row[column] is None else float(row[column]) for row in rows]
    return np.array(values, dtype=np.float64)
