"""Counting one shard: the fold from decoded records to partial counts.

Takes a shard's state and the records behind it, gives what one transaction has to write. The
result is a pure function of the shard's log: how the log was cut into batches, or when it was read,
never shows. Rules and reasons: docs/protocol.md.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from enum import StrEnum

import msgspec

from tidegauge.domain.decode import part_at
from tidegauge.domain.event import Event, Heartbeat, Rejection, RejectReason
from tidegauge.domain.evidence import Evidence
from tidegauge.domain.record import DecodedRecord
from tidegauge.domain.window import first_open_window_ms

NO_FENCE = -1
_NO_WINDOW = -(1 << 62)


class CountRules(msgspec.Struct, frozen=True):
    """The settings that decide what is counted where; all durations in milliseconds.

    Attributes:
        clock_source: `source` of the heartbeats that count.
        clock_is_sweep: Heartbeats count with the earlier of their time and their arrival time, and
            "too far ahead" is measured from the later of stream time and arrival time.
    """

    size_ms: int = 300_000
    lateness_ms: int = 60_000
    max_future_skew_ms: int = 300_000
    max_event_age_ms: int = 86_400_000
    clock_source: str = "/tidegauge/clock"
    clock_is_sweep: bool = False


class ShardState(msgspec.Struct, frozen=True):
    """What a shard's row holds between two batches.

    Attributes:
        fence: The last sequence number counted; `NO_FENCE` before the first.
        stream_time_ms: Greatest heartbeat time processed; None before the first.
        heartbeat: Sequence number of the last heartbeat processed; None before the first.
        lost_from_ms: Stream time from which on a parent is known to have lost records; the shard's
            first heartbeat ends that gap. None where no parent lost any.
    """

    fence: int = NO_FENCE
    stream_time_ms: int | None = None
    heartbeat: int | None = None
    lost_from_ms: int | None = None


class Partial(msgspec.Struct, frozen=True, gc=False):
    """Names one partial count of a shard: which window, which series, told at which step."""

    window_start_ms: int
    series: str
    step_ms: int


class Quarantined(msgspec.Struct, frozen=True):
    """Something set aside: where it stood, why, and its bytes.

    Attributes:
        series: Of an event that could be read, and whose time alone forbids to count it.
        event_time_ms: The same event's time.
    """

    sequence_number: int
    sub_index: int
    arrival_time_ms: int | None
    reason: RejectReason
    data: bytes
    series: str | None = None
    event_time_ms: int | None = None


class GapReason(StrEnum):
    """How a loss of records became known."""

    HEARTBEAT_MISSING = "heartbeat_missing"
    PARENT_LOST = "parent_lost"
    BATCH_SKIPPED = "batch_skipped"
    STREAM_RECREATED = "stream_recreated"


class Gap(msgspec.Struct, frozen=True):
    """A span of event time `[from_ms, until_ms)` in which a shard is known to have lost records."""

    sequence_number: int
    from_ms: int
    until_ms: int
    reason: GapReason


class BatchCount(msgspec.Struct):
    """What one batch of one shard adds up to; a transaction writes all of it or nothing.

    Attributes:
        state: The shard's state after the batch.
        first_sequence_number: Of the records that were not skipped; None if all were.
        partials: Distinct events by partial.
        spans: By partial, the sequence numbers of the first and last record with such an event.
        keys: New event keys by window start.
        again: Events whose key was known in their window, by window start and series.
        duplicates: Their sum.
        late: Distinct events told at a step after their window.
        heartbeats: Heartbeats that counted.
        first_stream_time_ms: Stream time after the first heartbeat that counted in this batch.
    """

    state: ShardState
    first_sequence_number: int | None
    partials: dict[Partial, int]
    spans: dict[Partial, tuple[int, int]]
    keys: dict[int, list[int]]
    again: dict[tuple[int, str], int]
    quarantined: list[Quarantined]
    gaps: list[Gap]
    distinct: int = 0
    duplicates: int = 0
    late: int = 0
    heartbeats: int = 0
    first_stream_time_ms: int | None = None

    @property
    def evidence(self) -> dict[tuple[int, str], Evidence]:
        """Return where what was counted stands in the log, by window start and series."""
        return evidence_of(self.partials, self.spans, self.again)


def evidence_of(
    partials: Mapping[Partial, int],
    spans: Mapping[Partial, tuple[int, int]],
    again: Mapping[tuple[int, str], int],
) -> dict[tuple[int, str], Evidence]:
    """Return the evidence of a batch by window start and series.

    Args:
        partials: Events by partial.
        spans: First and last sequence number of each partial.
        again: Duplicates by window start and series.

    >>> on_time, late = Partial(0, "a", 0), Partial(0, "a", 300_000)
    >>> evidence_of({on_time: 3, late: 1}, {on_time: (7, 9), late: (12, 12)}, {(0, "a"): 2})
    {(0, 'a'): Evidence(first_sequence=7, last_sequence=12, on_time=3, late=1, duplicates=2)}
    """
    found: dict[tuple[int, str], Evidence] = {}
    for partial, events in partials.items():
        late = partial.step_ms != partial.window_start_ms
        sums = (0, events) if late else (events, 0)
        place = (partial.window_start_ms, partial.series)
        found[place] = found.get(place, _NOTHING) + Evidence(*spans[partial], *sums)
    for place, events in again.items():
        found[place] = found.get(place, _NOTHING) + Evidence(duplicates=events)
    return found


_NOTHING = Evidence()


def windows_touched(records: Sequence[DecodedRecord], *, size_ms: int) -> set[int]:
    """Return the starts of all windows that the records' events lie in."""
    return {
        item.event_time_ms - item.event_time_ms % size_ms
        for record in records
        for item in record.items
        if type(item) is Event
    }


