"""Reading the quarantine on MySQL: pages, sums, single items; a bounded part of it each time."""

from collections.abc import Iterator, Sequence, Set
from typing import TYPE_CHECKING, Any, NamedTuple

from tidegauge.adapters.mysql.queries import query, slices
from tidegauge.adapters.mysql.times import from_sql
from tidegauge.domain.retry import ItemState
from tidegauge.ports.quarantine import (
    BEGINNING_BYTES,
    MAX_LOOKED_AT,
    ItemFilter,
    Page,
    QuarantinedItem,
    Totals,
    UnknownItem,
)

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

_ROWS_PER_QUERY = 500
_BEYOND_ALL = 2**63


class _Row(NamedTuple):
    """What decides whether an item is meant."""

    item_id: int
    generation: int
    reason: str
    shard_id: str
    series: bytes | None


def generations_of(cursor: "Cursor", stream_name: str) -> Set[int]:
    """Return the generations of all streams of a name."""
    cursor.execute(query("quarantine_generations"), {"stream": stream_name})
    return {int(number) for (number,) in cursor.fetchall()}


def page(
    cursor: "Cursor", generations: Set[int], wanted: ItemFilter, *, limit: int, before: int | None
) -> Page:
    """Return the newest items that are meant; see `ports.QuarantineStore`."""
    found: list[int] = []
    next_before: int | None = None
    name = "newest_items" if wanted.settled else "newest_held"
    for row, is_last in _looked_at(cursor, name, {"before": before or _BEYOND_ALL}):
        if _is_meant(row, generations, wanted):
            found.append(row.item_id)
        if is_last or len(found) == limit:
            next_before = row.item_id
        if len(found) == limit:
            break
    items = sorted(items_of(cursor, found), key=lambda item: -item.item_id)
    return Page(items, next_before)


def held_ids(
    cursor: "Cursor", generations: Set[int], wanted: ItemFilter, *, after: int, until: int
) -> tuple[list[int], int | None]:
    """Return the next held items that are meant; see `ports.QuarantineStore`."""
    names = {"after": after, "until": until, "limit": _ROWS_PER_QUERY}
    cursor.execute(query("oldest_held"), names)
    rows = [_Row(*row) for row in cursor.fetchall()]
    found = [row.item_id for row in rows if _is_meant(row, generations, wanted)]
    return found, rows[-1].item_id if len(rows) == _ROWS_PER_QUERY else None


def _looked_at(cursor: "Cursor", name: str, names: dict[str, int]) -> Iterator[tuple[_Row, bool]]:
    """Yield rows, newest first, and whether one is the last that is looked at, but not the end."""
    n_left = MAX_LOOKED_AT
    while n_left:
        cursor.execute(query(name), {**names, "limit": _ROWS_PER_QUERY})
        rows = [_Row(*row) for row in cursor.fetchall()]
        for row in rows:
            n_left -= 1
            yield row, not n_left
        if len(rows) < _ROWS_PER_QUERY:
            return
        names = {"before": rows[-1].item_id}


def _is_meant(row: _Row, generations: Set[int], wanted: ItemFilter) -> bool:
    series = None if wanted.series is None else wanted.series.encode()
    return (
        row.generation in generations
        and (not wanted.reasons or row.reason in wanted.reasons)
        and wanted.shard_id in (None, row.shard_id)
        and series in (None, row.series)
    )


def totals(cursor: "Cursor", generations: Set[int]) -> Totals:
    """Return how many items are held, by reason; see `ports.QuarantineStore`."""
    cursor.execute(query("held_by_reason"), {"limit": MAX_LOOKED_AT})
    by_reason: dict[str, int] = {}
    n_looked_at = 0
    for generation, reason, count in cursor.fetchall():
        n_looked_at += count
        if generation in generations:
            by_reason[reason] = by_reason.get(reason, 0) + count
    return Totals(dict(sorted(by_reason.items())), complete=n_looked_at < MAX_LOOKED_AT)


def last_id(cursor: "Cursor") -> int:
    """Return the number of the newest held item of any stream; 0 for none."""
    cursor.execute(query("last_held"))
    row = cursor.fetchone()
    return 0 if row is None or row[0] is None else int(row[0])


def items_of(cursor: "Cursor", item_ids: Sequence[int]) -> list[QuarantinedItem]:
    """Return those of the items that there are, in any order."""
    found: list[QuarantinedItem] = []
    for some in slices(item_ids, _ROWS_PER_QUERY):
        cursor.execute(query("items_by_id"), {"ids": some, "beginning": BEGINNING_BYTES})
        found.extend(map(item_of, cursor.fetchall()))
    return found


def item_with_data(
    cursor: "Cursor", generations: Set[int], item_id: int
) -> tuple[QuarantinedItem, bytes | None]:
    """Return one item and its bytes. Raises UnknownItem."""
    names = {"id": item_id, "beginning": BEGINNING_BYTES}
    cursor.execute(query("item_with_data"), names)
    row = cursor.fetchone()
    if row is None or row[1] not in generations:
        raise UnknownItem([item_id])
    return item_of(row[:-1]), row[-1]


def item_of(row: Sequence[Any]) -> QuarantinedItem:
    """Return a row of `items_by_id` or `lock_items`."""
    item_id, generation, shard_id, number, sub_index, arrival, reason, size, *rest = row
    sha256, beginning, series, event_time, noted_at, state, settled_at, why = rest
    return QuarantinedItem(
        item_id=item_id,
        generation=generation,
        shard_id=shard_id,
        sequence_number=int(number),
        sub_index=sub_index,
        arrival_time_ms=from_sql(arrival),
        reason=reason,
        size_bytes=size,
        sha256=sha256,
        beginning=beginning,
        series=None if series is None else series.decode(),
        event_time_ms=from_sql(event_time),
        noted_at_ms=from_sql(noted_at),
        state=ItemState(state),
        settled_at_ms=from_sql(settled_at),
        why=why or "",
    )
