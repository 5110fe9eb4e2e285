"""EventBridge as a source of events, and as the clock of a schedule.

A rule with a function as its target hands over one envelope. It goes onto the stream as it is:
envelopes are decoded there like CloudEvents. (A rule may also target the stream itself, without any
function between.)
"""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from tidegauge.domain.errors import InvalidInput, Rejected
from tidegauge.domain.event_time import parse_time_ms
from tidegauge.ports import SourceBatch, StreamEntry

SCHEDULED = "Scheduled Event"
_NONE = "none"
_ALL = "all"


class DeliveredEvent:
    """One envelope that EventBridge has delivered; implements `ports.EventSource`.

    It has no order that could be kept, so its id is its key and spreads it over the shards. What is
    not acknowledged is delivered again by EventBridge, which is why no position is stored.

    Args:
        envelope: What the function was handed.

    Raises:
        InvalidInput: it is no envelope of EventBridge.
    """

    def __init__(self, envelope: Mapping[str, Any]) -> None:
        event_id = envelope.get("id")
        texts = [envelope.get(name) for name in ("detail-type", "source", "time")]
        if not event_id or not all(isinstance(text, str) for text in (event_id, *texts)):
            msg = (
                "this function takes events of EventBridge, with id, detail-type, source and time: "
                "make it the target of a schedule or a rule"
            )
            raise InvalidInput(msg)
        self._entry = StreamEntry(_json_of(envelope), str(event_id))
        self._committed = _NONE

    def position(self) -> str:
        """Return whether the envelope is on the stream."""
        return self._committed

    def poll(self, position: str) -> SourceBatch:
        """Return the envelope, unless it is on the stream."""
        return SourceBatch((self._entry,) if position == _NONE else (), _ALL)

    def commit(self, position: str) -> None:
        """Remember that it is on the stream."""
        self._committed = position


def _json_of(envelope: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(dict(envelope))
    except UnicodeEncodeError:  # half a surrogate pair: escaped, as it came; quarantine shows it
        return json.dumps(dict(envelope)).encode()


def scheduled_ms(envelope: Mapping[str, Any]) -> int | None:
    """Return the moment that a schedule's event is for, ms since the epoch; None for other events.

    EventBridge Scheduler hands over what it is told to; its `<aws.scheduler.scheduled-time>` as
    `time` will do.

    Raises:
        InvalidInput: a schedule's event lacks its time.
    """
    if envelope.get("detail-type", SCHEDULED) != SCHEDULED:
        return None
    time = envelope.get("time")
    try:
        return parse_time_ms(time if isinstance(time, str) else "")
    except Rejected:
        told = repr(time[:40]) if isinstance(time, str) else type(time).__name__
        msg = f"this takes events of EventBridge; a schedule's needs a time in RFC 3339, not {told}"
        raise InvalidInput(msg) from None
