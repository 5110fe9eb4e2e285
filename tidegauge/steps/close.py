"""The close step: announce every window that the watermark has passed.

Takes the frontier's lock, reads stream times first and counts after, and writes completed windows,
series, frontier and outbox in one transaction. Reads no clock: only stream time closes a window.
"""

from typing import NamedTuple

import msgspec

from tidegauge.domain.announcement import announce
from tidegauge.domain.close import CloseInput, CloseRules, Closing, StepCount, close_windows
from tidegauge.domain.count import OTHER_SERIES, CompletedWindow
from tidegauge.domain.fold import Gap, GapReason
from tidegauge.domain.window import first_open_window_ms
from tidegauge.ports import (
    CloseTransaction,
    CountStore,
    Destination,
    Frontier,
    OutboxMessage,
    ShardTimes,
)


class CloseOutcome(msgspec.Struct, frozen=True):
    """What one closing did.

    Attributes:
        rows: Completed windows in order of step, window, series.
        watermark_ms: The stream's watermark; None while some shard has no stream time.
        finished: Whether every window that the watermark has passed is closed.
        late_by_observation: Late events that no batch has counted as such: see `Closing`.
    """

    rows: list[CompletedWindow]
    watermark_ms: int | None
    finished: bool
    late_by_observation: int = 0


def close_once(store: CountStore, generation: int, rules: CloseRules) -> CloseOutcome:
    """Close the next windows in one transaction, as many as `rules.max_rows` allows.

    Raises:
        Transient: the database asks for another try; nothing was written.
    """
    with store.closing(generation) as transaction:
        frontier = transaction.frontier
        times = transaction.shard_times()
        watermark_ms = _watermark_ms(times)
        if not frontier.listed or frontier.ended or watermark_ms is None:
            return CloseOutcome([], watermark_ms, finished=True)
        until_ms = _first_open_ms(watermark_ms, rules)
        observed_from_ms = frontier.observed_from_ms
        if observed_from_ms is None:
            observed_from_ms = _observed_from_ms(times, rules, default_ms=until_ms)
        first_ms = frontier.next_window_ms
        if first_ms is None:
            first_ms = observed_from_ms
        if until_ms <= first_ms:
            return CloseOutcome([], watermark_ms, finished=True)
        span = _Span(first_ms, until_ms, observed_from_ms)
        closing = _close(transaction, generation, rules, span)
        after = Frontier(closing.next_window_ms, observed_from_ms, listed=True)
        transaction.write(closing, after, _messages(closing, rules))
    finished = closing.next_window_ms >= until_ms
    return CloseOutcome(closing.rows, watermark_ms, finished, closing.late_by_observation)


def end_once(store: CountStore, generation: int, rules: CloseRules) -> CloseOutcome:
    """End a generation that a later one has followed: announce what is open, as a gap.

    Nothing can be read of it any more, so that its open windows hold what came in time and no more.
    As `close_once`, one transaction at a time; ended when the outcome is finished.

    Raises:
        Transient: the database asks for another try; nothing was written.
    """
    with store.closing(generation) as transaction:
        frontier = transaction.frontier
        if frontier.ended:
            return CloseOutcome([], None, finished=True)
        times = transaction.shard_times()
        span = _rest(transaction, times, rules)
        closing, gaps = Closing([], {}, frontier.next_window_ms or 0), []
        if span is not None:
            closing = _close(transaction, generation, rules, span, lost=True)
            until_ms = closing.next_window_ms
            gaps = [Gap(span.first_ms, span.first_ms, until_ms, GapReason.STREAM_RECREATED)]
        finished = span is None or closing.next_window_ms >= span.rest_ms
        after = frontier
        if span is not None:
            after = Frontier(closing.next_window_ms, span.observed_from_ms, frontier.listed)
        after = msgspec.structs.replace(after, ended=finished)
        transaction.write(closing, after, _messages(closing, rules), gaps)
    return CloseOutcome(closing.rows, None, finished, closing.late_by_observation)


class _Span(NamedTuple):
    """Windows to close, `[first_ms, until_ms)`, and the first that was watched from its start.

    What is open goes on to `rest_ms`, where that is not `until_ms`.
    """

    first_ms: int
    until_ms: int
    observed_from_ms: int
    rest_ms: int = 0


