"""Streams that split and merge, and ways to count them: any batches, any order of shards."""

import random
from dataclasses import dataclass, field

from msgspec.structs import replace

from tests.support.oracle import SIZE, Beat, Log
from tests.support.worlds import BASE, CLOSE_RULES, RULES, records, told
from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.fold import CountRules
from tidegauge.ports import CountStore, ShardListing, StreamIdentity, SweepStore, WaitingShard
from tidegauge.steps.close import close_once
from tidegauge.steps.collect import collect

WIDE = replace(RULES, max_future_skew_ms=20 * SIZE)
END = Beat(BASE + 12 * SIZE + 60_000)


@dataclass
class Resharded:
    """A stream's shards in the order in which they came to be, each with its whole log.

    Attributes:
        logs: By shard; those of open shards end with the same heartbeat.
        parents: By shard, parents before children.
        listings: How many shards there are from listing to listing.
    """

    logs: dict[str, Log] = field(default_factory=dict)
    parents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    listings: list[int] = field(default_factory=list)

    def open_shards(self) -> list[str]:
        closed = {parent for parents in self.parents.values() for parent in parents}
        return [name for name in self.parents if name not in closed]


def resharded(chance: random.Random) -> Resharded:
    """Return a stream with up to four reshards; keys may come again, on a child too."""
    world = Resharded()
    clocks: dict[str, int] = {}

    def write(*parents: str) -> None:
        name = f"shardId-{len(world.logs):012d}"
        clock = max((clocks[parent] for parent in parents), default=chance.randrange(-2, 4))
        log: Log = []
        for _ in range(chance.choice((0, 1, 8, 20))):
            if chance.random() < 0.4:
                clock += chance.choice((0, 1, 2, 4))
                log.append(Beat(BASE + clock * 60_000))
            else:
                offset = clock * 60_000 + chance.randrange(-2 * SIZE, SIZE)
                log.append(told(offset, chance.choice("ab"), chance.randrange(8)))
        clocks[name] = clock
        world.logs[name], world.parents[name] = log, parents

    for _ in range(chance.randrange(1, 4)):
        write()
    world.listings.append(len(world.logs))
    for _ in range(chance.randrange(5)):
        shards = world.open_shards()
        if len(shards) > 1 and chance.random() < 0.5:
            write(*chance.sample(shards, 2))
        else:
            parent = chance.choice(shards)
            write(parent)
            write(parent)
        if chance.random() < 0.6:  # else the next reshard follows before anybody has listed it
            world.listings.append(len(world.logs))
    if world.listings[-1] < len(world.logs):
        world.listings.append(len(world.logs))
    for name in world.open_shards():
        world.logs[name].append(END)
    return world


class Counting:
    """Counts such a stream as one delivery has it; everything is retried until it is done.

    Args:
        counts: Where it is counted.
        sweeps: Where shards are drained.
        world: The stream.
        name: Of the stream; a store may hold several.
        rules: What is counted where.

    Attributes:
        generation: The stream generation's number.
    """

    def __init__(
        self,
        counts: CountStore,
        sweeps: SweepStore,
        world: Resharded,
        *,
        name: str,
        rules: CountRules = WIDE,
    ) -> None:
        self._counts = counts
        self._sweeps = sweeps
        self._world = world
        self._rules = rules
        self.generation = counts.generation(StreamIdentity(name, 0))
        self._records = {shard_id: records(shard_id, log) for shard_id, log in world.logs.items()}
        self._position = dict.fromkeys(world.logs, 0)
        self._listed = 0
        self.rows: list[CompletedWindow] = []
        self.refused = 0

    def run(self, chance: random.Random) -> list[CompletedWindow]:
        """Count, drain, list and close in an order that chance decides; return what was told."""
        listings = list(self._world.listings)
        self._list(listings.pop(0))
        while listings or self._waiting_to_be_counted():
            step = chance.random()
            if listings and step < 0.1:
                self._list(listings.pop(0))
            elif step < 0.3:
                self._close()
            elif step < 0.5:
                self._drain(chance)
            else:
                self._deliver(chance)
        while self._close():
            pass
        return self.rows

    def _waiting_to_be_counted(self) -> bool:
        return any(self._position[name] < len(log) for name, log in self._records.items())

    def _list(self, n_shards: int) -> None:
        self._listed = n_shards
        listing = [
            ShardListing(name, parents, 0, 0, closed=False)
            for name, parents in list(self._world.parents.items())[:n_shards]
        ]
        self._counts.register_shards(self.generation, listing)

    def _close(self) -> bool:
        outcome = close_once(self._counts, self.generation, CLOSE_RULES)
        self.rows += outcome.rows
        return not outcome.finished

    def _drain(self, chance: random.Random) -> None:
        shards = {shard.shard_id: shard for shard in self._sweeps.shards(self.generation)}
        shard = shards[chance.choice(sorted(shards))]
        closed = shard.shard_id not in self._world.open_shards()
        if closed and self._position[shard.shard_id] == len(self._records[shard.shard_id]):
            listed = any(shard.shard_id in other.parent_ids for other in shards.values())
            ready = not shard.waiting and not shard.drained and listed
            assert self._sweeps.drain(self.generation, shard.shard_id, shard.fence) == ready

    def _deliver(self, chance: random.Random) -> None:
        name = chance.choice(list(self._world.parents)[: self._listed])
        log, position = self._records[name], self._position[name]
        start = max(0, position - chance.randrange(4))
        end = min(len(log), position + chance.randrange(1, 8))
        try:
            collect(self._counts, self.generation, name, log[start:end], self._rules)
        except WaitingShard:
            self.refused += 1
        else:
            self._position[name] = end
