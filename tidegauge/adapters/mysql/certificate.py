"""Certificates on MySQL, as of one moment: implements `ports.certificate.Certificates`."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidegauge.adapters.mysql.certificate_rows import (
    alerts_of,
    evidence_of_shards,
    incident_of,
    nobodys_ranges,
    revisions_of,
    set_aside_of,
    waiting_revisions,
)
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.history import with_ranges
from tidegauge.adapters.mysql.lineage import shard_rows
from tidegauge.adapters.mysql.queries import query, slices
from tidegauge.adapters.mysql.times import from_sql, to_sql
from tidegauge.adapters.shard_lines import times_of
from tidegauge.domain.certificate import (
    MANY,
    AlertCertificate,
    Certificate,
    GapCertificate,
    Generation,
    RevisionCertificate,
    SetAside,
    ShardCertificate,
)
from tidegauge.domain.close import SeriesState
from tidegauge.domain.count import OTHER_SERIES
from tidegauge.domain.event_time import format_time
from tidegauge.domain.evidence import Evidence
from tidegauge.domain.lineage import is_waiting
from tidegauge.domain.window import first_open_window_ms

if TYPE_CHECKING:
    from datetime import datetime

    from pymysql.cursors import Cursor

_STEPS_PER_QUERY = 500


class MysqlCertificates:
    """Reads how the counts of one stream came to be.

    Args:
        database: Where counts live; a connection that nothing else uses.
        stream_name: Name of the events stream.
        size_ms: Window length.
        lateness_ms: How long a window waits for its events after its end.
    """

    def __init__(
        self, database: Database, stream_name: str, *, size_ms: int, lateness_ms: int
    ) -> None:
        self._database = database
        self._stream_name = stream_name
        self._size_ms = size_ms
        self._lateness_ms = lateness_ms

    def read(
        self, series: str, window_start_ms: int, *, generation: int | None = None
    ) -> Certificate | None:
        """Return a window's certificate, all of it as of one moment.

        None where the store knows no such generation of the stream.

        Raises:
            Transient: the database cannot answer now.
            Misconfigured: account, address or schema are not what the code needs.
        """
        names: dict[str, Any] = {
            "series": series.encode(),
            "window_start": to_sql(window_start_ms),
            "window_end": to_sql(window_start_ms + self._size_ms),
        }
        with self._database.transaction() as cursor:
            cursor.execute(query("certificate_isolation"))
            cursor.execute(query("begin_certificate"))
            cursor.execute(query("certificate_generations"), {**names, "stream": self._stream_name})
            found = _chosen(cursor.fetchall(), generation)
            if found is None:
                return None
            row, others = found
            reading = _Reading(cursor, {**names, "generation": row[0]}, series, window_start_ms)
            return reading.certificate(row, others, self._size_ms, self._lateness_ms)

    def active_series(self, generation: int, limit: int) -> list[str]:
        """Return names of series that are active, at most `limit`."""
        with self._database.transaction() as cursor:
            names = {"generation": generation, "limit": limit}
            cursor.execute(query("active_series_names"), names)
            return [name.decode() for (name,) in cursor.fetchall()]


def _chosen(
    rows: Iterable[Sequence[Any]], generation: int | None
) -> tuple[Sequence[Any], tuple[int, ...]] | None:
    """Return the generation asked for, and the others that have the window."""
    all_rows = list(rows)
    having = [row for row in all_rows if row[-1]]
    if generation is not None:
        chosen = next((row for row in all_rows if row[0] == generation), None)
    else:
        chosen = next(iter(having or all_rows), None)
    if chosen is None:
        return None
    return chosen, tuple(row[0] for row in having if row[0] != chosen[0])


class _Reading:
    """Reads one certificate in an open transaction."""

    def __init__(
        self, cursor: "Cursor", names: dict[str, Any], series: str, window_start_ms: int
    ) -> None:
        self._cursor = cursor
        self._names = names
        self._series = series
        self._window_start_ms = window_start_ms
        # as messages hold them
        self._in_json = {
            "series_json": msgspec.json.encode(series),
            "window_json": msgspec.json.encode(format_time(window_start_ms)),
        }

    def _all(self, name: str, **values: object) -> tuple[tuple[Any, ...], ...]:
        return self._rows(query(name), values)

    def _rows(self, statement: str, values: dict[str, Any]) -> tuple[tuple[Any, ...], ...]:
        self._cursor.execute(statement, {**self._names, **values})
        return self._cursor.fetchall()

    def certificate(
        self, row: Sequence[Any], others: tuple[int, ...], size_ms: int, lateness_ms: int
    ) -> Certificate:
        number, arn, created_at, first_seen_at, next_window, observed_from, ended, now, _ = row
        evidence, noted_ms = evidence_of_shards(self._all("certificate_evidence"))
        shards, n_beside, last_ms = self._shards(evidence)
        next_ms = from_sql(next_window)
        revisions = self._revisions()
        since = self._all("evidence_since")
        states = self._all("certificate_series")
        return Certificate(
            generation=Generation(
                number=number,
                stream_arn=arn,
                created_ms=from_sql(created_at),
                first_seen_ms=from_sql(first_seen_at),
                next_window_ms=next_ms,
                observed_from_ms=from_sql(observed_from),
                ended=bool(ended),
                others=others,
            ),
            series=self._series,
            window_start_ms=self._window_start_ms,
            size_ms=size_ms,
            lateness_ms=lateness_ms,
            now_ms=from_sql(now),
            evidence_since_ms=from_sql(since[0][0]) if since else None,
            evidence_noted_ms=noted_ms,
            state=_state(states[0]) if states else None,
            shards=shards,
            shards_beside=n_beside,
            gaps=[
                GapCertificate(from_sql(starts), from_sql(ends), reason, shard_id)
                for starts, ends, reason, shard_id in self._all("certificate_gaps", limit=MANY)
            ],
            revisions=revisions,
            untold=self._untold(next_ms, last_ms, size_ms=size_ms, lateness_ms=lateness_ms),
            other_count=self._other_count(),
            set_aside=set_aside_of(self._all("certificate_set_aside", limit=MANY)),
            nobodys=self._nobodys(),
            incident=incident_of(self._all("certificate_incident"), self._window_start_ms),
            alerts=self._alerts(revisions),
        )

    def _shards(
        self, evidence: dict[str, Evidence]
    ) -> tuple[list[ShardCertificate], int, int | None]:
        """Return the shards that matter, how many do not, and the greatest stream time of all."""
        rows = shard_rows(self._cursor, self._names["generation"])
        lines = {line.shard_id: line for line, _ in rows}
        times = times_of(lines, {line.shard_id: first_ms for line, first_ms in rows})
        shards = [
            ShardCertificate(
                shard_id=one.shard_id,
                parent_ids=lines[one.shard_id].parent_ids,
                drained=lines[one.shard_id].drained,
                waiting=is_waiting(lines[one.shard_id], lines),
                stream_time_ms=lines[one.shard_id].state.stream_time_ms,
                closes_ms=one.stream_time_ms,
                active=one.active,
                evidence=evidence.get(one.shard_id),
            )
            for one in times
            if one.active or one.shard_id in evidence
        ]
        stream_times = (line.state.stream_time_ms for line in lines.values())
        last_ms = max((time_ms for time_ms in stream_times if time_ms is not None), default=None)
        return shards, len(lines) - len(shards), last_ms

    def _revisions(self) -> list[RevisionCertificate]:
        rows = self._all("certificate_revisions")
        if not rows:
            return []
        waiting = self._all("waiting_announcements", **self._in_json, limit=MANY)
        (n_waiting, _), *messages = waiting
        unsent = waiting_revisions(
            [payload for _, payload in messages],
            self._names["generation"],
            self._series,
            self._window_start_ms,
        )
        place = (self._names["generation"], self._series, self._window_start_ms)
        return revisions_of(rows, place, unsent, all_seen=n_waiting < MANY)

    def _untold(
        self, next_ms: int | None, last_ms: int | None, *, size_ms: int, lateness_ms: int
    ) -> int:
        """Return the window's events of steps that are not closed yet.

        Their steps are named one by one: by the window alone each series' counts would be read.
        """
        start_ms = self._window_start_ms
        first_ms = start_ms if next_ms is None else max(start_ms, next_ms)
        last_step_ms = first_ms
        if last_ms is not None:
            open_ms = first_open_window_ms(last_ms, size_ms=size_ms, lateness_ms=lateness_ms)
            last_step_ms = max(first_ms, open_ms)
        steps = range(first_ms, last_step_ms + 1, size_ms)
        events = 0
        for some in slices(steps, _STEPS_PER_QUERY):
            rows = self._all("certificate_untold", steps=[to_sql(step_ms) for step_ms in some])
            events += int(rows[0][0])
        return events

    def _other_count(self) -> int | None:
        rows = self._all("certificate_revisions", series=OTHER_SERIES.encode())
        return int(rows[-1][2]) if rows else None

    def _nobodys(self) -> list[SetAside]:
        parts, values = nobodys_ranges(self._all("window_records"))
        if not parts:
            return []
        statement = with_ranges("certificate_nobodys", parts)
        return set_aside_of(self._rows(statement, {**values, "limit": MANY}))

    def _alerts(self, revisions: Sequence[RevisionCertificate]) -> list[AlertCertificate]:
        judged = [one.judged.judged_ms for one in revisions if one.judged is not None]
        if not judged:
            return []
        since: datetime = to_sql(min(judged))
        rows = self._all("decided_alerts", **self._in_json, judged_at=since, limit=MANY)
        return alerts_of(rows, self._series, self._window_start_ms)


def _state(row: Sequence[Any]) -> SeriesState:
    first, last_event, retired, active = row
    return SeriesState(from_sql(first), from_sql(last_event), from_sql(retired), bool(active))
