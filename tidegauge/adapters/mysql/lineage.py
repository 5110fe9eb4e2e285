"""Shards on MySQL: registered, drained, started, and what their loss can be proven with.

Collect holds one shard's row and waits for nobody else's. Whoever changes the rows of several
shards holds the frontier's lock first, so that nobody else adds or drains any meanwhile, and then
takes theirs in order of shard id: no two ever wait for each other in a circle.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.queries import query
from tidegauge.adapters.mysql.times import from_sql, to_sql
from tidegauge.adapters.shard_lines import progress_of
from tidegauge.domain.errors import BrokenInvariant, Transient
from tidegauge.domain.fold import NO_FENCE, ShardState
from tidegauge.domain.lineage import ShardLine, drained, registered
from tidegauge.ports import (
    EndedGeneration,
    Frontier,
    ShardListing,
    ShardProgress,
    UnknownShard,
    WaitingShard,
)

if TYPE_CHECKING:
    from pymysql.cursors import Cursor


def lock_frontier(cursor: "Cursor", generation: int) -> Frontier:
    """Lock a generation's frontier, as the first statement of a transaction."""
    cursor.execute(query("lock_frontier"), {"generation": generation})
    row = cursor.fetchone()
    if row is None:
        msg = f"generation {generation} has no frontier"
        raise BrokenInvariant(msg)
    next_window, observed_from, listed, ended = row
    return Frontier(from_sql(next_window), from_sql(observed_from), bool(listed), bool(ended))


def lock_shard(cursor: "Cursor", generation: int, shard_id: str) -> tuple[ShardLine, int]:
    """Lock one shard; return its row and its ledger number. Raises UnknownShard."""
    cursor.execute(query("lock_shard"), {"generation": generation, "shard_id": shard_id})
    row = cursor.fetchone()
    if row is None:
        raise UnknownShard(shard_id)
    return _line(row), int(row[-1])


def refuse_uncountable(cursor: "Cursor", generation: int, shard: ShardLine) -> None:
    """Refuse a shard that waits or has ended with its generation; its own row is locked.

    Raises:
        WaitingShard: a registered parent of it is not drained.
        EndedGeneration: a later generation has ended this one.
    """
    names = {"generation": generation, "parent_ids": shard.parent_ids or ("",)}
    cursor.execute(query("refusals"), names)
    ended, undrained = cursor.fetchone() or (None, 0)
    if ended:
        msg = f"generation {generation} has ended, the stream was made anew"
        raise EndedGeneration(msg)
    if undrained:
        msg = f"{shard.shard_id} waits for its parents to be drained"
        raise WaitingShard(msg)


def shard_rows(cursor: "Cursor", generation: int) -> list[tuple[ShardLine, int | None]]:
    """Return all shards in order of id, each with the stream time of its first own heartbeat."""
    cursor.execute(query("shard_rows"), {"generation": generation})
    return [(_line(row), from_sql(row[-1])) for row in cursor.fetchall()]


def _line(row: Sequence[Any]) -> ShardLine:
    """Return a row of `shard_rows` or `lock_shard`, whose last column is their own."""
    shard_id, parent, adjacent, fence, time, heartbeat, lost_from, *noted, is_drained, _ = row
    beat, unread, skipped = (_number(digits) for digits in noted)
    return ShardLine(
        shard_id=shard_id,
        parent_ids=tuple(parent_id for parent_id in (parent, adjacent) if parent_id is not None),
        state=ShardState(
            fence=NO_FENCE if fence is None else int(fence),
            stream_time_ms=from_sql(time),
            heartbeat=_number(heartbeat),
            lost_from_ms=from_sql(lost_from),
        ),
        drained=bool(is_drained),
        beat=beat,
        unread=unread,
        skipped=skipped,
    )


def _number(digits: str | None) -> int | None:
    return None if digits is None else int(digits)


