"""The implementations of the store of counts, as the contract suite runs on them."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from tests.support.oracle import SIZE
from tidegauge.adapters.memory import MemoryCountStore
from tidegauge.adapters.memory_quarantine import MemoryQuarantine
from tidegauge.adapters.memory_sweeping import MemorySweepStore
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.counting import MysqlCountStore
from tidegauge.adapters.mysql.migrate import migrate
from tidegauge.adapters.mysql.outbox import MysqlOutbox
from tidegauge.adapters.mysql.quarantine_store import MysqlQuarantine
from tidegauge.adapters.mysql.sweeping import MysqlSweepStore
from tidegauge.adapters.mysql.times import from_sql
from tidegauge.domain.evidence import Evidence
from tidegauge.ports import CountStore, Outbox, SweepStore
from tidegauge.ports.quarantine import QuarantineStore
from tidegauge.settings import DatabaseSettings

# With the counts until their window is purged; duplicates apart from the beginning.
EVIDENCE = """
SELECT series, window_start, shard_id, first_sequence, last_sequence, on_time, late, duplicates
FROM evidence WHERE generation = %(generation)s
UNION ALL
SELECT series, window_start, shard_id, first_sequence, last_sequence,
  IF(step = window_start, events, 0), IF(step = window_start, 0, events), 0
FROM partial_count WHERE generation = %(generation)s AND events > 0
"""


def summed(rows: Iterable[Sequence[Any]]) -> dict[tuple[Any, ...], Evidence]:
    """Return evidence by shard, window start and series, as the database names them."""
    found: dict[tuple[Any, ...], Evidence] = {}
    for series, window, shard_id, first, last, *sums in rows:
        place = (shard_id, window, series)
        span = (None if first is None else int(first), None if last is None else int(last))
        found[place] = found.get(place, Evidence()) + Evidence(*span, *map(int, sums))
    return found


class Stores(Protocol):
    """One implementation under test."""

    @property
    def counts(self) -> CountStore:
        """The store of counts."""
        ...

    @property
    def outbox(self) -> Outbox:
        """Its outbox."""
        ...

    @property
    def sweeps(self) -> SweepStore:
        """What the sweep asks of it."""
        ...

    def fresh(self) -> CountStore:
        """Return another process' view of the same store."""
        ...

    def evidence(self, generation: int) -> dict[tuple[str, int, str], Evidence]:
        """Return the evidence that is held, by shard, window start and series."""
        ...

    def rival(self) -> SweepStore:
        """Return another sweep's view of the same store."""
        ...

    def quarantine(self, stream_name: str) -> QuarantineStore:
        """Return the quarantine of a stream, as another process sees it."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class MemoryStores:
    """One process, one store."""

    def __init__(self) -> None:
        self.counts = MemoryCountStore()
        self.outbox = self.counts
        self.sweeps = MemorySweepStore(self.counts)
        self._quarantines: dict[str, QuarantineStore] = {}

    def fresh(self) -> CountStore:
        return self.counts

    def evidence(self, generation: int) -> dict[tuple[str, int, str], Evidence]:
        return self.counts.evidence(generation)

    def rival(self) -> SweepStore:
        return self.sweeps

    def quarantine(self, stream_name: str) -> QuarantineStore:
        made = MemoryQuarantine(self.counts, stream_name)
        return self._quarantines.setdefault(stream_name, made)

    def close(self) -> None:
        pass


class MysqlStores:
    """A database of our own; each fresh store has a connection of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._open: list[Database] = []
        migrate(self._database())
        self.counts = MysqlCountStore(self._database())
        self.outbox = MysqlOutbox(self._database())
        self.sweeps = self.rival()

    def _database(self) -> Database:
        database = Database.from_settings(DatabaseSettings(database_url=self._url))
        self._open.append(database)
        return database

    def fresh(self) -> CountStore:
        return MysqlCountStore(self._database())

    def evidence(self, generation: int) -> dict[tuple[str, int, str], Evidence]:
        with self._database().transaction() as cursor:
            cursor.execute(EVIDENCE, {"generation": generation})
            return {
                (shard_id, from_sql(window), series.decode()): one
                for (shard_id, window, series), one in summed(cursor.fetchall()).items()
            }

    def rival(self) -> SweepStore:
        return MysqlSweepStore(self._database(), self._database(), size_ms=SIZE)

    def quarantine(self, stream_name: str) -> QuarantineStore:
        return MysqlQuarantine(self._database(), stream_name)

    def close(self) -> None:
        for database in self._open:
            database.close()
