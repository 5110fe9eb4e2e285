"""The events stream as the steps see it: the wall clock, shards, records put and read."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from tidegauge.domain.record import Record
from tidegauge.domain.stream_reading import StreamReading as StreamReading


class Clock(Protocol):
    """The wall clock. Only adapters read it; no window is ever closed by it."""

    def now_ms(self) -> int:
        """Return the wall-clock time, ms since the epoch."""
        ...


class PatientClock(Clock, Protocol):
    """A clock that can be waited for, by what has a minute to fill."""

    def wait_until_ms(self, time_ms: int) -> None:
        """Return once the clock shows `time_ms`, at once if it does already."""
        ...


class ShardListing(msgspec.Struct, frozen=True):
    """One shard as a listing of the stream shows it."""

    shard_id: str
    parent_ids: tuple[str, ...]
    first_hash_key: int
    last_hash_key: int
    closed: bool


class StreamIdentity(msgspec.Struct, frozen=True):
    """What tells one stream generation from the next under the same name."""

    arn: str
    created_ms: int


class StreamLister(Protocol):
    """Tells what a stream is and which shards it has."""

    def identity(self) -> StreamIdentity:
        """Return the stream's address and creation time. Raises Transient."""
        ...

    def shards(self) -> list[ShardListing]:
        """Return one whole listing, every page of it. Raises Transient."""
        ...


class StreamEntry(msgspec.Struct, frozen=True):
    """One record to put: `hash_key` aims it at a shard, else the partition key decides."""

    data: bytes
    partition_key: str
    hash_key: int | None = None


class PutPosition(msgspec.Struct, frozen=True):
    """Where a put record landed."""

    shard_id: str
    sequence_number: int


class StreamWriter(Protocol):
    """Puts records on a stream; nothing is acknowledged before it is stored."""

    def put(self, entries: Sequence[StreamEntry]) -> list[PutPosition]:
        """Put all entries, resending exactly those that failed.

        A later call never overtakes an earlier one. Within a call an entry may be taken before one
        ahead of it that was refused: whoever needs an order puts its entries one call after the
        other.

        Returns:
            One position an entry, in the order of `entries`.

        Raises:
            Transient: some entry could not be stored within the adapter's attempts.
        """
        ...


class ShardEnd(msgspec.Struct, frozen=True):
    """What a reading of a closed shard found behind a position.

    Attributes:
        reached: Whether it came to the shard's end without a record.
        unread: Sequence number of the first record behind the position; None for none.
    """

    reached: bool
    unread: int | None = None


class ShardProber(Protocol):
    """Looks whether a closed shard holds anything behind a position."""

    def probe(self, shard_id: str, fence: int) -> ShardEnd:
        """Read on from behind `fence` until a record or the shard's end comes up, within bounds.

        Neither reached nor unread: the reading got to no end; probe again later.

        Args:
            shard_id: A shard that the stream lists.
            fence: A sequence number; `NO_FENCE` for the shard's beginning.

        Raises:
            Transient: the stream cannot answer now.
        """
        ...


class FailedBatch(msgspec.Struct, frozen=True):
    """A batch that the stream's reader gave up on, with its records."""

    stream_arn: str
    shard_id: str
    records: tuple[Record, ...]

    def precedes(self, created_ms: int) -> bool:
        """Return whether it was on the stream before the one that was created then."""
        times = (record.arrival_time_ms for record in self.records)
        return any(time_ms is not None and time_ms < created_ms for time_ms in times)


class FailedBatches(Protocol):
    """Where the stream's reader puts the batches that it gives up on."""

    def names(self) -> list[str]:
        """Return the names of all failed batches that are kept. Raises Transient."""
        ...

    def read(self, name: str) -> FailedBatch | None:
        """Return one of them; None where it is no such thing. Raises Transient."""
        ...


class StreamReadings(Protocol):
    """Tells how functions read the stream."""

    def readings(self, stream_arn: str) -> list[StreamReading]:
        """Return every event source mapping of the stream. Raises Transient, Misconfigured."""
        ...