def register(
    database: Database, generation: int, listing: Sequence[ShardListing], gone: Set[str]
) -> None:
    """Register one whole listing, in one transaction; see `ports.CountStore`."""
    listed = {shard.shard_id: shard.parent_ids for shard in listing}
    with database.transaction() as cursor:
        lines = _lines(cursor, generation)
        cursor.execute(query("is_listed"), {"generation": generation})
        row = cursor.fetchone()
        done = row is not None and row[0] and not registered(lines, listed, gone)
    if done:
        return  # nothing to wait for: collect and close hold these rows now and then
    with database.transaction() as cursor:
        lock_frontier(cursor, generation)
        # read behind the lock: no window closes while the shards that are new get their start
        lines = _lines(cursor, generation)
        affected = registered(lines, listed, gone).keys() & lines.keys()
        lines.update(_lock(cursor, generation, affected))
        changes = registered(lines, listed, gone)
        _write(cursor, generation, changes, known=lines.keys())
        cursor.execute(query("mark_listed"), {"generation": generation})


def drain(database: Database, generation: int, shard_id: str, fence: int) -> bool:
    """Mark a shard drained, start its children; see `ports.SweepStore`."""
    with database.transaction() as cursor:
        lock_frontier(cursor, generation)
        lines = family(cursor, generation, shard_id)
        if shard_id not in lines:
            raise UnknownShard(shard_id)
        lines.update(_lock(cursor, generation, drained(lines, shard_id, fence)))
        changes = drained(lines, shard_id, fence)
        _write(cursor, generation, changes, known=lines.keys())
    return bool(changes)


def _lines(cursor: "Cursor", generation: int) -> dict[str, ShardLine]:
    return {line.shard_id: line for line, _ in shard_rows(cursor, generation)}


def family(cursor: "Cursor", generation: int, shard_id: str) -> dict[str, ShardLine]:
    """Return a shard, its children and all their parents: hundreds may be drained at once."""
    names = {"generation": generation, "shard_id": shard_id}
    cursor.execute(query("shard_and_children"), names)
    found = {line.shard_id: line for line in map(_line, cursor.fetchall())}
    parents = {parent for line in found.values() for parent in line.parent_ids} - found.keys()
    if parents:
        names = {"generation": generation, "shard_ids": sorted(parents)}
        cursor.execute(query("shards_named"), names)
        found.update((line.shard_id, line) for line in map(_line, cursor.fetchall()))
    return found


def _lock(cursor: "Cursor", generation: int, shard_ids: Iterable[str]) -> dict[str, ShardLine]:
    return {name: lock_shard(cursor, generation, name)[0] for name in sorted(shard_ids)}


def _write(
    cursor: "Cursor", generation: int, lines: Mapping[str, ShardLine], *, known: Set[str]
) -> None:
    for shard_id, line in sorted(lines.items()):
        parents = (*line.parent_ids, None, None)
        row = {
            "generation": generation,
            "shard_id": shard_id,
            "parent_id": parents[0],
            "adjacent_parent_id": parents[1],
            "stream_time": to_sql(line.state.stream_time_ms),
            "lost_from": to_sql(line.state.lost_from_ms),
            "drained": line.drained,
        }
        cursor.execute(query("change_shard" if shard_id in known else "add_shard"), row)


def progress(database: Database, generation: int) -> list[ShardProgress]:
    """Return all registered shards in order of their names."""
    with database.transaction() as cursor:
        lines = _lines(cursor, generation)
    return progress_of(lines)


def note_beats(database: Database, generation: int, beats: Mapping[str, int]) -> None:
    """Note the heartbeats that were put, one transaction a shard.

    A shard that a batch holds for long must not keep the others' rows locked meanwhile, nor lose
    them their note.
    """
    failure: Transient | None = None
    for shard_id, beat in sorted(beats.items()):
        row = {"generation": generation, "shard_id": shard_id, "beat": str(beat)}
        try:
            with database.transaction() as cursor:
                cursor.execute(query("note_beat"), row)
        except Transient as error:
            failure = error
    if failure is not None:
        raise failure


def note_unread(database: Database, generation: int, shard_id: str, sequence_number: int) -> None:
    """Note a record that was seen behind a shard's fence."""
    row = {"generation": generation, "shard_id": shard_id, "unread": str(sequence_number)}
    with database.transaction() as cursor:
        cursor.execute(query("note_unread"), row)


def note_skipped(database: Database, generation: int, shard_id: str, sequence_number: int) -> None:
    """Note the last record of a batch that the stream's reader gave up on."""
    row = {"generation": generation, "shard_id": shard_id, "skipped": str(sequence_number)}
    with database.transaction() as cursor:
        cursor.execute(query("note_skipped"), row)
