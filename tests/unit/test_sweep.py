"""The sweep: registers, beats where it is the clock, closes, rings, publishes; one at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.support.oracle import SIZE
from tests.support.worlds import BASE, CLOSE_RULES, RULES
from tidegauge.adapters.memory import MemoryCountStore
from tidegauge.domain.decode import SeriesBy, decode
from tidegauge.domain.errors import Transient
from tidegauge.domain.event import Heartbeat
from tidegauge.domain.record import DecodedRecord
from tidegauge.ports import (
    Destination,
    OutboxMessage,
    PutPosition,
    ShardListing,
    StreamEntry,
    StreamIdentity,
)
from tidegauge.steps.collect import collect
from tidegauge.steps.sweep import SweepClock, Swept, sweep


class Stream:
    """Two shards that keep what is put on them; records land by their hash key."""

    def __init__(self) -> None:
        self.created_ms = 1
        self.put_records: dict[str, list[StreamEntry]] = {"shard-0": [], "shard-1": []}

    def identity(self) -> StreamIdentity:
        return StreamIdentity("arn", self.created_ms)

    def shards(self) -> list[ShardListing]:
        return [
            ShardListing("shard-0", (), 0, 9, closed=False),
            ShardListing("shard-1", (), 10, 19, closed=False),
        ]

    def put(self, entries: Sequence[StreamEntry]) -> list[PutPosition]:
        positions = []
        for entry in entries:
            assert entry.hash_key is not None
            name = "shard-0" if entry.hash_key < 10 else "shard-1"
            self.put_records[name].append(entry)
            positions.append(PutPosition(name, len(self.put_records[name])))
        return positions

    def beats(self, shard_id: str) -> list[Heartbeat]:
        found = [decode(e.data, SeriesBy())[0] for e in self.put_records[shard_id]]
        return [item for item in found if isinstance(item, Heartbeat)]


class Sweeps:
    """Lets one sweep in unless a test says that another is running."""

    def __init__(self) -> None:
        self.taken = False
        self.rings = 0

    @contextmanager
    def only_one(self) -> Iterator[bool]:
        yield not self.taken

    def ring_again(self, limit: int) -> int:
        assert limit > 0
        self.rings += 1
        return 0


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time_ms = BASE

    def now_ms(self) -> int:
        return self.time_ms


class Sink:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.got: list[OutboxMessage] = []

    def send(self, messages: Sequence[OutboxMessage]) -> None:
        self.got.extend(messages)


class World:
    """One sweep and everything around it, in memory."""

    def __init__(self) -> None:
        self.store = MemoryCountStore()
        self.stream = Stream()
        self.sweeps = Sweeps()
        self.clock = Clock()
        self.sink = Sink()
        self.sweep_clock = SweepClock(self.stream, self.clock, "/clock")

    def sweep(self, *, is_clock: bool = True) -> Swept:
        return sweep(
            store=self.store,
            sweeps=self.sweeps,
            outbox=self.store,
            sinks={Destination.WINDOWS: self.sink},
            stream=self.stream,
            clock=self.sweep_clock if is_clock else None,
            close_rules=CLOSE_RULES,
        )

    def deliver(self) -> None:
        """Let collect read both shards from their beginning."""
        for shard_id, entries in self.stream.put_records.items():
            records = [
                DecodedRecord(number, None, decode(entry.data, SeriesBy()), entry.data)
                for number, entry in enumerate(entries, start=1)
            ]
            collect(self.store, 1, shard_id, records, RULES)


@pytest.fixture
def world() -> World:
    """A stream that no sweep has seen."""
    return World()


def test_as_clock_it_puts_one_time_on_every_open_shard(world: World) -> None:
    world.sweep()
    world.clock.time_ms += 60_000
    world.sweep()
    for shard_id in ("shard-0", "shard-1"):
        first, second = world.stream.beats(shard_id)
        assert (first.event_time_ms, first.previous) == (BASE, None)
        assert (second.event_time_ms, second.previous) == (BASE + 60_000, 1)
        assert (second.source, second.shard_id) == ("/clock", shard_id)


def test_a_recreated_stream_begins_a_chain_of_its_own(world: World) -> None:
    world.sweep()
    world.stream.created_ms = 2
    world.sweep()
    assert world.stream.beats("shard-0")[1].previous is None


def test_where_a_producer_is_the_clock_it_puts_nothing(world: World) -> None:
    swept = world.sweep(is_clock=False)
    assert world.stream.put_records == {"shard-0": [], "shard-1": []}
    assert (swept.ran, swept.shards, swept.watermark_ms) == (True, 2, None)


def test_it_closes_what_the_heartbeats_have_passed_and_publishes_it(world: World) -> None:
    event = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"1970-01-07T22:40:01Z"}'
    world.sweep()
    world.stream.put([StreamEntry(event, "k", 0)])
    world.clock.time_ms += SIZE + 60_000
    assert world.sweep().completed == 0  # nobody has read the heartbeats yet
    world.deliver()
    swept = world.sweep()
    assert swept.completed == 1
    assert swept.watermark_ms == BASE + SIZE + 60_000
    assert [message.destination for message in world.sink.got] == [Destination.WINDOWS]
    assert world.sweeps.rings == 3


def test_a_second_sweep_leaves_everything_to_the_first(world: World) -> None:
    world.sweeps.taken = True
    assert not world.sweep().ran
    assert world.stream.put_records["shard-0"] == []
    assert world.sweeps.rings == 0


def test_a_stream_that_takes_no_heartbeats_holds_up_no_alert(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def throttled(_: Sequence[StreamEntry]) -> list[PutPosition]:
        msg = "slow down"
        raise Transient(msg)

    monkeypatch.setattr(world.stream, "put", throttled)
    world.store.put_messages([OutboxMessage(Destination.WINDOWS, "k", b"{}")])
    with pytest.raises(Transient, match="slow down"):
        world.sweep()
    assert len(world.sink.got) == 1
    assert world.sweeps.rings == 1
