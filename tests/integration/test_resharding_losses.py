"""What retention took before it was counted, and a stream made anew: known, told, nothing else.

Same world as for resharding. A loss is told as the quality of the windows that it may touch; their
counts are those of what could be read, and all other windows are as if nothing had happened.
"""

from collections.abc import Callable

import pytest

from tests.support.oracle import LATENESS, SIZE
from tests.support.resharded_world import ReshardedWorld
from tidegauge.domain.count import Quality

pytestmark = [pytest.mark.database, pytest.mark.kinesis]

FIRST, SECOND = "shardId-000000000000", "shardId-000000000001"
Make = Callable[..., ReshardedWorld]


def touched(from_ms: int | None, until_ms: int | None) -> Callable[[int], bool]:
    """Return whether a window may lack what was lost between two stream times."""
    assert from_ms is not None
    assert until_ms is not None
    first_open_ms = (from_ms - LATENESS) // SIZE * SIZE
    return lambda window_ms: window_ms < until_ms and window_ms >= first_open_ms


def some_of_each(world: ReshardedWorld, gaps: Callable[[int], bool]) -> bool:
    """Whether there are windows with a gap, and others before and behind them."""
    told = sorted({row.window_start_ms for row in world.stores.rows(world.generation)})
    flags = [gaps(window_ms) for window_ms in told]
    return any(flags) and not flags[0] and not flags[-1]


def test_records_of_an_open_shard_expire_unread(make_world: Make) -> None:
    world = make_world(shards=2)
    world.minutes(12, events=30)
    before_ms = world.shard(FIRST).stream_time_ms
    world.mapping.enabled = False
    world.minutes(12, events=30)
    assert world.lose(FIRST) > 100
    world.mapping.enabled = True
    world.minutes(1, events=30)
    gaps = touched(before_ms, world.shard(FIRST).stream_time_ms)
    world.minutes(12, events=30)
    world.come_to_an_end()
    assert some_of_each(world, gaps)
    world.check(gaps=gaps)


@pytest.mark.parametrize("children_first", [False, True])
def test_records_of_a_split_shard_expire_unread(make_world: Make, *, children_first: bool) -> None:
    world = make_world(children_first=children_first)
    world.minutes(12, events=30)
    before_ms = world.shard(FIRST).stream_time_ms
    world.mapping.enabled = False
    world.minutes(6, events=30)
    low, _ = world.stream.split(FIRST)
    world.put(60)
    world.minutes(2)
    assert world.lose(FIRST) > 100
    world.mapping.enabled = True
    world.minutes(12, events=30)
    assert world.shard(low).stream_time_ms == world.clock.now_ms()
    gaps = touched(before_ms, world.stream_times(low)[0])
    world.come_to_an_end()
    assert some_of_each(world, gaps)
    world.check(gaps=gaps)


def test_only_events_expired_behind_the_last_heartbeat_and_a_probe_had_seen_them(
    make_world: Make,
) -> None:
    world = make_world()
    world.minutes(12, events=30)
    before_ms = world.shard(FIRST).stream_time_ms
    world.mapping.enabled = False
    world.put(60)
    low, _ = world.stream.split(FIRST)
    world.minutes(1)  # a sweep sees that the parent holds something unread
    assert world.lose(FIRST) > 30
    world.mapping.enabled = True
    world.minutes(12, events=30)
    gaps = touched(before_ms, world.stream_times(low)[0])
    world.come_to_an_end()
    assert some_of_each(world, gaps)
    world.check(gaps=gaps)


def test_a_loss_of_the_parent_passes_through_a_child_without_heartbeats(make_world: Make) -> None:
    world = make_world()
    world.minutes(12, events=30)
    before_ms = world.shard(FIRST).stream_time_ms
    world.mapping.enabled = False
    world.minutes(3, events=30)
    low, high = world.stream.split(FIRST)
    last = world.stream.merge(low, high)
    world.minutes(2, events=30)
    world.lose(FIRST)
    world.mapping.enabled = True
    world.minutes(12, events=30)
    assert world.shard(last).stream_time_ms == world.clock.now_ms()
    gaps = touched(before_ms, world.stream_times(last)[0])
    world.come_to_an_end()
    assert some_of_each(world, gaps)
    world.check(gaps=gaps)


