"""Fills scheduled minutes with a source's events, tick by tick, without a hole between minutes.

The minute of a schedule's moment S spans `[S - tick, S + 60 s - tick)`: each tick is put when it is
over, the last one in time for the next minute. A tick of 60 seconds puts the last minute at once.
"""

from collections.abc import Callable

from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.window import MINUTE_MS
from tidegauge.ports import EventSource, PatientClock, StreamWriter
from tidegauge.steps.produce import Produced, produce_at

# What broke off longer ago is a silence, and people shall hear of it.
_MADE_UP_FOR_MS = 2 * MINUTE_MS


class MinuteProducer:
    """Fills one scheduled minute after the other.

    What is put twice changes no count, so minutes may overlap, and two processes may fill the same.

    Args:
        source_between: Gives the source of a span of event time, ms since the epoch.
        writer: The stream.
        clock: Waited for between ticks.
        tick_ms: Length of a tick, up to a minute.
    """

    def __init__(
        self,
        source_between: Callable[[int, int], EventSource],
        writer: StreamWriter,
        clock: PatientClock,
        *,
        tick_ms: int,
    ) -> None:
        self._source_between = source_between
        self._writer = writer
        self._clock = clock
        self._tick_ms = tick_ms
        self._done_ms: int | None = None
        self._broke_off = False

    def run(self, scheduled_ms: int) -> Produced:
        """Fill the minute of a schedule's moment; what is over already is put at once.

        What this process has put of it is not put again; where its last minute broke off, the rest
        of that comes first.

        Args:
            scheduled_ms: When the schedule was due, whenever this runs; cut to its whole minute.

        Raises:
            InvalidInput: the minute lies in the future.
            Transient: source or stream do not answer; a repetition goes on where this stopped.
        """
        minute_ms = scheduled_ms - scheduled_ms % MINUTE_MS
        if minute_ms > self._clock.now_ms() + MINUTE_MS:
            msg = "the scheduled time lies more than a minute in the future; nobody can wait for it"
            raise InvalidInput(msg)
        end_ms = minute_ms + MINUTE_MS - self._tick_ms
        start_ms = self._start_ms(minute_ms - self._tick_ms, end_ms)
        source = self._source_between(start_ms, end_ms)
        moments = [*range(minute_ms, end_ms, self._tick_ms), end_ms]
        self._broke_off = True
        try:
            produced = produce_at(moments, source, self._writer, self._clock)
            self._broke_off = False
        finally:
            self._done_ms = int(source.position())
        return produced

    def _start_ms(self, start_ms: int, end_ms: int) -> int:
        earliest_ms = start_ms - (_MADE_UP_FOR_MS if self._broke_off else 0)
        done_ms = self._done_ms
        return start_ms if done_ms is None or not earliest_ms <= done_ms <= end_ms else done_ms
