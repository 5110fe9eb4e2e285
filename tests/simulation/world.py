"""One seed's world: the real steps, run by processes that fail, over a stream that misbehaves.

A history seed decides what happens to the stream and when the sweep runs; a delivery seed decides
how the stream is read, and what strikes whom. What people are told must depend on the first alone.
"""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress

from tests.simulation.database import Died, Point, Process, Server
from tests.simulation.faults import Fault, Plan
from tests.simulation.history import Producers, Resharder, scenery
from tests.simulation.losses import Losses
from tests.simulation.mapping import Mapping
from tests.simulation.stores import ProcessStore, ProcessSweeps
from tests.simulation.stream import SimulatedStream
from tests.simulation.truth import CLOCK, Rules
from tidegauge.domain.close import CloseRules
from tidegauge.domain.decode import SeriesBy
from tidegauge.domain.errors import Transient
from tidegauge.domain.fold import CountRules
from tidegauge.domain.record import Record
from tidegauge.ports import Destination, OutboxMessage
from tidegauge.steps.close import close_once
from tidegauge.steps.count_stream import StreamCounter
from tidegauge.steps.sweep import Sweep

BASE_MS = 1_700_000_400_000  # the start of a window of any length that a world has
MINUTE_MS = 60_000
N_ENVIRONMENTS = 3
SETTLE_MINUTES = 14


class Clock:
    """The clock of whoever asks; it may be ahead of the world's time."""

    def __init__(self) -> None:
        self.time_ms = BASE_MS
        self.ahead_ms = 0

    def now_ms(self) -> int:
        """Return what the clock shows."""
        return self.time_ms + self.ahead_ms

    def wait_until_ms(self, time_ms: int) -> None:
        """Return at once: a world's sweeps have one round."""
        del time_ms