def test_the_slower_of_two_merged_shards_has_lost_what_the_faster_has_told_of(
    make_world: Make,
) -> None:
    world = make_world(shards=2)
    world.minutes(12, events=30)
    before_ms = world.shard(FIRST).stream_time_ms
    world.mapping.stuck = {FIRST}
    world.minutes(7, events=30)
    child = world.stream.merge(FIRST, SECOND)
    world.minutes(7, events=30)
    assert world.shard(SECOND).drained
    world.lose(FIRST)
    world.mapping.stuck = {child}
    world.minutes(8, events=30)
    assert world.shard(FIRST).drained
    told_ms = max(row.window_start_ms for row in world.stores.rows(world.generation))
    world.mapping.stuck = set()
    world.minutes(12, events=30)
    gaps = touched(before_ms, world.stream_times(child)[0])
    assert not gaps(told_ms)
    world.come_to_an_end()
    assert some_of_each(world, gaps)
    world.check(gaps=gaps)


def test_one_of_two_merged_shards_lost_something_while_the_other_is_still_read(
    make_world: Make,
) -> None:
    world = make_world(shards=2)
    world.minutes(12, events=30)
    before_ms = world.shard(FIRST).stream_time_ms
    world.mapping.stuck = {FIRST}
    world.minutes(7, events=30)
    world.mapping.stuck = {FIRST, SECOND}
    world.minutes(1, events=30)
    child = world.stream.merge(FIRST, SECOND)
    world.lose(FIRST)
    world.minutes(3, events=30)
    assert (world.shard(FIRST).drained, world.shard(SECOND).drained) == (True, False)
    world.mapping.stuck = set()
    world.minutes(12, events=30)
    gaps = touched(before_ms, world.stream_times(child)[0])
    world.come_to_an_end()
    assert some_of_each(world, gaps)
    world.check(gaps=gaps)


def test_nobody_looked_until_only_grandchildren_were_left(make_world: Make) -> None:
    world = make_world()
    world.resent = 0.0  # across shards that nobody has seen, an event that is put again is new
    world.minutes(12, events=30)
    before_ms = world.shard(FIRST).stream_time_ms
    children = world.stream.split(FIRST)
    world.put(50)
    grandchildren = [name for child in children for name in world.stream.split(child)]
    world.put(50)
    for shard_id in (FIRST, *children):
        world.lose(shard_id)
        world.client.expire(shard_id)
    world.minutes(12, events=30)
    assert set(world.shards()) == {FIRST, *grandchildren}
    gaps = touched(before_ms, world.stream_times(grandchildren[0])[0])
    world.come_to_an_end()
    assert some_of_each(world, gaps)
    world.check(gaps=gaps)


def test_a_parent_leaves_the_listing_with_what_nobody_read(make_world: Make) -> None:
    world = make_world()
    world.minutes(12, events=30)
    before_ms = world.shard(FIRST).stream_time_ms
    world.mapping.enabled = False
    world.minutes(3, events=30)
    low, _ = world.stream.split(FIRST)
    world.minutes(3, events=30)
    assert world.lose(FIRST) > 50
    world.client.expire(FIRST)
    world.mapping.enabled = True
    world.minutes(12, events=30)
    assert world.shard(FIRST).drained
    gaps = touched(before_ms, world.stream_times(low)[0])
    world.come_to_an_end()
    assert some_of_each(world, gaps)
    world.check(gaps=gaps)


def test_a_parent_leaves_the_listing_long_after_it_was_read(make_world: Make) -> None:
    world = make_world(shards=2)
    world.minutes(8, events=30)
    child = world.stream.merge(FIRST, SECOND)
    world.minutes(4, events=30)
    world.client.expire(FIRST)
    world.minutes(2, events=30)
    world.client.expire(SECOND)
    world.minutes(8, events=30)
    world.resend()
    world.stream.split(child)
    world.come_to_an_end()
    world.check()


def test_a_stream_is_made_anew_under_its_name(make_world: Make) -> None:
    world = make_world(shards=2)
    world.minutes(15, events=30)
    world.minute(30, minutes=0.5)
    world.stream.split(FIRST)
    world.put(100)
    old = world.generation
    counted = world.counted_events()
    closed_ms = max(row.window_start_ms for row in world.stores.rows(old))
    world.begin_anew(shards=1)
    world.minutes(13, events=30)
    world.stream.split(FIRST)
    assert world.generation != old
    rows = world.stores.rows(old)
    assert {row.quality for row in rows if row.window_start_ms <= closed_ms} == {Quality.COMPLETE}
    ended = [row for row in rows if row.window_start_ms > closed_ms]
    assert {row.quality for row in ended} == {Quality.GAP}
    assert {row.window_start_ms for row in ended} == {closed_ms + SIZE, closed_ms + 2 * SIZE}
    world.check_announced_once(old, rows)
    latest = {
        (row.series, row.window_start_ms): row for row in sorted(rows, key=lambda r: r.revision)
    }
    assert sum(row.count for row in latest.values()) == counted
    world.come_to_an_end()
    world.check()
