"""A database in which two shards are counted, with windows that are old enough to be purged."""

import threading

from msgspec.structs import replace as with_values

from tests.support.closing import close_all
from tests.support.count_stores import EVIDENCE, summed
from tests.support.oracle import SIZE, Beat, Log
from tests.support.worlds import BASE, CLOSE_RULES, RULES, records, told
from tidegauge.adapters.mysql.closing import MysqlClosing
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.counting import MysqlCountStore
from tidegauge.adapters.mysql.sweeping import MysqlSweepStore
from tidegauge.domain.evidence import Evidence
from tidegauge.domain.fold import BatchCount
from tidegauge.ports import Purged, ShardListing, StreamIdentity
from tidegauge.steps.collect import collect

# Two windows stay within reach of an event, of the twelve that are counted.
AGE = 2 * SIZE
PURGED_RULES = with_values(RULES, max_event_age_ms=AGE)
PURGED_CLOSE_RULES = with_values(CLOSE_RULES, max_event_age_ms=AGE)
N_WINDOWS, N_SERIES = 12, 7
OLD = "UPDATE evidence SET noted_at = UTC_TIMESTAMP(3) - INTERVAL 15 DAY"
N_PURGED = 10  # the 13th is the first open one; ten have ended two windows before it


def log_of(shard: int) -> Log:
    """Every series in every window, some of it resent, some late."""
    log: Log = [Beat(BASE)]
    for window in range(N_WINDOWS):
        for series in range(N_SERIES):
            ident = 1000 * shard + N_SERIES * window + series
            log.append(told(window * SIZE + series, f"s{series}", ident))
        log.append(told(window * SIZE, "s0", 1000 * shard + N_SERIES * window))
        if window:
            log.append(told((window - 1) * SIZE + 9, "s1", 5000 + 1000 * shard + window))
        log.append(Beat(BASE + (window + 1) * SIZE + 60_000))
    return log


class PurgedWorld:
    """A database in which two shards are counted."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.logs = {f"shard-{shard}": log_of(shard) for shard in range(2)}

    def begin(self, database: Database, created_ms: int = 0) -> int:
        store = MysqlCountStore(database)
        generation = store.generation(StreamIdentity("arn:aws:kinesis:::stream/s", created_ms))
        listing = [ShardListing(name, (), 0, 0, closed=False) for name in self.logs]
        store.register_shards(generation, listing)
        return generation

    def count(self, database: Database, generation: int) -> None:
        store = MysqlCountStore(database)
        for name, log in self.logs.items():
            collect(store, generation, name, records(name, log), PURGED_RULES)
        close_all(store, generation, PURGED_CLOSE_RULES)

    def purge(self, database: Database, generation: int) -> Purged:
        sweeps = MysqlSweepStore(database, database, size_ms=SIZE)
        return sweeps.purge(generation, PURGED_CLOSE_RULES)

    def suspect(self, database: Database, generation: int) -> set[int]:
        """Return what looks suspect of all windows whose events are still accepted."""
        with database.transaction() as cursor:
            closing = MysqlClosing(cursor, generation)
            next_ms = closing.frontier.next_window_ms
            return closing.suspect(BASE if next_ms is None else next_ms - AGE, BASE + 99 * SIZE)

    def resend(self, database: Database, generation: int) -> BatchCount:
        """Put all events of the first shard on it once more, behind what it holds."""
        store = MysqlCountStore(database)
        log = self.logs["shard-0"]
        again = [item for item in log if not isinstance(item, Beat)]
        batch = records("shard-0", [*log, *again])[len(log) :]
        return collect(store, generation, "shard-0", batch, PURGED_RULES).batch


def evidence(database: Database, generation: int) -> dict[tuple[object, ...], Evidence]:
    """Return what each shard gave, wherever it stands."""
    with database.transaction() as cursor:
        cursor.execute(EVIDENCE, {"generation": generation})
        return summed(cursor.fetchall())


def one(database: Database, sql: str) -> object:
    """Return the first value that a query gives; None for none."""
    with database.transaction() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone()
        return None if row is None else row[0]


def run(database: Database, sql: str) -> None:
    """Run a statement in a transaction of its own."""
    with database.transaction() as cursor:
        cursor.execute(sql)


def until(database: Database, sql: str) -> object:
    """Return what a query gives once it gives something."""
    waiting = threading.Event()
    for _ in range(1000):
        found = one(database, sql)
        if found:
            return found
        waiting.wait(0.01)
    msg = f"never: {sql}"
    raise AssertionError(msg)
