"""A world to race in: shard logs with lateness and resends, and workers that never give up."""

import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from msgspec.structs import replace

from tests.support.oracle import LATENESS, SIZE, Beat, Log, Told
from tests.support.worlds import BASE, CLOSE_RULES, RULES
from tidegauge.adapters.mysql.connection import Database
from tidegauge.domain.errors import Transient, UnusableAnswer
from tidegauge.domain.features import FEATURE_NAMES
from tidegauge.ports import (
    OutboxMessage,
    PutPosition,
    Scores,
    ShardEnd,
    ShardListing,
    StreamEntry,
    StreamIdentity,
)
from tidegauge.settings import DatabaseSettings

N_WINDOWS = 170
QUIET_FROM, QUIET_UNTIL = 130, 150
END = BASE + N_WINDOWS * SIZE + LATENESS

AGE_WINDOWS = 45
RACE_RULES = replace(RULES, max_event_age_ms=AGE_WINDOWS * SIZE)
RACE_CLOSE_RULES = replace(CLOSE_RULES, max_event_age_ms=AGE_WINDOWS * SIZE)

# A shard that splits and whose children merge again, and one of its own: in the order in which they
# came to be, which is not that of their names.
PARENTS: dict[str, tuple[str, ...]] = {
    "alone": (),
    "parent": (),
    "left": ("parent",),
    "right": ("parent",),
    "merged": ("right", "left"),
}
WINDOWS = {
    "alone": (0, N_WINDOWS),
    "parent": (0, 60),
    "left": (60, 115),
    "right": (60, 115),
    "merged": (115, N_WINDOWS),
}


class Stream:
    """Lists the shards of the race as far as they have come to be, and probes them.

    Args:
        lengths: How many records each shard holds in the end.
    """

    def __init__(self, lengths: Mapping[str, int]) -> None:
        self._lengths = lengths
        self._shown = 2

    def reshard_behind(self, shard_id: str) -> None:
        """Show the children of a shard from now on."""
        shown = 5 if shard_id in PARENTS["merged"] else 4 if shard_id == "parent" else 2
        self._shown = max(self._shown, shown)

    def identity(self) -> StreamIdentity:
        return StreamIdentity("arn:aws:kinesis:eu-west-1:123456789012:stream/race", BASE)

    def shards(self) -> list[ShardListing]:
        shown = list(PARENTS)[: self._shown]
        closed = {parent for name in shown for parent in PARENTS[name]}
        return [ShardListing(name, PARENTS[name], 0, 0, closed=name in closed) for name in shown]

    def probe(self, shard_id: str, fence: int) -> ShardEnd:
        behind = max(fence, 0) + 1  # records are numbered from 1
        reached = behind > self._lengths[shard_id]
        return ShardEnd(reached=reached, unread=None if reached else behind)

    def put(self, entries: Sequence[StreamEntry]) -> list[PutPosition]:
        msg = f"a producer is the clock, and yet {len(entries)} records were put"
        raise AssertionError(msg)


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
    logs: dict[str, Log] = {name: [] for name in PARENTS}
    logs["alone"].append(Beat(BASE))
    logs["parent"].append(Beat(BASE))
    number = 0
    resent: dict[str, list[Told]] = {name: [] for name in logs}
    for window in range(N_WINDOWS):
        for name in (name for name, (a, b) in WINDOWS.items() if a <= window < b):
            log = logs[name]
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
    for name, parents in PARENTS.items():  # a producer resends across splits and merges
        for position in range(10, 60, 10) if parents else ():
            logs[name].insert(position, chance.choice(resent[chance.choice(parents)][-60:]))
    for name in ("alone", "merged"):
        logs[name].append(Beat(END))
    return logs


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
        for _ in range(2000):
            try:
                work()
            except Transient:
                self.retried += 1
                self.over.wait(0.02)
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
