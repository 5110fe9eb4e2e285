"""The simulated database: one store in memory, its row locks, and what goes wrong with it.

Each process has a view of its own, with the ledgers that it keeps warm. At the edges of every
transaction (before its lock, between two of its statements, before and after its COMMIT) a fault
may strike, or another process gets its turn: that is how threads interleave here, repeatably.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING

from msgspec import Struct

from tests.simulation.faults import Fault, Plan
from tidegauge.adapters.memory import MemoryCountStore
from tidegauge.adapters.memory_sweeping import MemorySweepStore
from tidegauge.adapters.mysql.ledgers import WarmLedgers
from tidegauge.domain.close import CloseRules
from tidegauge.domain.errors import Transient
from tidegauge.domain.fold import BatchCount, ShardState

if TYPE_CHECKING:
    from tidegauge.domain.record import Record

Lock = tuple[int, str]  # generation and shard
FRONTIER = ""  # in place of a shard
TAKEN_MS = 60_000


class Point(Enum):
    """An edge of a transaction."""

    LOCK = "before its lock"
    READ = "between two statements"
    COMMIT = "before its COMMIT"
    ANSWER = "before the answer to its COMMIT"


class Died(BaseException):
    """The process is dead: nothing of ours may catch that and go on."""


class Committed(Struct, frozen=True):
    """A batch that stands in the database."""

    generation: int
    shard_id: str
    before: ShardState
    batch: BatchCount


class Server:
    """The database, seen by every process.

    Args:
        rules: For the length of windows and the age of events.

    Attributes:
        away: Whether nobody can reach it.
        now_ms: Its clock, for what is taken from the outbox.
        commits: Every batch that was committed, in order.
        read: The records that committed batches counted, by generation and shard, in order.
        ledger_numbers: By shard; raised by whoever writes ledger rows.
        disorder: What broke the order of locks.
    """

    def __init__(self, rules: CloseRules) -> None:
        self.counts = MemoryCountStore(
            size_ms=rules.size_ms, max_event_age_ms=rules.max_event_age_ms
        )
        self.sweeps = MemorySweepStore(self.counts)
        self.away = False
        self.now_ms = 0
        self.commits: list[Committed] = []
        self.read: dict[Lock, list[Record]] = {}
        self.ledger_numbers: dict[Lock, int] = {}
        self.disorder: list[str] = []
        self._locks: set[Lock] = set()
        self._taken: dict[int, int] = {}

    @contextmanager
    def locked(self, *locks: Lock) -> Iterator[None]:
        """Hold rows; whoever wants one that is held is asked to try again."""
        if not self._locks.isdisjoint(locks):
            msg = "waited too long for a lock (1205)"
            raise Transient(msg)
        self._locks.update(locks)
        try:
            yield
        finally:
            self._locks.difference_update(locks)

    def take_back(self) -> None:
        """Free the messages whose taker has had them for too long: it is dead."""
        late = [number for number, until_ms in self._taken.items() if until_ms < self.now_ms]
        self.counts.release(late)
        self.note_free(late)

    def note_taken(self, numbers: list[int]) -> None:
        """Note who was taken just now."""
        self._taken.update(dict.fromkeys(numbers, self.now_ms + TAKEN_MS))

    def note_free(self, numbers: list[int]) -> None:
        """Note that these are taken no longer."""
        for number in numbers:
            self._taken.pop(number, None)


class Process:
    """One process: a connection, warm ledgers, and its fate.

    Args:
        server: The database.
        plan: Which faults there are.
        chance: Decides when they strike this delivery.
        interlude: Called at each edge: another process may have its turn now.

    Attributes:
        warm: The ledgers that it keeps.
        holds: How many transactions it has open.
        batch: What it was given to count.
    """

    def __init__(
        self,
        server: Server,
        plan: Plan,
        chance: random.Random,
        interlude: Callable[["Process", Point, str], None],
    ) -> None:
        self.server = server
        self.warm = WarmLedgers()
        self.holds = 0
        self.batch: Sequence[Record] = ()
        self._kept: set[Lock] = set()
        self._plan = plan
        self._chance = chance
        self._interlude = interlude

    def ask(self) -> None:
        """Begin a transaction that nothing strikes, but that needs the database."""
        self._check_order()
        if self.server.away:
            msg = "the database server cannot be reached"
            raise Transient(msg)

    def at(self, point: Point, what: str) -> None:
        """Come to an edge of a transaction.

        Raises:
            Transient: a fault that the process survives.
            Died: one that it does not.
        """
        if point is Point.LOCK:
            self._check_order()
        self._interlude(self, point, what)
        if self.server.away:
            msg = "the database server cannot be reached"
            raise Transient(msg)
        if point in (Point.LOCK, Point.READ):
            self._strike(Fault.LOCK_TIMEOUT, 0.015, "waited too long for a lock (1205)")
            self._strike(Fault.DEADLOCK, 0.01, "chosen as victim of a deadlock (1213)")
        elif point is Point.COMMIT:
            self._die(Fault.CRASH_BEFORE_COMMIT, 0.02)
        else:
            self._die(Fault.CRASH_AFTER_COMMIT, 0.015)
            self._strike(Fault.TIMEOUT_AFTER_COMMIT, 0.03, "the connection was lost in COMMIT")

    def _check_order(self) -> None:
        if self.holds:
            self.server.disorder.append("a transaction was begun within another one")

    def _strike(self, fault: Fault, probability: float, message: str) -> None:
        if self._plan.strikes(fault, self._chance, probability):
            raise Transient(message)

    def _die(self, fault: Fault, probability: float) -> None:
        if self._plan.strikes(fault, self._chance, probability):
            raise Died

    def keep(self, shard: Lock) -> None:
        """Note that ledgers of a shard are kept warm."""
        self._kept.add(shard)

    def roll_back(self, shard: Lock) -> None:
        """Forget what is kept of a shard, as after any error."""
        if shard in self._kept:
            self._plan.strikes(Fault.WARM_AFTER_ROLLBACK, self._chance, 1.0)
            self._kept.discard(shard)
        self.warm.drop(shard)

    @contextmanager
    def transaction(self, what: str, *locks: Lock) -> Iterator[None]:
        """Hold locks for a transaction that has committed by the end of the block."""
        self.at(Point.LOCK, what)
        with self.server.locked(*locks):
            self.holds += 1
            try:
                yield
            finally:
                self.holds -= 1
        self.at(Point.ANSWER, what)
