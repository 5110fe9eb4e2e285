"""What the steps need of the outside world, as protocols.

Adapters implement these; one contract suite per port runs on every implementation. Nothing here
names a service.
"""

from collections.abc import Mapping, Sequence, Set
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import msgspec

from tidegauge.domain.alert import Alert
from tidegauge.domain.close import Closing, SeriesState, StepCount
from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.errors import TidegaugeError
from tidegauge.domain.fold import BatchCount, ShardState

if TYPE_CHECKING:
    # Judging needs numpy, which collect and sweep are deployed without.
    from tidegauge.domain.judging import JudgedSeries, SeriesBacklog


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


# --- counting -------------------------------------------------------------------------------------


class UnknownShard(TidegaugeError):
    """The store knows no such shard: register a whole listing first."""


class Frontier(msgspec.Struct, frozen=True):
    """How far a stream generation is closed.

    Attributes:
        next_window_ms: Start of the first open window; None before the first closing.
        observed_from_ms: Start of the first window that was watched from its beginning; None
            before the first closing.
        listed: Whether a whole listing of shards is registered.
    """

    next_window_ms: int | None
    observed_from_ms: int | None
    listed: bool


class ShardTimes(msgspec.Struct, frozen=True):
    """The stream times of one active shard, ms since the epoch; None before its first heartbeat."""

    shard_id: str
    first_ms: int | None
    stream_time_ms: int | None
    root: bool


class CollectTransaction(Protocol):
    """One batch of one shard, under that shard's lock."""

    @property
    def state(self) -> ShardState:
        """Return the shard's row as it stood when it was locked."""
        ...

    def known(self, windows: Set[int]) -> Mapping[int, Set[int]]:
        """Return the keys that the ledgers of the shard and its ancestors hold, by window start."""
        ...

    def write(self, batch: BatchCount) -> None:
        """Write all that a batch adds up to. Called at most once."""
        ...


class CloseTransaction(Protocol):
    """One closing, under the frontier's lock."""

    @property
    def frontier(self) -> Frontier:
        """Return the frontier as it stood when it was locked."""
        ...

    def shard_times(self) -> list[ShardTimes]:
        """Return the stream times of the active shards. Read before any count."""
        ...

    def counts(self, first_ms: int | None, until_ms: int) -> list[StepCount]:
        """Return the counts of the steps `[first_ms, until_ms)` over all shards; None: from all."""
        ...

    def latest(self, places: Set[tuple[int, str]]) -> dict[tuple[int, str], CompletedWindow]:
        """Return the last announced revision of each (window start, series) that has one."""
        ...

    def series(self) -> dict[str, SeriesState]:
        """Return all series of the generation by name."""
        ...

    def gaps(self, from_ms: int, until_ms: int) -> list[tuple[int, int]]:
        """Return the known gaps that touch a span of event time."""
        ...

    def suspect(self, from_ms: int, until_ms: int) -> set[int]:
        """Return the windows of a span whose partial counts and ledger keys disagree."""
        ...

    def write(
        self, closing: Closing, frontier: Frontier, messages: Sequence[OutboxMessage]
    ) -> None:
        """Write completed windows, series, frontier and outbox. Called at most once."""
        ...


class CountStore(Protocol):
    """The only state of counting. Every method but the readers is one transaction."""

    def generation(self, identity: StreamIdentity) -> int:
        """Return the number of a stream generation, a new one for a stream not seen before."""
        ...

    def register_shards(self, generation: int, listing: Sequence[ShardListing]) -> None:
        """Register one whole listing; shards that are known stay as they are."""
        ...

    def collecting(
        self, generation: int, shard_id: str
    ) -> AbstractContextManager[CollectTransaction]:
        """Lock a shard for one batch; commit on leaving, roll back on an exception.

        Raises:
            UnknownShard: the shard is not registered.
            Transient: a lock timeout, a deadlock, a lost connection: the whole batch anew.
        """
        ...

    def closing(self, generation: int) -> AbstractContextManager[CloseTransaction]:
        """Lock the frontier for one closing; commit on leaving, roll back on an exception."""
        ...


class SweepStore(Protocol):
    """What the sweep alone asks of the store."""

    def only_one(self) -> AbstractContextManager[bool]:
        """Give True to the one sweep of this store, False to any other meanwhile."""
        ...

    def ring_again(self, limit: int) -> int:
        """Put a doorbell in the outbox for each series that waits too long for a verdict.

        Returns:
            How many series were rung for; at most `limit`. Intervals grow per series.
        """
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


class SliceLimits(msgspec.Struct, frozen=True):
    """How much of a backlog is judged at once, and how far back what it is judged by reaches.

    Attributes:
        size_ms: Window length.
        max_steps: Steps taken of each series at most; a step is never cut.
        memory_days: How far back residuals are wanted.
    """

    size_ms: int
    max_steps: int
    memory_days: int


class JudgingStore(Protocol):
    """Predictions, verdicts, incidents and how far each series is judged.

    It reads the completed windows that the counting side wrote. Counts and residuals of the same
    stream's earlier generations are given too, up to the series' first step in this one; where two
    generations have the same window, the later one comes after.
    """

    def backlog(
        self, generation: int, series: Sequence[str], limits: SliceLimits
    ) -> "list[SeriesBacklog]":
        """Return the next unjudged steps of those series that have any, in order of series.

        The number of queries does not depend on the number of series.

        Raises:
            Transient: the database asks for another try.
        """
        ...

    def write(self, judged: "Sequence[JudgedSeries]") -> list[str]:
        """Write, in one transaction, each series whose cursor still is where it was judged from.

        Locks the series in their order, checks the cursors, then writes predictions, incidents,
        cursors and alerts (to the outbox). A series that somebody else judged meanwhile is left
        alone: its backlog has to be read again.

        Returns:
            The series that were written.

        Raises:
            Transient: nothing was written, or the outcome is unknown: read the backlog again.
        """
        ...
