"""The quarantine: what was set aside, for whoever looks at it, counts it anew or gives it up."""

from collections.abc import Mapping, Sequence, Set
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.event import RejectReason
from tidegauge.domain.retry import ItemState, Retried, Standing

# A page or a sum looks at no more items than these, however many there are.
MAX_LOOKED_AT = 10_000
# How many of its first bytes an item tells without being asked for all.
BEGINNING_BYTES = 120


_MAX_NAMED = 5


class UnknownItem(InvalidInput):
    """The quarantine of the stream has never held anything of these numbers.

    Args:
        item_ids: At least one.
    """

    def __init__(self, item_ids: Sequence[int]) -> None:
        named = ", ".join(map(str, item_ids[:_MAX_NAMED]))
        more = f" nor {len(item_ids) - _MAX_NAMED:,} more" if len(item_ids) > _MAX_NAMED else ""
        super().__init__(
            f"this stream's quarantine has no item {named}{more}: "
            "`tidegauge quarantine list --all` shows what it has"
        )


class QuarantinedItem(msgspec.Struct, frozen=True):
    """Something that was set aside.

    Attributes:
        item_id: Its number, by which people name it; later ones are greater.
        generation: The stream generation that it came from.
        shard_id: The shard that it came from.
        sequence_number: Its record's position.
        sub_index: Which part of the record it is, from 0.
        arrival_time_ms: When the stream took the record; None where nobody recorded it.
        reason: Why it was set aside; a word that this version may not know.
        size_bytes: How long it is.
        sha256: Of its bytes.
        beginning: Its first bytes; None where its bytes are not kept.
        series: Its series, where it was an event as it was set aside.
        event_time_ms: Its event time, likewise.
        noted_at_ms: When it was set aside, by the store's clock; None where nobody noted it.
        state: What became of it.
        settled_at_ms: When that was decided; None while it is held.
        why: What whoever gave it up said; empty for nothing.
    """

    item_id: int
    generation: int
    shard_id: str
    sequence_number: int
    sub_index: int
    arrival_time_ms: int | None
    reason: str
    size_bytes: int
    sha256: bytes
    beginning: bytes | None
    series: str | None = None
    event_time_ms: int | None = None
    noted_at_ms: int | None = None
    state: ItemState = ItemState.HELD
    settled_at_ms: int | None = None
    why: str = ""

    @property
    def kept(self) -> bool:
        """Whether its bytes are still there."""
        return self.beginning is not None


class ItemFilter(msgspec.Struct, frozen=True):
    """Which items are meant.

    Attributes:
        reasons: Set aside for one of these; empty for any reason.
        shard_id: From this shard; None for any.
        series: Of this series, as far as that is known; None for any.
        settled: Also those that are no longer held.
    """

    reasons: frozenset[RejectReason] = frozenset()
    shard_id: str | None = None
    series: str | None = None
    settled: bool = False


class Page(msgspec.Struct, frozen=True):
    """Items, newest first, and where to go on.

    Attributes:
        items: What was found.
        next_before: Ask for those before this number to go on; None at the end.
    """

    items: Sequence[QuarantinedItem]
    next_before: int | None


class Totals(msgspec.Struct, frozen=True):
    """How many items are held, by reason.

    Attributes:
        by_reason: Of the newest ones, up to `MAX_LOOKED_AT`.
        complete: Whether there are no others.
    """

    by_reason: Mapping[str, int]
    complete: bool


class RetryTransaction(Protocol):
    """One item that is counted anew, under the locks of its stream's frontier and shards."""

    @property
    def item(self) -> QuarantinedItem:
        """Return the item as it stood when it was locked."""
        ...

    @property
    def standing(self) -> Standing:
        """Return where its stream stood when that was locked."""
        ...

    def known(self, windows: Set[int]) -> Mapping[int, Set[int]]:
        """Return what the ledgers of the shard, its ancestors and descendants hold, by window."""
        ...

    def forgotten(self, windows: Set[int]) -> Set[int]:
        """Return the windows that more events are announced of than ledgers hold keys of.

        They were purged by a lesser age than events may have now: nobody can tell any more which
        events they hold.
        """
        ...

    def write(self, retried: Retried) -> None:
        """Write all that the item adds up to, and settle it. Called at most once.

        Warm processes notice that the ledgers of the shard and its descendants were written.
        """
        ...


class QuarantineStore(Protocol):
    """The quarantine of one stream, over all its generations."""

    def page(self, wanted: ItemFilter, *, limit: int, before: int | None = None) -> Page:
        """Return the newest items that are meant, of at most `MAX_LOOKED_AT` that are looked at.

        Args:
            wanted: Which ones.
            limit: At most so many.
            before: Those with a lesser number only; None from the newest on.
        """
        ...

    def totals(self) -> Totals:
        """Return how many items are held, by reason."""
        ...

    def known_ids(self, item_ids: Sequence[int]) -> Set[int]:
        """Return those of the numbers that the quarantine holds, in whatever state."""
        ...

    def item(self, item_id: int) -> tuple[QuarantinedItem, bytes | None]:
        """Return one item and its bytes; None where they are not kept. Raises UnknownItem."""
        ...

    def last_id(self) -> int:
        """Return the number of the newest held item; 0 for none."""
        ...

    def held_ids(
        self, wanted: ItemFilter, *, after: int, until: int
    ) -> tuple[Sequence[int], int | None]:
        """Return the next held items that are meant, oldest first, and where to go on.

        Args:
            wanted: Which ones.
            after: Those with a greater number only.
            until: And no greater one than this.

        Returns:
            Their numbers, and the number to ask on after; None at the end.
        """
        ...

    def retrying(self, item_id: int) -> AbstractContextManager[RetryTransaction]:
        """Lock an item and all that counting it touches; commit on leaving, roll back on an error.

        Raises:
            UnknownItem: there is no such item.
            Transient: nothing was written, or nobody knows: do the whole again.
        """
        ...

    def discard(self, item_ids: Sequence[int], why: str) -> Sequence[int]:
        """Give held items up, in one transaction: their bytes go, what is known of them stays.

        Args:
            item_ids: Some hundreds at most; settled and unknown ones are passed over.
            why: What is noted with them.

        Returns:
            The numbers of those that were held, in order.

        Raises:
            Transient: nothing was written, or nobody knows: do the whole again.
        """
        ...
