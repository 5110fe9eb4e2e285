"""Records: what one position of a shard holds, before and after decoding."""

import msgspec

from tidegauge.domain.event import Event, Heartbeat, Rejection


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record of a stream's shard, as it came.

    Attributes:
        shard_id: The shard it was read from.
        sequence_number: Its position, as an integer (Kinesis' digit strings differ in length).
        arrival_time_ms: When the stream took it, ms since the epoch; None where nobody recorded it.
        partition_key: The producer's key.
        data: The payload, any bytes.
    """

    shard_id: str
    sequence_number: int
    arrival_time_ms: int | None
    partition_key: str
    data: bytes


class DecodedRecord(msgspec.Struct, frozen=True):
    """A record's position and what was found in it, in the order it was found.

    Attributes:
        items: Events, heartbeats and rejections; an item's index is its sub-index in quarantine.
        data: The record's bytes, for quarantine.
    """

    sequence_number: int
    arrival_time_ms: int | None
    items: tuple[Event | Heartbeat | Rejection, ...]
    data: bytes
