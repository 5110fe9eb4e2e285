"""A stream's books on MySQL, as of one moment: implements `ports.audit.BookKeeper`."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pymysql.cursors import SSCursor

from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.queries import query
from tidegauge.adapters.mysql.times import from_sql, to_sql
from tidegauge.domain.audit import Announced, Books, CountedShard, KnownGap
from tidegauge.domain.count import Quality
from tidegauge.domain.fold import NO_FENCE
from tidegauge.domain.recount import Ruling, Span
from tidegauge.domain.retry import ItemState

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

# A longer list makes the server read all windows that there are.
_SERIES_PER_QUERY = 200
_TELLING = (Quality.PARTIAL, Quality.GAP, Quality.SUSPECT)


class MysqlBooks:
    """Reads what was counted of one stream.

    Args:
        database: Where counts live; a connection that nothing else uses.
        stream_name: Name of the events stream.
    """

    def __init__(self, database: Database, stream_name: str) -> None:
        self._database = database
        self._stream_name = stream_name

    def books(self, span: Span, generation: int | None) -> Books | None:
        """Return what is known of a span, all of it as of one moment.

        Raises:
            Transient: the database cannot answer now.
            Misconfigured: account, address or schema are not what the code needs.
        """
        with self._database.transaction() as cursor:
            cursor.execute(query("audit_isolation"))
            cursor.execute(query("begin_audit"))
            names = {"stream": self._stream_name, "generation": generation}
            cursor.execute(query("audit_generation"), names)
            row = cursor.fetchone()
            return None if row is None else _Reading(cursor, row, span).books()


class _Reading:
    """Reads the books of one generation in an open transaction."""

    def __init__(self, cursor: "Cursor", generation: tuple[Any, ...], span: Span) -> None:
        self._cursor = cursor
        self._generation, self._arn, created_at, next_window = generation
        self._created_ms = from_sql(created_at)
        self._next_ms = from_sql(next_window)
        closed_ms = span.from_ms if self._next_ms is None else self._next_ms
        self._closed = span.cut(span.from_ms, closed_ms)

    def _values(self, **values: object) -> dict[str, object]:
        closed = {"from": to_sql(self._closed.from_ms), "until": to_sql(self._closed.until_ms)}
        return {"generation": self._generation, **closed, **values}

    def _all(self, name: str, **values: object) -> tuple[tuple[Any, ...], ...]:
        self._cursor.execute(query(name), self._values(**values))
        return self._cursor.fetchall()

    def books(self) -> Books:
        return Books(
            generation=self._generation,
            stream_arn=self._arn,
            created_ms=self._created_ms,
            next_window_ms=self._next_ms,
            shards=[_shard(row) for row in self._all("audit_shards")],
            announced=self._announced(),
            gaps=[
                KnownGap(from_sql(starts), from_sql(ends), reason, shard_id)
                for starts, ends, reason, shard_id in self._all("audit_gaps")
            ],
            rulings=[_ruling(row) for row in self._all("audit_quarantine")],
        )

    def _announced(self) -> Announced:
        told = Announced({}, Counter(), {})
        if not self._closed.n_windows:
            return told
        for some in self._series():
            last: tuple[Any, ...] | None = None
            for row in self._windows(some):
                if last is not None and last[:2] != row[:2]:
                    _tell(told, last)
                last = row
            if last is not None:
                _tell(told, last)
        for window_start, series, events in self._all(
            "audit_untold", next_window=to_sql(self._next_ms)
        ):
            _add(told, from_sql(window_start), series.decode(), int(events), int(events))
        return told

    def _series(self) -> Iterator[list[bytes]]:
        """Yield the names of all series, some at a time."""
        limit = _SERIES_PER_QUERY
        some = [name for (name,) in self._all("audit_first_series", limit=limit)]
        while some:
            yield some
            rows = self._all("audit_next_series", after=some[-1], limit=limit)
            some = [name for (name,) in rows]

    def _windows(self, series: list[bytes]) -> Iterator[tuple[Any, ...]]:
        """Yield their windows row by row: a long span has more than memory should hold."""
        with SSCursor(self._cursor.connection) as rows:
            rows.execute(query("audit_windows"), self._values(series=series))
            yield from rows


def _tell(told: Announced, row: tuple[Any, ...]) -> None:
    series, window_start, count, late, quality = row
    window_ms = from_sql(window_start)
    _add(told, window_ms, series.decode(), count, late)
    if Quality(quality) in _TELLING:
        told.qualities.setdefault(window_ms, set()).add(Quality(quality))


def _add(told: Announced, window_ms: int, series: str, count: int, late: int) -> None:
    if count:  # what is not there is zero
        counts = told.counts.setdefault(window_ms, {})
        counts[series] = counts.get(series, 0) + count
    if late:
        told.late[window_ms] += late


def _shard(row: tuple[Any, ...]) -> CountedShard:
    shard_id, parent, adjacent, fence, stream_time = row
    return CountedShard(
        shard_id=shard_id,
        parent_ids=tuple(name for name in (parent, adjacent) if name),
        fence=NO_FENCE if fence is None else int(fence),
        stream_time_ms=from_sql(stream_time),
    )


def _ruling(row: tuple[Any, ...]) -> Ruling:
    shard_id, sequence_number, sub_index, reason, state, digest = row
    return Ruling(shard_id, int(sequence_number), sub_index, reason, ItemState(state), digest)
