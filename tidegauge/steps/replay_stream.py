"""Replay onto a stream: records are put in order, and each heartbeat only after all before it.

Takes what the replay clock gives, writes to the stream through the ports. A producer that is the
clock goes on only when a heartbeat has reached every open shard. Waiting is done by a pace that is
handed in; event time decides the pace, never what is counted.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import msgspec

from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.event import Event, Rejection, RejectReason
from tidegauge.domain.event_time import format_time, parse_time_ms
from tidegauge.domain.fold import CountRules
from tidegauge.domain.offered import Offered
from tidegauge.domain.window import closing_time_ms, first_open_window_ms
from tidegauge.ports import StreamEntry
from tidegauge.steps.heartbeats import Heartbeats, TargetStream
from tidegauge.steps.replay_clock import Beat, Told, Unconfirmed

_MAX_BUFFERED_RECORDS = 500
_MAX_BUFFERED_BYTES = 4_000_000
_MAX_RECORD_BYTES = 1_000_000  # with room for the partition key
_MAX_HELD = 1000


class Pace(Protocol):
    """Waits until a moment of event time is due."""

    def wait(self, time_ms: int) -> None:
        """Return when this event time, already shifted, is due."""
        ...

    def is_due(self, time_ms: int) -> bool:
        """Whether `wait` would return at once."""
        ...

    @property
    def is_timed(self) -> bool:
        """Whether it ever waits; then silence is told in between, too."""
        ...


class Unhurried:
    """No waiting at all: as fast as the stream takes it."""

    is_timed = False

    def wait(self, time_ms: int) -> None:
        """Return at once."""

    def is_due(self, time_ms: int) -> bool:  # noqa: ARG002  (everything is due)
        """Say yes."""
        return True


class TimedPace:
    """Event time passes `speed` times as fast as the clock's time.

    Args:
        speed: Seconds of event time in one second.
        now_ms: Reads the clock, ms.
        sleep: Waits so many seconds.
    """

    is_timed = True

    def __init__(
        self, speed: float, now_ms: Callable[[], int], sleep: Callable[[float], None]
    ) -> None:
        self._speed = speed
        self._now_ms = now_ms
        self._sleep = sleep
        self._origin: tuple[int, int] | None = None

    def wait(self, time_ms: int) -> None:
        """Sleep until the event time is due; the first one asked for is due now."""
        missing_ms = self._missing_ms(time_ms)
        if missing_ms > 0:
            self._sleep(missing_ms / 1000)

    def is_due(self, time_ms: int) -> bool:
        """Whether the event time is due already."""
        return self._missing_ms(time_ms) <= 0

    def _missing_ms(self, time_ms: int) -> float:
        now_ms = self._now_ms()
        if self._origin is None:
            self._origin = (time_ms, now_ms)
        first_ms, began_ms = self._origin
        return began_ms + (time_ms - first_ms) / self._speed - now_ms


class Sent(msgspec.Struct):
    """What a replay has put on a stream.

    Attributes:
        events: Events put.
        rejects: Other records put; collect sets them aside.
        beats: Moments of stream time put; each on every open shard.
        stream_time_ms: The last of them; None without events.
        unsent: Lines left out, with the reason: a stream would not take them, or would count what
            no other event bears out. At most the first 1,000; `n_unsent` counts all.
    """

    events: int = 0
    rejects: int = 0
    beats: int = 0
    stream_time_ms: int | None = None
    n_unsent: int = 0
    unsent: list[tuple[int, RejectReason]] = []


class StreamReplay:
    """One replay onto one stream.

    Args:
        stream: The target.
        rules: Windows, skew, age limit and the clock's `source`.
        pace: When each moment is due.
        shift_ms: Added to every time; whole windows.
    """

    def __init__(
        self, stream: TargetStream, rules: CountRules, *, pace: Pace, shift_ms: int = 0
    ) -> None:
        self._stream = stream
        self._rules = rules
        self._pace = pace
        self._shift_ms = shift_ms
        self._buffer: list[StreamEntry] = []
        self._buffer_bytes = 0
        self._held: list[Offered] = []
        self._beats = Heartbeats(stream, rules.clock_source)
        self.sent = Sent()

    def run(self, told: Iterable[Told]) -> Sent:
        """Put everything and return what was put.

        Raises:
            Transient: the stream did not take a record within the adapter's attempts.
        """
        for one in told:
            if isinstance(one, Beat):
                self._beat(one.time_ms + self._shift_ms)
            elif isinstance(one, Unconfirmed):
                self._unconfirmed(one.offered)
            else:
                self._offer(one)
        self._flush()
        for offered in self._held:
            self._leave_out(offered.line, RejectReason.UNCONFIRMED_TIME)
        return self.sent

    def _offer(self, offered: Offered) -> None:
        item = offered.item
        if isinstance(item, Event):
            due_ms = item.event_time_ms + self._shift_ms
            if not self._pace.is_due(due_ms):
                self._flush()
                self._pace.wait(due_ms)
            data = self._shifted(offered.data)
            key = offered.partition_key or f"{item.key:016x}"
        else:
            data = offered.data
            key = offered.partition_key or hashlib.blake2b(data, digest_size=8).hexdigest()
        cut_off = isinstance(item, Rejection) and item.reason is RejectReason.TOO_LARGE
        if cut_off or len(data) > _MAX_RECORD_BYTES:
            self._leave_out(offered.line, RejectReason.TOO_LARGE)
            return
        full = self._buffer_bytes + len(data) > _MAX_BUFFERED_BYTES
        if full or len(self._buffer) == _MAX_BUFFERED_RECORDS:
            self._flush()
        self._buffer.append(StreamEntry(data=data, partition_key=key))
        self._buffer_bytes += len(data)
        if isinstance(item, Event):
            self.sent.events += 1
        else:
            self.sent.rejects += 1

    def _unconfirmed(self, offered: Offered) -> None:
        """Put an event only where collect will refuse it, as the offline replay does."""
        if self.sent.stream_time_ms is not None and self._is_refused(offered):
            self._offer_at_once(offered)
        elif self.sent.stream_time_ms is None and len(self._held) < _MAX_HELD:
            self._held.append(offered)  # there is no stream time yet that would refuse it
        else:
            self._leave_out(offered.line, RejectReason.UNCONFIRMED_TIME)

    def _is_refused(self, offered: Offered) -> bool:
        item = offered.item
        stream_time_ms = self.sent.stream_time_ms
        if not isinstance(item, Event) or stream_time_ms is None:
            return False
        ahead_ms = item.event_time_ms + self._shift_ms - stream_time_ms
        rules = self._rules
        return ahead_ms > rules.max_future_skew_ms or -ahead_ms > rules.max_event_age_ms

    def _offer_at_once(self, offered: Offered) -> None:
        data = self._shifted(offered.data)
        rejection = Rejection(RejectReason.UNCONFIRMED_TIME, data)  # not paced: its time is absurd
        self._offer(msgspec.structs.replace(offered, item=rejection, data=data))

    def _beat(self, time_ms: int) -> None:
        if self._pace.is_timed and self.sent.stream_time_ms is not None:
            for closing_ms in self._closings(self.sent.stream_time_ms, time_ms):
                self._beat_at(closing_ms)
        self._beat_at(time_ms)
        held, self._held = self._held, []
        for offered in held:
            self._unconfirmed(offered)

    def _beat_at(self, time_ms: int) -> None:
        self._flush()
        self._pace.wait(time_ms)
        self._beats.put(time_ms)
        self.sent.beats += 1
        self.sent.stream_time_ms = time_ms

    def _closings(self, after_ms: int, before_ms: int) -> Iterator[int]:
        """Yield the closing times between two heartbeats: silence is told when it is due."""
        size_ms, lateness_ms = self._rules.size_ms, self._rules.lateness_ms
        start_ms = first_open_window_ms(after_ms, size_ms=size_ms, lateness_ms=lateness_ms)
        first_ms = closing_time_ms(start_ms, size_ms=size_ms, lateness_ms=lateness_ms)
        yield from range(first_ms, before_ms, size_ms)

    def _flush(self) -> None:
        if self._buffer:
            self._stream.put(self._buffer)
            self._buffer, self._buffer_bytes = [], 0

    def _shifted(self, data: bytes) -> bytes:
        return shifted(data, self._shift_ms) if self._shift_ms else data

    def _leave_out(self, line: int, reason: RejectReason) -> None:
        self.sent.n_unsent += 1
        if len(self.sent.unsent) < _MAX_HELD:
            self.sent.unsent.append((line, reason))


def shifted(data: bytes, shift_ms: int) -> bytes:
    """Return an event's JSON with another `time`; everything else keeps its bytes.

    Raises:
        InvalidInput: it is no event; only decoded events are shifted.
    """
    try:
        fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        time_ms = parse_time_ms(msgspec.json.decode(fields["time"], type=str))
    except (msgspec.MsgspecError, KeyError) as error:
        msg = "an event without a time cannot be shifted"
        raise InvalidInput(msg) from error
    fields["time"] = msgspec.Raw(msgspec.json.encode(format_time(time_ms + shift_ms)))
    return msgspec.json.encode(fields)
