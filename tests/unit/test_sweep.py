"""The sweep: registers, beats where it is the clock, closes, rings, publishes; one at a time."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import msgspec
import pytest

from tests.support.live_world import CLOCK, MINUTE, LiveWorld
from tests.support.oracle import SIZE
from tests.support.worlds import BASE, CLOSE_RULES
from tidegauge.domain.decode import SeriesBy, decode
from tidegauge.domain.errors import Misconfigured, Transient
from tidegauge.domain.event import Heartbeat
from tidegauge.ports import (
    CloseTransaction,
    Destination,
    FailedBatch,
    OutboxMessage,
    PutPosition,
    ShardEnd,
    ShardListing,
    StreamEntry,
    StreamReading,
)
from tidegauge.steps.heartbeats import Heartbeats


def beats(world: LiveWorld, shard_id: str) -> list[tuple[int, Heartbeat]]:
    """Return the heartbeats on a shard with their sequence numbers."""
    found = []
    for record in world.stream.all[shard_id].log:
        item = decode(record.data, SeriesBy())[0]
        if isinstance(item, Heartbeat):
            found.append((record.sequence_number, item))
    return found


def test_as_clock_it_puts_one_time_on_every_open_shard() -> None:
    world = LiveWorld(2)
    world.sweep()
    world.sweep(1)
    for shard_id in world.stream.all:
        (at, first), (_, second) = beats(world, shard_id)
        assert (first.event_time_ms, first.previous) == (BASE, None)
        assert (second.event_time_ms, second.previous) == (BASE + MINUTE, at)
        assert (second.source, second.shard_id) == (CLOCK, shard_id)


def test_six_rounds_a_minute_are_spread_over_it_and_close_as_they_go() -> None:
    world = LiveWorld(rounds=6)
    world.sweep()
    times = [beat.event_time_ms - BASE for _, beat in beats(world, "shardId-000000000000")]
    assert times == [0, 10_000, 20_000, 30_000, 40_000, 50_000]


def test_rounds_that_a_slow_one_has_used_up_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    world = LiveWorld(rounds=12)
    put = world.stream.put

    def slow(entries: Sequence[StreamEntry]) -> list[PutPosition]:
        world.clock.time_ms += 12_000
        return put(entries)

    monkeypatch.setattr(world.stream, "put", slow)
    world.sweep()
    times = [beat.event_time_ms - BASE for _, beat in beats(world, "shardId-000000000000")]
    assert times == [0, 12_000, 24_000, 36_000, 48_000]


def test_a_recreated_stream_begins_a_chain_of_its_own() -> None:
    world = LiveWorld()
    world.sweep()
    world.stream.recreate()
    world.sweep()
    [(_, beat)] = beats(world, "shardId-000000000000")
    assert beat.previous is None


def test_where_a_producer_is_the_clock_it_puts_nothing() -> None:
    world = LiveWorld(2, is_clock=False)
    swept = world.sweep()
    assert all(not shard.log for shard in world.stream.all.values())
    assert (swept.ran, swept.shards, swept.watermark_ms) == (True, 2, None)
    assert swept.watermark_lag_ms is None


def test_it_closes_what_the_heartbeats_have_passed_and_publishes_it() -> None:
    world = LiveWorld(2)
    world.sweep()
    world.put(at=1000)
    world.deliver()
    swept = world.sweep(6)
    assert swept.completed == 0  # nobody has read the heartbeats yet
    world.deliver()  # the first shard's alone close nothing, the second's do
    assert world.counts() == {0: 1}
    swept = world.sweep(0)
    assert swept.watermark_ms == BASE + 6 * MINUTE
    assert swept.watermark_lag_ms == 0
    assert [window.series[0].count for window in world.sink.windows()] == [1]


def test_a_second_sweep_leaves_everything_to_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def taken() -> Iterator[bool]:
        yield False

    world = LiveWorld()
    monkeypatch.setattr(world.sweeps, "only_one", taken)
    assert not world.sweep().ran
    assert world.stream.n_listings == 0


def test_a_stream_that_takes_no_heartbeats_holds_up_no_alert() -> None:
    world = LiveWorld()
    world.store.put_messages([OutboxMessage(Destination.WINDOWS, "k", b"{}")])
    world.stream.refuses = True
    swept = world.sweep()
    assert [str(failure) for failure in swept.failures] == ["slow down"]
    assert len(world.sink.got) == 1
    assert swept.backlog is not None


def test_a_part_that_fails_keeps_no_other_from_its_turn() -> None:
    world = LiveWorld()
    world.readings.broken = Transient("denied")
    world.sweep()
    world.put(at=1000)
    world.deliver()
    world.sweep(6)
    world.deliver()
    assert world.counts() == {0: 1}


def test_a_stream_that_honours_no_hash_keys_is_told() -> None:
    world = LiveWorld(4, honours_hash_keys=False)
    [failure] = world.sweep().failures
    assert isinstance(failure, Misconfigured)
    assert "ExplicitHashKey" in str(failure)


def test_a_shard_that_is_split_between_listing_and_beat_is_no_fault_of_the_stream() -> None:
    world = LiveWorld()
    listing = world.stream.shards()
    low, high = world.stream.split(listing[0].shard_id)
    Heartbeats(world.stream, CLOCK, listing=listing).put(BASE)
    for shard_id in (low, high):
        assert beats(world, shard_id)[-1][1].shard_id == shard_id


def test_a_stream_that_is_made_anew_while_it_is_listed_is_not_registered_as_the_old_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = LiveWorld()
    world.sweep()
    old = world.generation
    listed = world.stream.shards

    def made_anew_with_two() -> list[ShardListing]:
        world.stream.n_shards = 2
        world.stream.recreate()
        return listed()

    monkeypatch.setattr(world.stream, "shards", made_anew_with_two)
    swept = world.sweep(1)
    assert "made anew" in str(swept.failures[0])
    assert [shard.shard_id for shard in world.sweeps.shards(old)] == ["shardId-000000000000"]


def test_how_the_stream_is_read_is_told_each_time() -> None:
    world = LiveWorld()
    assert world.sweep().reading_faults  # nobody reads it
    world.readings.told = [
        StreamReading("m", True, "collect", "TRIM_HORIZON", 2, -1, -1, False, False, 0)
    ]
    [fault] = world.sweep().reading_faults
    assert "ParallelizationFactor" in fault


def test_closed_shards_that_answer_slowly_leave_time_for_the_rest_and_take_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = LiveWorld(8)
    world.minute()
    for shard_id in list(world.stream.all):
        world.stream.split(shard_id)
    probed: set[str] = set()

    def slow(shard_id: str, fence: int) -> ShardEnd:
        assert fence
        probed.add(shard_id)
        world.clock.time_ms += 15_000
        msg = "no answer in time"
        raise Transient(msg)

    monkeypatch.setattr(world.stream, "probe", slow)
    began_ms = world.clock.time_ms + MINUTE
    swept = world.sweep(1)
    assert world.clock.time_ms - began_ms == 30_000
    assert swept.backlog is not None
    for _ in range(7):
        world.sweep(1)
    assert len(probed) == 8


def test_a_long_closing_leaves_time_to_publish(monkeypatch: pytest.MonkeyPatch) -> None:
    world = LiveWorld()
    world.sweep()
    world.put(at=1000)
    world.deliver()
    monkeypatch.setattr(world.counter, "_close_and_publish", lambda: (0, None))
    world.sweep(60)
    world.deliver()
    few = msgspec.structs.replace(CLOSE_RULES, max_rows=1)
    monkeypatch.setattr(world.sweep_step, "_close_rules", few)
    closing = world.store.closing

    def slow(generation: int) -> AbstractContextManager[CloseTransaction]:
        world.clock.time_ms += 15_000
        return closing(generation)

    monkeypatch.setattr(world.store, "closing", slow)
    told = world.sweep().completed
    assert 0 < told == len(world.sink.got) <= 3
    assert world.sweep().completed == 3


# --- batches that the mapping gave up on


def batch_of(world: LiveWorld, arn: str | None = None) -> FailedBatch:
    [(shard_id, shard)] = world.stream.all.items()
    return FailedBatch(arn or world.stream.identity().arn, shard_id, tuple(shard.log))


def test_a_batch_that_the_mapping_gave_up_on_is_a_gap_over_its_windows() -> None:
    world = LiveWorld()
    world.sweep()
    world.put(at=1000)
    world.deliver()
    world.put(at=2000)
    world.failed.kept["one"] = batch_of(world)  # the first event was counted all the same
    [shard] = world.stream.all.values()
    del shard.log[-1]
    assert world.sweep(1).lost_events == 1
    assert world.sweep(5).lost_events == 0  # noted once
    world.deliver()
    assert world.counts() == {0: 1}
    assert world.qualities() == {0: "gap"}
    assert world.failed.reads == ["one"]


def test_a_window_that_is_told_already_is_told_again_as_a_gap() -> None:
    world = LiveWorld()
    world.sweep()
    world.put(at=1000)
    world.deliver()
    world.sweep(6)
    world.deliver()
    assert world.qualities() == {0: "complete"}
    world.stream.put([StreamEntry(b"{}", "k")])
    world.put(at=2000)
    world.failed.kept["late"] = batch_of(world)
    [shard] = world.stream.all.values()
    del shard.log[-2:]
    world.sweep(1)
    for _ in range(5):
        world.minute()
    assert [(row.revision, row.count, row.quality.value) for row in world.rows()][:2] == [
        (1, 1, "complete"),
        (2, 1, "gap"),
    ]


def test_what_is_no_failed_batch_of_this_stream_is_read_once_and_left_alone() -> None:
    world = LiveWorld()
    world.put(at=1000)
    world.failed.kept = {"nonsense": None, "other": batch_of(world, "arn:another")}
    swept = world.sweep()
    assert (swept.lost_events, swept.unreadable) == (0, ["nonsense"])
    assert world.sweep(1).lost_events == 0
    assert world.failed.reads == ["nonsense", "other"]


def test_a_batch_of_a_stream_that_was_made_anew_since_says_nothing_of_the_new_one() -> None:
    world = LiveWorld()
    world.sweep()
    world.put(at=1000)
    old = batch_of(world)
    world.stream.created_ms = BASE + MINUTE - 1000
    world.stream.recreate()
    world.clock.time_ms += MINUTE
    world.sweep()
    world.failed.kept["old"] = old
    assert world.sweep(1).lost_events == 0
    assert world.sweeps.backlog(world.generation).gaps == 0
    assert world.failed.reads == ["old"]


def test_batches_that_cannot_be_read_keep_no_other_from_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = LiveWorld()
    world.sweep()
    world.put(at=1000)
    kept = {f"denied-{number:02}": None for number in range(30)}
    world.failed.kept = {**kept, "readable": batch_of(world)}
    read = world.failed.read

    def not_all(name: str) -> FailedBatch | None:
        if name.startswith("denied"):
            raise Misconfigured([f"{name} may not be read"])
        return read(name)

    monkeypatch.setattr(world.failed, "read", not_all)
    first, second = world.sweep(1), world.sweep(1)
    assert len(first.failures) == 20
    assert second.lost_events == 1


# --- a stream that is made anew


def test_a_later_generation_ends_the_one_before_it() -> None:
    world = LiveWorld()
    world.sweep()
    world.put(at=1000)
    world.deliver()
    world.sweep(6)
    world.deliver()
    world.put(at=SIZE + 1000)
    world.deliver()
    old = world.generation
    world.stream.recreate()
    world.clock.time_ms += MINUTE  # so quiet that the counter asks for the generation
    swept = world.sweep()
    assert swept.ended == 1
    assert world.qualities(old) == {0: "complete", 1: "gap"}
    assert [row.count for row in world.rows(old)] == [1, 1]
    assert world.sweep(1).ended == 0
    world.put(at=2 * SIZE + 1000)
    world.deliver()
    for _ in range(9):
        world.minute()
    assert world.counts() == {2: 1}
    assert world.qualities() == {2: "complete"}


def test_a_stream_made_anew_between_two_rounds_gets_no_heartbeat_of_the_old_chain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = LiveWorld(rounds=2)
    world.sweep()
    world.deliver()
    wait = world.clock.wait_until_ms

    def made_anew_meanwhile(time_ms: int) -> None:
        wait(time_ms)
        world.stream.recreate()

    monkeypatch.setattr(world.clock, "wait_until_ms", made_anew_meanwhile)
    swept = world.sweep(1)
    assert [type(failure) for failure in swept.failures] == [Transient]
    assert beats(world, "shardId-000000000000") == []


def test_a_generation_that_never_counted_ends_without_a_word() -> None:
    world = LiveWorld()
    world.sweep()
    world.stream.recreate()
    assert world.sweep(1).ended == 1
    assert world.sink.got == []
