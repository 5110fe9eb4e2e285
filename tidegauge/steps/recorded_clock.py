"""The clock of a recording that is put on another stream: the least stream time of its shards.

Takes recorded records in the order of the file, gives events with one heartbeat for all shards
between them. The recorded heartbeats stay behind: the target has shards of its own.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from tidegauge.domain.decode import part_at
from tidegauge.domain.event import Event, Heartbeat, Rejection
from tidegauge.domain.fold import CountRules
from tidegauge.domain.offered import Offered
from tidegauge.domain.record import DecodedRecord
from tidegauge.domain.window import first_open_window_ms
from tidegauge.steps.replay_clock import Beat, Told


class RecordedLine(msgspec.Struct, frozen=True, gc=False):
    """A record of a recording, decoded, and the line that holds it."""

    line: int
    shard_id: str
    partition_key: str
    record: DecodedRecord


def with_least_beats(
    records: Iterable[RecordedLine], shards: Sequence[str], rules: CountRules
) -> Iterator[Told]:
    """Yield what the records hold, with heartbeats where the least stream time matters.

    Like the heartbeats of bare events they go only where they close a window, or where an event
    would else lie too far ahead; the last one tells all that the recording knows.

    Args:
        records: In the order of the file.
        shards: All shards that occur.
        rules: Windows, skew, and whose heartbeats count.
    """
    clock = _LeastClock(shards, rules)
    for one in records:
        for sub_index, item in enumerate(one.record.items):
            if isinstance(item, Heartbeat) and item.source == rules.clock_source:
                yield from clock.observe(one.shard_id, item, one.record.arrival_time_ms)
                continue
            if isinstance(item, Event):
                yield from clock.before(item.event_time_ms)
            data = _data_of(one.record, sub_index, item)
            yield Offered(one.line, item, data, one.partition_key or None)
    yield from clock.last()


def _data_of(record: DecodedRecord, sub_index: int, item: Event | Heartbeat | Rejection) -> bytes:
    if isinstance(item, Rejection):
        return item.data
    return record.data if len(record.items) == 1 else part_at(record.data, sub_index)


class _LeastClock:
    def __init__(self, shards: Sequence[str], rules: CountRules) -> None:
        self._rules = rules
        self._times: dict[str, int] = {}
        self._shards = frozenset(shards)
        self._least_ms: int | None = None
        self._told_ms: int | None = None

    def observe(
        self, shard_id: str, beat: Heartbeat, arrival_time_ms: int | None
    ) -> Iterator[Beat]:
        """Take a recorded heartbeat; tell the least stream time if it closes a window."""
        if beat.shard_id != shard_id:
            return
        time_ms = beat.event_time_ms
        if self._rules.clock_is_sweep and arrival_time_ms is not None:
            time_ms = min(time_ms, arrival_time_ms)
        self._times[shard_id] = max(time_ms, self._times.get(shard_id, time_ms))
        if self._shards <= self._times.keys():
            self._least_ms = min(self._times.values())
            if self._told_ms is None or self._open_ms(self._least_ms) > self._open_ms(
                self._told_ms
            ):
                yield from self.last()

    def before(self, time_ms: int) -> Iterator[Beat]:
        """Tell the least stream time if this event would else lie too far ahead."""
        told_ms = self._told_ms
        if told_ms is not None and time_ms - told_ms >= self._rules.max_future_skew_ms:
            yield from self.last()

    def last(self) -> Iterator[Beat]:
        """Tell the least stream time if it was not told yet."""
        if self._least_ms is not None and self._least_ms != self._told_ms:
            self._told_ms = self._least_ms
            yield Beat(self._least_ms)

    def _open_ms(self, time_ms: int) -> int:
        return first_open_window_ms(
            time_ms, size_ms=self._rules.size_ms, lateness_ms=self._rules.lateness_ms
        )
