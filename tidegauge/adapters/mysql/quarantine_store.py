"""The quarantine of one stream on MySQL: implements `ports.quarantine.QuarantineStore`."""

from collections.abc import Iterator, Sequence, Set
from contextlib import AbstractContextManager, contextmanager

from tidegauge.adapters.mysql import quarantine_items
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.lineage import lock_frontier
from tidegauge.adapters.mysql.quarantine_retry import KeptKeys, MysqlRetry, locked_items, settle
from tidegauge.adapters.mysql.queries import query, slices
from tidegauge.domain.retry import ItemState
from tidegauge.ports.quarantine import (
    ItemFilter,
    Page,
    QuarantinedItem,
    RetryTransaction,
    Totals,
    UnknownItem,
)

_SHARDS_PER_QUERY = 500


class MysqlQuarantine:
    """What was set aside of a stream.

    Args:
        database: Where counts live.
        stream_name: Name of the events stream.
    """

    def __init__(self, database: Database, stream_name: str) -> None:
        self._database = database
        self._stream_name = stream_name
        self._kept = KeptKeys()

    def page(self, wanted: ItemFilter, *, limit: int, before: int | None = None) -> Page:
        """Return the newest items that are meant, of those that are looked at."""
        with self._database.transaction() as cursor:
            mine = quarantine_items.generations_of(cursor, self._stream_name)
            return quarantine_items.page(cursor, mine, wanted, limit=limit, before=before)

    def totals(self) -> Totals:
        """Return how many items are held, by reason."""
        with self._database.transaction() as cursor:
            mine = quarantine_items.generations_of(cursor, self._stream_name)
            return quarantine_items.totals(cursor, mine)

    def known_ids(self, item_ids: Sequence[int]) -> Set[int]:
        """Return those of the numbers that the quarantine holds, in whatever state."""
        with self._database.transaction() as cursor:
            mine = quarantine_items.generations_of(cursor, self._stream_name)
            items = quarantine_items.items_of(cursor, item_ids)
        return {item.item_id for item in items if item.generation in mine}

    def item(self, item_id: int) -> tuple[QuarantinedItem, bytes | None]:
        """Return one item and its bytes; None where they are not kept. Raises UnknownItem."""
        with self._database.transaction() as cursor:
            mine = quarantine_items.generations_of(cursor, self._stream_name)
            return quarantine_items.item_with_data(cursor, mine, item_id)

    def last_id(self) -> int:
        """Return the number of the newest held item; 0 for none."""
        with self._database.transaction() as cursor:
            return quarantine_items.last_id(cursor)

    def held_ids(
        self, wanted: ItemFilter, *, after: int, until: int
    ) -> tuple[Sequence[int], int | None]:
        """Return the next held items that are meant, oldest first, and where to go on."""
        with self._database.transaction() as cursor:
            mine = quarantine_items.generations_of(cursor, self._stream_name)
            return quarantine_items.held_ids(cursor, mine, wanted, after=after, until=until)

    def retrying(self, item_id: int) -> AbstractContextManager[RetryTransaction]:
        """Lock an item and all that counting it touches; commit on leaving, else roll back."""
        return self._retrying(item_id)

    @contextmanager
    def _retrying(self, item_id: int) -> Iterator[RetryTransaction]:
        # where it stands never changes; read apart, so that a lock is the first statement
        with self._database.transaction() as cursor:
            mine = quarantine_items.generations_of(cursor, self._stream_name)
            found = quarantine_items.items_of(cursor, [item_id])
        if not found or found[0].generation not in mine:
            raise UnknownItem([item_id])
        try:
            with self._database.transaction() as cursor:
                retrying = MysqlRetry(cursor, found[0], self._kept)
                yield retrying
        except BaseException:
            self._kept.drop()
            raise
        retrying.committed()

    def discard(self, item_ids: Sequence[int], why: str) -> Sequence[int]:
        """Give held items up, in one transaction: their bytes go, what is known of them stays."""
        with self._database.transaction() as cursor:
            mine = quarantine_items.generations_of(cursor, self._stream_name)
            items = quarantine_items.items_of(cursor, item_ids)
        shards: dict[int, set[str]] = {}
        for item in items:
            if item.generation in mine:
                shards.setdefault(item.generation, set()).add(item.shard_id)
        if not shards:
            return []
        with self._database.transaction() as cursor:
            for generation in sorted(shards):
                lock_frontier(cursor, generation)
            for generation in sorted(shards):
                for some in slices(sorted(shards[generation]), _SHARDS_PER_QUERY):
                    names = {"generation": generation, "shard_ids": some}
                    cursor.execute(query("lock_shards_named"), names)
            locked = locked_items(cursor, list(item_ids))
            held = [
                item for item in locked if item.generation in mine and item.state is ItemState.HELD
            ]
            if held:
                settle(cursor, held, ItemState.DISCARDED, why or None)
        return [item.item_id for item in held]
