"""Resharded streams: some records are set aside, and counted anew or given up at any moment.

An event comes again only where the protocol promises to know it: on the same shard, or further down
the line. So each counts exactly once, however it came and whatever was set aside of it, unless all
that ever came of it was given up.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.support.count_stores import Stores
from tests.support.events import event_json
from tests.support.lineage_worlds import END, WIDE, Counting, Resharded, resharded
from tests.support.oracle import SIZE, Beat, Told
from tests.support.quarantined import BY_TYPE, Aside, mixed_records
from tidegauge.domain.count import CompletedWindow, Quality
from tidegauge.domain.lineage import ancestry
from tidegauge.domain.retry import ItemState
from tidegauge.steps.collect import collect
from tidegauge.steps.quarantine import Outcome, discard, retry

Event = tuple[str, int, str]


def event_of(told: Told) -> Event:
    """Return what makes an event: series, window, id."""
    return told.series, told.time // SIZE * SIZE, told.id


@dataclass
class RetriedWorld:
    """A resharded stream, and what each record of it holds.

    Attributes:
        line: Its shards; the logs hold events and heartbeats as they were sent.
        logs: The same logs, with what is set aside.
    """

    line: Resharded
    logs: dict[str, Sequence[Told | Beat | Aside]] = field(default_factory=dict)


def retried_world(chance: random.Random) -> RetriedWorld:
    """Return a resharded stream of which a third is set aside."""
    world = RetriedWorld(resharded(chance))
    last_on: dict[Told, str] = {}  # each event, and the shard that it came to last
    for name in world.line.parents:
        above = set(ancestry(name, world.line.parents))
        log: list[Told | Beat | Aside] = []
        for number, item in enumerate(world.line.logs[name]):
            if isinstance(item, Beat):
                log.append(item)
                continue
            known = [told for told, shard in last_on.items() if shard in above]
            if known and chance.random() < 0.4:
                event = chance.choice(known)
            else:
                event = Told(f"{name}-{number}", item.series, item.time)
            last_on[event] = name
            world.line.logs[name][number] = event
            data = event_json(event.id, event.time, series=event.series, source="/s")
            log.append(Aside(data) if chance.random() < 0.3 else event)
        world.logs[name] = log
    return world


class RetriedCounting(Counting):
    """Counts such a stream, and meddles with its quarantine all the while.

    Args:
        stores: Where it is counted.
        world: The stream.
        chance: Decides when what is counted anew or given up.
        name: Of the stream.
    """

    def __init__(
        self, stores: Stores, world: RetriedWorld, chance: random.Random, *, name: str
    ) -> None:
        super().__init__(stores.counts, stores.sweeps, world.line, name=name)
        self._records = {n: mixed_records(n, log) for n, log in world.logs.items()}
        self._retried_world = world
        self._chance = chance
        self._quarantines = [stores.quarantine(name), stores.quarantine(name)]
        self._given_up: set[int] = set()
        self.outcomes: list[Outcome] = []

    def _deliver(self, chance: random.Random) -> None:
        self._meddle()
        super()._deliver(chance)

    def _close(self) -> bool:
        self._meddle()
        return super()._close()

    def _meddle(self) -> None:
        quarantine = self._chance.choice(self._quarantines)
        last_id = quarantine.last_id()
        if not last_id or self._chance.random() < 0.5:
            return
        item_id = self._chance.randint(max(1, last_id - 8), last_id)
        if item_id not in quarantine.known_ids([item_id]):
            return  # of another stream
        if self._chance.random() < 0.1:
            (outcome,) = discard(quarantine, [item_id], "chance")
            self._given_up |= {item_id} if outcome.changed else set()
        else:
            self._retry(item_id)

    def _retry(self, item_id: int) -> None:
        quarantine = self._chance.choice(self._quarantines)
        outcome = retry(quarantine, item_id, BY_TYPE, WIDE)
        assert outcome.state is not ItemState.HELD, outcome
        if outcome.changed:
            self.outcomes.append(outcome)

    def finish(self, chance: random.Random) -> list[CompletedWindow]:
        """Count to the end, count anew whatever is held then, and close once more."""
        self.run(chance)
        quarantine = self._quarantines[0]
        for item_id in range(1, quarantine.last_id() + 1):
            if item_id in quarantine.known_ids([item_id]):
                self._retry(item_id)
        more = Beat(END.time + 20 * SIZE)  # behind every step
        for name in self._world.open_shards():
            log = mixed_records(name, [*self._retried_world.logs[name], more])
            collect(self._counts, self.generation, name, log, WIDE)
        while super()._close():
            pass
        return self.rows

    def truth(self) -> Counter[tuple[str, int]]:
        """Return how many events each series has in each window."""
        events = {
            event_of(item)
            for name, log in self._world.logs.items()
            for number, item in enumerate(log, start=1)
            if isinstance(item, Told) and (name, number) not in self._places_given_up()
        }
        return Counter((series, window_ms) for series, window_ms, _ in events)

    def _places_given_up(self) -> set[tuple[str, int]]:
        items = [self._quarantines[0].item(item_id)[0] for item_id in self._given_up]
        return {(item.shard_id, item.sequence_number) for item in items}


def last_counts(rows: Sequence[CompletedWindow]) -> Counter[tuple[str, int]]:
    """Return the count of each series' window in its last revision; no revision is left out."""
    last: dict[tuple[str, int], CompletedWindow] = {}
    for row in rows:
        place = (row.series, row.window_start_ms)
        before = last.get(place)
        assert row.revision == (1 if before is None else before.revision + 1)
        assert before is None or row.count > before.count
        assert row.quality in (Quality.COMPLETE, Quality.PARTIAL)
        last[place] = row
    return Counter({place: row.count for place, row in last.items() if row.count})
