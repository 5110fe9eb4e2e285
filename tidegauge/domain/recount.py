"""Recounting a source of events, plainly: the check of what counting has told.

Takes the records of each shard in order, or the events of a file, and gives how many distinct
events each window holds of each series. Shares decoding with what it checks, and no counting: it
knows neither batches nor steps, holds every key of its span at once, and looks back along the
lineage only at the end.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256

import msgspec

from tidegauge.domain.decode import SeriesBy, decode
from tidegauge.domain.event import Event, Heartbeat, Rejection, RejectReason
from tidegauge.domain.fold import CountRules
from tidegauge.domain.record import DecodedRecord
from tidegauge.domain.retry import ItemState

# Events by window start, then by series; what is not there is zero.
Counts = dict[int, dict[str, int]]
_Keys = dict[int, dict[int, str]]


class Span(msgspec.Struct, frozen=True, gc=False):
    """The windows that start in `[from_ms, until_ms)`; both are starts of windows."""

    from_ms: int
    until_ms: int
    size_ms: int

    @classmethod
    def between(cls, from_ms: int, until_ms: int, *, size_ms: int) -> "Span":
        """Return the windows that start at `from_ms` or later, and before `until_ms`.

        >>> Span.between(1, 600_001, size_ms=300_000)
        Span(from_ms=300000, until_ms=900000, size_ms=300000)
        """
        return cls(_start_from(from_ms, size_ms), _start_from(until_ms, size_ms), size_ms)

    def holds(self, window_ms: int) -> bool:
        """Return whether a window's start lies in it."""
        return self.from_ms <= window_ms < self.until_ms

    def window_of(self, event: Event) -> int:
        """Return the start of an event's window."""
        return event.event_time_ms - event.event_time_ms % self.size_ms

    def cut(self, from_ms: int, until_ms: int) -> "Span":
        """Return what of it starts in `[from_ms, until_ms)`."""
        other = Span.between(from_ms, until_ms, size_ms=self.size_ms)
        low_ms = min(max(self.from_ms, other.from_ms), self.until_ms)
        return Span(low_ms, max(low_ms, min(self.until_ms, other.until_ms)), self.size_ms)

    @property
    def n_windows(self) -> int:
        """How many windows it holds."""
        return max(0, self.until_ms - self.from_ms) // self.size_ms


def _start_from(time_ms: int, size_ms: int) -> int:
    return time_ms + -time_ms % size_ms


class Ruling(msgspec.Struct, frozen=True, gc=False):
    """What quarantine holds of one item, as far as a recount has to know it.

    Attributes:
        shard_id: Where its record stood.
        sequence_number: The same.
        sub_index: Which item of the record it is.
        reason: Why it was set aside.
        state: What became of it.
        sha256: Of its bytes.
    """

    shard_id: str
    sequence_number: int
    sub_index: int
    reason: str
    state: ItemState
    sha256: bytes


class Recounted(msgspec.Struct):
    """What a source holds.

    Attributes:
        counts: Distinct events.
        duplicates: Events beyond them, by window start.
        set_aside: Events that are not to be counted, by window start and reason.
        no_events: What is no event at all and so belongs to no window, by reason.
    """

    counts: Counts
    duplicates: Counter[int]
    set_aside: Counter[tuple[int, str]]
    no_events: Counter[str]


