"""The quarantine in memory: for tests, and as the plain form of the rules.

Works on the state of a `MemoryCountStore`. What is settled is noted here and stays in the list that
counting adds to, so that a replay, which takes that list away, pays for none of this.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from hashlib import sha256

from tidegauge.adapters.memory import MemoryCountStore
from tidegauge.adapters.memory_state import HeldGeneration
from tidegauge.domain.fold import Quarantined
from tidegauge.domain.lineage import ancestry, descent
from tidegauge.domain.retry import ItemState, Retried, Standing
from tidegauge.ports.quarantine import (
    BEGINNING_BYTES,
    MAX_LOOKED_AT,
    ItemFilter,
    Page,
    QuarantinedItem,
    RetryTransaction,
    Totals,
    UnknownItem,
)


class MemoryQuarantine:
    """Implements `ports.quarantine.QuarantineStore`; nothing here has a clock.

    Args:
        store: Where events are counted.
        stream_name: Name of the events stream.
    """

    def __init__(self, store: MemoryCountStore, stream_name: str) -> None:
        self._store = store
        self._stream_name = stream_name
        self._numbers: dict[tuple[int, str, int, int], int] = {}
        self._settled: dict[int, tuple[ItemState, str]] = {}

    def _items(self) -> dict[int, tuple[QuarantinedItem, bytes]]:
        """Return all items of the stream by number, those that are new with the next numbers."""
        found: dict[int, tuple[QuarantinedItem, bytes]] = {}
        for generation in self._store.generations_of(self._stream_name):
            for shard_id, one in self._store.quarantine(generation):
                place = (generation, shard_id, one.sequence_number, one.sub_index)
                number = self._numbers.setdefault(place, len(self._numbers) + 1)
                found[number] = (self._item(number, generation, shard_id, one), one.data)
        return dict(sorted(found.items()))

    def _item(
        self, number: int, generation: int, shard_id: str, one: Quarantined
    ) -> QuarantinedItem:
        state, why = self._settled.get(number, (ItemState.HELD, ""))
        return QuarantinedItem(
            item_id=number,
            generation=generation,
            shard_id=shard_id,
            sequence_number=one.sequence_number,
            sub_index=one.sub_index,
            arrival_time_ms=one.arrival_time_ms,
            reason=one.reason,
            size_bytes=len(one.data),
            sha256=sha256(one.data).digest(),
            beginning=one.data[:BEGINNING_BYTES] if state is ItemState.HELD else None,
            series=one.series,
            event_time_ms=one.event_time_ms,
            state=state,
            why=why,
        )

    def _meant(self, wanted: ItemFilter) -> list[QuarantinedItem]:
        return [
            item
            for item, _ in self._items().values()
            if (wanted.settled or item.state is ItemState.HELD)
            and (not wanted.reasons or item.reason in wanted.reasons)
            and wanted.shard_id in (None, item.shard_id)
            and wanted.series in (None, item.series)
        ]

    def page(self, wanted: ItemFilter, *, limit: int, before: int | None = None) -> Page:
        """Return the newest items that are meant."""
        found = [i for i in reversed(self._meant(wanted)) if before is None or i.item_id < before]
        return Page(found[:limit], found[limit - 1].item_id if len(found) >= limit else None)

    def totals(self) -> Totals:
        """Return how many items are held, by reason."""
        held = self._meant(ItemFilter())[-MAX_LOOKED_AT:]
        reasons = sorted(item.reason for item in held)
        by_reason = {reason: reasons.count(reason) for reason in reasons}
        return Totals(by_reason, complete=len(held) < MAX_LOOKED_AT)

    def known_ids(self, item_ids: Sequence[int]) -> Set[int]:
        """Return those of the numbers that the quarantine holds, in whatever state."""
        return self._items().keys() & set(item_ids)

    def item(self, item_id: int) -> tuple[QuarantinedItem, bytes | None]:
        """Return one item and its bytes; None where they are not kept. Raises UnknownItem."""
        found = self._items().get(item_id)
        if found is None:
            raise UnknownItem([item_id])
        item, data = found
        return item, data if item.kept else None

    def last_id(self) -> int:
        """Return the number of the newest held item; 0 for none."""
        return max((item.item_id for item in self._meant(ItemFilter())), default=0)

    def held_ids(
        self, wanted: ItemFilter, *, after: int, until: int
    ) -> tuple[Sequence[int], int | None]:
        """Return all held items that are meant, oldest first."""
        meant = self._meant(wanted)
        return [item.item_id for item in meant if after < item.item_id <= until], None

    @contextmanager
    def retrying(self, item_id: int) -> Iterator[RetryTransaction]:
        """Open a transaction on one item; it writes at its end."""
        item, _ = self.item(item_id)
        generations = self._store.generations_of(self._stream_name)
        older = {old for one in generations for old in self._store.superseded(one)}
        held = self._store.held(item.generation)
        transaction = _Retrying(held, item, is_latest=item.generation not in older)
        yield transaction
        if transaction.written is not None:
            transaction.commit(transaction.written)
            self._settled[item_id] = (transaction.written.state, "")

    def discard(self, item_ids: Sequence[int], why: str) -> Sequence[int]:
        """Give held items up: their bytes are told no more, what is known of them stays."""
        held = {item.item_id for item in self._meant(ItemFilter())}
        given_up = sorted(held.intersection(item_ids))
        self._settled.update((number, (ItemState.DISCARDED, why)) for number in given_up)
        return given_up


class _Retrying:
    def __init__(self, held: HeldGeneration, item: QuarantinedItem, *, is_latest: bool) -> None:
        self._held = held
        self._item = item
        self._is_latest = is_latest
        self.written: Retried | None = None

    @property
    def item(self) -> QuarantinedItem:
        return self._item

    @property
    def standing(self) -> Standing:
        states = [line.state for line in self._held.lines().values()]
        times = [s.stream_time_ms for s in states if s.stream_time_ms is not None]
        return Standing(
            current=self._is_latest and not self._held.frontier.ended,
            next_window_ms=self._held.frontier.next_window_ms,
            stream_time_ms=self._held.shard(self._item.shard_id).line.state.stream_time_ms,
            greatest_ms=max(times, default=None),
        )

    def known(self, windows: Set[int]) -> Mapping[int, Set[int]]:
        parents = {name: line.parent_ids for name, line in self._held.lines().items()}
        shard_id = self._item.shard_id
        family = {*ancestry(shard_id, parents), *descent(shard_id, parents)}
        ledgers = [self._held.shards[name].ledger for name in family]
        return {
            window: set().union(*(one.get(window, ()) for one in ledgers)) for window in windows
        }

    def forgotten(self, windows: Set[int]) -> Set[int]:
        return {window for window in windows if self._n_keys(window) < self._n_announced(window)}

    def _n_keys(self, window_ms: int) -> int:
        return sum(len(shard.ledger.get(window_ms, ())) for shard in self._held.shards.values())

    def _n_announced(self, window_ms: int) -> int:
        told = (windows.get(window_ms) for windows in self._held.completed.values())
        return sum(revisions[-1].count for revisions in told if revisions)

    def write(self, retried: Retried) -> None:
        self.written = retried

    def commit(self, retried: Retried) -> None:
        held, shard = self._held, self._held.shard(self._item.shard_id)
        for partial, count in retried.partials.items():
            held.add_count(partial.step_ms, partial.window_start_ms, partial.series, count)
        for window_ms, keys in retried.keys.items():
            shard.ledger.setdefault(window_ms, set()).update(keys)
        held.add_evidence(self._item.shard_id, retried.evidence)
