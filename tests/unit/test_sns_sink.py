"""Alerts as SNS takes them."""

import json
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.botocore_shapes import request_problems
from tidegauge.adapters.sns import AlertSink, attributes_of, body_of, subject_of
from tidegauge.domain.alert import Alert
from tidegauge.domain.errors import BrokenInvariant
from tidegauge.ports import Destination, OutboxMessage

ALERT = Alert(
    id="a1b2",
    subject="Drop: order.placed 3 instead of 40",
    text="Between 10:00 and 10:05 UTC …\n",
    json={"actual": 3, "expected": 40.5},
    attributes={
        "series": "order.placed",
        "direction": "TOO_LOW",
        "severity": "high",
        "kind": "opened",
    },
)


class FakeSns:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.published: list[dict[str, Any]] = []

    def publish(self, **request: Any) -> dict[str, str]:
        assert not request_problems("sns", "Publish", request)
        self.published.append(request)
        return {"MessageId": "1"}


def outbox_message(payload: bytes) -> OutboxMessage:
    return OutboxMessage(Destination.ALERTS, ALERT.id, payload)


def test_an_alert_is_published_for_people_and_machines() -> None:
    client = FakeSns()
    sink = AlertSink("arn:aws:sns:eu-west-1:000000000000:alerts", client=cast("Any", client))
    sink.send([outbox_message(msgspec.json.encode(ALERT))])
    (request,) = client.published
    assert request["TopicArn"] == "arn:aws:sns:eu-west-1:000000000000:alerts"
    assert request["Subject"] == ALERT.subject
    assert request["MessageStructure"] == "json"
    assert request["MessageAttributes"]["direction"] == {
        "DataType": "String",
        "StringValue": "TOO_LOW",
    }
    body = json.loads(request["Message"])
    assert body["default"] == body["email"] == ALERT.text
    assert body["sms"] == ALERT.subject
    for machine in ("sqs", "lambda", "http", "https", "email-json"):
        assert json.loads(body[machine]) == {"id": "a1b2", "actual": 3, "expected": 40.5}


def test_publishing_one_tells_the_message_id_that_sns_gave() -> None:
    sink = AlertSink("arn:aws:sns:eu-west-1:000000000000:alerts", client=cast("Any", FakeSns()))
    assert sink.publish(ALERT) == "1"


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"id": 1}', b"\xff"])
def test_a_payload_that_is_no_alert_wakes_someone(payload: bytes) -> None:
    sink = AlertSink("arn:t", client=cast("Any", FakeSns()))
    with pytest.raises(BrokenInvariant, match="is no alert"):
        sink.send([outbox_message(payload)])


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("vols annulés à Orly", "vols annules a Orly"),
        ("two\nlines\tand\x07bell", "two lines and bell"),
        ("雪", "?"),
        ("", "Tidegauge alert"),
        ("\n \u0301", "Tidegauge alert"),
        ("x" * 150, "x" * 96 + "..."),
    ],
)
def test_a_subject_is_mended(text: str, subject: str) -> None:
    assert subject_of(text) == subject


@given(st.text(max_size=300))
def test_any_subject_is_one_that_sns_takes(text: str) -> None:
    subject = subject_of(text)
    assert 1 <= len(subject) < 100
    assert subject.isascii()
    assert subject.isprintable()
    assert not subject.startswith(" ")


def test_attributes_hold_nothing_that_sns_refuses() -> None:
    attributes = attributes_of({"series": "a\0b\ud800é", "kind": ""})
    assert attributes == {"series": {"DataType": "String", "StringValue": "a\ufffdb\ufffdé"}}


def test_a_long_text_is_cut_before_sns_refuses_the_message() -> None:
    alert = msgspec.structs.replace(ALERT, text="é" * 300_000, subject="s" * 5000)
    body = body_of(alert)
    assert len(body.encode()) < 262_144
    assert len(json.loads(body)["sms"]) == 1600