def count_batch(
    state: ShardState,
    records: Sequence[DecodedRecord],
    known: Mapping[int, Set[int]],
    rules: CountRules,
    *,
    shard_id: str,
) -> BatchCount:
    """Count the records behind a shard's fence.

    Args:
        state: The shard as its row stood when it was locked.
        records: In order of the shard; those at or before the fence are skipped.
        known: Keys in the ledgers of the shard and all its ancestors, by window start; it holds
            every window of `windows_touched(records)` that has any. Not changed.
        rules: What is counted where.
        shard_id: The shard that the records came from; heartbeats meant for another do not count.
    """
    fold = _Fold(state, known, rules, shard_id)
    first = None
    for record in records:
        sequence_number = record.sequence_number
        if sequence_number <= fold.fence:
            continue
        if first is None:
            first = sequence_number
        for sub_index, item in enumerate(record.items):
            if isinstance(item, Event):
                reason = fold.count(item, record)
                if reason is not None:
                    data = part_at(record.data, sub_index)
                    fold.set_aside(record, sub_index, reason, data, item)
            elif isinstance(item, Rejection):
                fold.set_aside(record, sub_index, item.reason, item.data)
            else:
                fold.beat(record, sub_index, item)
        fold.fence = sequence_number
    return fold.result(first)