class World:
    """A stream, the processes that count it, and everything that is told of it.

    Args:
        seed: Of the history.
        delivery: Of the delivery.

    Attributes:
        generations: The creation time of each generation of the stream, by its number.
        sent: The announcements that the stream of windows took, in order.
        errors: What nobody should have raised.
    """

    def __init__(self, seed: int, delivery: int) -> None:
        self.seed = seed
        self.plan = Plan(seed)
        self.scenery = scenery(seed, self.plan)
        self.history = random.Random(f"{seed} history")  # noqa: S311
        self.chance = random.Random(f"{seed} delivery {delivery}")  # noqa: S311
        self.rules = Rules(
            size=self.scenery.size,
            lateness=self.scenery.lateness,
            skew=300_000,
            age=self.scenery.age,
            clock=CLOCK,
            most_series=self.scenery.max_series,
        )
        self.close_rules = CloseRules(
            size_ms=self.scenery.size,
            lateness_ms=self.scenery.lateness,
            max_event_age_ms=self.scenery.age,
            max_rows=self.scenery.max_rows,
            max_series=self.scenery.max_series,
        )
        self.count_rules = CountRules(
            size_ms=self.scenery.size,
            lateness_ms=self.scenery.lateness,
            max_event_age_ms=self.scenery.age,
            clock_source=CLOCK,
            clock_is_sweep=True,
        )
        self.server = Server(self.close_rules)
        self.stream = SimulatedStream(
            self.scenery.n_shards, self.history, self.plan, self._check_no_lock
        )
        self.clock = Clock()
        self.sent: list[OutboxMessage] = []
        self.errors: list[str] = []
        self.generations = {self.generation: self.stream.created_ms}
        self._depth = 0
        self._zombies: list[Callable[[], object]] = []
        self._at_work: list[Process] = []
        self.mapping = Mapping(
            self.stream,
            self.plan,
            self.chance,
            invoke=self.count,
            zombie=self._zombies.append,
            given_up=lambda shard_id, batch: self.losses.give_up(shard_id, batch),
        )
        self.losses = Losses(
            self.stream,
            self.plan,
            self.chance,
            position=self.mapping.position,
            is_listed=self._is_listed,
            made_anew=self._begin_anew,
        )
        self.producers = Producers(self.stream, self.plan, self.history, self.scenery, BASE_MS)
        self.resharder = Resharder(self.stream, self.plan, self.history)
        self._environments = [self._environment() for _ in range(N_ENVIRONMENTS)]
        self._sweeps = [self._sweeper() for _ in range(2)]
        self._lag = self._lagging()

    # --- the stream's generations

    @property
    def generation(self) -> int:
        """Number of the stream's present generation."""
        return self.server.counts.generation(self.stream.present())

    def _begin_anew(self) -> None:
        self.producers.forget()
        self._zombies.clear()  # a batch of a stream that is no more: not promised
        self.generations[self.generation] = self.stream.created_ms

    def _is_listed(self, shard_id: str) -> bool:
        return any(s.shard_id == shard_id for s in self.server.sweeps.shards(self.generation))

    # --- processes

    def _process(self) -> Process:
        return Process(self.server, self.plan, self.chance, self._interlude)

    def _environment(self) -> tuple[Process, StreamCounter]:
        process = self._process()
        store = ProcessStore(process, steady=False)
        counter = StreamCounter(
            store=store,
            outbox=store,
            sinks={Destination.WINDOWS: self},
            stream=self.stream,
            clock=self.clock,
            series_by=SeriesBy(),
            rules=self.count_rules,
            close_rules=self.close_rules,
        )
        return process, counter

    def _sweeper(self) -> tuple[Process, Sweep]:
        process = self._process()
        store = ProcessStore(process, steady=True)
        sweep = Sweep(
            store=store,
            sweeps=ProcessSweeps(process),
            outbox=store,
            sinks={Destination.WINDOWS: self},
            stream=self.stream,
            clock=self.clock,
            clock_source=CLOCK,
            close_rules=self.close_rules,
            series_by=SeriesBy(),
            failed_batches=self.losses,
        )
        return process, sweep

    def count(self, shard_id: str, batch: Sequence[Record]) -> None:
        """Count a batch in any of the environments; one that dies is replaced by a cold one."""
        place = self.chance.randrange(N_ENVIRONMENTS)
        process, counter = self._environments[place]
        if process in self._at_work:
            process, counter = self._environments[place] = self._environment()
        self._at_work.append(process)
        process.batch = batch
        try:
            counter.count(shard_id, batch)
        except Died:
            self._environments[place] = self._environment()
            raise
        finally:
            self._at_work.pop()

    def sweep(self) -> None:
        """Sweep once; what a sweep of one process leaves, the next one does."""
        process, sweep = self._sweeps[0]
        self._at_work.append(process)
        try:
            swept = sweep.run()
        except Died:
            self._sweeps[0] = self._sweeper()
        except Transient:
            return  # the function fails, and comes again in a minute
        else:
            for error in swept.failures:
                if not isinstance(error, Transient):
                    self.errors.append(f"the sweep ran into {error!r}")
        finally:
            self._at_work.pop()

    def _check_no_lock(self) -> None:
        if self._at_work and self._at_work[-1].holds:
            self.server.disorder.append("the network was called while a lock was held")

    def send(self, messages: Sequence[OutboxMessage]) -> None:
        """Take announcements, as the stream of windows does."""
        self._check_no_lock()
        if self.plan.strikes(Fault.PUBLISH_FAILS, self.chance, 0.1):
            msg = "the stream of windows takes no record now"
            raise Transient(msg)
        self.sent.extend(messages)
        if self.plan.strikes(Fault.PUBLISH_TWICE, self.chance, 0.05):
            msg = "the stream of windows did not answer"
            raise Transient(msg)

    # --- who has a turn in the midst of somebody else's transaction

    def _interlude(self, process: Process, point: Point, what: str) -> None:
        if self._depth or self.plan.calm:
            return
        self._depth += 1
        try:
            self._have_a_turn(process, point, what)
        finally:
            self._depth -= 1

    def _have_a_turn(self, process: Process, point: Point, what: str) -> None:
        if what == "collect" and point is Point.LOCK:
            while self._zombies:
                self._zombies.pop()()
        if (what == "close" and self.chance.random() < 0.25) or (
            what == "drain" and self.chance.random() < 0.3
        ):
            self._deliver_anything()
        elif what in ("close", "collect") and self.chance.random() < 0.04:
            self._close_too()
        if process is self._sweeps[0][0] and self.plan.strikes(Fault.TWO_SWEEPS, self.chance, 0.03):
            self._sweep_too()

    def _deliver_anything(self) -> None:
        if BASE_MS + self._lag.start <= self.clock.time_ms < BASE_MS + self._lag.stop:
            return
        self.mapping.offer(self.chance.choice(list(self.stream.all)))

    def _close_too(self) -> None:
        process = self._process()
        self._at_work.append(process)
        store = ProcessStore(process, steady=False)
        generation = self.generation
        with suppress(Transient, Died):
            close_once(store, generation, self.close_rules)
        self._at_work.pop()

    def _sweep_too(self) -> None:
        process, sweep = self._sweeps[1]
        self._at_work.append(process)
        try:
            if sweep.run().ran:
                self.errors.append("two sweeps ran at once")
        except Died:
            self._sweeps[1] = self._sweeper()
        except Transient:
            return
        finally:
            self._at_work.pop()

    # --- time

    def _lagging(self) -> range:
        if not self.plan.has(Fault.LAG):
            return range(0)
        size = self.scenery.size
        begin = self.chance.randrange(size, 12 * size)
        return range(begin, begin + self.chance.randrange(size, 18 * size))

    def _show(self, since_ms: int) -> None:
        """Let everybody's clocks show so many ms since the base."""
        self.clock.time_ms = self.server.now_ms = self.stream.arrival_ms = BASE_MS + since_ms
        ahead = not self.plan.calm and since_ms in self.scenery.ahead
        self.clock.ahead_ms = self.scenery.ahead_by if ahead else 0
        self.server.away = not self.plan.calm and since_ms in self.scenery.away

    def play(self) -> None:
        """Let the whole world happen, then let it come to its end."""
        swept = -MINUTE_MS
        for since_ms in range(0, self.scenery.length, self.scenery.tick):
            self._show(since_ms)
            self._note_phases(since_ms)
            self.producers.put_some(self.clock.time_ms)
            self.resharder.reshard()
            self.losses.strike()
            if since_ms - swept >= MINUTE_MS and since_ms not in self.scenery.dead:
                swept = since_ms
                self.sweep()
            if since_ms not in self._lag:
                self.mapping.turn()
        self._settle(self.scenery.length)

    def _note_phases(self, since_ms: int) -> None:
        phases = (
            (Fault.DATABASE_OUTAGE, self.scenery.away),
            (Fault.CLOCK_DEAD, self.scenery.dead),
            (Fault.CLOCK_AHEAD, self.scenery.ahead),
            (Fault.SILENCE, self.scenery.silent),
            (Fault.LAG, self._lag),
        )
        for fault, phase in phases:
            if since_ms in phase and since_ms - self.scenery.tick not in phase:
                self.plan.strikes(fault, self.chance, 1.0)

    def _settle(self, since_ms: int) -> None:
        self.plan.calm = True
        self._show(since_ms)
        self.producers.put_the_rest()
        # a line of shards that nobody has read yet is drained one after the other
        depth = len(self.stream.parents)
        for minute in range(1, SETTLE_MINUTES + depth + 2 * self.scenery.size // MINUTE_MS):
            self._show(since_ms + minute * MINUTE_MS)
            self.sweep()
            self.mapping.deliver_all()
            self.mapping.deliver_all()
