"""Batches that a stream's reader gave up on, as MySQL notes them."""

from collections.abc import Sequence

from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.gaps import add_gaps
from tidegauge.adapters.mysql.ledger_rows import known_keys
from tidegauge.adapters.mysql.lineage import lock_frontier, lock_shard
from tidegauge.adapters.mysql.queries import query, slices
from tidegauge.adapters.mysql.times import to_sql
from tidegauge.domain.close import CloseRules
from tidegauge.domain.event import Event
from tidegauge.domain.skipped_batch import skipped_batch, windows_of

_NAMES_PER_QUERY = 500


def noted_failures(database: Database, names: Sequence[str]) -> set[str]:
    """Return those of the failed batches' names that were noted before."""
    noted: set[str] = set()
    with database.transaction() as cursor:
        for some in slices(names, _NAMES_PER_QUERY):
            cursor.execute(query("noted_failures"), {"names": [name.encode() for name in some]})
            noted.update(name.decode() for (name,) in cursor.fetchall())
    return noted


def note_failure(
    database: Database,
    generation: int,
    shard_id: str,
    name: str,
    events: Sequence[Event],
    rules: CloseRules,
) -> int:
    """Note a failed batch once by its name; see `ports.SweepStore`.

    Nothing closes meanwhile, since the frontier is held; nothing of the shard is counted, since its
    row is.
    """
    with database.transaction() as cursor:
        frontier = lock_frontier(cursor, generation)
        shard, _ = lock_shard(cursor, generation, shard_id)
        cursor.execute(query("noted_failures"), {"names": [name.encode()]})
        if cursor.fetchone() is not None:
            return 0
        windows = windows_of(events, size_ms=rules.size_ms)
        known = known_keys(cursor, generation, shard, windows)
        skipped = skipped_batch(name, events, known, size_ms=rules.size_ms)
        place = {"generation": generation, "shard_id": shard_id}
        add_gaps(cursor, generation, shard_id, skipped.gaps)
        next_ms = frontier.next_window_ms
        told = [
            {
                **place,
                "step": to_sql(next_ms),
                "window_start": to_sql(window_ms),
                "series": series.encode(),
                "events": 0,
                "first_sequence": None,
                "last_sequence": None,
            }
            for window_ms, series in skipped.places
            if next_ms is not None and window_ms < next_ms
        ]
        if told:
            cursor.executemany(query("add_partial_count"), told)
        noted = {**place, "name": name.encode(), "lost_events": skipped.lost}
        cursor.execute(query("add_failure"), noted)
    return skipped.lost
