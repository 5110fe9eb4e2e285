"""Random live worlds: reshards, lag, redeliveries, dead clocks, trimmed and expired shards.

A seed makes the stream's history (what is put, split, merged, trimmed, when the sweep runs), a
second one how the mapping delivers it. The truth is what was put and delivered at least once.
"""

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from tests.support.live_world import LiveWorld
from tests.support.oracle import SIZE
from tests.support.worlds import BASE
from tidegauge.domain.decode import SeriesBy, decode
from tidegauge.domain.errors import Transient
from tidegauge.domain.event import Event, Heartbeat
from tidegauge.domain.record import Record

SERIES = ("busy", "quiet")
TICKS = 150  # of 20 seconds: fifty minutes, ten windows
SETTLE = 24
DEAD_FROM, DEAD_UNTIL = 60, 84

Row = tuple[int, int, str, int, int, str]


@dataclass
class History:
    """Plays one seed's history, delivered as another seed says."""

    seed: int
    delivery_seed: int
    loses: bool
    world: LiveWorld = field(init=False)
    delivered: set[int] = field(default_factory=set)
    put: dict[int, tuple[int, str]] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.history = random.Random(self.seed)  # noqa: S311
        self.delivery = random.Random(self.delivery_seed)  # noqa: S311
        self.world = LiveWorld(self.history.choice((1, 2, 3)))
        self.n_events = 0
        self.resends: list[tuple[int, str, int, str]] = []

    def play(self) -> "History":
        dead = self.history.random() < 0.3
        for tick in range(TICKS):
            self.world.clock.time_ms = BASE + tick * 20_000
            self.world.stream.arrival_ms = self.world.clock.time_ms
            self.put_some(tick)
            self.reshard()
            if tick % 3 == 0 and not (dead and DEAD_FROM <= tick < DEAD_UNTIL):
                self.swept()
            if self.loses and self.history.random() < 0.03:
                self.lose()
            for shard_id in list(self.world.stream.all):
                if self.delivery.random() < 0.5:
                    self.deliver(shard_id)
        for _ in range(SETTLE):
            self.swept(minutes=1)
            for shard_id in list(self.world.stream.all):
                self.deliver(shard_id, everything=True)
        return self

    def swept(self, minutes: int = 0) -> None:
        swept = self.world.sweep(minutes)
        assert swept.failures == []

    def put_some(self, tick: int) -> None:
        for _ in range(self.history.randrange(4)):
            self.n_events += 1
            # what is late is lost without a trace: its window was told before
            behind = self.history.choice((0, 0, 0, 1, 1, 0 if self.loses else 15)) * 20_000
            at = tick * 20_000 - behind - self.history.randrange(20_000)
            series = self.history.choice(SERIES)
            event = (at, f"e-{self.n_events}", self.history.randrange(1 << 30), series)
            self.send(event)
            self.resends.append(event)
        if self.resends and self.history.random() < 0.2:
            self.send(self.history.choice(self.resends[-30:]))

    def send(self, event: tuple[int, str, int, str]) -> None:
        at, ident, key, series = event
        self.world.put(at=at, ident=ident, key=str(key), series=series)

    def reshard(self) -> None:
        shards = [shard for shard in self.world.stream.all.values() if not shard.closed]
        chance = self.history.random()
        if chance < 0.02 and len(shards) < 6:
            one = self.history.choice(shards)
            children = self.world.stream.split(one.shard_id)
            if self.history.random() < 0.4:  # again, before anybody has seen it
                self.world.stream.split(self.history.choice(children))
        elif chance < 0.04 and len(shards) > 1:
            shards.sort(key=lambda shard: shard.first)
            place = self.history.randrange(len(shards) - 1)
            self.world.stream.merge(shards[place].shard_id, shards[place + 1].shard_id)

    def lose(self) -> None:
        """Let retention trim what is unread up to a heartbeat, or take a closed shard away."""
        shard = self.history.choice(list(self.world.stream.all.values()))
        if shard.closed and self.history.random() < 0.5:
            if self.was_listed(shard.shard_id):  # it lasts a day, and the sweep lists each minute
                self.world.stream.expire(shard.shard_id)
            return
        read = self.positions.get(shard.shard_id, -1)
        beats = [
            place
            for place, record in enumerate(shard.log)
            if record.sequence_number > read and isinstance(items_of(record)[0], Heartbeat)
        ]
        if beats:
            shard.trim(beats[-1] + 1)

    def was_listed(self, shard_id: str) -> bool:
        shards = self.world.sweeps.shards(self.world.generation)
        return any(shard.shard_id == shard_id for shard in shards)

    def deliver(self, shard_id: str, *, everything: bool = False) -> None:
        log = self.world.stream.all[shard_id].log
        read = self.positions.get(shard_id, -1)
        ahead = [record for record in log if record.sequence_number > read]
        if not ahead:
            return
        batch = ahead if everything else ahead[: self.delivery.randrange(1, 12)]
        if self.delivery.random() < 0.2:  # a redelivery that reaches further back
            behind = [record for record in log if record.sequence_number <= read]
            batch = behind[-self.delivery.randrange(1, 6) :] + batch
        try:
            self.world.counter.count(shard_id, batch)
        except Transient:
            return
        self.positions[shard_id] = batch[-1].sequence_number
        for record in batch:
            self.delivered.update(i.key for i in items_of(record) if isinstance(i, Event))

    def rows(self) -> list[Row]:
        return sorted(
            (r.step_ms, r.window_start_ms, r.series, r.revision, r.count, r.quality.value)
            for series in SERIES
            for r in self.world.rows(series=series)
        )


