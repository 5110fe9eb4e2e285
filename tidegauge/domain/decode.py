"""Decoding: from a record's bytes to events, heartbeats and rejections.

Takes any bytes and never fails. An event is a CloudEvent or an EventBridge envelope; a record holds
one event, a batch (a JSON array) or JSON lines: recognised, not configured. What is no event comes
out as a `Rejection` with its bytes and the reason.
"""

import json
from functools import lru_cache
from hashlib import blake2b
from itertools import accumulate
from typing import Any

import msgspec

from tidegauge.domain.errors import Misconfigured, Rejected
from tidegauge.domain.event import HEARTBEAT_TYPE, Event, Heartbeat, Rejection, RejectReason
from tidegauge.domain.event_time import parse_time_ms

MAX_RECORD_BYTES = 10 * 1024 * 1024  # what Kinesis takes at most
MAX_SERIES_BYTES = 255
# A record is set aside as one where it has more parts than these, and they are on average shorter
# than the shortest event.
FEW_PARTS = 100
MIN_EVENT_BYTES = 64
# Deeper is no JSON to us. How deep the parser gets hangs on the Python that runs it and on how deep
# its caller stands; what is counted must not.
MAX_NESTING = 256
_SHALLOW_BYTES = 2 * MAX_NESTING  # what is no longer cannot be deeper
MISSING_VALUE = "__none__"
_KPL_MAGIC = b"\xf3\x89\x9a\xc2"
_ATTRIBUTES = ("type", "source", "subject")
_OF_A_CLOUD_EVENT = ("specversion", "id", "source", "type", "time")
_OF_AN_ENVELOPE = ("id", "source", "detail-type", "time", "detail")
_WHITE_SPACE = b" \t\r\n"
_OPENING, _CLOSING = b"[{", b"]}"
_NO_BRACKETS = bytes(set(range(256)) - set(_OPENING + _CLOSING))

Decoded = Event | Heartbeat | Rejection


class _CloudEvent(msgspec.Struct, gc=False):
    specversion: str
    id: str
    source: str
    type: str
    time: str
    subject: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")


class _Envelope(msgspec.Struct, gc=False):
    """An event as EventBridge delivers it, under the names of a CloudEvent's attributes."""

    type: str = msgspec.field(name="detail-type")
    source: str
    id: str
    time: str
    data: msgspec.Raw = msgspec.field(name="detail")
    claimed: msgspec.Raw | msgspec.UnsetType = msgspec.field(
        name="specversion", default=msgspec.UNSET
    )

    specversion = "1.0"
    subject = None


class _HeartbeatData(msgspec.Struct, gc=False):
    shard: str
    previous: str | None = None


_decode_cloud_event = msgspec.json.Decoder(_CloudEvent).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_heartbeat_data = msgspec.json.Decoder(_HeartbeatData).decode
_decode_batch = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_anything = msgspec.json.Decoder().decode
_decode_nothing = msgspec.json.Decoder(msgspec.Raw).decode  # looks at the syntax alone
_encode = msgspec.json.Encoder(order="deterministic").encode


def event_key(source: str, event_id: str) -> int:
    """Return the key of an event: BLAKE2b-8 of its length-prefixed source and id.

    Raises:
        Rejected: either holds a lone surrogate, so it has no UTF-8.
    """
    try:
        head = source.encode()
        tail = event_id.encode()
    except UnicodeEncodeError:
        raise Rejected(RejectReason.LONE_SURROGATE) from None
    prefixed = b"%d:%b%d:%b" % (len(head), head, len(tail), tail)
    return int.from_bytes(blake2b(prefixed, digest_size=8).digest(), "little")


