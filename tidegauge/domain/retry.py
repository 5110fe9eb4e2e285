"""Counting anew what was set aside: what a retry counts, where it is told, and what it refuses.

Takes the bytes of one quarantined item and where its stream stands, gives what one transaction has
to write, or why nothing may be counted. Position and stream time of the shard lie behind the item
already: they decide, and never move. Rules and reasons: docs/protocol.md.
"""

from collections.abc import Mapping, Sequence, Set
from enum import StrEnum

import msgspec

from tidegauge.domain.decode import Decoded
from tidegauge.domain.event import Event, Heartbeat, Rejection, RejectReason
from tidegauge.domain.evidence import Evidence
from tidegauge.domain.fold import CountRules, Partial, evidence_of
from tidegauge.domain.window import first_open_window_ms


class ItemState(StrEnum):
    """What became of something that was set aside."""

    HELD = "held"
    COUNTED = "counted"  # a retry counted it
    KNOWN = "known"  # a retry found all its events in ledgers: they were counted already
    DISCARDED = "discarded"  # somebody decided that it is never counted


class Refusal(StrEnum):
    """Why an item is not counted by a retry; it stays as it is."""

    NOT_KEPT = "not_kept"
    NO_EVENT = "no_event"
    HEARTBEAT = "heartbeat"
    TOO_OLD = "too_old"
    TOO_FAR_AHEAD = "too_far_ahead"
    FORGOTTEN = "forgotten"
    RECREATED = "recreated"


class Refused(msgspec.Struct, frozen=True):
    """A refusal, with what a person needs to understand it.

    Attributes:
        refusal: Why nothing is counted.
        reason: Why the bytes are no event by the present rules; None where they are, or were not
            decoded.
        event_time_ms: When the event happened that is too old or too far ahead.
        limit_ms: The nearest time that would be counted.
    """

    refusal: Refusal
    reason: RejectReason | None = None
    event_time_ms: int | None = None
    limit_ms: int | None = None


class Standing(msgspec.Struct, frozen=True):
    """Where a stream stands when an item of one of its shards is tried again.

    Attributes:
        current: Whether its generation is the present one, and not ended.
        next_window_ms: Start of the first open window; None before the first closing.
        stream_time_ms: Of the item's shard; None before it has any.
        greatest_ms: The greatest stream time of all shards; None before any has one.
    """

    current: bool
    next_window_ms: int | None = None
    stream_time_ms: int | None = None
    greatest_ms: int | None = None


class Retried(msgspec.Struct, frozen=True):
    """What one item adds up to; a transaction writes all of it or nothing.

    Attributes:
        partials: Distinct events by partial.
        keys: New event keys by window start.
        again: Events that were known, by window start and series.
        sequence_number: The item's position.
    """

    partials: Mapping[Partial, int]
    keys: Mapping[int, Sequence[int]]
    again: Mapping[tuple[int, str], int]
    sequence_number: int

    @property
    def state(self) -> ItemState:
        """What becomes of the item."""
        return ItemState.COUNTED if self.partials else ItemState.KNOWN

    @property
    def spans(self) -> Mapping[Partial, tuple[int, int]]:
        """All of it stands in one record."""
        return dict.fromkeys(self.partials, (self.sequence_number, self.sequence_number))

    @property
    def evidence(self) -> Mapping[tuple[int, str], Evidence]:
        """Where the events stand, by window start and series."""
        return evidence_of(self.partials, self.spans, self.again)

    @property
    def total(self) -> Evidence:
        """The sum over all windows and series."""
        return sum(self.evidence.values(), start=Evidence())


def events_in(items: Sequence[Decoded]) -> list[Event] | Refused:
    """Return the events of an item, or why not all that it holds are events.

    A heartbeat is never among them, whoever sent it: a retry must not move stream time.

    Args:
        items: What decoding its bytes by the present rules gave.
    """
    events: list[Event] = []
    for item in items:
        if isinstance(item, Rejection):
            return Refused(Refusal.NO_EVENT, item.reason)
        if isinstance(item, Heartbeat):
            return Refused(Refusal.HEARTBEAT)
        events.append(item)
    return events or Refused(Refusal.NO_EVENT, RejectReason.EMPTY)


