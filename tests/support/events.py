"""Events for tests, as producers write them."""

import json

from tidegauge.domain.event import Event, Rejection, RejectReason
from tidegauge.domain.event_time import format_time
from tidegauge.domain.offered import Offered

MINUTE_MS = 60_000
NOON_MS = 1_360_324_800_000  # 2013-02-08T12:00:00Z, the start of a window


def event_json(
    event_id: str, time_ms: int, *, series: str = "order.placed", source: str = "/shop"
) -> bytes:
    """Return one CloudEvent as JSON without line breaks."""
    fields = {
        "specversion": "1.0",
        "type": series,
        "source": source,
        "id": event_id,
        "time": format_time(time_ms),
    }
    return json.dumps(fields).encode()


def offered_event(number: int, time_ms: int) -> Offered:
    """Return an event as the replay clock takes it."""
    return Offered(number, Event(number, "s", time_ms), b"{}")


def offered_rejection(number: int) -> Offered:
    """Return a rejected line as the replay clock takes it."""
    return Offered(number, Rejection(RejectReason.MALFORMED_JSON, b"{"), b"{")
