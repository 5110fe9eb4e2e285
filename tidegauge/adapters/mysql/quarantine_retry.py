"""Counting an item of the quarantine anew on MySQL: one transaction, in everybody's lock order.

The frontier first, so that nothing closes and no shard is added; then the item's shard and all its
descendants in order of id, so that none of them counts the same event meanwhile; then the item. Its
ancestors are drained and count no more.
"""

from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from tidegauge.adapters.mysql.ledger_rows import keys_of
from tidegauge.adapters.mysql.ledgers import pack_keys
from tidegauge.adapters.mysql.lineage import lock_frontier
from tidegauge.adapters.mysql.partial_counts import add_duplicates, add_partials
from tidegauge.adapters.mysql.quarantine_items import item_of
from tidegauge.adapters.mysql.queries import query, slices
from tidegauge.adapters.mysql.times import from_sql, to_sql
from tidegauge.domain.errors import BrokenInvariant
from tidegauge.domain.lineage import ancestry, descent
from tidegauge.domain.retry import ItemState, Retried, Standing
from tidegauge.ports.quarantine import BEGINNING_BYTES, QuarantinedItem

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

_SHARDS_PER_QUERY = 500

# A shard, and how far it and each of its descendants has counted: fence and ledger number.
_Mark = tuple[int, str, tuple[tuple[str, str | None, int], ...]]


class KeptKeys:
    """The keys of the shard that was last asked for, so that many items need not read them anew.

    Who counts on a shard moves its fence; a retry raises the ledger numbers of the item's shard and
    of its descendants. Either shows in the mark.

    Args:
        max_keys: Above this all are let go; a key takes some 60 bytes.
    """

    def __init__(self, *, max_keys: int = 1_000_000) -> None:
        self._max_keys = max_keys
        self._mark: _Mark | None = None
        self._sets: dict[int, set[int]] = {}

    def trusted(self, mark: _Mark) -> dict[int, set[int]]:
        """Return the kept sets by window start, to be added to; none if somebody has written."""
        if self._mark != mark or sum(map(len, self._sets.values())) > self._max_keys:
            self._mark, self._sets = mark, {}
        return self._sets

    def committed(self, mark: _Mark, new: Mapping[int, Sequence[int]]) -> None:
        """Keep what a transaction has added; call after COMMIT has answered."""
        self._mark = mark
        for window_ms, keys in new.items():
            self._sets[window_ms].update(keys)

    def drop(self) -> None:
        """Forget all, as after any error."""
        self._mark, self._sets = None, {}


