"""What the steps need of the outside world, as protocols.

Adapters implement these; one contract suite per port runs on every implementation. Nothing here
names a service.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec


class Clock(Protocol):
    """The wall clock. Only adapters read it; no window is ever closed by it."""

    def now_ms(self) -> int:
        """Return the wall-clock time, ms since the epoch."""
        ...


# --- the stream -----------------------------------------------------------------------------------


class ShardListing(msgspec.Struct, frozen=True):
    """One shard as a listing of the stream shows it."""

    shard_id: str
    parent_ids: tuple[str, ...]
    first_hash_key: int
    last_hash_key: int
    closed: bool


class StreamIdentity(msgspec.Struct, frozen=True):
    """What tells one stream generation from the next under the same name."""

    arn: str
    created_ms: int


class StreamLister(Protocol):
    """Tells what a stream is and which shards it has."""

    def identity(self) -> StreamIdentity:
        """Return the stream's address and creation time. Raises Transient."""
        ...

    def shards(self) -> list[ShardListing]:
        """Return one whole listing, every page of it. Raises Transient."""
        ...


class StreamEntry(msgspec.Struct, frozen=True):
    """One record to put: `hash_key` aims it at a shard, else the partition key decides."""

    data: bytes
    partition_key: str
    hash_key: int | None = None


class PutPosition(msgspec.Struct, frozen=True):
    """Where a put record landed."""

    shard_id: str
    sequence_number: int


class StreamWriter(Protocol):
    """Puts records on a stream; nothing is acknowledged before it is stored."""

    def put(self, entries: Sequence[StreamEntry]) -> list[PutPosition]:
        """Put all entries, resending exactly those that failed, in order per partition key.

        Returns:
            One position an entry, in the order of `entries`.

        Raises:
            Transient: some entry could not be stored within the adapter's attempts.
        """
        ...


# --- the outbox -----------------------------------------------------------------------------------


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


class StoredMessage(msgspec.Struct, frozen=True):
    """An outbox message with its number in the store; numbers rise in order of writing."""

    number: int
    message: OutboxMessage


class Outbox(Protocol):
    """Messages written in the transactions that decided them, waiting to be sent."""

    def pending(self, destination: Destination, limit: int) -> list[StoredMessage]:
        """Return up to `limit` unsent messages, oldest first."""
        ...

    def mark_sent(self, numbers: Sequence[int]) -> None:
        """Note that these were sent."""
        ...


class MessageSink(Protocol):
    """Sends outbox messages to one destination, at least once each."""

    def send(self, messages: Sequence[OutboxMessage]) -> None:
        """Send all messages. Raises Transient if any was not accepted."""
        ...


# --- judging --------------------------------------------------------------------------------------


class Scores(msgspec.Struct, frozen=True):
    """A predictor's answer: one score a row, on the stabilised scale, and who answered."""

    values: tuple[float, ...]
    model_version: str


class Predictor(Protocol):
    """Answers feature rows with scores; one call a batch."""

    def predict(self, rows: Sequence[Sequence[float]]) -> Scores:
        """Return one score for each row of features (n_rows, n_features).

        Raises:
            Transient: the model cannot be reached, is updating or is failing: retry the batch.
        """
        ...
