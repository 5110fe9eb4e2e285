"""Heartbeats: puts one moment of stream time on every open shard of a stream.

Takes a moment, writes through the ports, and returns only when the shard ids that came back cover
the open shards: a heartbeat that landed elsewhere does not count.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from tidegauge.domain.errors import Misconfigured, Transient
from tidegauge.domain.heartbeat import heartbeat_record
from tidegauge.ports import ShardListing, StreamEntry, StreamLister, StreamWriter

_MAX_LISTINGS = 10


class TargetStream(StreamLister, StreamWriter, Protocol):
    """A stream that can be listed and written to."""


class Heartbeats:
    """Heartbeats on every open shard, chained per shard by sequence number.

    Args:
        stream: The stream whose clock this is.
        clock_source: The CloudEvents `source` that its heartbeats bear.
        listing: The shards, where they were listed just now.
        previous: The last heartbeat of each shard that somebody before has put.
    """

    def __init__(
        self,
        stream: TargetStream,
        clock_source: str,
        *,
        listing: Sequence[ShardListing] = (),
        previous: Mapping[str, int] | None = None,
    ) -> None:
        self._stream = stream
        self._clock_source = clock_source
        self._open = [shard for shard in listing if not shard.closed]
        self._previous: dict[str, int] = dict(previous or {})

    @property
    def last(self) -> Mapping[str, int]:
        """Sequence number of the last heartbeat on each shard that has one."""
        return self._previous

    def put(self, time_ms: int) -> None:
        """Return when a heartbeat of this time stands on every open shard.

        Args:
            time_ms: Stream time, ms since the epoch; one for the whole round.

        Raises:
            Transient: the stream refused them, or changes faster than it can be listed.
            Misconfigured: the stream does not change, and does not honour explicit hash keys.
        """
        reached: set[str] = set()
        astray = 0
        for _ in range(_MAX_LISTINGS):
            if not self._open:
                self._open = [shard for shard in self._stream.shards() if not shard.closed]
            missing = [shard for shard in self._open if shard.shard_id not in reached]
            if self._open and not missing:
                return
            listed = {shard.shard_id for shard in self._open}
            positions = self._stream.put([self._entry(shard, time_ms) for shard in missing])
            landed = list(zip(missing, positions, strict=True))
            for shard, position in landed:
                if position.shard_id == shard.shard_id:
                    reached.add(shard.shard_id)
                    self._previous[shard.shard_id] = position.sequence_number
            # a child that is not listed yet is no wonder, a shard of other keys is
            astray += any(p.shard_id != s.shard_id and p.shard_id in listed for s, p in landed)
            if not reached.issuperset(listed):
                self._open = []  # it was resharded meanwhile: list again
        if astray == _MAX_LISTINGS:
            raise Misconfigured(
                [
                    "the stream puts records with an ExplicitHashKey on other shards than those of"
                    " the key, so heartbeats cannot reach every shard: is it a stream of Kinesis?"
                ]
            )
        msg = "heartbeats do not reach the shards they are meant for; is the stream changing?"
        raise Transient(msg)

    def _entry(self, shard: ShardListing, time_ms: int) -> StreamEntry:
        data = heartbeat_record(
            source=self._clock_source,
            event_time_ms=time_ms,
            shard_id=shard.shard_id,
            previous=self._previous.get(shard.shard_id),
        )
        return StreamEntry(data=data, partition_key=shard.shard_id, hash_key=shard.first_hash_key)
