"""One live stream and everything that counts it, in memory: what a test puts, sweeps and delivers.

The mapping is the test: `deliver` hands each shard's records to the counter as Lambda would, in
order, and stops at a shard whose batch is refused.
"""

from collections.abc import Iterable, Sequence

from tests.support.oracle import SIZE
from tests.support.worlds import BASE, CLOSE_RULES
from tidegauge.adapters.memory import MemoryCountStore
from tidegauge.adapters.memory_stream import MemoryStream
from tidegauge.adapters.memory_sweeping import MemorySweepStore
from tidegauge.domain.announcement import AnnouncedWindow, read_announcement
from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.decode import SeriesBy
from tidegauge.domain.errors import Transient
from tidegauge.domain.event_time import format_time
from tidegauge.domain.fold import CountRules
from tidegauge.ports import (
    Destination,
    FailedBatch,
    OutboxMessage,
    PutPosition,
    StreamEntry,
    StreamReading,
)
from tidegauge.steps.count_stream import StreamCounter
from tidegauge.steps.sweep import Sweep, Swept

CLOCK = "/clock"
MINUTE = 60_000


class Clock:
    """A clock that stands still but for whoever moves it, or waits for it."""

    def __init__(self) -> None:
        self.time_ms = BASE

    def now_ms(self) -> int:
        return self.time_ms

    def wait_until_ms(self, time_ms: int) -> None:
        self.time_ms = max(self.time_ms, time_ms)


class Sink:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.got: list[OutboxMessage] = []

    def send(self, messages: Sequence[OutboxMessage]) -> None:
        self.got.extend(messages)

    def windows(self) -> list[AnnouncedWindow]:
        """Return the announcements in the order of sending."""
        return [
            read_announcement(message.payload)
            for message in self.got
            if message.destination is Destination.WINDOWS
        ]


class FailedOnes:
    """Batches that the mapping gave up on, by name."""

    def __init__(self) -> None:
        self.kept: dict[str, FailedBatch | None] = {}
        self.reads: list[str] = []

    def names(self) -> list[str]:
        return list(self.kept)

    def read(self, name: str) -> FailedBatch | None:
        self.reads.append(name)
        return self.kept[name]


class Readings:
    """How the stream is read, as a test says."""

    def __init__(self) -> None:
        self.told: list[StreamReading] = []
        self.broken: Transient | None = None

    def readings(self, stream_arn: str) -> list[StreamReading]:
        assert stream_arn.startswith("arn:")
        if self.broken is not None:
            raise self.broken
        return self.told


class LiveWorld:
    """A stream that the sweep is the clock of.

    Args:
        n_shards: How many shards it begins with.
        is_clock: False where the test puts the heartbeats itself.
        rounds: Of heartbeats in a sweep.
        honours_hash_keys: As for `MemoryStream`.
    """

    def __init__(
        self,
        n_shards: int = 1,
        *,
        is_clock: bool = True,
        rounds: int = 1,
        honours_hash_keys: bool = True,
    ) -> None:
        self.stream = MemoryStream(n_shards, honours_hash_keys=honours_hash_keys)
        self.store = MemoryCountStore()
        self.sweeps = MemorySweepStore(self.store)
        self.clock = Clock()
        self.sink = Sink()
        self.failed = FailedOnes()
        self.readings = Readings()
        self.sweep_step = Sweep(
            store=self.store,
            sweeps=self.sweeps,
            outbox=self.store,
            sinks={Destination.WINDOWS: self.sink},
            stream=self.stream,
            clock=self.clock,
            clock_source=CLOCK if is_clock else None,
            close_rules=CLOSE_RULES,
            series_by=SeriesBy(),
            failed_batches=self.failed,
            readings=self.readings,
            rounds=rounds,
        )
        self.counter = StreamCounter(
            store=self.store,
            outbox=self.store,
            sinks={Destination.WINDOWS: self.sink},
            stream=self.stream,
            clock=self.clock,
            series_by=SeriesBy(),
            rules=CountRules(clock_source=CLOCK, clock_is_sweep=is_clock),
            close_rules=CLOSE_RULES,
        )
        self._read: dict[tuple[int, str], int] = {}
        self._n_events = 0

    @property
    def generation(self) -> int:
        """Number of the stream's present generation."""
        return self.store.generation(self.stream.identity())

    def sweep(self, minutes: float = 0) -> Swept:
        """Sweep so much later than the last time."""
        self.clock.time_ms += round(minutes * MINUTE)
        self.stream.arrival_ms = self.clock.time_ms
        return self.sweep_step.run()

    def put(
        self,
        *,
        at: int,
        ident: str | None = None,
        series: str = "t",
        key: str | None = None,
        hash_key: int | None = None,
    ) -> PutPosition:
        """Put an event so many ms after the base; a fresh one unless it is given an id."""
        self._n_events += 1
        name = f"e-{self._n_events}" if ident is None else ident
        data = (
            f'{{"specversion":"1.0","id":"{name}","source":"/s","type":"{series}",'
            f'"time":"{format_time(BASE + at)}"}}'
        )
        self.stream.arrival_ms = self.clock.time_ms
        [position] = self.stream.put([StreamEntry(data.encode(), key or name, hash_key)])
        return position

    def deliver(self, shard_ids: Iterable[str] | None = None) -> set[str]:
        """Deliver what each shard still holds; return the shards that refused theirs."""
        refused: set[str] = set()
        created = self.stream.created_ms
        for shard_id in list(self.stream.all) if shard_ids is None else shard_ids:
            place = (created, shard_id)
            log = self.stream.all[shard_id].log
            batch = [r for r in log if r.sequence_number > self._read.get(place, -1)]
            if not batch:
                continue
            try:
                self.counter.count(shard_id, batch)
            except Transient:
                refused.add(shard_id)
            else:
                self._read[place] = batch[-1].sequence_number
        return refused

    def minute(self) -> Swept:
        """Let a minute pass: a sweep, and then the mapping delivers everything it can."""
        swept = self.sweep(1)
        self.deliver()
        return swept

    def rows(self, generation: int | None = None, series: str = "t") -> list[CompletedWindow]:
        """Return all announced revisions of a series in order of window and revision."""
        number = self.generation if generation is None else generation
        windows = self.store.completed(number).get(series, {})
        return [row for window in sorted(windows) for row in windows[window]]

    def counts(self, series: str = "t") -> dict[int, int]:
        """Return the last announced count by window, windows numbered from the base's."""
        return {(row.window_start_ms - BASE) // SIZE: row.count for row in self.rows(series=series)}

    def qualities(self, generation: int | None = None) -> dict[int, str]:
        """Return the last announced quality by window, windows numbered from the base's."""
        return {
            (row.window_start_ms - BASE) // SIZE: row.quality.value for row in self.rows(generation)
        }
