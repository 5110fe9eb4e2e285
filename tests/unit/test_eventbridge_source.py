"""EventBridge as a source: an envelope goes onto the stream as it is, a schedule tells its time."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.sources import MemoryWriter
from tidegauge.adapters.eventbridge import DeliveredEvent, scheduled_ms
from tidegauge.domain.errors import InvalidInput, Transient
from tidegauge.domain.event_time import parse_time_ms
from tidegauge.steps.produce import produce

PAYLOADS = Path(__file__).parents[1] / "fixtures" / "payloads"


@pytest.fixture
def envelope() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((PAYLOADS / "eventbridge-envelope.json").read_text())
    return found


def test_an_envelope_is_put_as_it_is_under_its_id(envelope: dict[str, Any]) -> None:
    writer = MemoryWriter()
    source = DeliveredEvent(envelope)
    assert produce(source, writer).events == 1
    (entry,) = writer.log
    assert json.loads(entry.data) == envelope
    assert entry.partition_key == envelope["id"]
    assert produce(source, writer).events == 0


def test_half_a_surrogate_pair_is_put_as_it_came(envelope: dict[str, Any]) -> None:
    writer = MemoryWriter()
    produce(DeliveredEvent({**envelope, "detail": {"name": "\ud800"}}), writer)
    assert b'"\\ud800"' in writer.log[0].data


def test_an_envelope_that_was_not_acknowledged_is_put_again(envelope: dict[str, Any]) -> None:
    writer = MemoryWriter(fails=lambda put: put == 0)
    source = DeliveredEvent(envelope)
    with pytest.raises(Transient):
        produce(source, writer)
    assert produce(source, writer).events == 1


@pytest.mark.parametrize("missing", ["id", "detail-type", "source", "time"])
def test_what_is_no_envelope_is_refused_in_a_sentence(
    envelope: dict[str, Any], missing: str
) -> None:
    with pytest.raises(InvalidInput, match="takes events of EventBridge"):
        DeliveredEvent({name: value for name, value in envelope.items() if name != missing})


def test_a_schedule_tells_the_moment_it_is_for() -> None:
    event = {"detail-type": "Scheduled Event", "time": "2026-11-24T10:00:00Z"}
    assert scheduled_ms(event) == parse_time_ms("2026-11-24T10:00:00Z")
    assert scheduled_ms({**event, "detail-type": "Order"}) is None
    assert scheduled_ms({"time": "1970-01-01T00:01:00Z"}) == 60_000
    for bad in ({}, {"time": "soon"}, {"time": None}, {"time": 10**5000}):
        with pytest.raises(InvalidInput, match="needs a time in RFC 3339"):
            scheduled_ms({"detail-type": "Scheduled Event", **bad})