class SeriesBy:
    """Names the series of an event by the fields of the setting `SERIES_BY`.

    One field gives its value as it is; several give their values as a JSON array.

    Args:
        fields: For example `("type",)` or `("type", "data.country")`.

    Raises:
        Misconfigured: a field is neither an attribute nor below `data`.
    """

    def __init__(self, fields: tuple[str, ...] = ("type",)) -> None:
        bad = [f for f in fields if f not in _ATTRIBUTES and not f.startswith("data.")]
        if bad or not fields:
            listed = ", ".join(bad) or "nothing"
            raise Misconfigured(
                [f"SERIES_BY names {listed}; use type, source, subject or fields below data."]
            )
        self.fields = fields
        self._by_type = fields == ("type",)
        self._needs_data = any(f.startswith("data.") for f in fields)

    def series_of(self, event: _CloudEvent | _Envelope) -> str:
        """Return the series of an event. Raises Rejected if it cannot be stored."""
        series = event.type if self._by_type else self._joined(event)
        if len(series) * 4 > MAX_SERIES_BYTES or not series.isascii():
            try:
                size = len(series.encode())
            except UnicodeEncodeError:
                raise Rejected(RejectReason.LONE_SURROGATE) from None
            if size > MAX_SERIES_BYTES:
                raise Rejected(RejectReason.SERIES_TOO_LONG)
        return series

    def _joined(self, event: _CloudEvent | _Envelope) -> str:
        data = _decode_anything(event.data) if self._needs_data else None
        values = [
            _value_at(data, field.split(".")[1:])
            if field.startswith("data.")
            else getattr(event, field)
            for field in self.fields
        ]
        known = [MISSING_VALUE if value is None else value for value in values]
        if len(known) == 1 and isinstance(known[0], str):
            return known[0]
        try:
            return _encode(known if len(known) > 1 else known[0]).decode()
        except UnicodeEncodeError:
            raise Rejected(RejectReason.LONE_SURROGATE) from None


def _value_at(value: Any, path: list[str]) -> Any:
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def decode(data: bytes, series_by: SeriesBy) -> tuple[Decoded, ...]:
    """Return what a record's bytes hold, in order; a rejection for each part that is no event.

    Args:
        data: A record's payload, any bytes.
        series_by: Names the series of an event.
    """
    try:
        return (_decode_one(data, series_by),)  # nearly every record is one event
    except Rejected as rejected:
        reason = rejected.reason
    except (msgspec.MsgspecError, ValueError, RecursionError):
        reason = None
    return _decode_carefully(data, series_by, reason)


def _decode_one(data: bytes, series_by: SeriesBy) -> Event | Heartbeat:
    event: _CloudEvent | _Envelope
    try:
        event = _decode_cloud_event(data)
    except msgspec.ValidationError:  # sound JSON so far, but something else
        event = _envelope_in(data)
    if len(data) > _SHALLOW_BYTES:
        _check_nesting(data)
    if not data.isascii():
        data.decode()  # fields that nobody reads are not checked by the decoder
    if event.type == HEARTBEAT_TYPE and isinstance(event, _CloudEvent):
        return _heartbeat(event)
    if event.specversion != "1.0":
        raise Rejected(RejectReason.NOT_AN_EVENT)
    if not (event.id and event.source and event.type):
        raise Rejected(RejectReason.MISSING_FIELD)
    series = series_by.series_of(event)
    return Event(event_key(event.source, event.id), series, parse_time_ms(event.time))


def _envelope_in(data: bytes) -> _Envelope:
    """Decode an envelope; what says that it is a CloudEvent is held to that, and is none."""
    envelope = _decode_envelope(data)
    if envelope.claimed is not msgspec.UNSET or not bytes(envelope.data).startswith(b"{"):
        raise Rejected(_reason_of(data))
    return envelope


def _heartbeat(event: _CloudEvent) -> Heartbeat:
    data = _decode_heartbeat_data(event.data)
    previous = data.previous
    if previous is not None and not (previous.isascii() and previous.isdigit()):
        raise Rejected(RejectReason.WRONG_TYPE)
    return Heartbeat(
        source=event.source,
        event_time_ms=parse_time_ms(event.time),
        shard_id=data.shard,
        previous=None if previous is None else int(previous),
    )


def _decode_carefully(data: bytes, series_by: SeriesBy, reason: str | None) -> tuple[Decoded, ...]:
    if reason is not None:
        return (Rejection(RejectReason(reason), data),)
    whole = _whole_reason(data)
    if whole is not None:
        return (Rejection(whole, data),)
    parts = _parts(data)
    if parts is None:
        return (Rejection(_reason_of(data), data),)
    if are_too_many(parts, data):
        return (Rejection(RejectReason.TOO_MANY_PARTS, data),)
    return tuple(_decode_part(part, series_by) for part in parts)


