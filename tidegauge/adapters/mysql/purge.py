"""Purging on MySQL: what nobody compares or sends again, in small transactions, as far as it goes.

A window is purged once no event of it is accepted any more, so that no batch reads or writes these
rows; counts of steps that are still to be told stay. Neither shard nor frontier is locked.
"""

from datetime import datetime

from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.queries import query
from tidegauge.adapters.mysql.times import from_sql, to_sql
from tidegauge.domain.close import CloseRules
from tidegauge.domain.event_time import LATEST_TIME_MS
from tidegauge.ports import Destination, Purged

MAX_WINDOWS = 200
MAX_ROWS = 200_000
ROWS_PER_DELETE = 20_000


def purge(database: Database, generation: int, rules: CloseRules) -> Purged:
    """Remove windows and messages, as many as one sweep has time for."""
    windows, rows = 0, 0
    finished = True
    for of_generation, before_ms, last_ms in _spans(database, generation, rules):
        for window_start in _windows(database, of_generation, before_ms, last_ms):
            if windows == MAX_WINDOWS or rows >= MAX_ROWS:
                finished = False
                break
            rows += _purge_window(database, of_generation, window_start, before_ms)
            windows += 1
    messages = [_purge_outbox(database, destination) for destination in Destination]
    full = any(count == ROWS_PER_DELETE for count in messages)
    return Purged(windows, sum(messages), finished=finished and not full)


def _spans(database: Database, generation: int, rules: CloseRules) -> list[tuple[int, int, int]]:
    """Return each generation with its first open step and its last window to purge."""
    with database.transaction() as cursor:
        cursor.execute(query("ended_generations"))
        spans = [(int(row[0]), LATEST_TIME_MS, LATEST_TIME_MS) for row in cursor.fetchall()]
        cursor.execute(query("next_window"), {"generation": generation})
        row = cursor.fetchone()
    next_ms = from_sql(row[0]) if row is not None else None
    if next_ms is not None:
        last_ms = next_ms - rules.size_ms - rules.max_event_age_ms
        spans.append((generation, next_ms, last_ms))
    return spans


def _windows(database: Database, generation: int, before_ms: int, last_ms: int) -> list[datetime]:
    names = {
        "generation": generation,
        "before_step": to_sql(before_ms),
        "last": to_sql(last_ms),
        "limit": MAX_WINDOWS + 1,
    }
    found: set[datetime] = set()
    with database.transaction() as cursor:
        for name in ("counted_windows", "ledger_windows"):
            cursor.execute(query(name), names)
            found.update(window_start for (window_start,) in cursor.fetchall())
    return sorted(found)


def _purge_window(
    database: Database, generation: int, window_start: datetime, before_ms: int
) -> int:
    names = {
        "generation": generation,
        "window_start": window_start,
        "before_step": to_sql(before_ms),
        "limit": ROWS_PER_DELETE,
    }
    with database.transaction() as cursor:
        rows = cursor.execute(query("purge_ledger"), names)
        deleted = cursor.execute(query("purge_partial_counts"), names)
    rows += deleted
    while deleted == ROWS_PER_DELETE:
        with database.transaction() as cursor:
            deleted = cursor.execute(query("purge_partial_counts"), names)
        rows += deleted
    return rows


def _purge_outbox(database: Database, destination: Destination) -> int:
    names = {"destination": destination.value, "limit": ROWS_PER_DELETE}
    with database.transaction() as cursor:
        return int(cursor.execute(query("purge_outbox"), names))
