"""Partial counts on MySQL, each with the span of records that gave it; duplicates beside them.

A span stands in the row that counting writes anyway: a row of its own for each would halve what
collect counts of thousands of series. A purge moves both to the evidence.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tidegauge.adapters.mysql.queries import query
from tidegauge.adapters.mysql.times import to_text
from tidegauge.domain.fold import Partial

if TYPE_CHECKING:
    from pymysql.cursors import Cursor


def add_partials(
    cursor: "Cursor",
    shard: tuple[int, str],
    partials: Mapping[Partial, int],
    spans: Mapping[Partial, tuple[int, int]],
) -> None:
    """Add to a shard's counts in the caller's transaction, which holds the shard's lock.

    Counts add up and sequence numbers span what was there before, whatever the order it comes in.

    Args:
        cursor: Of the open transaction.
        shard: Generation and shard.
        partials: Events by partial.
        spans: First and last sequence number of each partial.
    """
    generation, shard_id = shard
    # one order for every writer, so that two of them never wait for each other in a circle
    in_order = sorted(partials, key=lambda p: (p.step_ms, p.window_start_ms, p.series))
    rows = [
        {
            "generation": generation,
            "shard_id": shard_id,
            "step": to_text(partial.step_ms),
            "window_start": to_text(partial.window_start_ms),
            "series": partial.series.encode(),
            "events": partials[partial],
            "first_sequence": str(spans[partial][0]),
            "last_sequence": str(spans[partial][1]),
        }
        for partial in in_order
    ]
    if rows:
        cursor.executemany(query("add_partial_count"), rows)


def add_duplicates(
    cursor: "Cursor", shard: tuple[int, str], again: Mapping[tuple[int, str], int]
) -> None:
    """Add to a shard's duplicates in the caller's transaction, behind its counts.

    Args:
        cursor: Of the open transaction.
        shard: Generation and shard.
        again: Duplicates by window start and series.
    """
    generation, shard_id = shard
    rows = [
        {
            "generation": generation,
            "shard_id": shard_id,
            "window_start": to_text(window_ms),
            "series": series.encode(),
            "duplicates": events,
        }
        for (window_ms, series), events in sorted(again.items())
    ]
    if rows:
        cursor.executemany(query("add_duplicates"), rows)
