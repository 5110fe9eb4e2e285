"""What an audit needs: the books of a stream's counts, and the stream itself, read once more."""

from collections.abc import Iterator
from typing import Protocol

import msgspec

from tidegauge.domain.audit import Books
from tidegauge.domain.record import Record
from tidegauge.domain.recount import Span
from tidegauge.ports.stream import StreamIdentity


class BookKeeper(Protocol):
    """Tells what was counted of one stream."""

    def books(self, span: Span, generation: int | None) -> Books | None:
        """Return what is known of a span, all of it as of one moment.

        Args:
            span: Windows; of those that are still open nothing is told.
            generation: Number of a generation of the stream; None for the newest.

        Returns:
            None where the store knows no such generation.

        Raises:
            Transient: the store cannot answer now.
        """
        ...


class Page(msgspec.Struct, frozen=True):
    """Records of one shard in a row.

    Attributes:
        records: In order.
        whole: Whether it surely goes on where the page before it ended; the first one never does.
    """

    records: list[Record]
    whole: bool


class RereadStream(Protocol):
    """A stream whose records can be read once more."""

    def identity(self) -> StreamIdentity:
        """Return the stream's address and creation time. Raises Transient."""
        ...

    def pages(self, shard_id: str, until: int) -> Iterator[Page]:
        """Yield what is left of a shard, up to and with a sequence number.

        A shard that the stream has no more gives nothing.

        Raises:
            Transient: the stream did not answer, however often it was asked.
        """
        ...
