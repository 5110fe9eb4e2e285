"""Evidence on MySQL: added to in the transaction that counts, purged by the age of its rows."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tidegauge.adapters.mysql.queries import query
from tidegauge.adapters.mysql.times import to_sql
from tidegauge.domain.evidence import Evidence

if TYPE_CHECKING:
    from pymysql.cursors import Cursor


def add_evidence(
    cursor: "Cursor",
    generation: int,
    shard_id: str,
    evidence: Mapping[tuple[int, str], Evidence],
) -> None:
    """Add evidence in the caller's transaction, which holds the shard's lock.

    Counts add up and sequence numbers span what was there before, whatever the order it comes in.

    Args:
        cursor: Of the open transaction.
        generation: The stream generation's number.
        shard_id: The shard whose records it tells of.
        evidence: By window start and series, as `BatchCount.evidence`.
    """
    rows = [
        {
            "generation": generation,
            "series": series.encode(),
            "window_start": to_sql(window_ms),
            "shard_id": shard_id,
            "first_sequence": _text(one.first_sequence),
            "last_sequence": _text(one.last_sequence),
            "on_time": one.on_time,
            "late": one.late,
            "duplicates": one.duplicates,
        }
        for (window_ms, series), one in evidence.items()
    ]
    # one order for every writer, so that two of them never wait for each other in a circle
    rows.sort(key=lambda row: (row["window_start"], row["series"]))
    if rows:
        cursor.executemany(query("add_evidence"), rows)


def _text(sequence_number: int | None) -> str | None:
    return None if sequence_number is None else str(sequence_number)
