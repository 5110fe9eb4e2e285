"""The store of counts on MySQL: implements `ports.CountStore`.

One transaction per batch of a shard under the shard's row lock, one per closing under the
frontier's. The locking read is the first statement of each: a plain read before it would fix a
snapshot from before the lock.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from tidegauge.adapters.mysql.closing import MysqlClosing
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.ledgers import WarmLedgers, pack_keys, unpack_keys
from tidegauge.adapters.mysql.quarantine import set_aside
from tidegauge.adapters.mysql.queries import query, slices
from tidegauge.adapters.mysql.times import from_sql, to_sql
from tidegauge.domain.errors import BrokenInvariant
from tidegauge.domain.fold import NO_FENCE, BatchCount, ShardState
from tidegauge.ports import (
    CloseTransaction,
    CollectTransaction,
    ShardListing,
    StreamIdentity,
    UnknownShard,
)

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

_WINDOWS_PER_QUERY = 500


class MysqlCountStore:
    """Counts on MySQL 8.4 or MariaDB 10.11.

    Args:
        database: One connection of this process.
        quarantine_max_bytes: Bytes kept of rejected records, over all shards; beyond it only
            position, reason and hash.
    """

    def __init__(
        self, database: Database, *, quarantine_max_bytes: int = 512 * 1024 * 1024
    ) -> None:
        self._database = database
        self._quarantine_max_bytes = quarantine_max_bytes
        self._warm = WarmLedgers()

    def generation(self, identity: StreamIdentity) -> int:
        """Return the number of a stream generation, a new one for a stream not seen before."""
        names = {"stream_arn": identity.arn, "stream_created_at": to_sql(identity.created_ms)}
        with self._database.transaction() as cursor:
            cursor.execute(query("find_generation"), names)
            found = cursor.fetchone()
            if found is None:
                cursor.execute(query("add_generation"), names)
                cursor.execute(query("find_generation"), names)
                found = cursor.fetchone()
                if found is not None:  # a known one's is not touched: a closing may hold it
                    cursor.execute(query("add_frontier"), {"generation": found[0]})
            if found is None:
                msg = f"the generation of {identity.arn} was written and is not there"
                raise BrokenInvariant(msg)
            return int(found[0])

    def register_shards(self, generation: int, listing: Sequence[ShardListing]) -> None:
        """Register one whole listing; shards that are known stay as they are."""
        with self._database.transaction() as cursor:
            cursor.execute(query("known_shards"), {"generation": generation})
            rows = cursor.fetchall()
            known = {shard_id for shard_id, _ in rows}
            unknown = [shard for shard in listing if shard.shard_id not in known]
            if rows and not unknown and all(listed for _, listed in rows):
                return  # nothing to wait for: collect and close hold these rows now and then
            for shard in sorted(unknown, key=lambda shard: shard.shard_id):
                parents = (*shard.parent_ids, None, None)
                row = {
                    "generation": generation,
                    "shard_id": shard.shard_id,
                    "parent_id": parents[0],
                    "adjacent_parent_id": parents[1],
                }
                cursor.execute(query("add_shard"), row)
            cursor.execute(query("mark_listed"), {"generation": generation})

    def collecting(
        self, generation: int, shard_id: str
    ) -> AbstractContextManager[CollectTransaction]:
        """Lock a shard for one batch; commit on leaving, roll back on an exception."""
        return self._collecting(generation, shard_id)

    @contextmanager
    def _collecting(self, generation: int, shard_id: str) -> Iterator[CollectTransaction]:
        shard = (generation, shard_id)
        try:
            with self._database.transaction() as cursor:
                batch = _Collecting(cursor, shard, self._warm, self._quarantine_max_bytes)
                yield batch
        except BaseException:
            self._warm.drop(shard)
            raise
        batch.committed()

    def closing(self, generation: int) -> AbstractContextManager[CloseTransaction]:
        """Lock the frontier for one closing; commit on leaving, roll back on an exception."""
        return self._closing(generation)

    @contextmanager
    def _closing(self, generation: int) -> Iterator[CloseTransaction]:
        with self._database.transaction() as cursor:
            yield MysqlClosing(cursor, generation)


class _Collecting:
    """One batch under its shard's lock; implements `ports.CollectTransaction`."""

    def __init__(
        self,
        cursor: "Cursor",
        shard: tuple[int, str],
        warm: WarmLedgers,
        quarantine_max_bytes: int,
    ) -> None:
        self._cursor = cursor
        self._shard = shard
        self._names = {"generation": shard[0], "shard_id": shard[1]}
        self._warm = warm
        self._quarantine_max_bytes = quarantine_max_bytes
        self._known: dict[int, Set[int]] = {}
        self._written: BatchCount | None = None
        cursor.execute(query("lock_shard"), self._names)
        row = cursor.fetchone()
        if row is None:
            raise UnknownShard(shard[1])
        fence, _, stream_time, heartbeat, self._ledger_number, self._has_parent = row
        self._state = ShardState(
            fence=NO_FENCE if fence is None else int(fence),
            stream_time_ms=from_sql(stream_time),
            heartbeat=None if heartbeat is None else int(heartbeat),
        )

    @property
    def state(self) -> ShardState:
        return self._state

    def known(self, windows: Set[int]) -> Mapping[int, Set[int]]:
        trusted = self._warm.trusted(
            self._shard, fence=self._state.fence, ledger_number=self._ledger_number
        )
        self._known = {window: trusted[window] for window in windows if window in trusted}
        missing = windows - self._known.keys()
        if missing:
            self._known.update(self._load(missing))
        return self._known

    def _load(self, windows: Set[int]) -> dict[int, Set[int]]:
        shard_ids = self._lineage() if self._has_parent else [self._shard[1]]
        loaded: dict[int, set[int]] = {window_ms: set() for window_ms in windows}
        for some in slices(sorted(windows), _WINDOWS_PER_QUERY):
            names = {
                "generation": self._shard[0],
                "windows": [to_sql(window_ms) for window_ms in some],
                "shard_ids": shard_ids,
            }
            self._cursor.execute(query("ledger_keys"), names)
            for window_start, blob in self._cursor.fetchall():
                loaded[from_sql(window_start)].update(unpack_keys(blob))
        return dict(loaded)

    def _lineage(self) -> list[str]:
        self._cursor.execute(query("shard_lineage"), self._names)
        parents = {shard_id: others for shard_id, *others in self._cursor.fetchall()}
        line = [self._shard[1]]
        for shard_id in line:  # grows while it is walked
            line.extend(p for p in parents.get(shard_id, ()) if p and p not in line)
        return line

    def write(self, batch: BatchCount) -> None:
        first_sequence = str(batch.first_sequence_number)
        ledger_rows = [
            {
                **self._names,
                "window_start": to_sql(window_ms),
                "first_sequence": first_sequence,
                "event_keys": pack_keys(keys),
            }
            for window_ms, keys in sorted(batch.keys.items())
        ]
        if ledger_rows:  # thousands where events of all times come before the first heartbeat
            self._cursor.executemany(query("add_ledger"), ledger_rows)
        self._add_partials(batch)
        for gap in batch.gaps:
            names = {
                **self._names,
                "sequence_number": str(gap.sequence_number),
                "starts_at": to_sql(gap.from_ms),
                "ends_at": to_sql(gap.until_ms),
                "reason": gap.reason.value,
            }
            self._cursor.execute(query("add_gap"), names)
        quarantined_bytes = set_aside(
            self._cursor, self._names, batch.quarantined, max_bytes=self._quarantine_max_bytes
        )
        state = batch.state
        heartbeat = None if state.heartbeat is None else str(state.heartbeat)
        moved: dict[str, Any] = {
            **self._names,
            "fence": str(state.fence),
            "first_stream_time": to_sql(batch.first_stream_time_ms),
            "stream_time": to_sql(state.stream_time_ms),
            "heartbeat": heartbeat,
            "ledger_rows": len(ledger_rows),
            "quarantined_bytes": quarantined_bytes,
        }
        self._cursor.execute(query("move_shard"), moved)
        self._ledger_number += len(ledger_rows)
        self._written = batch

    def _add_partials(self, batch: BatchCount) -> None:
        # one order for every writer, so that two of them never wait for each other in a circle
        in_order = sorted(batch.partials, key=lambda p: (p.step_ms, p.window_start_ms, p.series))
        rows = [
            {
                **self._names,
                "step": to_sql(partial.step_ms),
                "window_start": to_sql(partial.window_start_ms),
                "series": partial.series.encode(),
                "events": batch.partials[partial],
            }
            for partial in in_order
        ]
        if rows:
            self._cursor.executemany(query("add_partial_count"), rows)

    def committed(self) -> None:
        """Keep the sets of what was written; call after COMMIT has answered."""
        batch = self._written
        if batch is not None:
            self._warm.committed(
                self._shard,
                self._known,
                batch.keys,
                fence=batch.state.fence,
                ledger_number=self._ledger_number,
            )