def _whole_reason(data: bytes) -> RejectReason | None:
    if len(data) > MAX_RECORD_BYTES:
        return RejectReason.TOO_LARGE
    if data.startswith(_KPL_MAGIC):
        return RejectReason.KPL_AGGREGATE
    if not data.strip(_WHITE_SPACE):
        return RejectReason.EMPTY
    return None


def split_batch(data: bytes) -> list[bytes] | None:
    """Return the elements of a CloudEvents batch as bytes, or None if `data` is no JSON array."""
    try:
        elements = [bytes(element) for element in _decode_batch(data)]
        for element in elements:
            _check_nesting(element)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return elements


def _parts(data: bytes) -> list[bytes] | None:
    """Return the parts of a batch or of JSON lines, or None where the data is one thing only."""
    if data.lstrip(_WHITE_SPACE).startswith(b"["):
        batch = split_batch(data)
        if batch is not None:
            return batch
    if b"\n" not in data.strip(_WHITE_SPACE) or _is_json(data):
        return None
    lines = [line for line in data.split(b"\n") if line.strip(_WHITE_SPACE)]
    if not any(_is_json(line) for line in lines):
        return None  # one broken object over several lines, not many broken lines
    parts: list[bytes] = []
    for line in lines:
        batch = split_batch(line)
        parts.extend([line] if batch is None else batch)
    return parts


def part_at(data: bytes, sub_index: int) -> bytes:
    """Return the bytes of one item of a record, by its index in what `decode` returned."""
    parts = _parts_again(data)
    return data if parts is None else parts[sub_index]


@lru_cache(maxsize=1)
def _parts_again(data: bytes) -> list[bytes] | None:
    """Split a record once for all its parts that are asked for: there may be thousands."""
    parts = None if _whole_reason(data) else _parts(data)
    return None if parts is None or are_too_many(parts, data) else parts


def are_too_many(parts: list[bytes], data: bytes) -> bool:
    """Tell whether most parts are too short for an event: millions would outlast any time limit."""
    return len(parts) > FEW_PARTS and len(parts) * MIN_EVENT_BYTES > len(data)


def _is_json(data: bytes) -> bool:
    """Tell whether the syntax is sound: an event's unread fields are not held to more either."""
    try:
        _decode_nothing(data)
        _check_nesting(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return True


def _check_nesting(data: bytes) -> None:
    """Raise ValueError where sound JSON is nested more deeply than `MAX_NESTING`."""
    if len(data) <= _SHALLOW_BYTES:
        return
    if sum(data.count(bracket) for bracket in (b"[", b"{")) <= MAX_NESTING:
        return
    outside_text = data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    brackets = b"".join(outside_text).translate(None, _NO_BRACKETS)
    depths = accumulate(1 if bracket in _OPENING else -1 for bracket in brackets)
    if max(depths, default=0) > MAX_NESTING:
        msg = f"nested more than {MAX_NESTING} levels deep"
        raise ValueError(msg)


def _decode_part(part: bytes, series_by: SeriesBy) -> Decoded:
    try:
        return _decode_one(part, series_by)
    except Rejected as rejected:
        return Rejection(RejectReason(rejected.reason), part)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Rejection(_reason_of(part), part)


def _reason_of(data: bytes) -> RejectReason:
    """Say why bytes that the fast decoder refused are no event."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return RejectReason.NOT_UTF8
    try:
        value = _decode_anything(data)
        _check_nesting(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        lone = _has_lone_surrogate(data)
        return RejectReason.LONE_SURROGATE if lone else RejectReason.MALFORMED_JSON
    if not isinstance(value, dict):
        return RejectReason.NOT_AN_EVENT
    enveloped = "detail-type" in value and "specversion" not in value
    required = _OF_AN_ENVELOPE if enveloped else _OF_A_CLOUD_EVENT
    if not any(name in value for name in required):
        return RejectReason.NOT_AN_EVENT
    if any(value.get(name) in (None, "") for name in required):
        return RejectReason.MISSING_FIELD
    return RejectReason.WRONG_TYPE


def _has_lone_surrogate(data: bytes) -> bool:
    """Tell whether the JSON is sound but for text that has no UTF-8."""
    try:
        _check_nesting(data)
        json.dumps(json.loads(data), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    except (ValueError, RecursionError):
        return False
    return False
