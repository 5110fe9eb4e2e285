"""Events, which producers send, and heartbeats, the records that carry stream time."""

from enum import StrEnum

import msgspec

HEARTBEAT_TYPE = "tidegauge.heartbeat"


class RejectReason(StrEnum):
    """Why a record, or a part of one, was set aside in quarantine."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    MALFORMED_JSON = "malformed_json"
    NOT_AN_EVENT = "not_an_event"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    BAD_TIME = "bad_time"
    LONE_SURROGATE = "lone_surrogate"
    SERIES_TOO_LONG = "series_too_long"
    TOO_MANY_PARTS = "too_many_parts"
    KPL_AGGREGATE = "kpl_aggregate"
    FOREIGN_HEARTBEAT = "foreign_heartbeat"
    TOO_FAR_AHEAD = "too_far_ahead"
    TOO_OLD = "too_old"
    UNCONFIRMED_TIME = "unconfirmed_time"


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event, reduced to what counting needs.

    Attributes:
        key: BLAKE2b-8 of the length-prefixed source and id, as an unsigned integer.
        series: The series that it counts towards.
        event_time_ms: When it happened, ms since the epoch, truncated.
    """

    key: int
    series: str
    event_time_ms: int


class Heartbeat(msgspec.Struct, frozen=True, gc=False):
    """A record that carries stream time.

    Attributes:
        source: The clock that sent it.
        event_time_ms: The stream time it carries, ms since the epoch.
        shard_id: The shard it is meant for.
        previous: Sequence number of the heartbeat before it on that shard; None for the first.
    """

    source: str
    event_time_ms: int
    shard_id: str
    previous: int | None


class Rejection(msgspec.Struct, frozen=True, gc=False):
    """A part of a record that can never be counted, with its bytes."""

    reason: RejectReason
    data: bytes
