"""What the sweep needs of MySQL: one sweep at a time, and series that wait for a verdict."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby

from tidegauge.adapters.mysql.closing import completed_window
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.outbox import add_messages
from tidegauge.adapters.mysql.queries import query
from tidegauge.domain.announcement import announce
from tidegauge.ports import Destination, OutboxMessage

PATIENCE_SECONDS = 300
_LOCK = "tidegauge.sweep"


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

    @contextmanager
    def only_one(self) -> Iterator[bool]:
        """Give True to the one sweep of this database, False to any other meanwhile."""
        with self._lock_connection.transaction() as cursor:
            cursor.execute(query("try_lock"), {"name": _LOCK})
            row = cursor.fetchone()
            locked = row is not None and row[0] == 1
            try:
                yield locked
            finally:
                if locked:
                    cursor.execute(query("unlock"), {"name": _LOCK})

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
