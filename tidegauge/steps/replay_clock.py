"""The clock of a replay: bare events get heartbeats from their own times.

Takes what was found in a fixture, in its order, and gives the same with heartbeats between. An
offline replay and one onto a stream share it. Knows neither shards nor a wall clock.

A heartbeat carries the whole minute of an event that was confirmed, and stands before it. There is
one only where it matters: where it closes a window, or where the event would else lie too far ahead
of the last one. So a single absurd time can neither close windows nor hide what follows it.
"""

from collections import deque
from collections.abc import Iterable, Iterator

import msgspec

from tidegauge.domain.event import Event, Heartbeat, Rejection
from tidegauge.domain.fold import CountRules
from tidegauge.domain.offered import Offered
from tidegauge.domain.window import MINUTE_MS, closing_time_ms, first_open_window_ms

_EVER = -(1 << 62)
WITNESSES = 10  # so many of the next events are asked whether a time is plausible


class Beat(msgspec.Struct, frozen=True, gc=False):
    """Here a heartbeat goes, before what follows."""

    time_ms: int


class Unconfirmed(msgspec.Struct, frozen=True, gc=False):
    """An event whose time no other event bears out."""

    offered: Offered


Told = Offered | Beat | Unconfirmed


def with_beats(offered: Iterable[Offered], rules: CountRules) -> Iterator[Told]:
    """Yield what is offered, with heartbeats between, and a last one that closes everything.

    The first event, and any event more than `rules.max_future_skew_ms` ahead of all before it, must
    be confirmed by most of the next 10 events. While those are looked for, rejected lines between
    them pass ahead, so memory stays flat. Heartbeats of the configured clock are left out: they
    belonged to another replay.

    Args:
        offered: In order of the fixture.
        rules: Windows, skew and age limit.
    """
    clock = ReplayClock(rules)
    source = iter(offered)
    ahead: deque[Offered] = deque()  # events that were looked at already
    while True:
        if ahead:
            one = ahead.popleft()
        else:
            found = next(source, None)
            if found is None:
                break
            one = found
        item = one.item
        if not isinstance(item, Event):
            if not _is_own_heartbeat(item, rules):
                yield one
            continue
        time_ms = item.event_time_ms
        if time_ms < clock.due_ms:  # nearly every event; it can be no jump
            clock.see(time_ms)
            yield one
            continue
        if clock.is_jump(time_ms):
            for other in _looked_ahead(source, ahead):
                if not _is_own_heartbeat(other.item, rules):
                    yield other
            if not clock.confirms(time_ms, ahead):
                yield Unconfirmed(one)
                continue
        yield Beat(clock.beat_before(time_ms))
        yield one
    last_ms = clock.closing_ms()
    if last_ms is not None:
        yield Beat(last_ms)


class ReplayClock:
    """Stream time as the confirmed events of a fixture carry it.

    Attributes:
        due_ms: Least event time that needs a heartbeat before it.
    """

    def __init__(self, rules: CountRules) -> None:
        self._rules = rules
        self._latest_ms: int | None = None  # greatest confirmed event time
        self.due_ms = _EVER

    def is_jump(self, time_ms: int) -> bool:
        """Whether an event's time must be confirmed before it may move the clock."""
        return self._latest_ms is None or time_ms > self._latest_ms + self._rules.max_future_skew_ms

    def confirms(self, time_ms: int, following: Iterable[Offered]) -> bool:
        """Whether most of the events that follow bear out the time of one that jumps.

        With none left the first event stands by itself; a later one only if it is no further ahead
        than an event may be old, so that a sparse fixture ends well and one event in 2099 does not.
        """
        rules = self._rules
        first = self._latest_ms is None
        times = [one.item.event_time_ms for one in following if isinstance(one.item, Event)]
        if not times:
            return first or time_ms <= (self._latest_ms or 0) + rules.max_event_age_ms
        low_ms = time_ms - rules.max_future_skew_ms
        agree = sum(
            low_ms <= other and not (first and other > time_ms + rules.max_event_age_ms)
            for other in times
        )
        return 2 * agree > len(times)

    def see(self, time_ms: int) -> None:
        """Take the time of a confirmed event."""
        if self._latest_ms is None or time_ms > self._latest_ms:
            self._latest_ms = time_ms

    def beat_before(self, time_ms: int) -> int:
        """Take the time of a confirmed event that is due; return the heartbeat before it."""
        self.see(time_ms)
        beat_ms = time_ms - time_ms % MINUTE_MS
        self.due_ms = self._next_due_ms(beat_ms)
        return beat_ms

    def closing_ms(self) -> int | None:
        """Return the stream time that closes the window of the last event; None without events."""
        if self._latest_ms is None:
            return None
        size_ms = self._rules.size_ms
        start_ms = self._latest_ms - self._latest_ms % size_ms
        return closing_time_ms(start_ms, size_ms=size_ms, lateness_ms=self._rules.lateness_ms)

    def _next_due_ms(self, beat_ms: int) -> int:
        rules = self._rules
        size_ms, lateness_ms = rules.size_ms, rules.lateness_ms
        open_ms = first_open_window_ms(beat_ms, size_ms=size_ms, lateness_ms=lateness_ms)
        closing_ms = closing_time_ms(open_ms, size_ms=size_ms, lateness_ms=lateness_ms)
        # the heartbeat has the whole minute, and that must reach the closing time
        whole_ms = closing_ms + (-closing_ms) % MINUTE_MS
        return min(whole_ms, beat_ms + rules.max_future_skew_ms)


def _looked_ahead(source: Iterator[Offered], ahead: deque[Offered]) -> Iterator[Offered]:
    """Fill `ahead` with the next events, and yield what else comes by."""
    while len(ahead) < WITNESSES:
        other = next(source, None)
        if other is None:
            return
        if isinstance(other.item, Event):
            ahead.append(other)
        else:
            yield other


def _is_own_heartbeat(item: Event | Heartbeat | Rejection, rules: CountRules) -> bool:
    return isinstance(item, Heartbeat) and item.source == rules.clock_source
