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
from tidegauge.adapters.mysql.gaps import add_gaps
from tidegauge.adapters.mysql.ledger_rows import known_keys
from tidegauge.adapters.mysql.ledgers import WarmLedgers, pack_keys
from tidegauge.adapters.mysql.lineage import lock_shard, refuse_uncountable, register
from tidegauge.adapters.mysql.partial_counts import add_duplicates, add_partials
from tidegauge.adapters.mysql.quarantine import set_aside
from tidegauge.adapters.mysql.queries import query
from tidegauge.adapters.mysql.times import to_sql
from tidegauge.domain.errors import BrokenInvariant
from tidegauge.domain.fold import BatchCount, ShardState
from tidegauge.ports import (
    CloseTransaction,
    CollectTransaction,
    ShardListing,
    StreamIdentity,
)

if TYPE_CHECKING:
    from pymysql.cursors import Cursor


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

    def superseded(self, generation: int) -> list[int]:
        """Return the older generations of the same stream, by creation time, that are not ended."""
        with self._database.transaction() as cursor:
            cursor.execute(query("superseded_generations"), {"generation": generation})
            return [int(number) for (number,) in cursor.fetchall()]

    def register_shards(
        self, generation: int, listing: Sequence[ShardListing], gone: Set[str] = frozenset()
    ) -> None:
        """Register one whole listing; shards that are known stay as they are, unless gone."""
        register(self._database, generation, listing, gone)

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
        self._line, self._ledger_number = lock_shard(cursor, *shard)
        self._state = self._line.state
        refuse_uncountable(cursor, shard[0], self._line)

    @property
    def state(self) -> ShardState:
        return self._state

    @property
    def drained(self) -> bool:
        return self._line.drained

    def known(self, windows: Set[int]) -> Mapping[int, Set[int]]:
        trusted = self._warm.trusted(
            self._shard, fence=self._state.fence, ledger_number=self._ledger_number
        )
        self._known = {window: trusted[window] for window in windows if window in trusted}
        missing = windows - self._known.keys()
        if missing:
            loaded = known_keys(self._cursor, self._shard[0], self._line, missing)
            self._known.update(loaded)
        return self._known

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
        add_partials(self._cursor, self._shard, batch.partials, batch.spans)
        add_duplicates(self._cursor, self._shard, batch.again)
        add_gaps(self._cursor, self._shard[0], self._shard[1], batch.gaps)
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
            "lost_from": to_sql(state.lost_from_ms),
            "ledger_rows": len(ledger_rows),
            "quarantined_bytes": quarantined_bytes,
        }
        self._cursor.execute(query("move_shard"), moved)
        self._ledger_number += len(ledger_rows)
        self._written = batch

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
