"""One generation of a stream, shard by shard, on any store of counts.

Windows are named by their number after the base. A shard's records are numbered from 1; its log is
written at once and counted as far as it is given.
"""

from collections.abc import Mapping, Sequence
from typing import Self

from tests.support.closing import close_all
from tests.support.count_stores import Stores
from tests.support.lineage_worlds import WIDE
from tests.support.oracle import SIZE, Beat, Log
from tests.support.worlds import BASE, CLOSE_RULES, records
from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.decode import event_key
from tidegauge.domain.event import Event
from tidegauge.ports import ShardListing, ShardProgress, StreamIdentity
from tidegauge.steps.collect import Collected, collect

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/lineage"
MINUTE = 60_000


class Line:
    """One generation of a stream whose shards are named as a test needs them."""

    def __init__(self, stores: Stores, *, created_ms: int = 1) -> None:
        self.stores = stores
        self.generation = stores.counts.generation(StreamIdentity(STREAM, created_ms))

    def listing(self, *names: str, gone: Sequence[str] = ()) -> Self:
        """Register a listing of shards, each `name` or `name<parent` or `name<parent,parent`."""
        listing = []
        for name in names:
            shard_id, _, parents = name.partition("<")
            parent_ids = tuple(parents.split(",")) if parents else ()
            listing.append(ShardListing(shard_id, parent_ids, 0, 0, closed=False))
        self.stores.counts.register_shards(self.generation, listing, set(gone))
        return self

    def count(self, shard_id: str, log: Log) -> Collected:
        """Count a shard's log as far as it is written."""
        batch = records(shard_id, log)
        return collect(self.stores.counts, self.generation, shard_id, batch, WIDE)

    def drain(self, shard_id: str, fence: int | None = None) -> bool:
        """Drain a shard that was read to its end now, or found so from a fence on."""
        found = self.shards()[shard_id].fence if fence is None else fence
        return self.stores.sweeps.drain(self.generation, shard_id, found)

    def shards(self) -> Mapping[str, ShardProgress]:
        return {shard.shard_id: shard for shard in self.stores.sweeps.shards(self.generation)}

    def stream_time(self, shard_id: str) -> int | None:
        """Return a shard's stream time after the base."""
        time_ms = self.shards()[shard_id].stream_time_ms
        return None if time_ms is None else time_ms - BASE

    def close(self) -> list[tuple[int, int, int, str]]:
        """Close all that can be closed; return window, revision, count, quality."""
        return told_of(close_all(self.stores.counts, self.generation, CLOSE_RULES))

    def gaps(self) -> int:
        return self.stores.sweeps.backlog(self.generation).gaps


def told_of(rows: Sequence[CompletedWindow]) -> list[tuple[int, int, int, str]]:
    return [
        ((row.window_start_ms - BASE) // SIZE, row.revision, row.count, row.quality.value)
        for row in rows
    ]


def beat(windows: int) -> Beat:
    """A heartbeat that closes so many windows after the base, and no more."""
    return Beat(BASE + windows * SIZE + MINUTE)


def event(offset: int, ident: int, series: str = "a") -> Event:
    """An event as `told` has it in a log."""
    return Event(event_key("/s", f"id-{ident}"), series, BASE + offset)
