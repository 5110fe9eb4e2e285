"""Counting a live stream: generations, unknown shards, and failures after the commit."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from tests.support.oracle import SIZE
from tests.support.worlds import BASE, CLOSE_RULES, RULES
from tidegauge.adapters.memory import MemoryCountStore
from tidegauge.adapters.memory_sweeping import MemorySweepStore
from tidegauge.domain.decode import SeriesBy
from tidegauge.domain.errors import Transient
from tidegauge.domain.event_time import format_time
from tidegauge.domain.heartbeat import heartbeat_record
from tidegauge.domain.record import Record
from tidegauge.ports import Destination, OutboxMessage, ShardListing, StreamIdentity
from tidegauge.steps.close import end_once
from tidegauge.steps.count_stream import QUIET_MS, StreamCounter


class Stream:
    """A stream whose creation time and shards a test may change; counts how often it is asked."""

    def __init__(self) -> None:
        self.created_ms = 1
        self.shard_ids = ["shard-0"]
        self.asked = 0

    def identity(self) -> StreamIdentity:
        self.asked += 1
        return StreamIdentity("arn", self.created_ms)

    def shards(self) -> list[ShardListing]:
        return [ShardListing(name, (), 0, 0, closed=False) for name in self.shard_ids]


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time_ms = 1_000_000

    def now_ms(self) -> int:
        return self.time_ms


class Sink:
    """Keeps what it is sent, or refuses it."""

    def __init__(self) -> None:
        self.got: list[OutboxMessage] = []
        self.broken = False

    def send(self, messages: Sequence[OutboxMessage]) -> None:
        if self.broken:
            msg = "refused"
            raise Transient(msg)
        self.got.extend(messages)


class World:
    """One counter and everything around it, in memory."""

    def __init__(self) -> None:
        self.store = MemoryCountStore()
        self.stream = Stream()
        self.clock = Clock()
        self.sink = Sink()
        self.counter = StreamCounter(
            store=self.store,
            outbox=self.store,
            sinks={Destination.WINDOWS: self.sink},
            stream=self.stream,
            clock=self.clock,
            series_by=SeriesBy(),
            rules=RULES,
            close_rules=CLOSE_RULES,
        )


@pytest.fixture
def world() -> World:
    """A stream of one shard and a counter that has not started."""
    return World()


def event(number: int, *, at_ms: int = BASE) -> Record:
    data = (
        f'{{"specversion":"1.0","id":"{number}","source":"/s","type":"t",'
        f'"time":"{format_time(at_ms)}"}}'
    )
    return Record("shard-0", number, None, "k", data.encode())


def beat(number: int, at_ms: int) -> Record:
    data = heartbeat_record(source="/clock", event_time_ms=at_ms, shard_id="shard-0", previous=None)
    return Record("shard-0", number, None, "k", data)


def test_an_unknown_shard_makes_it_list_the_stream_once(world: World) -> None:
    assert world.counter.count("shard-0", [event(1)]).collected.batch.distinct == 1
    assert world.counter.count("shard-0", [event(2)]).collected.batch.distinct == 1
    assert world.counter.count("shard-0", [event(3)]).collected.batch.distinct == 1
    assert world.stream.asked == 2  # at its start, and after the listing


def test_a_stream_that_is_made_anew_before_it_is_listed_is_registered_as_the_new_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = world.stream.shards

    def made_anew() -> list[ShardListing]:
        world.stream.created_ms = 2
        return listed()

    monkeypatch.setattr(world.stream, "shards", made_anew)
    world.counter.count("shard-0", [event(1)])
    old, new = (world.store.generation(StreamIdentity("arn", at)) for at in (1, 2))
    sweeps = MemorySweepStore(world.store)
    assert (len(sweeps.shards(old)), len(sweeps.shards(new))) == (0, 1)


def test_a_shard_that_the_listing_lacks_asks_for_the_batch_again(world: World) -> None:
    with pytest.raises(Transient, match="shard-9"):
        world.counter.count("shard-9", [event(1)])


def test_a_recreated_stream_is_noticed_after_ten_quiet_seconds(world: World) -> None:
    world.counter.count("shard-0", [event(7)])
    world.stream.created_ms = 2
    world.clock.time_ms += QUIET_MS
    same_id = replace(event(7), sequence_number=8)
    again = world.counter.count("shard-0", [same_id])
    assert again.collected.batch.distinct == 1  # on the old one it would be a duplicate


def test_a_recreated_stream_is_noticed_after_the_clock_was_set_back(world: World) -> None:
    world.clock.time_ms += 10 * QUIET_MS
    world.counter.count("shard-0", [event(7)])
    world.stream.created_ms = 2
    world.clock.time_ms -= 9 * QUIET_MS  # how long it was quiet, nobody knows
    again = world.counter.count("shard-0", [replace(event(7), sequence_number=8)])
    assert again.collected.batch.distinct == 1


def test_a_recreated_stream_is_noticed_before_a_whole_batch_is_skipped(world: World) -> None:
    world.counter.count("shard-0", [event(7)])
    world.stream.created_ms = 2
    counted = world.counter.count("shard-0", [event(1), event(2)])
    assert not counted.collected.skipped
    assert counted.collected.batch.distinct == 2


def test_a_recreated_stream_that_is_never_quiet_is_noticed_once_the_old_one_has_ended(
    world: World,
) -> None:
    world.counter.count("shard-0", [event(7)])
    old = world.store.generation(StreamIdentity("arn", 1))
    world.stream.created_ms = 2
    assert end_once(world.store, old, CLOSE_RULES).finished
    world.counter.count("shard-0", [event(8)])
    new = world.store.generation(StreamIdentity("arn", 2))
    assert [shard.fence for shard in MemorySweepStore(world.store).shards(new)] == [8]


def test_a_listing_of_the_old_stream_is_never_registered_with_the_new_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = world.stream.shards

    def old_and_then_new() -> list[ShardListing]:
        if world.stream.created_ms == 2:
            return listed()
        world.stream.created_ms = 2
        return [*listed(), ShardListing("shard-1", (), 0, 0, closed=True)]

    monkeypatch.setattr(world.stream, "shards", old_and_then_new)
    world.counter.count("shard-0", [event(1)])
    new = world.store.generation(StreamIdentity("arn", 2))
    shards = MemorySweepStore(world.store).shards(new)
    assert [shard.shard_id for shard in shards] == ["shard-0"]


def test_a_redelivery_on_the_same_stream_is_skipped(world: World) -> None:
    world.counter.count("shard-0", [event(7)])
    assert world.counter.count("shard-0", [event(7)]).collected.skipped


def test_a_closing_heartbeat_closes_and_publishes(world: World) -> None:
    closing = [beat(1, BASE), event(2), beat(3, BASE + SIZE + 60_000)]
    counted = world.counter.count("shard-0", closing)
    assert counted.completed == 1
    assert counted.left_to_sweep is None
    assert len(world.sink.got) == 1


def test_a_sink_that_fails_does_not_fail_the_batch_and_loses_nothing(world: World) -> None:
    world.sink.broken = True
    closing = [beat(1, BASE), event(2), beat(3, BASE + SIZE + 60_000)]
    counted = world.counter.count("shard-0", closing)
    assert isinstance(counted.left_to_sweep, Transient)
    assert counted.collected.batch.distinct == 1
    assert len(world.store.take(Destination.WINDOWS, 10)) == 1