def _watermark_ms(times: list[ShardTimes]) -> int | None:
    active = [time.stream_time_ms for time in times if time.active]
    known = [stream_time_ms for stream_time_ms in active if stream_time_ms is not None]
    return min(known) if known and len(known) == len(active) else None


def _observed_from_ms(times: list[ShardTimes], rules: CloseRules, *, default_ms: int) -> int:
    """Return the first window that the least of the first stream times does not close.

    A child's own first heartbeat lies behind its parents', so the least is that of a shard whose
    stream time was taken over from nobody.
    """
    firsts = [time.first_ms for time in times if time.first_ms is not None]
    return _first_open_ms(min(firsts), rules) if firsts else default_ms


def _first_open_ms(stream_time_ms: int, rules: CloseRules) -> int:
    return first_open_window_ms(
        stream_time_ms, size_ms=rules.size_ms, lateness_ms=rules.lateness_ms
    )


def _rest(
    transaction: CloseTransaction, times: list[ShardTimes], rules: CloseRules
) -> _Span | None:
    """Return all that is open, up to the last step and the last heartbeat; None for nothing.

    Behind the last heartbeat, what nobody counted in for longer than an event may be old is passed
    over: one event of a wrong year would announce all the years before it.
    """
    size_ms, frontier = rules.size_ms, transaction.frontier
    last_step_ms = transaction.last_step_ms()
    until_ms = beaten_ms = None
    if last_step_ms is not None:
        until_ms = last_step_ms + size_ms
    known = [time.stream_time_ms for time in times if time.stream_time_ms is not None]
    if known:
        last_ms = max(known) - 1
        beaten_ms = last_ms - last_ms % size_ms + size_ms
        until_ms = beaten_ms if until_ms is None else max(until_ms, beaten_ms)
    if until_ms is None:
        return None
    observed_from_ms = frontier.observed_from_ms
    if observed_from_ms is None:
        observed_from_ms = _observed_from_ms(times, rules, default_ms=until_ms - size_ms)
    first_ms = frontier.next_window_ms
    first_ms = observed_from_ms if first_ms is None else first_ms
    if first_ms >= until_ms:
        return None
    if beaten_ms is not None and first_ms < beaten_ms:
        return _Span(first_ms, beaten_ms, observed_from_ms, rest_ms=until_ms)
    next_ms = transaction.next_step_ms(first_ms)
    if next_ms is not None and next_ms - first_ms > rules.max_event_age_ms:
        first_ms = next_ms
    near_ms = first_ms + rules.max_event_age_ms + size_ms
    return _Span(first_ms, min(until_ms, near_ms), observed_from_ms, rest_ms=until_ms)


def _messages(closing: Closing, rules: CloseRules) -> list[OutboxMessage]:
    return [
        OutboxMessage(Destination.WINDOWS, announcement.partition_key, announcement.payload)
        for announcement in announce(closing.rows, size_ms=rules.size_ms)
    ]


def _close(
    transaction: CloseTransaction,
    generation: int,
    rules: CloseRules,
    span: _Span,
    *,
    lost: bool = False,
) -> Closing:
    first_ms = span.first_ms
    series = transaction.series()
    n_active = sum(state.active for state in series.values())
    n_windows = max(1, rules.max_rows // max(1, n_active))
    until_ms = min(span.until_ms, first_ms + n_windows * rules.size_ms)
    first_ever = transaction.frontier.next_window_ms is None
    counts = transaction.counts(None if first_ever else first_ms, until_ms)
    lowest_ms = min((count.window_start_ms for count in counts), default=first_ms)
    gaps = transaction.gaps(min(lowest_ms, first_ms), until_ms)
    read = CloseInput(
        generation=generation,
        first_ms=first_ms,
        until_ms=until_ms,
        observed_from_ms=span.observed_from_ms,
        counts=counts,
        latest=transaction.latest(_late_places(counts)),
        series=series,
        gaps=[*gaps, (first_ms, until_ms)] if lost else gaps,
        suspect=transaction.suspect(first_ms, until_ms),
    )
    return close_windows(read, rules)


def _late_places(counts: list[StepCount]) -> set[tuple[int, str]]:
    late = {count for count in counts if count.step_ms > count.window_start_ms}
    return {(c.window_start_ms, name) for c in late for name in (c.series, OTHER_SERIES)}
