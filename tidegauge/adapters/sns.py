"""The topic that people subscribe to: takes alerts from the outbox, gives them to SNS.

One message serves every kind of subscriber: people read a subject and a text, machines get the
alert as JSON, and filter policies see series, direction, severity and kind as attributes. What SNS
would refuse (a subject with an accent, an attribute that is empty) is mended here, since a refused
alert would hold up all those behind it.
"""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from tidegauge.adapters.aws_client import client_config
from tidegauge.adapters.aws_errors import aws_call
from tidegauge.domain.alert import Alert
from tidegauge.domain.errors import BrokenInvariant
from tidegauge.ports import OutboxMessage

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sns.type_defs import MessageAttributeValueTypeDef

# "Less than 100 characters", says the API reference of Publish.
MAX_SUBJECT_CHARS = 99

# Longer text messages are refused.
MAX_SMS_CHARS = 1600

# SNS takes 262,144 bytes for all formats together; the text stands there twice.
MAX_TEXT_CHARS = 16_000

EMPTY_SUBJECT = "Tidegauge alert"


class AlertSink:
    """Publishes alerts from the outbox; implements `ports.MessageSink`.

    Args:
        topic_arn: The topic.
        client: For tests; None makes one from the environment on first use.
    """

    def __init__(self, topic_arn: str, *, client: "SNSClient | None" = None) -> None:
        self._topic_arn = topic_arn
        self._given_client = client

    @cached_property
    def _client(self) -> "SNSClient":
        if self._given_client is not None:
            return self._given_client
        import boto3

        with aws_call("making an SNS client"):
            return boto3.client("sns", config=client_config())

    def send(self, messages: Sequence[OutboxMessage]) -> None:
        """Publish each message; those before one that is refused have been published.

        Raises:
            Transient: SNS cannot take a message now.
            Misconfigured: The topic is missing or may not be published to.
            BrokenInvariant: A payload is no alert; we wrote it ourselves.
        """
        for message in messages:
            self.publish(_decoded(message))

    def publish(self, alert: Alert) -> str:
        """Publish one alert; return the message id that SNS gives it. Raises as `send`."""
        client = self._client
        with aws_call(f"publishing alert {alert.id}"):
            answer = client.publish(
                TopicArn=self._topic_arn,
                Subject=subject_of(alert.subject),
                Message=body_of(alert),
                MessageStructure="json",
                MessageAttributes=attributes_of(alert.attributes),
            )
        return answer.get("MessageId", "")


def body_of(alert: Alert) -> str:
    """Return the message by kind of subscriber: text for people, JSON for machines.

    Firehose and mobile push get the default, which is the text.
    """
    text = _printable(alert.text)[:MAX_TEXT_CHARS]
    # The id is in the body even if whoever wrote the alert left it out.
    machine = json.dumps({"id": alert.id, **alert.json}, separators=(",", ":"), sort_keys=True)
    return json.dumps(
        {
            "default": text,
            "email": text,
            "sms": _printable(alert.subject)[:MAX_SMS_CHARS],
            **dict.fromkeys(("email-json", "http", "https", "lambda", "sqs"), machine),
        }
    )


def subject_of(text: str) -> str:
    """Return a text as SNS takes it for a subject: ASCII, one line, under 100 characters.

    >>> subject_of("Drop:  vols annulés à Orly ☃")
    'Drop: vols annules a Orly ?'
    """
    bare = "".join(
        char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char)
    )
    ascii_only = bare.encode("ascii", "replace").decode("ascii")
    line = " ".join("".join(c if c.isprintable() else " " for c in ascii_only).split())
    if len(line) > MAX_SUBJECT_CHARS:
        line = line[: MAX_SUBJECT_CHARS - 3].rstrip() + "..."
    return line or EMPTY_SUBJECT


def attributes_of(values: Mapping[str, str]) -> dict[str, "MessageAttributeValueTypeDef"]:
    """Return attributes to filter by; an empty value is left out, since SNS refuses it.

    A filter policy finds those with `{"exists": false}`.
    """
    attributes: dict[str, MessageAttributeValueTypeDef] = {}
    for name, value in values.items():
        mended = _printable(value)
        if mended:
            attributes[name] = {"DataType": "String", "StringValue": mended}
    return attributes


def _decoded(message: OutboxMessage) -> Alert:
    try:
        return msgspec.json.decode(message.payload, type=Alert)
    except msgspec.MsgspecError as error:
        msg = f"outbox message {message.message_key} is no alert: {error}"
        raise BrokenInvariant(msg) from error


def _printable(text: str) -> str:
    """Replace what SNS and SQS refuse: characters that XML 1.0 does not have."""
    return "".join(
        char
        if char in "\t\n\r"
        or " " <= char <= "\ud7ff"
        or "\ue000" <= char <= "\ufffd"
        or char >= "\U00010000"
        else "\ufffd"
        for char in text
    )
