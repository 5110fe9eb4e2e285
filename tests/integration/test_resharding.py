"""Split, merged, and split again while it is counted: every window is right, and told once.

The stream is a Kinesis that reshards, the mapping uses all that AWS allows it, the database is a
real one. What is announced is held against a plain recount of what was put.
"""

from collections.abc import Callable

import pytest

from tests.support.resharded_world import MINUTE, ReshardedWorld
from tidegauge.domain.errors import Transient

pytestmark = [pytest.mark.database, pytest.mark.kinesis]

FIRST, SECOND = "shardId-000000000000", "shardId-000000000001"
Make = Callable[..., ReshardedWorld]


@pytest.mark.parametrize("children_first", [False, True])
def test_a_shard_is_split(make_world: Make, *, children_first: bool) -> None:
    world = make_world(children_first=children_first)
    world.minutes(8, events=30)
    world.put(100)
    low, high = world.stream.split(FIRST)
    world.put(100)
    world.minutes(8, events=30)
    assert {name for name, shard in world.shards().items() if shard.drained} == {FIRST}
    world.come_to_an_end()
    world.check()
    assert set(world.shards()) == {FIRST, low, high}
    assert world.mapping.refused["WaitingShard"] > 0


@pytest.mark.parametrize("children_first", [False, True])
def test_two_shards_are_merged(make_world: Make, *, children_first: bool) -> None:
    world = make_world(shards=2, children_first=children_first)
    world.minutes(8, events=30)
    world.put(100)
    child = world.stream.merge(FIRST, SECOND)
    world.put(100)
    world.minutes(8, events=30)
    assert world.shard(child).stream_time_ms == world.clock.now_ms()
    world.come_to_an_end()
    world.check()


@pytest.mark.parametrize("children_first", [False, True])
def test_a_child_is_split_before_it_got_a_heartbeat(
    make_world: Make, *, children_first: bool
) -> None:
    world = make_world(children_first=children_first)
    world.minutes(7, events=30)
    low, _ = world.stream.split(FIRST)
    world.put(50)
    lowest, _ = world.stream.split(low)
    world.put(50)
    world.minutes(8, events=30)
    assert world.shard(low).beat is None
    assert world.shard(low).drained
    assert world.shard(lowest).stream_time_ms == world.clock.now_ms()
    world.come_to_an_end()
    world.check()


def test_split_and_merged_back_before_anybody_looked(make_world: Make) -> None:
    world = make_world()
    world.minutes(7, events=30)
    children = world.stream.split(FIRST)
    last = world.stream.merge(*children)
    world.put(50)
    world.minutes(8, events=30)
    assert set(world.shards()) == {FIRST, *children, last}
    world.come_to_an_end()
    world.check()


def test_the_mapping_lies_behind_while_shards_come_and_go(make_world: Make) -> None:
    world = make_world(shards=2)
    world.minutes(4, events=30)
    world.mapping.enabled = False
    world.minutes(4, events=30)
    low, high = world.stream.split(FIRST)
    world.minutes(4, events=30)
    world.stream.merge(high, SECOND)
    world.stream.split(low)
    world.minutes(8, events=30)
    told = len(world.stores.rows(world.generation))
    closed = world.closed_shards()
    assert closed == {FIRST, SECOND, low, high}
    assert not any(shard.drained for shard in world.shards().values())
    world.mapping.enabled = True
    world.come_to_an_end()
    assert len(world.stores.rows(world.generation)) > told
    world.check()


def test_no_sweep_runs_while_shards_come_and_go(make_world: Make) -> None:
    world = make_world(shards=2)
    world.minutes(6, events=30)
    low, _ = world.stream.split(FIRST)
    for _ in range(3):
        world.put(50)
        world.mapping.run()
    world.stream.split(low)
    world.moved.time_ms += 40 * MINUTE
    for _ in range(3):
        world.put(50)
        world.mapping.run()
    world.minutes(5, events=30)
    world.come_to_an_end()
    world.check()


def test_what_is_put_again_into_a_grandchild_counts_once(make_world: Make) -> None:
    world = make_world(shards=2)
    world.minutes(6, events=40)
    low, high = world.stream.split(FIRST)
    world.minutes(2, events=20)
    world.stream.split(low)
    world.stream.merge(high, SECOND)
    world.minutes(2, events=20)
    world.resend()
    world.minutes(2)
    world.resend()
    world.come_to_an_end()
    world.check()


def test_a_listing_that_lags_behind_delays_and_harms_nothing(make_world: Make) -> None:
    world = make_world()
    world.minutes(6, events=30)
    children = world.stream.split(FIRST)
    world.put(60)
    world.client.unlisted = set(children)
    world.minutes(3)
    assert not world.shard(FIRST).drained  # nobody knows yet who goes on
    world.client.unlisted = set()
    assert {type(failure) for failure in world.failures} == {Transient}  # no shard is open
    world.minutes(3, events=30)
    world.come_to_an_end()
    world.check()


@pytest.mark.parametrize("seed", range(3))
def test_an_hour_of_anything(make_world: Make, seed: int) -> None:
    # no event is put as late as that for the first time, and some are put again much later
    world = make_world(
        shards=2, seed=seed, children_first=seed % 2 == 1, max_event_age_ms=30 * MINUTE
    )
    chance = world.chance
    for _ in range(25):
        world.put(chance.randrange(40))
        keys = world.stream.open_shards()
        what = chance.random()
        if what < 0.2 and len(keys) < 8:
            world.stream.split(chance.choice(keys))
        elif what < 0.4 and len(keys) > 1:
            at = chance.randrange(len(keys) - 1)
            world.stream.merge(keys[at], keys[at + 1])
        elif what < 0.5:
            world.mapping.enabled = not world.mapping.enabled
        world.put(chance.randrange(40))
        if chance.random() < 0.7:
            world.sweep(chance.choice((1, 3, 5)))
        for _ in range(chance.randrange(4)):
            world.mapping.turn()
    world.mapping.enabled = True
    world.come_to_an_end()
    world.check()
    assert len(world.closed_shards()) > 3
    assert world.purged > 0
