"""Where events come from: a source that is read on from a position."""

from typing import Protocol

import msgspec

from tidegauge.ports.stream import StreamEntry


class SourceBatch(msgspec.Struct, frozen=True):
    """What a source gives at once.

    Attributes:
        entries: Events as they go onto the stream, in the order that each key's must keep.
        position: Where the next poll goes on, once all of them are acknowledged.
        more: Whether there is more to be had at once.
    """

    entries: tuple[StreamEntry, ...]
    position: str
    more: bool = False


class EventSource(Protocol):
    """A source of events that remembers how far they were put on the stream.

    An event that is given twice is the same bytes with the same id, so that giving it again changes
    no count.
    """

    def position(self) -> str:
        """Return the last position committed, or where the source begins. Raises Transient."""
        ...

    def poll(self, position: str) -> SourceBatch:
        """Return what lies behind a position: what this or an earlier poll gave, or `position()`.

        Raises:
            Transient: the source cannot answer now.
            Misconfigured: it cannot be read before a person mends something.
        """
        ...

    def commit(self, position: str) -> None:
        """Remember a position; everything before it is on the stream. Raises Transient."""
        ...
