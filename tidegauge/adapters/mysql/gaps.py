"""Known losses on MySQL."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tidegauge.adapters.mysql.queries import query
from tidegauge.adapters.mysql.times import to_sql
from tidegauge.domain.fold import Gap

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

WHOLE_STREAM = ""


def add_gaps(cursor: "Cursor", generation: int, shard_id: str, gaps: Sequence[Gap]) -> None:
    """Note gaps in the caller's transaction; one with the same sequence number is replaced.

    Args:
        cursor: Of the open transaction.
        generation: The stream generation's number.
        shard_id: The shard that lost records; `WHOLE_STREAM` for no one shard.
        gaps: What was lost.
    """
    rows = [
        {
            "generation": generation,
            "shard_id": shard_id,
            "sequence_number": str(gap.sequence_number),
            "starts_at": to_sql(gap.from_ms),
            "ends_at": to_sql(gap.until_ms),
            "reason": gap.reason.value,
        }
        for gap in gaps
    ]
    if rows:
        cursor.executemany(query("add_gap"), rows)
