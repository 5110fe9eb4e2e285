"""A world to race in: shard logs with lateness and resends, and workers that never give up."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.oracle import LATENESS, SIZE, Beat, Log, Told
from tests.support.worlds import BASE
from tidegauge.adapters.mysql.connection import Database
from tidegauge.domain.errors import Transient, UnusableAnswer
from tidegauge.domain.features import FEATURE_NAMES
from tidegauge.ports import OutboxMessage, Scores, ShardListing, StreamIdentity
from tidegauge.settings import DatabaseSettings

N_WINDOWS = 170
QUIET_FROM, QUIET_UNTIL = 130, 150
END = BASE + N_WINDOWS * SIZE + LATENESS

# One parent with two children, and a shard of its own.
LISTING = [
    ShardListing("parent", (), 0, 0, closed=True),
    ShardListing("alone", (), 0, 0, closed=False),
    ShardListing("left", ("parent",), 0, 0, closed=False),
    ShardListing("right", ("parent",), 0, 0, closed=False),
]
CHILDREN = ("left", "right")


class Stream:
    """Lists the shards of the race."""

    def identity(self) -> StreamIdentity:
        return StreamIdentity("arn:aws:kinesis:eu-west-1:123456789012:stream/race", BASE)

    def shards(self) -> list[ShardListing]:
        return LISTING


class Sink:
    """Keeps what it is sent, in order; may fail now and then before it takes a message."""

    def __init__(self, chance: random.Random, *, fails: float = 0.0) -> None:
        self.sent: list[OutboxMessage] = []
        self._chance = chance
        self._fails = fails

    def send(self, messages: Sequence[OutboxMessage]) -> None:
        if self._chance.random() < self._fails:
            msg = "slow down"
            raise Transient(msg)
        self.sent.extend(messages)


class Smooth:
    """Expects what the last six hours had on average; a plain function of the row."""

    def predict(self, rows: Sequence[Sequence[float]]) -> Scores:
        column = FEATURE_NAMES.index("mean_6h")
        if not rows:
            msg = "no rows"
            raise UnusableAnswer(msg)
        return Scores(tuple(row[column] for row in rows), "v1")


def race_logs(seed: int) -> dict[str, Log]:
    """Return one log a shard: on time, late and resent events, an outage, and a last heartbeat."""
    chance = random.Random(seed)  # noqa: S311
    logs: dict[str, Log] = {shard.shard_id: [Beat(BASE)] for shard in LISTING}
    number = 0
    resent: dict[str, list[Told]] = {name: [] for name in logs}
    for window in range(N_WINDOWS):
        for name, log in logs.items():
            for series, mean in (("busy", 6), ("quiet\x00'\\\U0001f6eb", 1)):
                quiet = QUIET_FROM <= window < QUIET_UNTIL
                for _ in range(0 if quiet else chance.randrange(2 * mean + 1)):
                    number += 1
                    behind = chance.choice((1, 2, 5)) * SIZE if chance.random() < 0.05 else 0
                    time = BASE + window * SIZE + chance.randrange(SIZE) - behind
                    event = Told(f"id-{number}", series, time)
                    log.append(event)
                    resent[name].append(event)
            if resent[name] and chance.random() < 0.3:
                log.append(chance.choice(resent[name][-40:]))
            log.append(Beat(BASE + (window + 1) * SIZE + chance.randrange(2) * LATENESS))
    for name in CHILDREN:  # a producer resends across the split
        for position in range(10, 200, 40):
            logs[name].insert(position, chance.choice(resent["parent"][:60]))
    for log in logs.values():
        log.append(Beat(END))
    return logs


def as_counted_alone(logs: dict[str, Log]) -> dict[str, Log]:
    """Return logs in which no child repeats its parent, for a recount that knows no lineage."""
    known = {(e.time // SIZE, e.id) for e in logs["parent"] if isinstance(e, Told)}
    return {
        name: [
            item
            for item in log
            if not (
                name in CHILDREN
                and isinstance(item, Told)
                and (item.time // SIZE, item.id) in known
            )
        ]
        for name, log in logs.items()
    }


@dataclass
class Crew:
    """Threads that each have a connection of their own; any failure but `Transient` is kept.

    Attributes:
        over: Set when those that loop must stop.
        retried: How often somebody was asked for another try.
        failures: What nobody should have raised.
    """

    url: str
    over: threading.Event = field(default_factory=threading.Event)
    retried: int = 0
    failures: list[BaseException] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, work: Callable[[Database], None]) -> threading.Thread:
        """Run some work in a thread of its own."""
        thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _run(self, work: Callable[[Database], None]) -> None:
        with connection_to(self.url) as database:
            try:
                work(database)
            except BaseException as failure:  # noqa: BLE001 - shown by the test
                self.failures.append(failure)

    def again(self, work: Callable[[], None]) -> None:
        """Do some work until it is not asked for again, as an event source mapping does."""
        for _ in range(200):
            try:
                work()
            except Transient:
                self.retried += 1
            else:
                return
        msg = "asked for again without end"
        raise AssertionError(msg)

    def loop(self, work: Callable[[Database], Callable[[], None]]) -> None:
        """Do some work again and again in a thread until the race is over."""

        def run(database: Database) -> None:
            once = work(database)
            while not self.over.wait(0.01):
                try:
                    once()
                except Transient:
                    self.retried += 1

        self.start(run)

    def finish(self, *, timeout_s: float) -> None:
        """End the loops and wait for everybody."""
        self.over.set()
        for thread in self._threads:
            thread.join(timeout_s)
        assert not any(thread.is_alive() for thread in self._threads)


@contextmanager
def connection_to(url: str) -> Iterator[Database]:
    """Give a database with a connection of its own."""
    database = Database.from_settings(DatabaseSettings(database_url=url))
    try:
        yield database
    finally:
        database.close()