def items_of(record: Record) -> list[Event | Heartbeat]:
    found = decode(record.data, SeriesBy())
    return [item for item in found if isinstance(item, Event | Heartbeat)]


def truth(history: History) -> tuple[Counter[tuple[str, int]], set[tuple[str, int]]]:
    """Return the counts of what was delivered, and the places of what never was."""
    counts: Counter[tuple[str, int]] = Counter()
    lost: set[tuple[str, int]] = set()
    for at, ident, _, series in history.resends:
        [item] = decode(
            f'{{"specversion":"1.0","id":"{ident}","source":"/s","type":"{series}",'
            f'"time":"2000-01-01T00:00:00Z"}}'.encode(),
            SeriesBy(),
        )
        assert isinstance(item, Event)
        window_ms = (BASE + at) - (BASE + at) % SIZE
        if item.key in history.delivered:
            counts[(series, window_ms)] += 1
        else:
            lost.add((series, window_ms))
    return counts, lost


def last_rows(rows: list[Row]) -> dict[tuple[str, int], tuple[int, str]]:
    """Return count and quality of the last revision by series and window."""
    return {
        (series, window_ms): (count, quality)
        for _, window_ms, series, _, count, quality in sorted(rows, key=lambda row: row[3])
    }


@pytest.mark.parametrize("seed", range(40))
def test_every_window_is_told_in_order_with_the_true_count_however_it_is_delivered(
    seed: int,
) -> None:
    histories = [History(seed, delivery, loses=False).play() for delivery in (1, 2)]
    assert histories[0].rows() == histories[1].rows()
    counts, lost = truth(histories[0])
    assert not lost
    told = last_rows(histories[0].rows())
    assert {place: count for place, (count, _) in told.items() if count} == dict(counts)
    assert {quality for _, quality in told.values()} <= {"complete", "partial"}
    for series in SERIES:
        windows = sorted(window_ms for name, window_ms in told if name == series)
        assert windows == list(range(windows[0], windows[-1] + SIZE, SIZE))
        assert windows[-1] >= BASE + (TICKS * 20_000 // SIZE) * SIZE


@pytest.mark.parametrize("seed", range(100, 160))
def test_what_is_lost_is_known_as_a_gap(seed: int) -> None:
    history = History(seed, seed, loses=True).play()
    counts, lost = truth(history)
    told = last_rows(history.rows())
    assert {place: count for place, (count, _) in told.items() if count} == dict(counts)
    unmarked = {place for place in lost & told.keys() if told[place][1] not in ("gap", "partial")}
    assert not unmarked
    assert max(window_ms for _, window_ms in told) >= BASE + (TICKS * 20_000 // SIZE) * SIZE