class ShardRecount:
    """Recounts one shard, record by record.

    An event's own shard says by its heartbeats whether the event was too old or too far ahead: they
    stand in the log. Only before the first heartbeat that the source still holds, or as long as
    stream time is what the shard took over from its parents, quarantine's own word is taken.

    Args:
        shard_id: The shard; heartbeats meant for another one say nothing.
        rules: What may be counted.
        span: What is counted of it.
        series_by: Names the series of what a retry has made of rejected bytes.
        fence: The last record to count.
        inherited_ms: The greatest stream time of its parents; None for none.
        rulings: What quarantine holds of the shard.

    Attributes:
        keys: Series of each distinct event, by window start and key.
        first_arrival_ms: Arrival of the first record from which on nothing is missing; None
            before there is one.
        first_beat_ms: Stream time of the first heartbeat from there on; None likewise.
        restarted: Whether records may be missing in the middle.
        last: Sequence number of the last record that was taken; below zero for none.
    """

    def __init__(
        self,
        shard_id: str,
        rules: CountRules,
        span: Span,
        series_by: SeriesBy,
        *,
        fence: int,
        inherited_ms: int | None = None,
        rulings: Iterable[Ruling] = (),
    ) -> None:
        self.shard_id = shard_id
        self._rules = rules
        self._span = span
        self._series_by = series_by
        self._fence = fence
        self._inherited_ms = inherited_ms
        self._rulings = {(row.sequence_number, row.sub_index): row for row in rulings}
        self._stream_time_ms: int | None = None
        self.last = -1
        self.keys: _Keys = {}
        self.duplicates: Counter[int] = Counter()
        self.set_aside: Counter[tuple[int, str]] = Counter()
        self.no_events: Counter[str] = Counter()
        self.first_arrival_ms: int | None = None
        self.first_beat_ms: int | None = None
        self.restarted = False

    def restart(self) -> None:
        """Take it that records may be missing before the next one; at first they always may."""
        self.restarted = self.restarted or self.last >= 0
        self.first_arrival_ms = self.first_beat_ms = self._stream_time_ms = None

    def take(self, record: DecodedRecord) -> None:
        """Count the next record; one that was taken, or lies behind the fence, is nothing."""
        if not self.last < record.sequence_number <= self._fence:
            return
        self.last = record.sequence_number
        if self.first_arrival_ms is None:
            self.first_arrival_ms = record.arrival_time_ms
        for sub_index, item in enumerate(record.items):
            if isinstance(item, Event):
                self._event(item, record, sub_index)
            elif isinstance(item, Rejection):
                self._rejected(item, record.sequence_number, sub_index)
            else:
                self._beat(item, record.arrival_time_ms)

    def _event(self, event: Event, record: DecodedRecord, sub_index: int) -> None:
        window_ms = self._span.window_of(event)
        if not self._span.holds(window_ms):
            return
        row = self._rulings.get((record.sequence_number, sub_index))
        state = row.state if row is not None else None
        if state is ItemState.KNOWN:  # a retry found it where the log does not lead: at a child
            self.duplicates[window_ms] += 1
            return
        if state is not ItemState.COUNTED:
            reason = self._reason(event.event_time_ms, record.arrival_time_ms, row)
            if reason is not None:
                self.set_aside[(window_ms, reason)] += 1
                return
        self._count(event, window_ms)

    def _count(self, event: Event, window_ms: int) -> None:
        own = self.keys.setdefault(window_ms, {})
        if event.key in own:
            self.duplicates[window_ms] += 1
        else:
            own[event.key] = event.series

    def _rejected(self, item: Rejection, sequence_number: int, sub_index: int) -> None:
        row = self._rulings.get((sequence_number, sub_index))
        if row is None or row.state is not ItemState.COUNTED:
            self.no_events[item.reason] += 1
            return
        for event in _events_in(item.data, self._series_by, self._span):
            self._count(event, self._span.window_of(event))

    def _reason(self, time_ms: int, arrival_ms: int | None, row: Ruling | None) -> str | None:
        """Return why an event may not be counted; None where it may."""
        now_ms = self._stream_time_ms
        if now_ms is None or (self._inherited_ms is not None and now_ms < self._inherited_ms):
            return row.reason if row is not None else None
        newest_ms = now_ms
        if self._rules.clock_is_sweep and arrival_ms is not None:
            newest_ms = max(now_ms, arrival_ms)
        if time_ms > newest_ms + self._rules.max_future_skew_ms:
            return RejectReason.TOO_FAR_AHEAD.value
        if time_ms < now_ms - self._rules.max_event_age_ms:
            return RejectReason.TOO_OLD.value
        return None

    def _beat(self, beat: Heartbeat, arrival_ms: int | None) -> None:
        if beat.source != self._rules.clock_source:
            self.no_events[RejectReason.FOREIGN_HEARTBEAT.value] += 1
            return
        if beat.shard_id != self.shard_id:
            return
        time_ms = beat.event_time_ms
        if self._rules.clock_is_sweep and arrival_ms is not None:
            time_ms = min(time_ms, arrival_ms)
        if self.first_beat_ms is None:
            self.first_beat_ms = time_ms
        before_ms = self._stream_time_ms
        self._stream_time_ms = time_ms if before_ms is None else max(time_ms, before_ms)


