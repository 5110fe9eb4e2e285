"""The world that worker processes race in: a stream's records, and the listing of its shards.

A test writes a world into a folder; each worker reads it from there. What has to be known to all of
them at once, such as which shards were split, stands in the folder as well.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from tidegauge.domain.close import CloseRules
from tidegauge.domain.decode import SeriesBy
from tidegauge.domain.fold import CountRules
from tidegauge.domain.record import DecodedRecord, Record
from tidegauge.ports import PutPosition, ShardEnd, ShardListing, StreamEntry, StreamIdentity
from tidegauge.steps.collect import decode_records

_ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/crashes"


class World(msgspec.Struct, frozen=True):
    """Everything that is the same for all workers of a race.

    Attributes:
        records: By shard, numbered from 1; parents stand before their children.
        parents: The parents of each shard.
        count_rules: What is counted where.
        close_rules: What is announced.
    """

    records: dict[str, list[Record]]
    parents: dict[str, tuple[str, ...]]
    count_rules: CountRules
    close_rules: CloseRules

    def save(self, folder: Path) -> None:
        """Write it where workers read it."""
        _file(folder).write_bytes(msgspec.json.encode(self))

    def decoded(self, shard_id: str, start: int, end: int) -> list[DecodedRecord]:
        """Return the records `[start, end)` of a shard as collect takes them."""
        return decode_records(self.records[shard_id][start:end], SeriesBy())


def load(folder: Path) -> World:
    """Return the world of a folder."""
    return msgspec.json.decode(_file(folder).read_bytes(), type=World)


def _file(folder: Path) -> Path:
    return folder / "world.json"


class FolderStream:
    """Lists and probes the shards of a world; what one process has split, all see.

    Args:
        world: The world.
        folder: Its folder.
    """

    def __init__(self, world: World, folder: Path) -> None:
        self._lengths = {name: len(records) for name, records in world.records.items()}
        self._parents: Mapping[str, tuple[str, ...]] = world.parents
        self._folder = folder

    def reshard_behind(self, shard_id: str) -> None:
        """List the children of a shard from now on, once all their parents are resharded."""
        self._mark(shard_id).touch()

    def _mark(self, shard_id: str) -> Path:
        return self._folder / f"{shard_id}.resharded"

    def identity(self) -> StreamIdentity:
        return StreamIdentity(_ARN, 0)

    def shards(self) -> list[ShardListing]:
        shown: list[str] = []
        for name, parents in self._parents.items():
            if all(parent in shown and self._mark(parent).exists() for parent in parents):
                shown.append(name)
        closed = {parent for name in shown for parent in self._parents[name]}
        return [
            ShardListing(name, self._parents[name], 0, 0, closed=name in closed) for name in shown
        ]

    def probe(self, shard_id: str, fence: int) -> ShardEnd:
        behind = max(fence, 0) + 1  # records are numbered from 1
        reached = behind > self._lengths[shard_id]
        return ShardEnd(reached=reached, unread=None if reached else behind)

    def put(self, entries: Sequence[StreamEntry]) -> list[PutPosition]:
        msg = f"a producer is the clock, and yet {len(entries)} records were put"
        raise AssertionError(msg)
