"""Lineage of shards: who waits for whom, and what a drained shard leaves to its children.

Takes the registered shards of a stream generation as they stand, gives the rows that change. A
window must not close over records that nobody has counted, and none that is announced may get
events on time: both follow from what a shard starts with.
"""

from collections.abc import Iterable, Mapping, Set

from msgspec import Struct
from msgspec.structs import replace

from tidegauge.domain.fold import NO_FENCE, ShardState


class ShardLine(Struct, frozen=True):
    """A registered shard, with all that decides about its children.

    Attributes:
        shard_id: The shard.
        parent_ids: Its parents, registered or not.
        state: What collect moves.
        drained: Whether all its records are counted and no more can come.
        beat: Sequence number of the last heartbeat that the sweep has put on it; None for none.
        unread: Sequence number of a record that a probe saw behind the fence; None for none.
        skipped: Sequence number of the last record that the stream's reader gave up on; None for
            none.
    """

    shard_id: str
    parent_ids: tuple[str, ...]
    state: ShardState = ShardState()
    drained: bool = False
    beat: int | None = None
    unread: int | None = None
    skipped: int | None = None


Lines = Mapping[str, ShardLine]


def is_waiting(shard: ShardLine, shards: Lines) -> bool:
    """Return whether a registered parent of a shard is not drained."""
    return any(parent in shards and not shards[parent].drained for parent in shard.parent_ids)


def is_active(shard: ShardLine, shards: Lines) -> bool:
    """Return whether a shard holds the watermark back.

    One that waits does so if it has taken over a loss already: its other parents may lie further
    ahead, and close nothing behind the loss's beginning before a heartbeat has marked it.
    """
    lost = shard.state.lost_from_ms is not None
    return not shard.drained and (lost or not is_waiting(shard, shards))


def ancestry(shard_id: str, parents: Mapping[str, Iterable[str]]) -> list[str]:
    """Return a registered shard and all its registered ancestors, each once, nearest first."""
    line = [shard_id]
    for one in line:  # grows while it is walked
        line.extend(p for p in parents[one] if p in parents and p not in line)
    return line


def descent(shard_id: str, parents: Mapping[str, Iterable[str]]) -> list[str]:
    """Return a registered shard and all its registered descendants, each once, nearest first.

    >>> descent("a", {"a": (), "b": ("a",), "c": ("a", "gone"), "d": ("c", "b"), "e": ()})
    ['a', 'b', 'c', 'd']
    """
    children: dict[str, list[str]] = {}
    for child, above in parents.items():
        for parent in above:
            children.setdefault(parent, []).append(child)
    line = [shard_id]
    seen = {shard_id}
    for one in line:  # grows while it is walked
        fresh = [child for child in children.get(one, ()) if child not in seen]
        line.extend(fresh)
        seen.update(fresh)
    return line


def closing_time_ms(state: ShardState) -> int | None:
    """Return up to which stream time a shard lets windows close; None for none at all.

    A loss that no heartbeat has ended yet is no gap yet either: the windows behind its beginning
    must stay open, though the shard's stream time may be further. Where the parents of a merged
    shard stood apart, the slower one may have lost what the faster one had told of already.
    """
    return _earlier(state.stream_time_ms, state.lost_from_ms) or None


def drained(shards: Lines, shard_id: str, fence: int) -> dict[str, ShardLine]:
    """Return the rows that change where a shard was read to its end from a fence on.

    Args:
        shards: All registered shards by id.
        shard_id: One of them, which is closed.
        fence: The fence from which on the reading found no record.

    Returns:
        Nothing where the fence has moved, the shard is drained or waits itself, or no child of it
        is registered.
    """
    shard = shards[shard_id]
    children = _children(shards, shard_id)
    moved = shard.state.fence != fence
    if moved or shard.drained or is_waiting(shard, shards) or not children:
        return {}
    return _handed_on(shards, shard, children, _loss_ms(shard, gone=False))


