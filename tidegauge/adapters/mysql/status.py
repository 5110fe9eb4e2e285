"""What MySQL tells of a stream's counting, in a few cheap queries of one transaction."""

from typing import TYPE_CHECKING, Any

from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.queries import query
from tidegauge.adapters.mysql.times import from_sql
from tidegauge.domain.count import Quality
from tidegauge.domain.fold import NO_FENCE
from tidegauge.domain.snapshot import MANY, Loss, SeriesSnapshot, ShardSnapshot, Snapshot
from tidegauge.ports.quarantine import MAX_LOOKED_AT

if TYPE_CHECKING:
    from pymysql.cursors import Cursor


class MysqlSnapshots:
    """Reads how far a stream is counted; implements `ports.diagnosis.Snapshots`.

    Args:
        database: Where counts live.
        stream_name: Name of the events stream.
        with_earlier: As `HealthRules.with_earlier`.
    """

    def __init__(self, database: Database, stream_name: str, *, with_earlier: bool) -> None:
        self._database = database
        self._stream_name = stream_name
        self._with_earlier = with_earlier

    def read(self) -> Snapshot | None:
        """Return what is known of the stream's newest generation; None if none was ever counted.

        Raises:
            Transient: the database cannot answer now.
            Misconfigured: account, address or schema are not what the code needs.
        """
        with self._database.transaction() as cursor:
            cursor.execute(query("status_generation"), {"stream": self._stream_name})
            row = cursor.fetchone()
            return None if row is None else self._read(cursor, row[0], from_sql(row[1]))

    def _read(self, cursor: "Cursor", generation: int, first_seen_ms: int) -> Snapshot | None:
        def rows(name: str, **values: object) -> tuple[tuple[Any, ...], ...]:
            cursor.execute(query(name), {"generation": generation, **values})
            return cursor.fetchall()

        # Before the frontier: what it closed meanwhile is no closing that is behind.
        shards = [_shard(row) for row in rows("status_shards")]
        frontier = rows("status_frontier")
        if not frontier:
            return None
        now, next_window, observed_from, listed = frontier[0]
        gaps = rows("status_gaps", with_earlier=self._with_earlier, limit=MANY)
        # Revisions of one window in order: the last one stays.
        series = {row[0]: _series(row) for row in rows("status_series")}
        unsent, unsent_seconds = rows("status_outbox", limit=MANY)[0]
        return Snapshot(
            generation=generation,
            now_ms=from_sql(now),
            first_seen_ms=first_seen_ms,
            listed=bool(listed),
            next_window_ms=from_sql(next_window),
            observed_from_ms=from_sql(observed_from),
            shards=shards,
            losses=[
                Loss(from_sql(starts), from_sql(ends), reason, shard_id)
                for starts, ends, reason, shard_id in gaps
            ],
            series=list(series.values()),
            unsent=min(unsent, MANY),
            unsent_age_ms=max(0, unsent_seconds) * 1000,
            quarantined=dict(rows("status_quarantine", looked_at=MAX_LOOKED_AT, limit=MANY)),
        )


def _shard(row: tuple[Any, ...]) -> ShardSnapshot:
    shard_id, parent, adjacent, fence, first, last, heartbeat, beat, drained, lost_from = row
    return ShardSnapshot(
        shard_id=shard_id,
        parent_ids=tuple(name for name in (parent, adjacent) if name),
        fence=NO_FENCE if fence is None else int(fence),
        first_ms=from_sql(first),
        stream_time_ms=from_sql(last),
        heartbeat=None if heartbeat is None else int(heartbeat),
        beat=None if beat is None else int(beat),
        drained=bool(drained),
        lost_from_ms=from_sql(lost_from),
    )


def _series(row: tuple[Any, ...]) -> SeriesSnapshot:
    name, last_event, window_start, count, quality, judged_step, incident = row
    return SeriesSnapshot(
        name=name.decode(),
        last_event_window_ms=from_sql(last_event),
        window_start_ms=from_sql(window_start),
        count=count,
        quality=Quality(quality),
        judged_step_ms=from_sql(judged_step),
        incident=bool(incident),
    )
