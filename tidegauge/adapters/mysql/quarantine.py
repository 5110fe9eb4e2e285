"""Setting records aside on MySQL: bytes, position and reason, within a limit of bytes."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from tidegauge.adapters.mysql.queries import query
from tidegauge.adapters.mysql.times import to_sql
from tidegauge.domain.fold import Quarantined

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

# Escaped, a piece may double; with the rest of its statement it must fit the smallest default of
# max_allowed_packet, 16 MiB.
_PIECE_BYTES = 4 * 1024 * 1024


def set_aside(
    cursor: "Cursor",
    shard: Mapping[str, Any],
    items: Sequence[Quarantined],
    *,
    max_bytes: int,
) -> int:
    """Write quarantined items in the caller's transaction; return the bytes that were kept.

    Args:
        cursor: Of the open transaction.
        shard: `generation` and `shard_id`.
        items: Unique by sequence number and sub-index.
        max_bytes: Bytes kept over all shards; an item beyond it keeps its hash only.
    """
    if not items:
        return 0
    cursor.execute(query("quarantined_bytes"))
    row = cursor.fetchone()
    room = max_bytes - int(row[0] if row else 0)
    kept = 0
    rows: list[dict[str, Any]] = []
    pieces: list[dict[str, Any]] = []
    for item in items:
        keep = kept + len(item.data) <= room
        kept += len(item.data) if keep else 0
        place = {
            **shard,
            "sequence_number": str(item.sequence_number),
            "sub_index": item.sub_index,
        }
        rows.append(
            {
                **place,
                "arrival_time": to_sql(item.arrival_time_ms),
                "reason": item.reason.value,
                "size_bytes": len(item.data),
                "sha256": sha256(item.data).digest(),
                "data": item.data[:_PIECE_BYTES] if keep else None,
                "series": None if item.series is None else item.series.encode(),
                "event_time": to_sql(item.event_time_ms),
            }
        )
        pieces += [
            {**place, "more": item.data[start : start + _PIECE_BYTES]}
            for start in range(_PIECE_BYTES, len(item.data) if keep else 0, _PIECE_BYTES)
        ]
    cursor.executemany(query("add_quarantined"), rows)  # a batch may be nothing but rejects
    for piece in pieces:
        cursor.execute(query("append_quarantined"), piece)
    return kept