def registered(
    shards: Lines, listed: Mapping[str, tuple[str, ...]], gone: Set[str]
) -> dict[str, ShardLine]:
    """Return the rows that are new or change with one whole listing.

    Args:
        shards: All registered shards by id.
        listed: The parents of each shard that the listing holds.
        gone: Shards that the listing should hold and does not.
    """
    after = dict(shards)
    fresh = listed.keys() - shards.keys()
    after.update((shard_id, ShardLine(shard_id, listed[shard_id])) for shard_id in fresh)
    # what is announced lies behind the greatest stream time, whoever has read how far
    started = ShardState(stream_time_ms=_greatest_ms(shard.state for shard in shards.values()))
    for shard_id in fresh:
        if is_waiting(after[shard_id], after):
            continue
        known = not after.keys().isdisjoint(listed[shard_id])
        if started.stream_time_ms is not None and listed[shard_id] and not known:
            # its parent came and expired between two listings: nobody has read any of it
            state = replace(started, lost_from_ms=_hole_ms(shards))
        else:
            state = started
        after[shard_id] = replace(after[shard_id], state=state)
    orphans = [
        shard_id
        for shard_id, parents in listed.items()
        if not after[shard_id].drained
        and (not after.keys() >= set(parents) if parents else shard_id in fresh)
    ]
    while changes := _expired(after, gone, orphans):
        after.update(changes)
    return {name: line for name, line in after.items() if line is not shards.get(name)}


def _expired(shards: Lines, gone: Set[str], orphans: list[str]) -> dict[str, ShardLine]:
    """Drain the first of the gone shards that can be: a parent goes before its children."""
    for shard_id in sorted(gone & shards.keys()):
        shard = shards[shard_id]
        if shard.drained or is_waiting(shard, shards):
            continue
        heirs = _children(shards, shard_id) or orphans
        if heirs:
            return _handed_on(shards, shard, heirs, _loss_ms(shard, gone=True))
    return {}


def _children(shards: Lines, shard_id: str) -> list[str]:
    return [name for name, shard in shards.items() if shard_id in shard.parent_ids]


def _loss_ms(shard: ShardLine, *, gone: bool) -> int | None:
    """Return the stream time from which on a drained shard may lack records; None for no loss."""
    state = shard.state
    heartbeat = NO_FENCE if state.heartbeat is None else state.heartbeat
    unread_beat = shard.beat is not None and shard.beat > heartbeat
    unread = shard.unread is not None and shard.unread > state.fence
    own_ms = (state.stream_time_ms or 0) if gone or unread_beat or unread else None
    return _earlier(state.lost_from_ms, own_ms)


def _greatest_ms(states: Iterable[ShardState]) -> int | None:
    return max((s.stream_time_ms for s in states if s.stream_time_ms is not None), default=None)


def _hole_ms(shards: Lines) -> int:
    """Return the stream time from which on a shard that nobody has listed may have had records."""
    times = [shard.state.stream_time_ms for shard in shards.values() if not shard.drained]
    return min((time_ms for time_ms in times if time_ms is not None), default=0)


def _earlier(one_ms: int | None, other_ms: int | None) -> int | None:
    known = [time_ms for time_ms in (one_ms, other_ms) if time_ms is not None]
    return min(known, default=None)


def _handed_on(
    shards: Lines, shard: ShardLine, heirs: Iterable[str], loss_ms: int | None
) -> dict[str, ShardLine]:
    after = {**shards, shard.shard_id: replace(shard, drained=True)}
    changed = {shard.shard_id}
    for name in heirs:
        heir = after[name]
        state = replace(heir.state, lost_from_ms=_earlier(heir.state.lost_from_ms, loss_ms))
        if shard.shard_id in heir.parent_ids and not is_waiting(heir, after):
            parents = (after[parent].state for parent in heir.parent_ids if parent in after)
            state = replace(state, stream_time_ms=_greatest_ms(parents))
        after[name] = replace(heir, state=state)
        changed.add(name)
    return {name: after[name] for name in changed}
