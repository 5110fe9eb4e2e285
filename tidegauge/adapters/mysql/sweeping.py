"""What the sweep needs of MySQL: one sweep at a time, lineage, purge, series without a verdict."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

from tidegauge.adapters.mysql import failures, lineage
from tidegauge.adapters.mysql.closing import completed_window
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.locks import named_lock
from tidegauge.adapters.mysql.outbox import add_messages
from tidegauge.adapters.mysql.purge import purge
from tidegauge.adapters.mysql.queries import query
from tidegauge.adapters.mysql.times import BEFORE_ALL
from tidegauge.domain.announcement import announce
from tidegauge.domain.close import CloseRules
from tidegauge.domain.event import Event
from tidegauge.ports import Backlog, Destination, OutboxMessage, Purged, ShardProgress

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

PATIENCE_SECONDS = 300
MAX_OPEN_WINDOWS = 1_000


class MysqlSweepStore:
    """Implements `ports.SweepStore`.

    Args:
        database: Where counts and verdicts live.
        lock_connection: A second connection, which holds the sweep's lock for its whole length.
        size_ms: Window length.
        patience_seconds: How long a series may wait for a verdict before it is rung for again.
    """

    def __init__(
        self,
        database: Database,
        lock_connection: Database,
        *,
        size_ms: int,
        patience_seconds: int = PATIENCE_SECONDS,
    ) -> None:
        self._database = database
        self._lock_connection = lock_connection
        self._size_ms = size_ms
        self._patience_seconds = patience_seconds

    def only_one(self) -> AbstractContextManager[bool]:
        """Give True to the one sweep of this database, False to any other meanwhile."""
        return named_lock(self._lock_connection, "sweep")

    def shards(self, generation: int) -> list[ShardProgress]:
        """Return all registered shards in order of their names."""
        return lineage.progress(self._database, generation)

    def note_beats(self, generation: int, beats: Mapping[str, int]) -> None:
        """Note the sequence number of the heartbeat that was put on each shard."""
        lineage.note_beats(self._database, generation, beats)

    def note_unread(self, generation: int, shard_id: str, sequence_number: int) -> None:
        """Note that a record was seen behind the fence: should it expire, the loss is proven."""
        lineage.note_unread(self._database, generation, shard_id, sequence_number)

    def note_skipped(self, generation: int, shard_id: str, sequence_number: int) -> None:
        """Note how far the stream's reader has gone on without a batch: nobody will read it."""
        lineage.note_skipped(self._database, generation, shard_id, sequence_number)

    def drain(self, generation: int, shard_id: str, fence: int) -> bool:
        """Mark a closed shard drained, and start each child whose parents now all are."""
        return lineage.drain(self._database, generation, shard_id, fence)

    def noted_failures(self, names: Sequence[str]) -> set[str]:
        """Return those of the failed batches' names that were noted before."""
        return failures.noted_failures(self._database, names)

    def note_failure(
        self, generation: int, shard_id: str, name: str, events: Sequence[Event], rules: CloseRules
    ) -> int:
        """Note a batch that the stream's reader gave up on, once by its name."""
        return failures.note_failure(self._database, generation, shard_id, name, events, rules)

    def purge(self, generation: int, rules: CloseRules) -> Purged:
        """Remove what nobody will compare or send again, as much as one sweep has time for."""
        return purge(self._database, generation, rules)

    def backlog(self, generation: int) -> Backlog:
        """Return what waits; of open windows no more than `MAX_OPEN_WINDOWS` are counted."""
        with self._database.transaction() as cursor:
            cursor.execute(query("backlog"), {"generation": generation})
            row = cursor.fetchone() or (None, 0, 0, 0)
            next_window, gaps, outbox_age_ms, unjudged = row
            open_windows = _open_windows(cursor, generation, next_window or BEFORE_ALL)
        return Backlog(open_windows, int(gaps), int(outbox_age_ms), int(unjudged))

    def ring_again(self, limit: int) -> int:
        """Put a doorbell in the outbox for each series that waits too long; return how many."""
        patience = {"patience_seconds": self._patience_seconds}
        with self._database.transaction() as cursor:
            cursor.execute(query("forget_caught_up"))
            cursor.execute(query("note_waiting"), patience)
            cursor.execute(query("due_rings"), {"limit": limit})
            rows = [completed_window(row[0], row[1:]) for row in cursor.fetchall()]
            for generation, group in groupby(rows, key=lambda row: row.generation):
                due = list(group)
                rung = {row.series for row in due}
                messages = [
                    OutboxMessage(Destination.WINDOWS, a.partition_key, a.payload)
                    for a in announce(due, size_ms=self._size_ms)
                ]
                add_messages(cursor, generation, messages)
                names = {"generation": generation, "series": [name.encode() for name in rung]}
                cursor.execute(query("note_rung"), {**names, **patience})
        return len({(row.generation, row.series) for row in rows})


def _open_windows(cursor: "Cursor", generation: int, next_window: datetime) -> int:
    """Return how many windows have counts of a step that is not closed yet."""
    found: set[datetime] = set()
    names = {"generation": generation, "next_window": next_window}
    step = _first(cursor, "next_open_step", {**names, "after": BEFORE_ALL})
    while step is not None:
        of_step = {"generation": generation, "step": step}
        window = _first(cursor, "next_window_of_step", {**of_step, "after": BEFORE_ALL})
        while window is not None:
            found.add(window)
            if len(found) == MAX_OPEN_WINDOWS:
                return MAX_OPEN_WINDOWS
            window = _first(cursor, "next_window_of_step", {**of_step, "after": window})
        step = _first(cursor, "next_open_step", {**names, "after": step})
    return len(found)


def _first(cursor: "Cursor", name: str, names: Mapping[str, object]) -> datetime | None:
    cursor.execute(query(name), names)
    row = cursor.fetchone()
    return None if row is None else row[0]
