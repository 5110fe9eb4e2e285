"""What a worker process can be: each role does one thing of the product, again and again.

A writer ends with its shard's log; a hand does what it is told, once; all others work until the
test says that it is over.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial

from tests.support.crashes.fates import Word
from tests.support.crashes.worker import Worker
from tests.support.judged_worlds import YOUNG
from tests.support.races import Smooth
from tidegauge.adapters.clock import SystemClock
from tidegauge.adapters.mysql.judging import MysqlJudgingStore
from tidegauge.adapters.mysql.outbox import MysqlOutbox
from tidegauge.adapters.mysql.sweeping import MysqlSweepStore
from tidegauge.domain.decode import SeriesBy
from tidegauge.domain.errors import Transient
from tidegauge.ports import Destination, OutboxMessage
from tidegauge.steps.close import close_once
from tidegauge.steps.lineage import Lineage
from tidegauge.steps.predict import PredictStep, read_doorbell
from tidegauge.steps.publish import publish_outbox
from tidegauge.steps.sweep import Sweep

# Pauses between two pieces of work. Those that cost most must leave the others time to race.
QUICK, SLOW = 0.05, 0.2


def name_of(message: OutboxMessage) -> str:
    """Return a name that tells a message from all others."""
    return f"{message.destination.value} {hashlib.sha256(message.payload).hexdigest()[:24]}"


class TellingSink:
    """Tells the test what it is sent; fails now and then before it takes a message."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def send(self, messages: Sequence[OutboxMessage]) -> None:
        if self._worker.chance.random() < 0.2:
            msg = "slow down"
            raise Transient(msg)
        for message in messages:
            self._worker.tell(Word("sent", what=name_of(message)))


def write(worker: Worker) -> None:
    """Deliver a shard's log in order; now and then from further back."""
    generation = worker.generation()
    shard_id, chance = worker.shard_id, worker.chance
    length = len(worker.world.records[shard_id])
    position = worker.position
    while position < length:
        start = max(0, position - chance.choice((0, 0, 0, 5, 60)))
        end = min(length, position + chance.randrange(1, 60))
        if end > length // 2:
            worker.stream.reshard_behind(shard_id)
        worker.tell(Word("counting", shard=shard_id, start=start, end=end))
        counted: list[bool] = []
        count = partial(worker.count, generation, shard_id, start, end)
        worker.again(lambda work=count, to=counted: to.append(work().skipped))  # type: ignore[misc]
        what = "skipped" if counted[0] else ""
        worker.tell(Word("counted", what=what, shard=shard_id, start=start, end=end))
        position = end
        worker.pause(0)


def close(worker: Worker) -> None:
    """Close what can be closed."""
    generation = worker.generation()
    worker.loop(
        lambda: close_once(worker.counts, generation, worker.world.close_rules), seconds=QUICK
    )


def publish(worker: Worker) -> None:
    """Send what the outbox holds."""
    outbox = MysqlOutbox(worker.database)
    sinks = dict.fromkeys(Destination, TellingSink(worker))
    worker.loop(lambda: publish_outbox(outbox, sinks, limit=100), seconds=QUICK)


def predict(worker: Worker) -> None:
    """Judge what some of the last announcements name: twice, in any order, or never rung for.

    Sent or not: what a publisher had taken when it died is sent a minute later only.
    """
    store = MysqlJudgingStore(worker.database, interval_level=0.95)
    step = PredictStep(store, Smooth(), YOUNG, max_steps=30)

    def ring() -> None:
        with worker.database.transaction() as cursor:
            cursor.execute(
                "SELECT payload FROM outbox WHERE destination = 'windows' ORDER BY id DESC LIMIT 40"
            )
            heard = [payload for (payload,) in cursor.fetchall()]
        if heard:
            step.ring([read_doorbell(worker.chance.choice(heard)) for _ in range(8)])

    worker.loop(ring, seconds=SLOW)


def sweep(worker: Worker) -> None:
    """Sweep; only one of all does so at a time."""
    lock = worker.connection()
    step = Sweep(
        store=worker.counts,
        sweeps=MysqlSweepStore(worker.database, lock, size_ms=worker.world.close_rules.size_ms),
        outbox=MysqlOutbox(worker.database),
        sinks=dict.fromkeys(Destination, TellingSink(worker)),
        stream=worker.stream,
        clock=SystemClock(),
        clock_source=None,
        close_rules=worker.world.close_rules,
        series_by=SeriesBy(),
    )

    def once() -> None:
        failures = step.run().failures
        for failure in failures:
            if not isinstance(failure, Transient):
                raise failure
        for failure in failures:
            raise failure

    worker.loop(once, seconds=SLOW)


def _sweeps(worker: Worker) -> MysqlSweepStore:
    return MysqlSweepStore(
        worker.database, worker.database, size_ms=worker.world.close_rules.size_ms
    )


def keep_lineage(worker: Worker) -> None:
    """List and drain beside the sweep, whose lock nobody here asks for."""
    sweeps, identity = _sweeps(worker), worker.stream.identity()
    lineage = Lineage(worker.stream, worker.counts, sweeps, identity, worker.generation())
    worker.loop(lambda: lineage.drain(lineage.shards(), SystemClock()), seconds=SLOW)


def purge(worker: Worker) -> None:
    """Remove what nobody compares any more, and ask what waits."""
    sweeps, generation = _sweeps(worker), worker.generation()

    def once() -> None:
        sweeps.purge(generation, worker.world.close_rules)
        sweeps.backlog(generation)

    worker.loop(once, seconds=SLOW)


def lend_a_hand(worker: Worker) -> None:
    """Do once what the test says: `count SHARD START END`, `close` or `drain`."""
    generation = worker.generation()
    sweeps, identity = _sweeps(worker), worker.stream.identity()
    lineage = Lineage(worker.stream, worker.counts, sweeps, identity, generation)

    def drain() -> None:
        lineage.drain(lineage.shards(), SystemClock())

    def count(shard_id: str, start: str, end: str) -> None:
        worker.shard_id = shard_id
        worker.count(generation, shard_id, int(start), int(end))

    works: dict[str, Callable[..., object]] = {
        "count": count,
        "close": lambda: close_once(worker.counts, generation, worker.world.close_rules),
        "drain": drain,
    }
    while True:
        line = worker.task()
        name, *words = line.split(" ")
        if worker.once(partial(works[name], *words)):
            worker.tell(Word("done", what=line))


ROLES: dict[str, Callable[[Worker], None]] = {
    "writer": write,
    "closer": close,
    "publisher": publish,
    "predictor": predict,
    "sweeper": sweep,
    "lineage": keep_lineage,
    "purger": purge,
    "hand": lend_a_hand,
}
