"""A stream in memory that splits, merges, trims and is made anew, as Kinesis documents it.

For tests, ours and those of whoever has a pipeline in memory: takes entries, gives the records of
each shard in order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import md5

from tidegauge.domain.errors import BrokenInvariant, Transient
from tidegauge.domain.record import Record
from tidegauge.ports import PutPosition, ShardEnd, ShardListing, StreamEntry, StreamIdentity

HASH_KEYS = 1 << 128


@dataclass
class MemoryShard:
    """One shard: its keys `[first, last]`, its log, and how far retention has trimmed it."""

    shard_id: str
    parent_ids: tuple[str, ...]
    first: int
    last: int
    closed: bool = False
    log: list[Record] = field(default_factory=list)

    def listing(self) -> ShardListing:
        """Return the shard as a listing of the stream shows it."""
        return ShardListing(self.shard_id, self.parent_ids, self.first, self.last, self.closed)

    def trim(self, n_records: int) -> None:
        """Forget the oldest records."""
        del self.log[:n_records]


class MemoryStream:
    """Implements the stream's ports; sequence numbers rise over all shards.

    Args:
        n_shards: How many it begins with.
        honours_hash_keys: False for a stream that puts everything by its partition key.

    Attributes:
        all: Every shard that is listed, by id, in the order of their making.
        arrival_ms: When the stream takes what is put next, ms since the epoch.
        created_ms: When it was made.
        n_listings: How often it was listed.
        n_shards: How many shards it begins with, each time that it is made.
        refuses: Whether it refuses everything.
    """

    def __init__(self, n_shards: int = 1, *, honours_hash_keys: bool = True) -> None:
        self._honours = honours_hash_keys
        self.n_shards = n_shards
        self.arrival_ms = 0
        self.created_ms = 0
        self.refuses = False
        self.n_listings = 0
        self._sequence = 0
        self.recreate()

    def recreate(self) -> None:
        """Delete the stream and make it anew under its name."""
        self.created_ms += 1000
        self._made = 0
        self.all: dict[str, MemoryShard] = {}
        step = HASH_KEYS // self.n_shards
        for number in range(self.n_shards):
            last = HASH_KEYS - 1 if number == self.n_shards - 1 else (number + 1) * step - 1
            self._make((), number * step, last)

    def _make(self, parent_ids: tuple[str, ...], first: int, last: int) -> str:
        shard_id = f"shardId-{self._made:012d}"
        self._made += 1
        self.all[shard_id] = MemoryShard(shard_id, parent_ids, first, last)
        return shard_id

    def split(self, shard_id: str) -> tuple[str, str]:
        """Close a shard; its two children take half of its keys each."""
        parent = self.all[shard_id]
        parent.closed = True
        middle = (parent.first + parent.last) // 2
        low = self._make((shard_id,), parent.first, middle)
        return low, self._make((shard_id,), middle + 1, parent.last)

    def merge(self, one_id: str, other_id: str) -> str:
        """Close two shards that are neighbours; their child takes the keys of both."""
        one, other = self.all[one_id], self.all[other_id]
        one.closed = other.closed = True
        return self._make(
            (one_id, other_id), min(one.first, other.first), max(one.last, other.last)
        )

    def expire(self, shard_id: str) -> None:
        """Let retention take a closed shard out of the listing, with all that is in it."""
        if not self.all[shard_id].closed:
            msg = f"{shard_id} is open, and retention takes closed shards alone"
            raise BrokenInvariant(msg)
        del self.all[shard_id]

    # --- the ports

    def identity(self) -> StreamIdentity:
        """Return the stream's address and creation time."""
        return StreamIdentity("arn:aws:kinesis:eu-west-1:123456789012:stream/s", self.created_ms)

    def shards(self) -> list[ShardListing]:
        """Return one whole listing."""
        self.n_listings += 1
        return [shard.listing() for shard in self.all.values()]

    def put(self, entries: Sequence[StreamEntry]) -> list[PutPosition]:
        """Put all entries. Raises Transient, with none put, while the stream refuses."""
        if self.refuses:
            msg = "slow down"
            raise Transient(msg)
        return [self._put(entry) for entry in entries]

    def _put(self, entry: StreamEntry) -> PutPosition:
        key = entry.hash_key if self._honours else None
        if key is None:
            key = int.from_bytes(md5(entry.partition_key.encode(), usedforsecurity=False).digest())
        shard = next(s for s in self.all.values() if not s.closed and s.first <= key <= s.last)
        self._sequence += 1
        record = Record(
            shard.shard_id, self._sequence, self.arrival_ms, entry.partition_key, entry.data
        )
        shard.log.append(record)
        return PutPosition(shard.shard_id, self._sequence)

    def probe(self, shard_id: str, fence: int) -> ShardEnd:
        """Return what lies behind a position of a shard."""
        shard = self.all[shard_id]
        unread = next((r.sequence_number for r in shard.log if r.sequence_number > fence), None)
        return ShardEnd(reached=shard.closed and unread is None, unread=unread)
