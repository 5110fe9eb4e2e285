"""Batches that a stream's reader gave up on: which of their events nobody has counted.

Takes a batch's events and the ledgers' keys, gives the gap and the windows to tell of again.
"""

from collections.abc import Mapping, Sequence, Set
from hashlib import blake2b

from msgspec import Struct

from tidegauge.domain.event import Event
from tidegauge.domain.fold import Gap, GapReason

_MAX_GAPS = 1 << 32


class SkippedBatch(Struct, frozen=True):
    """What a skipped batch lost.

    Attributes:
        lost: Distinct events that no ledger holds.
        places: Their (window start, series), in order.
        gaps: Their windows, adjacent ones as one.
    """

    lost: int
    places: Sequence[tuple[int, str]]
    gaps: Sequence[Gap]


def windows_of(events: Sequence[Event], *, size_ms: int) -> set[int]:
    """Return the starts of the windows that events lie in."""
    return {event.event_time_ms - event.event_time_ms % size_ms for event in events}


def skipped_batch(
    name: str, events: Sequence[Event], known: Mapping[int, Set[int]], *, size_ms: int
) -> SkippedBatch:
    """Return what a batch lost.

    Args:
        name: The batch's unique name.
        events: All that was in it.
        known: Keys in the ledgers of the shard and its ancestors, by window start.
        size_ms: Window length.
    """
    lost: set[tuple[int, int]] = set()
    places: set[tuple[int, str]] = set()
    for event in events:
        window_ms = event.event_time_ms - event.event_time_ms % size_ms
        if event.key not in known.get(window_ms, ()):
            lost.add((window_ms, event.key))
            places.add((window_ms, event.series))
    spans: list[list[int]] = []
    for window_ms in sorted({window_ms for window_ms, _ in places}):
        if spans and spans[-1][1] == window_ms:
            spans[-1][1] += size_ms
        else:
            spans.append([window_ms, window_ms + size_ms])
    # no record of the stream stands for the batch; its name does, so that noting it twice is once
    first = int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) * _MAX_GAPS
    gaps = [
        Gap(first + number, from_ms, until_ms, GapReason.BATCH_SKIPPED)
        for number, (from_ms, until_ms) in enumerate(spans)
    ]
    return SkippedBatch(len(lost), sorted(places), gaps)
