"""Auditing: a plain recount held against what was announced, window by window.

Takes what a store has told of a span and what a source holds of it, gives their differences. What
cannot be compared is told apart and is no difference: windows that are still open, and those of
which the stream may have forgotten records.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from tidegauge.domain.count import OTHER_SERIES, Quality
from tidegauge.domain.fold import NO_FENCE
from tidegauge.domain.recount import Counts, Recounted, Ruling, Span

# No stream forgets a record sooner.
LEAST_RETENTION_MS = 24 * 3_600_000


class CountedShard(msgspec.Struct, frozen=True):
    """How far a registered shard is counted."""

    shard_id: str
    parent_ids: tuple[str, ...]
    fence: int
    stream_time_ms: int | None


class Announced(msgspec.Struct):
    """What a store has told of a span, and what it will tell of it next.

    Attributes:
        counts: The last revisions, together with the late events that no revision tells yet.
        late: Of them, late ones, by window start.
        qualities: What was told of a window beside its counts, by start: `PARTIAL`, `GAP` and
            `SUSPECT` only.
    """

    counts: Counts
    late: Counter[int]
    qualities: dict[int, set[Quality]]


class KnownGap(msgspec.Struct, frozen=True):
    """A span of event time in which a shard is known to have lost records."""

    from_ms: int
    until_ms: int
    reason: str
    shard_id: str


class Books(msgspec.Struct, frozen=True):
    """All that a store knows of one span, as of one moment.

    Attributes:
        generation: The stream generation's number.
        stream_arn: Which stream it is.
        created_ms: When that was made.
        next_window_ms: Start of the first window that is still open; None before any was closed.
        shards: All registered shards.
        announced: What was told of the closed windows of the span.
        gaps: Known losses that touch the span.
        rulings: What quarantine holds of the span's events.
    """

    generation: int
    stream_arn: str
    created_ms: int
    next_window_ms: int | None
    shards: list[CountedShard]
    announced: Announced
    gaps: list[KnownGap]
    rulings: list[Ruling]


class Difference(msgspec.Struct, frozen=True):
    """A series' count in one window that is not what the source holds."""

    window_start_ms: int
    series: str
    recounted: int
    counted: int
    quality: Quality

    @property
    def difference(self) -> int:
        """How many events too many were counted; below zero, how many too few."""
        return self.counted - self.recounted


class Audit(msgspec.Struct, frozen=True):
    """What an audit found.

    Attributes:
        generation: The stream generation's number.
        asked: The windows that were asked for.
        compared: Those of them that were compared.
        n_open: How many of the others are still open.
        n_uncovered: How many the stream may have forgotten records of.
        n_series: Series that have events in the compared windows, by either side.
        recounted: Distinct events that the source holds of the compared windows.
        counted: Events that were counted in them.
        late: Those of them that came late.
        duplicates: Events that the source holds more than once.
        set_aside: Events that are not counted, by reason.
        no_events: What is no event at all, anywhere in the source, by reason.
        differences: What nothing explains, in order of window and series.
        known_losses: Differences in windows of which records are known to be lost.
        gaps: Known losses that touch the compared windows.
    """

    generation: int
    asked: Span
    compared: Span
    n_open: int
    n_uncovered: int
    n_series: int
    recounted: int
    counted: int
    late: int
    duplicates: int
    set_aside: dict[str, int]
    no_events: dict[str, int]
    differences: list[Difference]
    known_losses: list[Difference]
    gaps: list[KnownGap]


def audit(books: Books, recounted: Recounted, asked: Span, compared: Span) -> Audit:
    """Hold a recount against the books.

    Args:
        books: What the store knows of the closed part of `asked`.
        recounted: What the source holds of `compared`, or of more.
        asked: The windows that were asked for.
        compared: Those of them that are closed, and that the source holds whole.
    """
    closed_ms = asked.from_ms if books.next_window_ms is None else books.next_window_ms
    closed = asked.cut(asked.from_ms, closed_ms)
    lossy, found = _compare(books, recounted.counts, compared)
    return Audit(
        generation=books.generation,
        asked=asked,
        compared=compared,
        n_open=asked.n_windows - closed.n_windows,
        n_uncovered=closed.n_windows - compared.n_windows,
        n_series=len(
            _series(books.announced.counts, compared) | _series(recounted.counts, compared)
        ),
        recounted=_sum(recounted.counts, compared),
        counted=_sum(books.announced.counts, compared),
        late=sum(n for window_ms, n in books.announced.late.items() if compared.holds(window_ms)),
        duplicates=sum(n for at, n in recounted.duplicates.items() if compared.holds(at)),
        set_aside=_by_reason(recounted.set_aside, compared),
        no_events=dict(sorted(recounted.no_events.items())),
        differences=[one for one in found if one.window_start_ms not in lossy],
        known_losses=[one for one in found if one.window_start_ms in lossy],
        gaps=[gap for gap in books.gaps if _touches(gap, compared)],
    )


def _compare(books: Books, recounted: Counts, span: Span) -> tuple[set[int], list[Difference]]:
    """Return the windows whose loss is known, and all differences."""
    told = books.announced.counts
    lossy: set[int] = set()
    found: list[Difference] = []
    for window_ms in sorted(recounted.keys() | told.keys()):
        if not span.holds(window_ms):
            continue
        counted = told.get(window_ms, {})
        held = _with_other(recounted.get(window_ms, {}), counted)
        differing = sorted(
            n for n in held.keys() | counted.keys() if held.get(n, 0) != counted.get(n, 0)
        )
        if not differing:
            continue
        quality = _quality(books, window_ms, span.size_ms)
        if quality is Quality.GAP:
            lossy.add(window_ms)
        found += [
            Difference(window_ms, name, held.get(name, 0), counted.get(name, 0), quality)
            for name in differing
        ]
    return lossy, found