def refusal_of(
    events: Sequence[Event], arrival_time_ms: int | None, standing: Standing, rules: CountRules
) -> Refused | None:
    """Return why events may not be counted where their stream stands now; None if they may.

    Args:
        events: All of one item.
        arrival_time_ms: When the stream took its record; None where nobody recorded it.
        standing: Read under the locks that the counting holds.
        rules: The very ones that collect has: what it purges by, this must refuse by.
    """
    if not standing.current:
        return Refused(Refusal.RECREATED)
    oldest_ms = _oldest_ms(standing, rules)
    newest_ms = _newest_ms(arrival_time_ms, standing, rules)
    for event in events:
        time_ms = event.event_time_ms
        if oldest_ms is not None and time_ms < oldest_ms:
            return Refused(Refusal.TOO_OLD, event_time_ms=time_ms, limit_ms=oldest_ms)
        if newest_ms is not None and time_ms > newest_ms:
            return Refused(Refusal.TOO_FAR_AHEAD, event_time_ms=time_ms, limit_ms=newest_ms)
    return None


def _oldest_ms(standing: Standing, rules: CountRules) -> int | None:
    """Return the oldest event time that may be counted.

    No older than collect would take it on the shard now, and in no window whose ledgers are purged.
    A drained shard's stream time stands still for ever while purging goes on, so both count.
    """
    limits: list[int] = []
    if standing.stream_time_ms is not None:
        limits.append(standing.stream_time_ms - rules.max_event_age_ms)
    if standing.next_window_ms is not None:
        # purged: start + size + age <= next window
        purged_ms = standing.next_window_ms - rules.size_ms - rules.max_event_age_ms
        last_ms = purged_ms - purged_ms % rules.size_ms
        limits.append(last_ms + rules.size_ms)
    return max(limits, default=None)


def _newest_ms(arrival_time_ms: int | None, standing: Standing, rules: CountRules) -> int | None:
    if standing.greatest_ms is None:
        return None  # before a first stream time nobody can tell that a time is wrong
    ahead_of_ms = standing.greatest_ms
    if rules.clock_is_sweep and arrival_time_ms is not None:
        # as collect has it: dead heartbeats make nothing implausible
        ahead_of_ms = max(ahead_of_ms, arrival_time_ms)
    return ahead_of_ms + rules.max_future_skew_ms


def count_again(
    events: Sequence[Event],
    known: Mapping[int, Set[int]],
    standing: Standing,
    rules: CountRules,
    *,
    sequence_number: int,
) -> Retried:
    """Count the events of one item that no ledger knows.

    An event is told at the next closing: as a further revision of its window where that is closed,
    on time where it is open, however far its own shard's stream time has gone.

    Args:
        events: All of one item; `refusal_of` has let them pass.
        known: Keys in the ledgers of the shard, all its ancestors and all its descendants, by
            window start: a producer may have sent the event again, to a child.
        standing: Read under the locks that the counting holds.
        rules: What is counted where.
        sequence_number: The item's position.
    """
    open_ms = _first_open_ms(standing, rules)
    partials: dict[Partial, int] = {}
    again: dict[tuple[int, str], int] = {}
    keys: dict[int, list[int]] = {}
    seen: set[tuple[int, int]] = set()
    for event in events:
        window_ms = event.event_time_ms - event.event_time_ms % rules.size_ms
        mark = (window_ms, event.key)
        if mark in seen or event.key in known.get(window_ms, ()):
            place = (window_ms, event.series)
            again[place] = again.get(place, 0) + 1
            continue
        seen.add(mark)
        keys.setdefault(window_ms, []).append(event.key)
        step_ms = window_ms if open_ms is None else max(window_ms, open_ms)
        partial = Partial(window_ms, event.series, step_ms)
        partials[partial] = partials.get(partial, 0) + 1
    return Retried(partials, keys, again, sequence_number)


def _first_open_ms(standing: Standing, rules: CountRules) -> int | None:
    if standing.next_window_ms is not None:
        return standing.next_window_ms
    if standing.stream_time_ms is None:
        return None
    return first_open_window_ms(
        standing.stream_time_ms, size_ms=rules.size_ms, lateness_ms=rules.lateness_ms
    )