class MysqlRetry:
    """Implements `ports.RetryTransaction`.

    Args:
        cursor: Of a transaction that has done nothing yet.
        place: The item as it was read before; its position never changes.
        kept: The keys of this process.
    """

    def __init__(self, cursor: "Cursor", place: QuarantinedItem, kept: KeptKeys) -> None:
        self._cursor = cursor
        self._kept = kept
        self._retried: Retried | None = None
        self._generation = generation = place.generation
        self._shard_id = shard_id = place.shard_id
        self._frontier = lock_frontier(cursor, generation)
        parents = self._parents()
        self._descent = sorted(descent(shard_id, parents))
        self._family = sorted({*ancestry(shard_id, parents), *self._descent})
        shards = self._lock_shards()
        own_time = {row[0]: row[-1] for row in shards}[shard_id]
        marks = ((name, fence, number) for name, fence, number, _ in shards)
        self._mark: _Mark = (generation, shard_id, tuple(marks))
        (self._item,) = locked_items(cursor, [place.item_id])
        greatest = self._one("greatest_stream_time")
        self._standing = Standing(
            current=not self._frontier.ended and not self._one("later_generations"),
            next_window_ms=self._frontier.next_window_ms,
            stream_time_ms=from_sql(own_time),
            greatest_ms=from_sql(greatest),
        )

    def _parents(self) -> dict[str, list[str]]:
        self._cursor.execute(query("shard_parents"), {"generation": self._generation})
        parents = {name: [p for p in both if p] for name, *both in self._cursor.fetchall()}
        if self._shard_id not in parents:
            msg = f"shard {self._shard_id} has an item in quarantine and is not registered"
            raise BrokenInvariant(msg)
        return parents

    def _lock_shards(self) -> list[tuple[Any, ...]]:
        """Lock the shard and its descendants in order of id; return their rows."""
        rows: list[tuple[Any, ...]] = []
        for some in slices(self._descent, _SHARDS_PER_QUERY):
            names = {"generation": self._generation, "shard_ids": some}
            self._cursor.execute(query("lock_shards_named"), names)
            rows.extend(self._cursor.fetchall())
        return rows

    def _one(self, name: str, **values: object) -> Any:
        self._cursor.execute(query(name), {"generation": self._generation, **values})
        row = self._cursor.fetchone()
        return None if row is None else row[0]

    @property
    def item(self) -> QuarantinedItem:
        """Return the item as it stood when it was locked."""
        return self._item

    @property
    def standing(self) -> Standing:
        """Return where its stream stood when that was locked."""
        return self._standing

    def known(self, windows: Set[int]) -> Mapping[int, Set[int]]:
        """Return what the ledgers of the shard, its ancestors and descendants hold, by window."""
        known = self._kept.trusted(self._mark)
        missing = windows - known.keys()
        loaded: dict[int, set[int]] = {window_ms: set() for window_ms in missing}
        for some in slices(self._family, _SHARDS_PER_QUERY):
            for window_ms, keys in keys_of(self._cursor, self._generation, some, missing).items():
                loaded[window_ms] |= keys
        known.update(loaded)
        return {window_ms: known[window_ms] for window_ms in windows}

    def forgotten(self, windows: Set[int]) -> Set[int]:
        """Return the windows that more events are announced of than ledgers hold keys of."""
        found: set[int] = set()
        for window_ms in sorted(windows):
            names = {"generation": self._generation, "window_start": to_sql(window_ms)}
            self._cursor.execute(query("keys_and_counts"), names)
            keys, announced = self._cursor.fetchone() or (0, 0)
            if keys < announced:
                found.add(window_ms)
        return found

    def write(self, retried: Retried) -> None:
        """Write all that the item adds up to, and settle it."""
        self._add_keys(retried)
        shard = (self._generation, self._shard_id)
        add_partials(self._cursor, shard, retried.partials, retried.spans)
        add_duplicates(self._cursor, shard, retried.again)
        settle(self._cursor, [self._item], retried.state)
        self._retried = retried

    def committed(self) -> None:
        """Keep the sets of what was written; call after COMMIT has answered."""
        if self._retried is None or not self._retried.keys:
            return
        generation, shard_id, marks = self._mark
        raised = tuple((name, fence, number + 1) for name, fence, number in marks)
        self._kept.committed((generation, shard_id, raised), self._retried.keys)

    def _add_keys(self, retried: Retried) -> None:
        rows = [
            {
                "generation": self._generation,
                "shard_id": self._shard_id,
                "window_start": to_sql(window_ms),
                "first_sequence": str(self._item.sequence_number),
                "event_keys": pack_keys(keys),
            }
            for window_ms, keys in sorted(retried.keys.items())
        ]
        if not rows:
            return
        self._cursor.executemany(query("append_ledger"), rows)
        for some in slices(self._descent, _SHARDS_PER_QUERY):
            names = {"generation": self._generation, "shard_ids": some}
            self._cursor.execute(query("raise_ledger_numbers"), names)


def locked_items(cursor: "Cursor", item_ids: list[int]) -> list[QuarantinedItem]:
    """Lock items in order of their numbers, behind their shards' rows; return those there are."""
    names = {"ids": item_ids, "beginning": BEGINNING_BYTES}
    cursor.execute(query("lock_items"), names)
    return [item_of(row) for row in cursor.fetchall()]


def settle(
    cursor: "Cursor", items: list[QuarantinedItem], state: ItemState, why: str | None = None
) -> None:
    """Note what became of held items, and let their bytes go; their shards' rows are locked."""
    names = {"ids": [item.item_id for item in items], "state": state.value, "why": why}
    cursor.execute(query("settle_items"), names)
    freed: dict[tuple[int, str], int] = {}
    for item in items:
        if item.kept:
            shard = (item.generation, item.shard_id)
            freed[shard] = freed.get(shard, 0) + item.size_bytes
    for (generation, shard_id), n_bytes in sorted(freed.items()):
        shard_names = {"generation": generation, "shard_id": shard_id, "bytes": n_bytes}
        cursor.execute(query("lower_quarantined_bytes"), shard_names)