def _with_other(recounted: Mapping[str, int], counted: Mapping[str, int]) -> Mapping[str, int]:
    """Count what a source has too many under the name of the series beyond the limit.

    Nobody has noted which events were counted there: what that series lacks is taken from those
    that have too many, first from those of which the window counts none under their own name.
    """
    lacking = counted.get(OTHER_SERIES, 0) - recounted.get(OTHER_SERIES, 0)
    if lacking <= 0:
        return recounted
    folded = dict(recounted)
    excess = {name: n - counted.get(name, 0) for name, n in recounted.items()}
    for name in sorted(excess, key=lambda name: (name in counted, name)):
        moved = min(lacking, max(0, excess[name]))
        folded[name] -= moved
        folded[OTHER_SERIES] = folded.get(OTHER_SERIES, 0) + moved
        lacking -= moved
    return folded


def _quality(books: Books, window_ms: int, size_ms: int) -> Quality:
    """Return what is known of a window: first that its books are suspect, then a loss."""
    noted = books.announced.qualities.get(window_ms, set())
    if Quality.SUSPECT in noted:
        return Quality.SUSPECT
    window = Span(window_ms, window_ms + size_ms, size_ms)
    if Quality.GAP in noted or any(_touches(gap, window) for gap in books.gaps):
        return Quality.GAP
    return Quality.PARTIAL if Quality.PARTIAL in noted else Quality.COMPLETE


def _touches(gap: KnownGap, span: Span) -> bool:
    return gap.from_ms < span.until_ms and span.from_ms < gap.until_ms


def _sum(counts: Counts, span: Span) -> int:
    return sum(sum(n.values()) for window_ms, n in counts.items() if span.holds(window_ms))


def _series(counts: Counts, span: Span) -> set[str]:
    return {name for window_ms, n in counts.items() if span.holds(window_ms) for name in n}


def _by_reason(set_aside: Mapping[tuple[int, str], int], span: Span) -> dict[str, int]:
    found: Counter[str] = Counter()
    for (window_ms, reason), n in set_aside.items():
        if span.holds(window_ms):
            found[reason] += n
    return dict(sorted(found.items()))


class Held(msgspec.Struct, frozen=True):
    """What a stream still holds of a shard that was counted.

    Attributes:
        shard: How far it was counted.
        first_arrival_ms: Arrival of the first record from which on nothing is missing; None where
            it holds none.
        first_beat_ms: Stream time of the first heartbeat from there on; None likewise.
        broken: Whether records before that one may be missing though the shard's parents are there.
    """

    shard: CountedShard
    first_arrival_ms: int | None
    first_beat_ms: int | None
    broken: bool = False


def forgotten_until_ms(
    held: Mapping[str, Held], *, clock_is_sweep: bool, latest_ms: int
) -> float | None:
    """Return the latest moment that forgotten records may be of, by the clock of the stream.

    Records are forgotten in order of arrival: a shard whose parent is still held has lost none.
    What is missing of another one arrived before the first record that is left of it, or of its
    children where none is left, and lies behind a stream time before that one's.

    Args:
        held: All counted shards by id.
        clock_is_sweep: Whether stream time is bound to arrival; else only heartbeats tell.
        latest_ms: Nothing that arrived after it is forgotten.

    Returns:
        None where nothing is missing; infinity where nobody can tell.
    """
    moments: list[float] = []
    for shard_id, one in held.items():
        if one.shard.fence == NO_FENCE or (not one.broken and _has_held_parent(shard_id, held)):
            continue
        if clock_is_sweep:
            moments.append(min(latest_ms, _first_arrival_ms(shard_id, held)))
        else:
            beat_ms = one.first_beat_ms
            last_ms = one.shard.stream_time_ms if beat_ms is None else beat_ms
            moments.append(float("inf") if last_ms is None else last_ms)
    return max(moments, default=None)


def _has_held_parent(shard_id: str, held: Mapping[str, Held]) -> bool:
    waiting, seen = [shard_id], {shard_id}
    while waiting:
        for parent in held[waiting.pop()].shard.parent_ids:
            if parent in held and held[parent].first_arrival_ms is not None:
                return True
            if parent in held and parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    return False


def _first_arrival_ms(shard_id: str, held: Mapping[str, Held]) -> float:
    """Return when the first record arrived that is left of a shard, or of its descendants."""
    waiting, seen = [shard_id], {shard_id}
    found = float("inf")
    while waiting:
        name = waiting.pop()
        arrival_ms = held[name].first_arrival_ms
        if arrival_ms is not None:
            found = min(found, arrival_ms)
            continue
        children = {n for n, one in held.items() if name in one.shard.parent_ids} - seen
        seen |= children
        waiting += children
    return found


def rulings_by_shard(rulings: Sequence[Ruling]) -> dict[str, list[Ruling]]:
    """Return quarantine's rows by the shard that they came from."""
    found: dict[str, list[Ruling]] = {}
    for row in rulings:
        found.setdefault(row.shard_id, []).append(row)
    return found
