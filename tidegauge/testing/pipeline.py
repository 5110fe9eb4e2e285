"""The pipeline in memory: a stream, the steps of the deployed functions, and their stores.

Takes entries and moments of stream time, gives completed windows, judgements and messages. What
happens between is what happens in the cloud: collect, close, publish and predict, on the stores of
the offline replay. Reads no clock.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from tidegauge.adapters.memory import MemoryCountStore
from tidegauge.adapters.memory_stream import MemoryStream
from tidegauge.domain.alert import Alert
from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.decode import SeriesBy, decode
from tidegauge.domain.event import Event, Heartbeat
from tidegauge.domain.fold import Quarantined
from tidegauge.domain.record import DecodedRecord, Record
from tidegauge.ports import Destination, OutboxMessage, PutPosition, StreamEntry
from tidegauge.steps.close import close_once
from tidegauge.steps.collect import collect, decode_records
from tidegauge.steps.heartbeats import Heartbeats
from tidegauge.steps.publish import publish_outbox
from tidegauge.testing.options import Options

if TYPE_CHECKING:
    # Judging needs numpy, which who only counts need not have.
    from tidegauge.domain.incident import Incident
    from tidegauge.domain.prediction import Prediction
    from tidegauge.testing.judge import Judge

CLOCK: Final = "/tidegauge/clock"
_DAY_MS: Final = 86_400_000


class Sums(msgspec.Struct):
    """What all batches so far add up to.

    Attributes:
        distinct: Events counted, late ones included.
        duplicates: Events whose key was known.
        late: Events counted after their window had closed.
    """

    distinct: int = 0
    duplicates: int = 0
    late: int = 0


class Pipeline:
    """One stream and all that counts and judges it.

    Args:
        options: The settings.

    Attributes:
        stream_time_ms: What the last heartbeats said; None before the first.
        earliest_ms: Time of the earliest event put before the first heartbeat; None for none.
        sums: What was counted so far.
        alerts: What people were sent, oldest first.
    """

    def __init__(self, options: Options) -> None:
        windows = options.windows
        self._rules = windows.count_rules(clock_source=CLOCK, clock_is_sweep=False)
        self._close_rules = windows.close_rules()
        self._series_by = SeriesBy(windows.series_fields)
        self._stream = MemoryStream(options.shards)
        self._store = MemoryCountStore(
            size_ms=windows.size_ms, max_event_age_ms=windows.max_event_age_ms, keeps_evidence=False
        )
        self._generation = self._store.generation(self._stream.identity())
        listing = self._stream.shards()
        self._store.register_shards(self._generation, listing)
        self._heartbeats = Heartbeats(self._stream, CLOCK, listing=listing)
        self._doorbells = _Kept()
        self._judge = _judge_of(options, self._store)
        self._filled = 0
        self.stream_time_ms: int | None = None
        self.earliest_ms: int | None = None
        self.sums = Sums()
        self.alerts: list[Alert] = []

    # --- in

    def put(self, entries: Sequence[StreamEntry]) -> list[PutPosition]:
        """Put records on the stream; they wait there to be delivered."""
        if self.stream_time_ms is None:
            for entry in entries:
                self._note_earliest(entry.data)
        return self._stream.put(entries)

    def _note_earliest(self, data: bytes) -> None:
        found = decode(data, self._series_by)
        times = [item.event_time_ms for item in found if isinstance(item, Event)]
        if self.earliest_ms is not None:
            times.append(self.earliest_ms)
        self.earliest_ms = min(times, default=None)

    def beat(self, time_ms: int) -> None:
        """Put heartbeats of a time on every shard, behind all that was put so far."""
        self._stream.arrival_ms = time_ms
        self._heartbeats.put(time_ms)
        self.stream_time_ms = time_ms

    def deliver(self, *, at_most: int | None = None) -> None:
        """Count, close, judge and publish what waits on the stream.

        Args:
            at_most: Records of a batch; None for all that a shard has.
        """
        self._count_all(at_most)
        self._settle()

    def fill(self, start_ms: int, counts: Mapping[str, Sequence[int]]) -> None:
        """Count so many events in each window from a time on, and let stream time pass them.

        The events are spared their JSON: a month of windows is counted in a second.

        Args:
            start_ms: Start of a window that is not closed, at or after stream time.
            counts: By series, one a window, for the same number of windows.
        """
        size_ms = self._rules.size_ms
        n_windows = max(map(len, counts.values()), default=0)
        # by the day, so that ledgers are purged on the way
        piece = max(1, _DAY_MS // size_ms)
        for first in range(0, n_windows, piece):
            until = min(first + piece, n_windows)
            self._fill_some(
                start_ms + first * size_ms, {s: c[first:until] for s, c in counts.items()}
            )
            self.beat(start_ms + until * size_ms)
            self._count_all(None)
        self.beat(start_ms + n_windows * size_ms + self._rules.lateness_ms)
        self.deliver()

    def _fill_some(self, start_ms: int, counts: Mapping[str, Sequence[int]]) -> None:
        shard = next(iter(self._stream.all.values()))
        per_window = list(zip(*counts.values(), strict=True))
        # places on the stream for records whose events nobody has to decode
        places = [StreamEntry(b"", "filled", shard.first) for _ in per_window]
        positions = self._stream.put(places)
        shard.trim(len(positions))
        records = []
        for n, (position, numbers) in enumerate(zip(positions, per_window, strict=True)):
            window_ms = start_ms + n * self._rules.size_ms
            items: list[Event | Heartbeat] = [Heartbeat(CLOCK, window_ms, shard.shard_id, None)]
            for series, number in zip(counts, numbers, strict=True):
                first = self._filled
                self._filled += number
                items += [Event(key, series, window_ms) for key in range(first, self._filled)]
            records.append(DecodedRecord(position.sequence_number, None, tuple(items), b""))
        self._count(shard.shard_id, records)

    # --- the steps

    def _count_all(self, at_most: int | None) -> None:
        for shard in self._stream.all.values():
            records = list(shard.log)
            shard.trim(len(records))
            for batch in _batches(records, at_most):
                self._count(shard.shard_id, decode_records(batch, self._series_by))

    def _count(self, shard_id: str, records: Sequence[DecodedRecord]) -> None:
        collected = collect(self._store, self._generation, shard_id, records, self._rules)
        batch = collected.batch
        self.sums.distinct += batch.distinct
        self.sums.duplicates += batch.duplicates
        self.sums.late += batch.late
        if collected.closes:
            self._close()

    def _close(self) -> None:
        finished = False
        while not finished:
            outcome = close_once(self._store, self._generation, self._close_rules)
            self.sums.late += outcome.late_by_observation
            if self._judge is not None:
                self._judge.announce(outcome.rows)
            finished = outcome.finished

    def _settle(self) -> None:
        """Ring for what was announced, and send what judging decided."""
        publish_outbox(self._store, {Destination.WINDOWS: self._doorbells}, limit=sys.maxsize)
        rung = self._doorbells.take()
        if self._judge is None:
            return
        self._judge.ring(rung)
        people = _Kept()
        publish_outbox(self._store, {Destination.ALERTS: people}, limit=sys.maxsize)
        self.alerts += [msgspec.json.decode(one.payload, type=Alert) for one in people.take()]

    # --- out

    def completed(self) -> Mapping[str, Mapping[int, Sequence[CompletedWindow]]]:
        """Return every announced revision, by series and window start, oldest revision first."""
        return self._store.completed(self._generation)

    def quarantine(self) -> list[Quarantined]:
        """Return what was set aside, in the order it came."""
        return [item for _, item in self._store.quarantine(self._generation)]

    def predictions(self, series: str) -> "Mapping[tuple[int, int], Prediction]":
        """Return how a series was judged, by window start and revision."""
        return {} if self._judge is None else self._judge.predictions(self._generation, series)

    def incidents(self, series: str) -> "list[Incident]":
        """Return the incidents of a series, in the order of opening."""
        return [] if self._judge is None else self._judge.incidents(self._generation, series)


class _Kept:
    """A destination that keeps what it is sent until it is asked; a `ports.MessageSink`."""

    def __init__(self) -> None:
        self._messages: list[OutboxMessage] = []

    def send(self, messages: Sequence[OutboxMessage]) -> None:
        self._messages.extend(messages)

    def take(self) -> list[OutboxMessage]:
        taken, self._messages = self._messages, []
        return taken


def _judge_of(options: Options, store: MemoryCountStore) -> "Judge | None":
    if options.model is None:
        return None
    from tidegauge.testing.judge import Judge
    from tidegauge.testing.model import predictor_of

    rules = options.judging.judging_rules(size_ms=options.windows.size_ms)
    return Judge(store.put_messages, predictor_of(options.model), rules)


def _batches(records: Sequence[Record], at_most: int | None) -> Iterator[Sequence[Record]]:
    size = at_most or max(1, len(records))
    for first in range(0, len(records), size):
        yield records[first : first + size]
