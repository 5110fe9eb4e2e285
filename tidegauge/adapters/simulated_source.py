"""The simulator as a source of events: gives what has happened by the clock; a port's example.

Its position is a moment of event time, kept by this process alone: what a seed gives for a span is
always the same, so a process that does not know what another has put may put it again.
"""

from tidegauge.domain.simulation import Simulation
from tidegauge.ports import Clock, SourceBatch, StreamEntry

_BATCH_EVENTS = 5_000


class SimulatedSource:
    """Simulated events of a span, none before its time; implements `ports.EventSource`.

    Args:
        simulation: Draws them.
        clock: Tells which have happened.
        start_ms: Where the span begins, ms since the epoch.
        end_ms: Where it ends; None for never.
    """

    def __init__(
        self, simulation: Simulation, clock: Clock, start_ms: int, end_ms: int | None = None
    ) -> None:
        self._simulation = simulation
        self._clock = clock
        self._end_ms = end_ms
        self._committed = str(start_ms)

    def position(self) -> str:
        """Return the moment before which all events are on the stream, ms since the epoch."""
        return self._committed

    def poll(self, position: str) -> SourceBatch:
        """Return the events from a moment on, a few thousand at most."""
        start_ms = int(position)
        until_ms = self._clock.now_ms()
        if self._end_ms is not None:
            until_ms = min(until_ms, self._end_ms)
        entries: list[StreamEntry] = []
        last_ms = start_ms
        for event in self._simulation.events_between(start_ms, until_ms):
            # positions are moments: events of one moment stay together
            if len(entries) >= _BATCH_EVENTS and event.time_ms > last_ms:
                return SourceBatch(tuple(entries), str(event.time_ms), more=True)
            entries.append(StreamEntry(event.data, event.partition_key))
            last_ms = event.time_ms
        return SourceBatch(tuple(entries), str(max(start_ms, until_ms)))

    def commit(self, position: str) -> None:
        """Remember a moment."""
        self._committed = position
