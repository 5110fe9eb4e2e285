"""The sweep step: each minute, what no single batch can be trusted to do.

Registers the stream's shards, puts heartbeats where it is the clock, drains closed shards, ends
generations that a later one has followed, notes what the stream's reader gave up on, closes what
the watermark has passed, rings again for series that wait for a verdict, publishes the outbox,
purges, and looks after how the stream is read. It may run at any moment and any number of times;
one runs at a time. A part that fails keeps no other from its turn.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec

from tidegauge.domain.close import CloseRules
from tidegauge.domain.decode import SeriesBy
from tidegauge.domain.errors import TidegaugeError, Transient
from tidegauge.domain.event import Event
from tidegauge.domain.stream_reading import reading_faults
from tidegauge.ports import (
    Backlog,
    CountStore,
    Destination,
    FailedBatches,
    MessageSink,
    Outbox,
    PatientClock,
    ShardListing,
    StreamReadings,
    SweepStore,
    UnknownShard,
)
from tidegauge.steps.close import CloseOutcome, close_once, end_once
from tidegauge.steps.collect import decode_records
from tidegauge.steps.heartbeats import Heartbeats
from tidegauge.steps.lineage import Lineage, SweptStream
from tidegauge.steps.publish import publish_outbox

CLOSINGS_PER_SWEEP = 100
MESSAGES_PER_SWEEP = 20_000
RINGS_PER_SWEEP = 1_000
FAILURES_PER_SWEEP = 20
MINUTE_MS = 60_000
# After an outage there is more to close than a minute holds; it is to be published as well.
CLOSING_MS = 40_000
LAST_ROUND_MS = 56_000

CloseStep = Callable[[CountStore, int, CloseRules], CloseOutcome]


class Swept(msgspec.Struct):
    """What one sweep did.

    Attributes:
        ran: False if another sweep was at it.
        shards: Shards that the stream lists.
        drained: Closed shards that were found read to their end.
        ended: Generations that were ended since a later one has followed.
        lost_events: Events in batches that the stream's reader gave up on.
        unreadable: Names of such batches that cannot be read: what they lost, nobody knows.
        completed: Completed windows announced, corrections included.
        watermark_ms: The stream's watermark; None while some shard has no stream time.
        watermark_lag_ms: How far it lies behind the clock; None where a producer is the clock, or
            without a watermark.
        rung: Series that were rung for again.
        alerts_sent: Alerts published that somebody else's publishing had left.
        purged_windows: Windows whose ledgers and partial counts were removed.
        reading_checked: Whether it could be asked how the stream is read.
        reading_faults: What is wrong with how the stream is read, a sentence each.
        backlog: What still waits; None if it could not be asked.
        failures: What went wrong, in order; the next sweep does what was left.
    """

    ran: bool
    shards: int = 0
    drained: int = 0
    ended: int = 0
    lost_events: int = 0
    unreadable: list[str] = []
    completed: int = 0
    watermark_ms: int | None = None
    watermark_lag_ms: int | None = None
    rung: int = 0
    alerts_sent: int = 0
    purged_windows: int = 0
    reading_checked: bool = False
    reading_faults: list[str] = []
    backlog: Backlog | None = None
    failures: list[TidegaugeError] = []

    @contextmanager
    def part(self) -> Iterator[None]:
        """Do a part of the sweep; what goes wrong in it is kept, and the others go on."""
        try:
            yield
        except TidegaugeError as error:
            self.failures.append(error)


class Sweep:
    """The sweep of one stream.

    Args:
        store: Where counts live.
        sweeps: What the sweep alone asks of it.
        outbox: Where announcements and alerts wait.
        sinks: Who sends them.
        stream: The events stream.
        clock: The wall clock; its time is what heartbeats carry, and closes nothing by itself.
        clock_source: The CloudEvents `source` of its heartbeats; None where a producer is the
            clock.
        close_rules: What is announced.
        series_by: Names series, for batches that the stream's reader gave up on.
        failed_batches: Where those are; None where nobody keeps them.
        readings: Tells how the stream is read; None where nobody can.
        rounds: Rounds of heartbeats in a minute, with a closing after each; the sweep then lasts
            nearly as long.
    """

    def __init__(
        self,
        *,
        store: CountStore,
        sweeps: SweepStore,
        outbox: Outbox,
        sinks: Mapping[Destination, MessageSink],
        stream: SweptStream,
        clock: PatientClock,
        clock_source: str | None,
        close_rules: CloseRules,
        series_by: SeriesBy,
        failed_batches: FailedBatches | None = None,
        readings: StreamReadings | None = None,
        rounds: int = 1,
    ) -> None:
        self._store = store
        self._sweeps = sweeps
        self._outbox = outbox
        self._sinks = sinks
        self._stream = stream
        self._clock = clock
        self._clock_source = clock_source
        self._close_rules = close_rules
        self._series_by = series_by
        self._failed_batches = failed_batches
        self._readings = readings
        self._rounds = rounds
        self._no_failures: set[str] = set()
        self._stuck: set[str] = set()
        self._close_until_ms = 0

    def run(self) -> Swept:
        """Do one sweep, all rounds of it. What goes wrong stands in `failures`."""
        with self._sweeps.only_one() as alone:
            if not alone:
                return Swept(ran=False)
            return self._sweep()

    def _sweep(self) -> Swept:
        swept = Swept(ran=True)
        began_ms = self._clock.now_ms()
        self._close_until_ms = began_ms + CLOSING_MS
        lineage: Lineage | None = None
        with swept.part():
            lineage = self._lineage()
        if lineage is not None:
            self._round(swept, lineage)
            self._look_after(swept, lineage)
        with swept.part():
            swept.rung = self._sweeps.ring_again(RINGS_PER_SWEEP)
        self._publish(swept)
        if lineage is not None:
            for due_ms in self._later_rounds(began_ms):
                self._clock.wait_until_ms(due_ms)
                self._round(swept, lineage)
                self._publish(swept)
            self._tell(swept, lineage)
        return swept

    def _later_rounds(self, began_ms: int) -> Iterator[int]:
        """Yield when each further round is due; one that the round before has used up is left out.

        The next sweep comes a minute after this one, and wants to find it gone.
        """
        for number in range(1, self._rounds):
            due_ms = began_ms + number * MINUTE_MS // self._rounds
            next_ms = began_ms + (number + 1) * MINUTE_MS // self._rounds
            if self._clock.now_ms() < min(next_ms, began_ms + LAST_ROUND_MS):
                yield due_ms

    def _lineage(self) -> Lineage:
        identity = self._stream.identity()
        generation = self._store.generation(identity)
        return Lineage(self._stream, self._store, self._sweeps, identity, generation)

    def _round(self, swept: Swept, lineage: Lineage) -> None:
        """Beat, drain and close once."""
        with swept.part():
            listing = lineage.shards()
            swept.shards = len(listing)
            with swept.part():
                self._beat(lineage, listing)
            lineage.drain(listing, self._clock)
        with swept.part():
            outcome = self._close(swept, close_once, lineage.generation)
            swept.watermark_ms = outcome.watermark_ms

    def _close(self, swept: Swept, step: CloseStep, generation: int) -> CloseOutcome:
        """Close what there is time for, at least once; return the last outcome."""
        for _ in range(CLOSINGS_PER_SWEEP):
            outcome = step(self._store, generation, self._close_rules)
            swept.completed += len(outcome.rows)
            if outcome.finished or self._clock.now_ms() >= self._close_until_ms:
                break
        return outcome

    def _beat(self, lineage: Lineage, listing: Sequence[ShardListing]) -> None:
        if self._clock_source is None:
            return
        generation = lineage.generation
        shards = self._sweeps.shards(generation)
        previous = {shard.shard_id: shard.beat for shard in shards if shard.beat is not None}
        beats = Heartbeats(lineage, self._clock_source, listing=listing, previous=previous)
        try:
            beats.put(self._clock.now_ms())
        finally:  # some shards may have theirs even if another refused it
            fresh = {name: at for name, at in beats.last.items() if previous.get(name) != at}
            self._sweeps.note_beats(generation, fresh)

    def _look_after(self, swept: Swept, lineage: Lineage) -> None:
        generation, arn = lineage.generation, lineage.identity().arn
        with swept.part():
            for older in self._store.superseded(generation):
                self._end(swept, older)
        with swept.part():
            self._note_failures(swept, lineage)
        with swept.part():
            swept.purged_windows = self._sweeps.purge(generation, self._close_rules).windows
        with swept.part():
            if self._readings is not None:
                swept.reading_faults = reading_faults(self._readings.readings(arn))
                swept.reading_checked = True

    def _end(self, swept: Swept, generation: int) -> None:
        """End a generation: what its heartbeats have passed is whole, what is left is a gap."""
        for step in (close_once, end_once):
            if not self._close(swept, step, generation).finished:
                return  # the next sweep goes on
        swept.ended += 1

    def _note_failures(self, swept: Swept, lineage: Lineage) -> None:
        if self._failed_batches is None:
            return
        names = self._failed_batches.names()
        noted = self._sweeps.noted_failures(names) | self._no_failures
        waiting = [name for name in names if name not in noted]
        waiting.sort(key=lambda name: name in self._stuck)  # these keep no other from its turn
        for name in waiting[:FAILURES_PER_SWEEP]:
            try:
                self._note_failure(swept, lineage, name)
            except Transient:
                self._stuck.add(name)
                raise
            except TidegaugeError as error:
                self._stuck.add(name)
                swept.failures.append(error)

    def _note_failure(self, swept: Swept, lineage: Lineage, name: str) -> None:
        stream = lineage.identity()
        batch = self._failed_batches.read(name) if self._failed_batches is not None else None
        if batch is None or batch.stream_arn != stream.arn or batch.precedes(stream.created_ms):
            self._no_failures.add(name)  # no batch, another stream's, or of one that has ended
            swept.unreadable += [] if batch else [name]
            return
        decoded = decode_records(batch.records, self._series_by)
        events = [i for record in decoded for i in record.items if isinstance(i, Event)]
        last = max(record.sequence_number for record in batch.records)
        try:
            self._sweeps.note_skipped(lineage.generation, batch.shard_id, last)
            swept.lost_events += self._sweeps.note_failure(
                lineage.generation, batch.shard_id, name, events, self._close_rules
            )
        except UnknownShard:
            self._no_failures.add(name)  # of an older generation, which has ended

    def _publish(self, swept: Swept) -> None:
        with swept.part():
            published = publish_outbox(self._outbox, self._sinks, limit=MESSAGES_PER_SWEEP)
            swept.alerts_sent += published.sent.get(Destination.ALERTS, 0)

    def _tell(self, swept: Swept, lineage: Lineage) -> None:
        swept.drained = lineage.drained
        with swept.part():
            swept.backlog = self._sweeps.backlog(lineage.generation)
        if self._clock_source is not None and swept.watermark_ms is not None:
            swept.watermark_lag_ms = max(0, self._clock.now_ms() - swept.watermark_ms)
