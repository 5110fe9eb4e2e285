"""Messages that a transaction has decided to send, and who sends them."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from tidegauge.domain.alert import Alert


class Destination(StrEnum):
    """Where an outbox message goes."""

    WINDOWS = "windows"
    ALERTS = "alerts"


class OutboxMessage(msgspec.Struct, frozen=True):
    """One message that a transaction has decided to send.

    Attributes:
        destination: The stream of windows or the topic of alerts.
        message_key: Partition key of an announcement, or an alert's id.
        payload: JSON bytes.
    """

    destination: Destination
    message_key: str
    payload: bytes


def alert_message(alert: Alert) -> OutboxMessage:
    """Return the outbox message of an alert: its id as the key, all of it as JSON."""
    return OutboxMessage(Destination.ALERTS, alert.id, msgspec.json.encode(alert))


class StoredMessage(msgspec.Struct, frozen=True):
    """An outbox message with its number in the store; numbers rise in order of writing."""

    number: int
    message: OutboxMessage


class Outbox(Protocol):
    """Messages written in the transactions that decided them, waiting to be sent."""

    def take(self, destination: Destination, limit: int) -> list[StoredMessage]:
        """Take up to `limit` unsent messages, oldest first, none behind one that another has taken.

        What is neither marked sent nor released can be taken again after a minute.
        """
        ...

    def release(self, numbers: Sequence[int]) -> None:
        """Give back messages that were taken by the last `take` and could not be sent."""
        ...

    def mark_sent(self, numbers: Sequence[int]) -> None:
        """Note that these were sent."""
        ...


class MessageSink(Protocol):
    """Sends outbox messages to one destination, at least once each."""

    def send(self, messages: Sequence[OutboxMessage]) -> None:
        """Send all messages. Raises Transient if any was not accepted."""
        ...
