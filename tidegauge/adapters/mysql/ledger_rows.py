"""Reading ledgers on MySQL: the keys of a shard and all its ancestors."""

from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING

from tidegauge.adapters.mysql.ledgers import unpack_keys
from tidegauge.adapters.mysql.queries import query, slices
from tidegauge.adapters.mysql.times import from_sql, to_sql
from tidegauge.domain.lineage import ShardLine, ancestry

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

_WINDOWS_PER_QUERY = 500


def known_keys(
    cursor: "Cursor", generation: int, shard: ShardLine, windows: Set[int]
) -> Mapping[int, Set[int]]:
    """Return the keys in the ledgers of a shard and its ancestors, by window start."""
    shard_ids = [shard.shard_id]
    if shard.parent_ids:
        cursor.execute(query("shard_parents"), {"generation": generation})
        parents = {name: [p for p in both if p] for name, *both in cursor.fetchall()}
        shard_ids = ancestry(shard.shard_id, parents)
    return keys_of(cursor, generation, shard_ids, windows)


def keys_of(
    cursor: "Cursor", generation: int, shard_ids: Sequence[str], windows: Set[int]
) -> Mapping[int, Set[int]]:
    """Return the keys in the ledgers of some shards, by window start."""
    loaded: dict[int, set[int]] = {window_ms: set() for window_ms in windows}
    for some in slices(sorted(windows), _WINDOWS_PER_QUERY):
        names = {
            "generation": generation,
            "windows": [to_sql(window_ms) for window_ms in some],
            "shard_ids": shard_ids,
        }
        cursor.execute(query("ledger_keys"), names)
        for window_start, blob in cursor.fetchall():
            loaded[from_sql(window_start)].update(unpack_keys(blob))
    return dict(loaded)