class _Fold:
    """The running state of one batch; stream time moves within it, record by record."""

    def __init__(
        self, state: ShardState, known: Mapping[int, Set[int]], rules: CountRules, shard_id: str
    ) -> None:
        self.fence = state.fence
        self._heartbeat = state.heartbeat
        self._lost_from_ms = state.lost_from_ms
        self._known = known
        self._rules = rules
        self._shard_id = shard_id
        # By partial, the record of each event: one look-up and one append an event, which is less
        # than a sum would cost in what is the product's hottest loop.
        self._counted: defaultdict[tuple[int, str, int], list[int]] = defaultdict(list)
        self._new: dict[int, set[int]] = {}
        self._window_ms = _NO_WINDOW
        self._known_here: Set[int] = frozenset()
        self._new_here: set[int] = set()
        self._quarantined: list[Quarantined] = []
        self._gaps: list[Gap] = []
        self._again: dict[tuple[int, str], int] = {}
        self._heartbeats = 0
        self._size_ms = rules.size_ms
        self._first_stream_time_ms: int | None = None
        self._set_stream_time(state.stream_time_ms)

    def _set_stream_time(self, stream_time_ms: int | None) -> None:
        self._stream_time_ms = stream_time_ms
        if stream_time_ms is None:
            self._first_open_ms = self._oldest_ms = _NO_WINDOW
            self._newest_ms = -_NO_WINDOW
            return
        rules = self._rules
        self._first_open_ms = first_open_window_ms(
            stream_time_ms, size_ms=rules.size_ms, lateness_ms=rules.lateness_ms
        )
        self._oldest_ms = stream_time_ms - rules.max_event_age_ms
        self._newest_ms = stream_time_ms + rules.max_future_skew_ms

    def count(self, event: Event, record: DecodedRecord) -> RejectReason | None:
        """Count an event if it is new; return why it can't be counted where it can't."""
        time_ms = event.event_time_ms
        if time_ms > self._newest_ms and not self._just_arrived(time_ms, record.arrival_time_ms):
            return RejectReason.TOO_FAR_AHEAD
        if time_ms < self._oldest_ms:
            return RejectReason.TOO_OLD
        window_ms = time_ms - time_ms % self._size_ms
        if window_ms != self._window_ms:
            self._turn_to(window_ms)
        key = event.key
        new = self._new_here
        if key in new or key in self._known_here:
            place = (window_ms, event.series)
            self._again[place] = self._again.get(place, 0) + 1
            return None
        new.add(key)
        step_ms = self._first_open_ms
        if step_ms < window_ms:
            step_ms = window_ms
        partial = (window_ms, event.series, step_ms)
        self._counted[partial].append(record.sequence_number)
        return None

    def _turn_to(self, window_ms: int) -> None:
        # most events lie in the window of the event before them
        self._window_ms = window_ms
        self._known_here = self._known.get(window_ms, frozenset())
        self._new_here = self._new.setdefault(window_ms, set())

    def _just_arrived(self, time_ms: int, arrival_time_ms: int | None) -> bool:
        # dead heartbeats must not quarantine what the stream's own clock finds plausible
        return (
            self._rules.clock_is_sweep
            and arrival_time_ms is not None
            and time_ms <= arrival_time_ms + self._rules.max_future_skew_ms
        )

    def beat(self, record: DecodedRecord, sub_index: int, beat: Heartbeat) -> None:
        """Let a heartbeat move stream time, and notice the loss of the one before it."""
        if beat.source != self._rules.clock_source:
            data = part_at(record.data, sub_index)
            self.set_aside(record, sub_index, RejectReason.FOREIGN_HEARTBEAT, data)
            return
        if beat.shard_id != self._shard_id:
            return  # misrouted: its own shard waits for one of its own, which is safe
        self._heartbeats += 1
        time_ms = beat.event_time_ms
        if self._rules.clock_is_sweep and record.arrival_time_ms is not None:
            time_ms = min(time_ms, record.arrival_time_ms)  # a fast clock can delay, never hasten
        if self._first_stream_time_ms is None:
            self._first_stream_time_ms = time_ms
        before_ms = self._stream_time_ms
        processed = NO_FENCE if self._heartbeat is None else self._heartbeat
        if beat.previous is not None and beat.previous > processed:
            since_ms = before_ms or 0  # 0: from a beginning that nobody has read
            lost_from_ms = self._lost_from_ms
            self._lost_from_ms = since_ms if lost_from_ms is None else min(since_ms, lost_from_ms)
        if before_ms is None or time_ms > before_ms:
            self._note_gap(record.sequence_number, time_ms)
            self._set_stream_time(time_ms)
        self._heartbeat = record.sequence_number

    def _note_gap(self, sequence_number: int, until_ms: int) -> None:
        """End a loss with the heartbeat that moves stream time past it."""
        if self._lost_from_ms is None:
            return
        from_ms = first_open_window_ms(
            self._lost_from_ms, size_ms=self._size_ms, lateness_ms=self._rules.lateness_ms
        )
        inherited = self._heartbeat is None
        reason = GapReason.PARENT_LOST if inherited else GapReason.HEARTBEAT_MISSING
        self._gaps.append(Gap(sequence_number, max(0, from_ms), until_ms, reason))
        self._lost_from_ms = None

    def set_aside(
        self,
        record: DecodedRecord,
        sub_index: int,
        reason: RejectReason,
        data: bytes,
        event: Event | None = None,
    ) -> None:
        """Put a part of a record aside with its position and bytes, and what it was if known."""
        self._quarantined.append(
            Quarantined(
                record.sequence_number,
                sub_index,
                record.arrival_time_ms,
                reason,
                data,
                event.series if event is not None else None,
                event.event_time_ms if event is not None else None,
            )
        )

    def result(self, first_sequence_number: int | None) -> BatchCount:
        """Return what the batch adds up to."""
        partials: dict[Partial, int] = {}
        spans: dict[Partial, tuple[int, int]] = {}
        late = 0
        for names, numbers in self._counted.items():
            partial = Partial(*names)
            partials[partial] = events = len(numbers)
            spans[partial] = (numbers[0], numbers[-1])
            if partial.step_ms != partial.window_start_ms:
                late += events
        return BatchCount(
            state=ShardState(self.fence, self._stream_time_ms, self._heartbeat, self._lost_from_ms),
            first_sequence_number=first_sequence_number,
            partials=partials,
            spans=spans,
            keys={window: list(keys) for window, keys in self._new.items() if keys},
            again=self._again,
            quarantined=self._quarantined,
            gaps=self._gaps,
            distinct=sum(partials.values()),
            duplicates=sum(self._again.values()),
            late=late,
            heartbeats=self._heartbeats,
            first_stream_time_ms=self._first_stream_time_ms,
        )
