"""What a line of a bare fixture offers to a replay: events one by one, each with its own bytes."""

import msgspec

from tidegauge.domain.decode import SeriesBy, are_too_many, decode, split_batch
from tidegauge.domain.event import Event, Heartbeat, Rejection


class Offered(msgspec.Struct, frozen=True, gc=False):
    """One thing found in a fixture.

    Attributes:
        line: Number of the line that holds it, from 1.
        item: What was decoded.
        data: Its bytes; of a batch, those of this element.
        partition_key: As it was recorded; None where nobody recorded it.
    """

    line: int
    item: Event | Heartbeat | Rejection
    data: bytes
    partition_key: str | None = None


def offered_in(line: int, data: bytes, series_by: SeriesBy) -> list[Offered]:
    """Return what one line holds: an event, or each element of a CloudEvents batch by itself.

    Elements stand alone so that heartbeats can go between them. An element that is no object keeps
    its brackets, so that decoding it alone says the same as decoding it within its batch.

    Args:
        line: Number of the line, from 1.
        data: The line, any bytes.
        series_by: Names the series of an event.
    """
    if data[:1] == b"{":  # nearly every line
        return [Offered(line, item, data) for item in decode(data, series_by)]
    parts = split_batch(data) if data.lstrip()[:1] == b"[" else None
    if parts is None or are_too_many(parts, data):
        parts = [data]
    else:
        parts = [part if part[:1] == b"{" else b"[" + part + b"]" for part in parts]
    return [Offered(line, item, part) for part in parts for item in decode(part, series_by)]
