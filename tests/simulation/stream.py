"""The simulated Kinesis: an honest stream, with what AWS does not promise.

Sequence numbers rise with holes and pass powers of ten; arrival times may go backwards; a put may
be refused, or stored without an answer. What was accepted is kept apart from what retention left.
"""

import random
from collections.abc import Callable, Sequence
from hashlib import md5

from tests.simulation.faults import Fault, Plan
from tidegauge.adapters.memory_stream import MemoryShard, MemoryStream
from tidegauge.domain.errors import Transient
from tidegauge.domain.record import Record
from tidegauge.ports import PutPosition, ShardEnd, ShardListing, StreamEntry, StreamIdentity

Place = tuple[int, str]  # creation time of the stream, shard
JITTER_MS = 8_000
NEXT_MS = 1_000  # what the plain stream adds


class SimulatedStream(MemoryStream):
    """A stream whose history one generator of chance decides, whoever reads it.

    Args:
        n_shards: How many shards it begins with.
        chance: Decides on holes, jitter and refusals; the history's, not the delivery's.
        plan: Which faults there are.
        called: Called at each call over the network.

    Attributes:
        accepted: All records that were ever stored, by place, in order.
        parents: The parents of every shard that ever was, by place, in order of their making.
    """

    def __init__(
        self, n_shards: int, chance: random.Random, plan: Plan, called: Callable[[], None]
    ) -> None:
        self._chance = chance
        self._plan = plan
        self._called = called
        self.accepted: dict[Place, list[Record]] = {}
        self.parents: dict[Place, tuple[str, ...]] = {}
        super().__init__(n_shards)
        # the power of ten comes up early in some worlds and late in others
        self._sequence = 10**12 - chance.randrange(50, 600)

    def recreate(self) -> None:
        """Delete the stream and make it anew under its name, a moment after its last record."""
        self.arrival_ms += 1
        self.created_ms = self.arrival_ms - NEXT_MS
        super().recreate()

    def _make(self, parent_ids: tuple[str, ...], first: int, last: int) -> str:
        shard_id = super()._make(parent_ids, first, last)
        place = (self.created_ms, shard_id)
        self.accepted[place], self.parents[place] = [], parent_ids
        return shard_id

    def present(self) -> StreamIdentity:
        """Return the identity of the present stream, without a call."""
        return super().identity()

    def open_shards(self) -> list[MemoryShard]:
        """Return the open shards in order of their keys."""
        found = [shard for shard in self.all.values() if not shard.closed]
        return sorted(found, key=lambda shard: shard.first)

    def store(self, entry: StreamEntry) -> PutPosition:
        """Store an entry, whatever a put might say to it."""
        self._sequence += self._chance.choice((1, 1, 1, 2, 7))
        shard = self.shard_of(entry)
        if entry.hash_key is not None and self._plan.strikes(
            Fault.HEARTBEAT_MISROUTED, self._chance, 0.03
        ):
            shard = self._chance.choice(self.open_shards())
        arrival_ms = self.arrival_ms
        if self._plan.strikes(Fault.ARRIVAL_BACKWARDS, self._chance, 0.1):
            arrival_ms -= self._chance.randrange(1, JITTER_MS)
        record = Record(shard.shard_id, self._sequence, arrival_ms, entry.partition_key, entry.data)
        shard.log.append(record)
        self.accepted[self.created_ms, shard.shard_id].append(record)
        return PutPosition(shard.shard_id, self._sequence)

    def shard_of(self, entry: StreamEntry) -> MemoryShard:
        """Return the open shard that an entry belongs on now."""
        key = entry.hash_key
        if key is None:
            key = int.from_bytes(md5(entry.partition_key.encode(), usedforsecurity=False).digest())
        return next(shard for shard in self.open_shards() if shard.first <= key <= shard.last)

    def is_grandchild(self, shard_id: str, other_id: str | None) -> bool:
        """Return whether a shard descends from another, with shards between them."""
        above = {shard_id}
        for _ in range(2):
            above = {p for name in above for p in self.parents[self.created_ms, name]}
        while above:
            if other_id in above:
                return True
            above = {p for name in above for p in self.parents[self.created_ms, name]}
        return False

    # --- the ports, as the sweep and collect see them

    def identity(self) -> StreamIdentity:
        self._called()
        return self.present()

    def shards(self) -> list[ShardListing]:
        self._called()
        return super().shards()

    def put(self, entries: Sequence[StreamEntry]) -> list[PutPosition]:
        self._called()
        if self._plan.strikes(Fault.HEARTBEAT_LOST, self._chance, 0.05):
            msg = "the stream takes no record now"
            raise Transient(msg)
        positions = [self.store(entry) for entry in entries]
        if self._plan.strikes(Fault.HEARTBEAT_UNANSWERED, self._chance, 0.03):
            msg = "the stream did not answer"
            raise Transient(msg)
        return positions

    def probe(self, shard_id: str, fence: int) -> ShardEnd:
        self._called()
        if shard_id not in self.all:
            msg = f"{shard_id} has expired"
            raise Transient(msg)
        return super().probe(shard_id, fence)
