"""Purging on MySQL: what nobody compares, sends or asks for again, as far as one sweep has time.

A window is purged once no event of it is accepted any more, so that no batch reads or writes these
rows, and nobody compares its ledgers with its counts; counts of steps that are still to be told
stay. First its ledgers go, then its counts slice by slice, however many there are; what they tell
of records becomes evidence in the transaction that deletes them. Evidence and messages go by their
own age. Neither shard nor frontier is locked.
"""

from datetime import datetime
from typing import NamedTuple

from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.queries import query
from tidegauge.adapters.mysql.times import BEFORE_ALL, from_sql, to_sql
from tidegauge.domain.close import CloseRules
from tidegauge.domain.event_time import LATEST_TIME_MS
from tidegauge.domain.evidence import KEPT_DAYS
from tidegauge.ports import Destination, Purged

MAX_WINDOWS = 200
MAX_ROWS = 200_000
# Of a window of five minutes there come a fifth in a minute: this keeps up with 10,000 series on
# 100 shards.
MAX_EVIDENCE_ROWS = 200_000
ROWS_PER_DELETE = 20_000


def purge(database: Database, generation: int, rules: CloseRules) -> Purged:
    """Remove windows, evidence and messages, as many as one sweep has time for."""
    budget = _Budget()
    for span in _spans(database, generation, rules):
        _purge_span(database, span, budget)
    evidence = _purge_evidence(database)
    messages = [_purge_outbox(database, destination) for destination in Destination]
    finished = not budget.spent and evidence < MAX_EVIDENCE_ROWS and ROWS_PER_DELETE not in messages
    return Purged(budget.windows, sum(messages), finished, evidence)


class _Span(NamedTuple):
    """What to purge of a generation: windows up to the last, counts of steps before one."""

    generation: int
    last: datetime
    before_step: datetime


class _Budget:
    def __init__(self) -> None:
        self.windows = 0
        self.rows = 0

    @property
    def spent(self) -> bool:
        return self.windows >= MAX_WINDOWS or self.rows >= MAX_ROWS


def _spans(database: Database, generation: int, rules: CloseRules) -> list[_Span]:
    with database.transaction() as cursor:
        cursor.execute(query("ended_generations"))
        ended = [int(number) for (number,) in cursor.fetchall()]
        cursor.execute(query("next_window"), {"generation": generation})
        row = cursor.fetchone()
    end = to_sql(LATEST_TIME_MS)
    spans = [_Span(number, end, end) for number in ended]
    next_ms = from_sql(row[0]) if row is not None else None
    if next_ms is not None:
        last_ms = next_ms - rules.size_ms - rules.max_event_age_ms
        spans.append(_Span(generation, to_sql(last_ms), to_sql(next_ms)))
    return spans


def _purge_span(database: Database, span: _Span, budget: _Budget) -> None:
    after = BEFORE_ALL
    while not budget.spent:
        window_start = _next_window(database, span, after)
        if window_start is None:
            return
        rows = _purge_window(database, span, window_start, budget)
        budget.windows += rows > 0
        after = window_start


def _next_window(database: Database, span: _Span, after: datetime) -> datetime | None:
    names = {"generation": span.generation, "after": after}
    found: list[datetime] = []
    with database.transaction() as cursor:
        for name in ("next_counted_window", "next_ledger_window"):
            cursor.execute(query(name), names)
            found += [window for (window,) in cursor.fetchall() if window is not None]
    return min((window for window in found if window <= span.last), default=None)


def _purge_window(database: Database, span: _Span, window_start: datetime, budget: _Budget) -> int:
    """Purge a window as far as the budget goes; return how many rows went."""
    names = {
        "generation": span.generation,
        "window_start": window_start,
        "before_step": span.before_step,
        "limit": ROWS_PER_DELETE,
    }
    with database.transaction() as cursor:
        rows = cursor.execute(query("purge_ledger"), names)
    deleted = ROWS_PER_DELETE
    while deleted == ROWS_PER_DELETE and budget.rows + rows < MAX_ROWS:
        with database.transaction() as cursor:
            cursor.execute(query("move_to_evidence"), names)
            deleted = cursor.execute(query("purge_partial_counts"), names)
        rows += deleted
    budget.rows += rows
    return rows


def _purge_evidence(database: Database) -> int:
    names = {"days": KEPT_DAYS, "limit": ROWS_PER_DELETE}
    rows = 0
    while rows < MAX_EVIDENCE_ROWS:
        with database.transaction() as cursor:
            deleted = cursor.execute(query("purge_evidence"), names)
        rows += deleted
        if deleted < ROWS_PER_DELETE:
            break
    return rows


def _purge_outbox(database: Database, destination: Destination) -> int:
    names = {"destination": destination.value, "limit": ROWS_PER_DELETE}
    with database.transaction() as cursor:
        return cursor.execute(query("purge_outbox"), names)
