"""Heartbeats: puts one moment of stream time on every open shard of a stream.

Takes a moment, writes through the ports, and returns only when the shard ids that came back cover
the open shards: a heartbeat that landed elsewhere does not count.
"""

from typing import Protocol

from tidegauge.domain.errors import Transient
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
    """

    def __init__(self, stream: TargetStream, clock_source: str) -> None:
        self._stream = stream
        self._clock_source = clock_source
        self._open: list[ShardListing] = []
        self._previous: dict[str, int] = {}

    def put(self, time_ms: int) -> None:
        """Return when a heartbeat of this time stands on every open shard.

        Args:
            time_ms: Stream time, ms since the epoch; one for the whole round.

        Raises:
            Transient: the stream refused them, or changes faster than it can be listed.
        """
        reached: set[str] = set()
        for _ in range(_MAX_LISTINGS):
            if not self._open:
                self._open = [shard for shard in self._stream.shards() if not shard.closed]
            missing = [shard for shard in self._open if shard.shard_id not in reached]
            if self._open and not missing:
                return
            positions = self._stream.put([self._entry(shard, time_ms) for shard in missing])
            for shard, position in zip(missing, positions, strict=True):
                if position.shard_id == shard.shard_id:
                    reached.add(shard.shard_id)
                    self._previous[shard.shard_id] = position.sequence_number
            if not reached.issuperset(shard.shard_id for shard in self._open):
                self._open = []  # it was resharded meanwhile: list again
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
