"""Lineage: which shards a stream has, and which of them are read to their end.

Takes listings and probes, moves the store's shards on: registered, drained, expired. A closed shard
holds the watermark back until it is drained, and its children wait so long, so that a window never
closes over records that nobody has counted.
"""

from collections.abc import Sequence
from typing import Protocol

from tidegauge.domain.errors import Transient
from tidegauge.domain.fold import NO_FENCE
from tidegauge.ports import (
    Clock,
    CountStore,
    PutPosition,
    ShardListing,
    ShardProber,
    ShardProgress,
    StreamEntry,
    StreamIdentity,
    StreamLister,
    StreamWriter,
    SweepStore,
)

# A stream that answers slowly must leave time for closing and publishing in the same minute.
DRAIN_MS = 20_000
MINUTE_MS = 60_000


class SweptStream(StreamLister, StreamWriter, ShardProber, Protocol):
    """A stream that can be listed, written to and probed."""


class Lineage:
    """The shards of one stream generation; a listing is registered before anybody uses it.

    Args:
        stream: The stream.
        store: Where shards are registered.
        sweeps: The sweep's side of it.
        identity: Which generation of the stream this is.
        generation: Its number.
    """

    def __init__(
        self,
        stream: SweptStream,
        store: CountStore,
        sweeps: SweepStore,
        identity: StreamIdentity,
        generation: int,
    ) -> None:
        self._stream = stream
        self._store = store
        self._sweeps = sweeps
        self._identity = identity
        self.generation = generation
        self.drained = 0

    def identity(self) -> StreamIdentity:
        """Return which generation of the stream this is."""
        return self._identity

    def shards(self) -> list[ShardListing]:
        """Return one whole listing, registered; shards that have left it are gone.

        Raises:
            Transient: the stream cannot be listed now, or was made anew under its name meanwhile.
        """
        before = {shard.shard_id for shard in self._sweeps.shards(self.generation)}
        listing = self._stream.shards()
        listed = {shard.shard_id for shard in listing}
        # asked each time: the new stream's shards may well bear the names of the old one's, and
        # heartbeats that follow the old one's would prove a loss where there is none
        if self._stream.identity() != self._identity:
            msg = "the stream was made anew under its name; the next sweep counts it as another"
            raise Transient(msg)
        self._store.register_shards(self.generation, listing, before - listed)
        return listing

    def put(self, entries: Sequence[StreamEntry]) -> list[PutPosition]:
        """Put entries on the stream, as it does."""
        return self._stream.put(entries)

    def drain(self, listing: Sequence[ShardListing], clock: Clock) -> None:
        """Probe the closed shards of a listing; mark those drained that are read to their end.

        Goes on to their children, which may be closed as well. `drained` counts them. What there
        is no time for is left to the next sweep, which begins with others.

        Raises:
            Transient: stream or store could not answer for some shard; the others had their turn.
        """
        closed = {shard.shard_id for shard in listing if shard.closed}
        probed: set[str] = set()
        failures: list[Transient] = []
        began_ms = clock.now_ms()
        while clock.now_ms() - began_ms < DRAIN_MS:
            ready = [
                shard
                for shard in self._sweeps.shards(self.generation)
                if shard.shard_id in closed - probed and not shard.drained and not shard.waiting
            ]
            if not ready:
                break
            first = began_ms // MINUTE_MS % len(ready)
            for shard in [*ready[first:], *ready[:first]]:
                if clock.now_ms() - began_ms >= DRAIN_MS:
                    break
                probed.add(shard.shard_id)
                try:
                    self.drained += self._look_at(shard)
                except Transient as error:
                    failures.append(error)
        if failures:
            raise failures[0]

    def _look_at(self, shard: ShardProgress) -> bool:
        # records that the stream's reader gave up on stay unread, and nobody comes for them
        behind = max(shard.fence, NO_FENCE if shard.skipped is None else shard.skipped)
        end = self._stream.probe(shard.shard_id, behind)
        if end.unread is not None:
            self._sweeps.note_unread(self.generation, shard.shard_id, end.unread)
        return end.reached and self._sweeps.drain(self.generation, shard.shard_id, shard.fence)
