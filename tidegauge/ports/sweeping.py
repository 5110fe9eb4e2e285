"""What the sweep alone asks of the store: lineage, clock, losses, purge."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from tidegauge.domain.close import CloseRules
from tidegauge.domain.event import Event


class ShardProgress(msgspec.Struct, frozen=True):
    """How far one shard is counted, as the sweep sees it.

    Attributes:
        shard_id: The shard.
        parent_ids: Its parents, registered or not.
        fence: The last sequence number counted; `NO_FENCE` before the first.
        stream_time_ms: Its stream time; None before it has any.
        beat: Sequence number of the last heartbeat that the sweep has put on it; None for none.
        drained: Whether all its records are counted and no more can come.
        waiting: Whether a registered parent is not drained.
        skipped: The last record that the stream's reader gave up on; None for none.
    """

    shard_id: str
    parent_ids: tuple[str, ...]
    fence: int
    stream_time_ms: int | None
    beat: int | None
    drained: bool
    waiting: bool
    skipped: int | None = None


class Backlog(msgspec.Struct, frozen=True):
    """What waits in the store, for metrics and status.

    Attributes:
        open_windows: Windows that have counts of a step which is not closed yet.
        gaps: Gaps that are known of this generation.
        outbox_age_ms: Age of the oldest message that was not sent; 0 for none.
        unjudged_series: Series with announced windows that have no verdict.
    """

    open_windows: int
    gaps: int
    outbox_age_ms: int
    unjudged_series: int


class Purged(msgspec.Struct, frozen=True):
    """What one purge removed: windows, messages, rows of evidence; and whether that was all."""

    windows: int
    messages: int
    finished: bool
    evidence: int = 0


class SweepStore(Protocol):
    """What the sweep alone asks of the store."""

    def only_one(self) -> AbstractContextManager[bool]:
        """Give True to the one sweep of this store, False to any other meanwhile."""
        ...

    def shards(self, generation: int) -> list[ShardProgress]:
        """Return all registered shards in order of their names."""
        ...

    def note_beats(self, generation: int, beats: Mapping[str, int]) -> None:
        """Note the sequence number of the heartbeat that was put on each shard."""
        ...

    def note_unread(self, generation: int, shard_id: str, sequence_number: int) -> None:
        """Note that a record was seen behind the fence: should it expire, the loss is proven."""
        ...

    def note_skipped(self, generation: int, shard_id: str, sequence_number: int) -> None:
        """Note how far the stream's reader has gone on without a batch: nobody will read it.

        The greatest counts. The fence stays: it says what is counted.
        """
        ...

    def drain(self, generation: int, shard_id: str, fence: int) -> bool:
        """Mark a closed shard drained, and start each child whose parents now all are.

        A child starts at the greatest of its parents' stream times. Where the last heartbeat put
        was not processed, or a record that was seen was not counted, it takes over a loss from
        the parent's stream time on, which its first own heartbeat ends (`ShardState.lost_from_ms`,
        0 where the parent had no stream time). A loss that the parent itself had taken over and
        not yet ended goes on to its children; the earliest counts.

        Args:
            generation: The stream generation's number.
            shard_id: A shard that is closed, and whose reading from `fence` on reached its end
                without a record but those that the stream's reader gave up on.
            fence: The fence as it stood before that reading.

        Returns:
            False, and nothing is changed, where the fence has moved, the shard is drained already
            or waits itself, or no child of it is registered: the listing lags behind.
        """
        ...

    def noted_failures(self, names: Sequence[str]) -> set[str]:
        """Return those of the failed batches' names that were noted before."""
        ...

    def note_failure(
        self, generation: int, shard_id: str, name: str, events: Sequence[Event], rules: CloseRules
    ) -> int:
        """Note a batch that the stream's reader gave up on, once by its name.

        Events that no ledger of the shard or its ancestors holds are lost: a gap over their
        windows (reason `BATCH_SKIPPED`), and for each (window, series) of them whose window is
        announced already an empty count of the next step, so that the next closing tells of it.

        Args:
            generation: The stream generation's number.
            shard_id: A registered shard.
            name: The batch's unique name.
            events: All that was in it.
            rules: For the length of a window.

        Returns:
            How many of the events are lost.

        Raises:
            UnknownShard: the shard is not registered.
        """
        ...

    def purge(self, generation: int, rules: CloseRules) -> Purged:
        """Remove what nobody will compare or send again; bounded, and safe at any moment.

        Ledger rows of a window go, and then its partial counts, once its end + the greatest age of
        an event lies at or before the first open window; those of an ended generation at once.
        What there is no time for goes with the next sweeps.
        Evidence goes `KEPT_DAYS` after its window's purge, by the wall clock; a store without one
        lets it go with the ledgers. Messages go a week after they were sent.
        """
        ...

    def backlog(self, generation: int) -> Backlog:
        """Return what waits."""
        ...

    def ring_again(self, limit: int) -> int:
        """Put a doorbell in the outbox for each series that waits too long for a verdict.

        Returns:
            How many series were rung for; at most `limit`. Intervals grow per series.
        """
        ...
