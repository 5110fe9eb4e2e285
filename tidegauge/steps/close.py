"""The close step: announce every window that the watermark has passed.

Takes the frontier's lock, reads stream times first and counts after, and writes completed windows,
series, frontier and outbox in one transaction. Reads no clock: only stream time closes a window.
"""

import msgspec

from tidegauge.domain.announcement import announce
from tidegauge.domain.close import CloseInput, CloseRules, Closing, StepCount, close_windows
from tidegauge.domain.count import OTHER_SERIES, CompletedWindow
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
        if not frontier.listed or watermark_ms is None:
            return CloseOutcome([], watermark_ms, finished=True)
        until_ms = _first_open_ms(watermark_ms, rules)
        observed_from_ms = frontier.observed_from_ms
        if observed_from_ms is None:
            observed_from_ms = _observed_from_ms(times, rules)
        first_ms = frontier.next_window_ms
        if first_ms is None:
            first_ms = observed_from_ms
        if until_ms <= first_ms:
            return CloseOutcome([], watermark_ms, finished=True)
        closing = _close(
            transaction,
            generation,
            rules,
            span_ms=(first_ms, until_ms),
            observed_from_ms=observed_from_ms,
        )
        after = Frontier(closing.next_window_ms, observed_from_ms, listed=True)
        messages = [
            OutboxMessage(Destination.WINDOWS, a.partition_key, a.payload)
            for a in announce(closing.rows, size_ms=rules.size_ms)
        ]
        transaction.write(closing, after, messages)
    finished = closing.next_window_ms >= until_ms
    return CloseOutcome(closing.rows, watermark_ms, finished, closing.late_by_observation)


def close_all(store: CountStore, generation: int, rules: CloseRules) -> list[CompletedWindow]:
    """Close until no window is left that the watermark has passed; return all rows."""
    rows: list[CompletedWindow] = []
    while True:
        outcome = close_once(store, generation, rules)
        rows.extend(outcome.rows)
        if outcome.finished:
            return rows


def _watermark_ms(times: list[ShardTimes]) -> int | None:
    known = [time.stream_time_ms for time in times if time.stream_time_ms is not None]
    return min(known) if known and len(known) == len(times) else None


def _observed_from_ms(times: list[ShardTimes], rules: CloseRules) -> int:
    roots = [time.first_ms for time in times if time.root and time.first_ms is not None]
    firsts = roots or [time.first_ms for time in times if time.first_ms is not None]
    return _first_open_ms(min(firsts), rules)


def _first_open_ms(stream_time_ms: int, rules: CloseRules) -> int:
    return first_open_window_ms(
        stream_time_ms, size_ms=rules.size_ms, lateness_ms=rules.lateness_ms
    )


def _close(
    transaction: CloseTransaction,
    generation: int,
    rules: CloseRules,
    *,
    span_ms: tuple[int, int],
    observed_from_ms: int,
) -> Closing:
    first_ms, until_ms = span_ms
    series = transaction.series()
    n_active = sum(state.active for state in series.values())
    n_windows = max(1, rules.max_rows // max(1, n_active))
    until_ms = min(until_ms, first_ms + n_windows * rules.size_ms)
    first_ever = transaction.frontier.next_window_ms is None
    counts = transaction.counts(None if first_ever else first_ms, until_ms)
    lowest_ms = min((count.window_start_ms for count in counts), default=first_ms)
    read = CloseInput(
        generation=generation,
        first_ms=first_ms,
        until_ms=until_ms,
        observed_from_ms=observed_from_ms,
        counts=counts,
        latest=transaction.latest(_late_places(counts)),
        series=series,
        gaps=transaction.gaps(min(lowest_ms, first_ms), until_ms),
        suspect=transaction.suspect(first_ms, until_ms),
    )
    return close_windows(read, rules)


def _late_places(counts: list[StepCount]) -> set[tuple[int, str]]:
    late = {count for count in counts if count.step_ms > count.window_start_ms}
    return {(c.window_start_ms, name) for c in late for name in (c.series, OTHER_SERIES)}
