"""The database that a world of streams counts in; each process has connections of its own."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.support.races import connection_to
from tidegauge.adapters.mysql.closing import completed_window
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.counting import MysqlCountStore
from tidegauge.adapters.mysql.migrate import migrate
from tidegauge.adapters.mysql.outbox import MysqlOutbox
from tidegauge.adapters.mysql.sweeping import MysqlSweepStore
from tidegauge.domain.count import CompletedWindow
from tidegauge.ports import CountStore, Outbox, SweepStore


@dataclass(frozen=True)
class Hand:
    """What one process holds of the stores."""

    counts: CountStore
    outbox: Outbox
    sweeps: SweepStore


class WorldStores:
    """The stores of one world.

    Args:
        url: An empty database.
        open_until: Closes the connections.
        size_ms: Length of a window.
    """

    def __init__(self, url: str, open_until: ExitStack, *, size_ms: int) -> None:
        self._url = url
        self._open_until = open_until
        self._size_ms = size_ms
        self._database = self._connection()
        migrate(self._database)

    def _connection(self) -> Database:
        return self._open_until.enter_context(connection_to(self._url))

    def hand(self) -> Hand:
        database, lock = self._connection(), self._connection()
        sweeps = MysqlSweepStore(database, lock, size_ms=self._size_ms)
        return Hand(MysqlCountStore(database), MysqlOutbox(database), sweeps)

    def rows(self, generation: int) -> list[CompletedWindow]:
        with self._database.transaction() as cursor:
            cursor.execute(
                "SELECT series, window_start, revision, step, count, late, quality"
                " FROM completed_window WHERE generation = %s",
                (generation,),
            )
            return [completed_window(generation, row) for row in cursor.fetchall()]

    def quarantined(self, generation: int) -> set[tuple[str, int, int, str]]:
        """Return what was set aside: shard, sequence number, place in its record, reason."""
        with self._database.transaction() as cursor:
            cursor.execute(
                "SELECT shard_id, sequence_number, sub_index, reason"
                " FROM quarantine WHERE generation = %s",
                (generation,),
            )
            return {(shard, int(at), index, why) for shard, at, index, why in cursor.fetchall()}


@contextmanager
def world_stores_on(url: str, *, size_ms: int) -> Iterator[WorldStores]:
    """Give stores on a server, migrated, until the block ends."""
    with ExitStack() as open_until:
        yield WorldStores(url, open_until, size_ms=size_ms)