def _events_in(data: bytes, series_by: SeriesBy, span: Span) -> Iterator[Event]:
    """Yield the events of a span in bytes that stand alone, as a retry takes them."""
    for item in decode(data, series_by):
        if isinstance(item, Event) and span.holds(span.window_of(item)):
            yield item


def over_lineage(
    shards: Mapping[str, ShardRecount], parents: Mapping[str, Sequence[str]]
) -> Recounted:
    """Return what shards hold together: an event that an ancestor has had counts there alone.

    Args:
        shards: All shards by id, each taken to its fence.
        parents: The parents of each shard, registered or not.
    """
    total = Recounted({}, Counter(), Counter(), Counter())
    for shard_id, shard in shards.items():
        above = [shards[name].keys for name in _ancestors(shard_id, parents) if name in shards]
        total.duplicates.update(shard.duplicates)
        total.set_aside.update(shard.set_aside)
        total.no_events.update(shard.no_events)
        for window_ms, own in shard.keys.items():
            known = [keys[window_ms] for keys in above if window_ms in keys]
            new = Counter(
                series for key, series in own.items() if not any(key in seen for seen in known)
            )
            total.duplicates[window_ms] += len(own) - new.total()
            counted = total.counts.setdefault(window_ms, {})
            for series, n in new.items():
                counted[series] = counted.get(series, 0) + n
    return total


def _ancestors(shard_id: str, parents: Mapping[str, Sequence[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(parents.get(shard_id, ()))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(parents.get(name, ()))
    return found - {shard_id}


class FileRecount:
    """Recounts events that nobody has recorded a shard for: one file, one space of keys.

    Nothing in the file tells what its stream has set aside, so that quarantine's word is taken:
    for each item that it holds, one event of the very same bytes is left out.

    Args:
        span: What is counted of it.
        series_by: Names the series of what a retry has made of rejected bytes.
        rulings: What quarantine holds.
    """

    def __init__(self, span: Span, series_by: SeriesBy, rulings: Iterable[Ruling]) -> None:
        self._span = span
        self._series_by = series_by
        self._keys: _Keys = {}
        self._held: dict[bytes, list[str]] = {}
        self._retried: set[bytes] = set()
        for row in rulings:
            if row.state in (ItemState.HELD, ItemState.DISCARDED):
                self._held.setdefault(row.sha256, []).append(row.reason)
            elif row.state is ItemState.COUNTED:
                self._retried.add(row.sha256)
        self._total = Recounted({}, Counter(), Counter(), Counter())

    def take(
        self, item: Event | Heartbeat | Rejection, data: bytes, *, unconfirmed: bool = False
    ) -> None:
        """Count the next item.

        Args:
            item: What was decoded.
            data: Its bytes, as a stream would get them.
            unconfirmed: Whether a replay would let nobody count it, for its absurd time.
        """
        if isinstance(item, Rejection):
            self._rejected(item)
        if not isinstance(item, Event):
            return
        window_ms = self._span.window_of(item)
        if not self._span.holds(window_ms):
            return
        reasons = self._held.get(sha256(data).digest()) if self._held else None
        reason = RejectReason.UNCONFIRMED_TIME.value if unconfirmed else None
        if reasons:
            reason = reasons.pop()
        if reason is not None:
            self._total.set_aside[(window_ms, reason)] += 1
        else:
            self._count(item)

    def _rejected(self, item: Rejection) -> None:
        if not self._retried or sha256(item.data).digest() not in self._retried:
            self._total.no_events[item.reason] += 1
            return
        for event in _events_in(item.data, self._series_by, self._span):
            self._count(event)

    def _count(self, event: Event) -> None:
        window_ms = self._span.window_of(event)
        own = self._keys.setdefault(window_ms, {})
        if event.key in own:
            self._total.duplicates[window_ms] += 1
        else:
            own[event.key] = event.series

    def result(self) -> Recounted:
        """Return what the file holds."""
        for window_ms, own in self._keys.items():
            self._total.counts[window_ms] = dict(Counter(own.values()))
        return self._total
