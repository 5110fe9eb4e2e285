"""One stream that is resharded while it is counted: puts, sweeps, deliveries, and their truth.

The stream is real, the mapping keeps to AWS's contract, counter and sweep are those of the
functions. The sweep's clock is moved by the test: it starts half a day ago, so that no heartbeat
lies ahead of its record's arrival.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from embedded.engine import EngineAddress
from tests.support.events import event_json
from tests.support.kinesis_retention import RetainedKinesis
from tests.support.lineage_oracle import log_of, recount_lineage
from tests.support.live_stream import LiveStream
from tests.support.mapping_driver import MappingDriver
from tests.support.oracle import AGE, LATENESS, SIZE, Beat, Told
from tests.support.world_stores import WorldStores
from tidegauge.adapters.lambda_event import kinesis_batches
from tidegauge.domain.announcement import AnnouncedWindow, read_announcement
from tidegauge.domain.close import CloseRules
from tidegauge.domain.count import CompletedWindow, Quality
from tidegauge.domain.decode import SeriesBy
from tidegauge.domain.errors import TidegaugeError, Transient
from tidegauge.domain.event_time import parse_time_ms
from tidegauge.domain.fold import NO_FENCE, CountRules
from tidegauge.domain.record import Record
from tidegauge.ports import Destination, OutboxMessage, PatientClock, ShardProgress, StreamEntry
from tidegauge.steps.count_stream import StreamCounter
from tidegauge.steps.sweep import Sweep, Swept

CLOCK = "/clock"
MINUTE = 60_000
HALF_A_DAY = 12 * 60 * MINUTE
SERIES = ("busy", "calm")


class MovableClock:
    """A clock that stands still but for whoever moves it, or waits for it."""

    def __init__(self, time_ms: int) -> None:
        self.time_ms = time_ms

    def now_ms(self) -> int:
        return self.time_ms

    def wait_until_ms(self, time_ms: int) -> None:
        self.time_ms = max(self.time_ms, time_ms)


class Bells:
    """Keeps the announcements that it is sent."""

    def __init__(self) -> None:
        self.rung: list[AnnouncedWindow] = []

    def send(self, messages: Sequence[OutboxMessage]) -> None:
        self.rung.extend(read_announcement(message.payload) for message in messages)


class ReshardedWorld:
    """A stream with everything that counts it.

    Args:
        kinesis: The Kinesis for tests.
        stores: Where counts live.
        name: The stream's name.
        shards: How many it begins with.
        seed: Decides on events, batches and redeliveries.
        children_first: The mapping reads the youngest shards first.
        is_clock: False where a producer puts the heartbeats.
        clock: The sweep's clock; None makes one that the test moves.
        size_ms: Length of a window.
        lateness_ms: How long a window waits for its events.
        max_event_age_ms: How far behind stream time an event may lie.
        max_batch: The largest batch that the mapping delivers, records.

    Attributes:
        failures: What sweeps ran into, in order.
        purged: How many windows sweeps have purged.
        resent: How probably an event is one that was put before.
    """

    def __init__(
        self,
        kinesis: EngineAddress,
        stores: WorldStores,
        name: str,
        *,
        shards: int = 1,
        seed: int = 1,
        children_first: bool = False,
        is_clock: bool = True,
        clock: PatientClock | None = None,
        size_ms: int = SIZE,
        lateness_ms: int = LATENESS,
        max_event_age_ms: int = AGE,
        max_batch: int = 30,
    ) -> None:
        self.chance = random.Random(seed)  # noqa: S311
        self.stores = stores
        self.size_ms, self.lateness_ms = size_ms, lateness_ms
        self.is_clock = is_clock
        client = kinesis.session().kinesis
        self.client = RetainedKinesis(client, name)
        self.stream = LiveStream(client, name, shards=shards)
        self.adapter = self.client.adapter()
        self.base_ms = (time.time_ns() // 1_000_000 - HALF_A_DAY) // size_ms * size_ms
        self.moved = MovableClock(self.base_ms)
        self.clock = clock or self.moved
        self.bells = Bells()
        self.failures: list[TidegaugeError] = []
        self.purged = 0
        self.resent = 0.1
        self.count_rules = CountRules(
            size_ms=size_ms,
            lateness_ms=lateness_ms,
            max_event_age_ms=max_event_age_ms,
            clock_source=CLOCK,
            clock_is_sweep=is_clock,
        )
        self.close_rules = CloseRules(
            size_ms=size_ms, lateness_ms=lateness_ms, max_event_age_ms=max_event_age_ms
        )
        self._observer = stores.hand()
        self._environments = [self.new_environment() for _ in range(2)]
        self._sweep = self.new_sweep()
        self.mapping = MappingDriver(
            self.client,
            name,
            self.collect,
            self.chance,
            max_batch=max_batch,
            children_first=children_first,
        )
        self._events: list[tuple[str, bytes]] = []
        self._n_events = 0
        self._lost: dict[str, set[int]] = {}

    def new_environment(self) -> StreamCounter:
        """Return the step of one process of collect."""
        hand = self.stores.hand()
        return StreamCounter(
            store=hand.counts,
            outbox=hand.outbox,
            sinks={Destination.WINDOWS: self.bells},
            stream=self.adapter,
            clock=self.clock,
            series_by=SeriesBy(),
            rules=self.count_rules,
            close_rules=self.close_rules,
        )

    def new_sweep(self) -> Sweep:
        """Return the step of one process of the sweep."""
        hand = self.stores.hand()
        return Sweep(
            store=hand.counts,
            sweeps=hand.sweeps,
            outbox=hand.outbox,
            sinks={Destination.WINDOWS: self.bells},
            stream=self.adapter,
            clock=self.clock,
            clock_source=CLOCK if self.is_clock else None,
            close_rules=self.close_rules,
            series_by=SeriesBy(),
        )

    def collect(self, event: dict[str, Any]) -> None:
        """Count an invocation's records in any of the warm environments."""
        count_in(self.chance.choice(self._environments), event)

    # --- what happens

    def put(self, number: int, *, late: float = 0.1) -> None:
        """Put events of a window's length up to now; some come late, some are put again."""
        entries = []
        for _ in range(number):
            if self._events and self.chance.random() < self.resent:
                name, data = self.chance.choice(self._events)
            else:
                self._n_events += 1
                name = f"event-{self._n_events}"
                behind_ms = self.chance.randrange(self.size_ms)
                if self.chance.random() < late:
                    behind_ms += self.chance.choice((1, 2, 4)) * self.size_ms
                at_ms = max(self.base_ms, self.clock.now_ms() - behind_ms)
                data = event_json(name, at_ms, series=self.chance.choice(SERIES))
                self._events.append((name, data))
            entries.append(StreamEntry(data, name))
        self.adapter.put(entries)

    def resend(self) -> None:
        """Put all events again, as a producer does that has got no answer."""
        self.adapter.put([StreamEntry(data, name) for name, data in self._events])

    def sweep(self, minutes: float = 1) -> Swept:
        """Let time pass, and sweep once."""
        self.moved.time_ms += round(minutes * MINUTE)
        swept = self._sweep.run()
        self.failures += swept.failures
        self.purged += swept.purged_windows
        return swept

    def minute(self, events: int = 0, *, minutes: float = 1) -> Swept:
        """Put events, let time pass, sweep, and deliver what can be delivered."""
        self.put(events)
        swept = self.sweep(minutes)
        self.mapping.run()
        return swept

    def minutes(self, number: int, *, events: int = 0) -> None:
        """Let so many minutes pass."""
        for _ in range(number):
            self.minute(events)

    def reshard(self, *, most: int = 6) -> None:
        """Split a shard, or merge two neighbours; no more than `most` are open at once."""
        keys = self.stream.open_shards()
        if len(keys) == 1 or (len(keys) < most and self.chance.random() < 0.5):
            self.stream.split(self.chance.choice(keys))
        else:
            at = self.chance.randrange(len(keys) - 1)
            self.stream.merge(keys[at], keys[at + 1])

    def lose(self, shard_id: str) -> int:
        """Let all that is not counted of a shard expire; return how many records it was."""
        shards = self.shards()
        fence = shards[shard_id].fence if shard_id in shards else NO_FENCE
        log = self.stream.logs()[shard_id]
        lost = {record.sequence_number for record in log if record.sequence_number > fence}
        self._lost.setdefault(shard_id, set()).update(lost)
        self.client.trim(shard_id, log[-1].sequence_number)
        return len(lost)

    def begin_anew(self, *, shards: int) -> None:
        """Delete the stream and make it anew under its name; nothing is put again."""
        self.stream.make(shards)
        self.client.forget()
        self.mapping.start_anew()
        self._events.clear()
        self._lost.clear()
        self.base_ms = self.clock.now_ms() // self.size_ms * self.size_ms

    def come_to_an_end(self, until_ms: int | None = None) -> None:
        """Let time pass until everything is closed and every closed shard is drained.

        Args:
            until_ms: The watermark to reach; None for one that closes all windows with events.
        """
        if until_ms is None:
            until_ms = self.clock.now_ms() + self.size_ms + self.lateness_ms
        for _ in range(50):
            self.clock.wait_until_ms(self.clock.now_ms() + 100)
            swept = self.minute()
            shards = self.shards()
            closed = self.closed_shards() & shards.keys()  # others expired before anybody looked
            drained = all(shards[shard_id].drained for shard_id in closed)
            if drained and (swept.watermark_ms or 0) >= until_ms:
                return
        msg = f"watermark {swept.watermark_ms}, wanted {until_ms}: {shards}, {self.failures}"
        raise AssertionError(msg)

    # --- what came of it

    @property
    def generation(self) -> int:
        """Number of the stream's present generation."""
        return self._observer.counts.generation(self.adapter.identity())

    def shards(self) -> dict[str, ShardProgress]:
        """Return the registered shards of the present generation by id."""
        shards = self._observer.sweeps.shards(self.generation)
        return {shard.shard_id: shard for shard in shards}

    def shard(self, shard_id: str) -> ShardProgress:
        """Return one of them."""
        return self.shards()[shard_id]

    def stream_times(self, shard_id: str) -> list[int]:
        """Return the stream times that a shard's own heartbeats carry, in their order."""
        log = log_of(self.logs()[shard_id], clock_is_sweep=self.is_clock)
        return [item.time for item in log if isinstance(item, Beat)]

    def closed_shards(self) -> set[str]:
        """Return the shards that have children."""
        return {parent for above in self.stream.parents().values() for parent in above}

    def logs(self) -> dict[str, list[Record]]:
        """Return what could be read of each shard."""
        return {
            name: [r for r in log if r.sequence_number not in self._lost.get(name, ())]
            for name, log in self.stream.logs().items()
        }

    def counted_events(self) -> int:
        """Return how many distinct events lie at or before the fences; put again nowhere else."""
        fences = {name: shard.fence for name, shard in self.shards().items()}
        read = [
            record
            for name, log in self.logs().items()
            for record in log
            if record.sequence_number <= fences.get(name, -1)
        ]
        items = log_of(read, clock_is_sweep=self.is_clock)
        return len({item.id for item in items if isinstance(item, Told)})

    def check(self, *, gaps: Callable[[int], bool] = lambda _window_ms: False) -> None:
        """Hold all that was announced of the present generation against a plain recount.

        Args:
            gaps: Whether the window of a start must be told as one with a gap.
        """
        assert [f for f in self.failures if not isinstance(f, Transient)] == []
        generation = self.generation
        logs = {
            name: log_of(records, clock_is_sweep=self.is_clock)
            for name, records in self.logs().items()
        }
        truth = recount_lineage(
            logs, self.stream.parents(), size=self.size_ms, lateness=self.lateness_ms
        )
        rows = self.stores.rows(generation)
        assert sorted(map(_told, rows)) == [row[:-1] for row in truth]
        assert sum(row[4] for row in truth) > 0
        self.check_announced_once(generation, rows)
        assert {_told(row): row.quality for row in rows} == {
            _told(row): Quality.GAP if gaps(row.window_start_ms) else Quality.COMPLETE
            for row in rows
        }

    def check_announced_once(self, generation: int, rows: Iterable[CompletedWindow]) -> None:
        """Check that each row of a generation was told, once and as it stands in the store."""
        rung = Counter(
            (
                parse_time_ms(window.step),
                parse_time_ms(window.window_start),
                one.series,
                one.revision,
                one.count,
                one.late,
            )
            for window in self.bells.rung
            if window.generation == generation
            for one in window.series
        )
        assert rung == Counter(map(_told, rows))


def count_in(environment: StreamCounter, event: dict[str, Any]) -> None:
    """Count an invocation's records in one process of collect."""
    for batch in kinesis_batches(event):
        environment.count(batch.shard_id, batch.records)


def _told(row: CompletedWindow) -> tuple[int, int, str, int, int, int]:
    return (row.step_ms, row.window_start_ms, row.series, row.revision, row.count, row.late)
