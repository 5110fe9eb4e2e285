"""The store of counts: the only state of counting, one transaction a step."""

from collections.abc import Mapping, Sequence, Set
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from tidegauge.domain.close import Closing, SeriesState, StepCount
from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.errors import TidegaugeError, Transient
from tidegauge.domain.fold import BatchCount, Gap, ShardState
from tidegauge.ports.outbox import OutboxMessage
from tidegauge.ports.stream import ShardListing, StreamIdentity


class UnknownShard(TidegaugeError):
    """The store knows no such shard: register a whole listing first."""


class WaitingShard(Transient):
    """The shard has a parent that is not drained yet: deliver the batch again later."""


class EndedGeneration(Transient):
    """A later generation of the stream has ended this one: nothing is announced of it any more."""


class Frontier(msgspec.Struct, frozen=True):
    """How far a stream generation is closed.

    Attributes:
        next_window_ms: Start of the first open window; None before the first closing.
        observed_from_ms: Start of the first window that was watched from its beginning; None
            before the first closing.
        listed: Whether a whole listing of shards is registered.
        ended: Whether a later generation of the stream has ended this one; nothing is announced
            of it any more.
    """

    next_window_ms: int | None
    observed_from_ms: int | None
    listed: bool
    ended: bool = False


class ShardTimes(msgspec.Struct, frozen=True):
    """The stream times of one shard, ms since the epoch.

    Attributes:
        shard_id: The shard.
        first_ms: Stream time after its first heartbeat of its own; None before that.
        stream_time_ms: Up to where it lets windows close: its stream time, which a child takes over
            from its parents, or the beginning of a loss that no heartbeat has ended yet, where that
            lies before it. None before the first heartbeat of a shard without parents, and where
            the loss has no beginning.
        active: Whether it holds the watermark back: it is neither drained nor waiting for a parent,
            or waits with a loss that it has taken over from another one.
    """

    shard_id: str
    first_ms: int | None
    stream_time_ms: int | None
    active: bool


class CollectTransaction(Protocol):
    """One batch of one shard, under that shard's lock."""

    @property
    def state(self) -> ShardState:
        """Return the shard's row as it stood when it was locked."""
        ...

    @property
    def drained(self) -> bool:
        """Return whether the shard is drained: what was not counted of it is told as lost."""
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
        """Return the stream times of all shards in one reading, before any count is read."""
        ...

    def last_step_ms(self) -> int | None:
        """Return the greatest step that has counts; None where nothing was counted."""
        ...

    def next_step_ms(self, from_ms: int) -> int | None:
        """Return the least step from `from_ms` on that has counts; None for none."""
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
        self,
        closing: Closing,
        frontier: Frontier,
        messages: Sequence[OutboxMessage],
        gaps: Sequence[Gap] = (),
    ) -> None:
        """Write completed windows, series, frontier and outbox. Called at most once.

        Args:
            closing: What is announced.
            frontier: The frontier from now on.
            messages: The announcements.
            gaps: Losses of the whole stream, of no one shard; one with the same sequence number
                replaces the other.
        """
        ...


class CountStore(Protocol):
    """The only state of counting. Every method but the readers is one transaction."""

    def generation(self, identity: StreamIdentity) -> int:
        """Return the number of a stream generation, a new one for a stream not seen before."""
        ...

    def superseded(self, generation: int) -> list[int]:
        """Return the older generations of the same stream, by creation time, that are not ended."""
        ...

    def register_shards(
        self, generation: int, listing: Sequence[ShardListing], gone: Set[str] = frozenset()
    ) -> None:
        """Register one whole listing, in one transaction; shards that are known stay as they are.

        A shard that is new to a generation which has counted already, and whose parents nobody
        knows, starts at the greatest stream time of all shards: a window that is announced must
        not get events on time. `gone` shards are drained as by `SweepStore.drain`, with a loss.
        One that has no registered child leaves its loss to those shards of the listing that name
        a parent which is not registered, or are new and name none; without any such it stays as
        it is, and holds the watermark back.

        Args:
            generation: The stream generation's number.
            listing: All shards that the stream lists.
            gone: Shards that were registered before the listing was asked for and that it lacks:
                they expired with whatever nobody had read of them.
        """
        ...

    def collecting(
        self, generation: int, shard_id: str
    ) -> AbstractContextManager[CollectTransaction]:
        """Lock a shard for one batch; commit on leaving, roll back on an exception.

        Raises:
            UnknownShard: the shard is not registered.
            WaitingShard: a registered parent of the shard is not drained.
            EndedGeneration: the stream was made anew; ask which generation it is now.
            Transient: a lock timeout, a deadlock, a lost connection: the whole batch anew.
        """
        ...

    def closing(self, generation: int) -> AbstractContextManager[CloseTransaction]:
        """Lock the frontier for one closing; commit on leaving, roll back on an exception."""
        ...
