"""Builds the heartbeat CloudEvent: the record by which a stream carries its own clock."""

import msgspec

from tidegauge.domain.event import HEARTBEAT_TYPE
from tidegauge.domain.event_time import format_time


class _Meant(msgspec.Struct):
    shard: str
    previous: str | None


class _HeartbeatEvent(msgspec.Struct):
    specversion: str
    type: str
    source: str
    id: str
    time: str
    data: _Meant


def heartbeat_record(
    *, source: str, event_time_ms: int, shard_id: str, previous: int | None
) -> bytes:
    """Return the JSON of one heartbeat.

    Args:
        source: The stream's configured clock.
        event_time_ms: The stream time it carries, ms since the epoch, UTC.
        shard_id: The shard it is meant for.
        previous: Sequence number of the heartbeat before it on that shard; None for the first.

    >>> heartbeat_record(source="/c", event_time_ms=0, shard_id="s-0", previous=7).decode()
    '{"specversion":"1.0","type":"tidegauge.heartbeat","source":"/c","id":"s-0@0","time":"1970-01-01T00:00:00Z","data":{"shard":"s-0","previous":"7"}}'
    """
    return msgspec.json.encode(
        _HeartbeatEvent(
            specversion="1.0",
            type=HEARTBEAT_TYPE,
            source=source,
            id=f"{shard_id}@{event_time_ms}",
            time=format_time(event_time_ms),
            data=_Meant(shard_id, None if previous is None else str(previous)),
        )
    )
