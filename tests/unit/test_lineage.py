"""Resharding: children wait, drained parents hand their stream time on, expired ones leave a gap.

Windows are five minutes, lateness one; the sweep beats each minute and the mapping delivers after
it. Event times are ms after the base.
"""

import pytest

from tests.support.live_world import MINUTE, LiveWorld
from tests.support.worlds import BASE
from tidegauge.domain.errors import Transient
from tidegauge.ports import FailedBatch, ShardEnd

ROOT = "shardId-000000000000"


def settle(world: LiveWorld, minutes: int = 8) -> None:
    for _ in range(minutes):
        world.minute()


def test_a_child_is_refused_until_its_parent_is_drained() -> None:
    world = LiveWorld()
    world.minute()
    world.put(at=1000)
    low, high = world.stream.split(ROOT)
    world.put(at=2000)
    assert world.deliver([low, high]) <= {low, high}
    world.sweep(1)  # lists the children; the parent is not read yet
    assert world.deliver([low, high]) == {low, high}
    world.deliver([ROOT])
    assert world.sweep(1).drained == 1
    assert world.deliver([low, high]) == set()
    settle(world)
    assert world.counts()[0] == 2


def test_a_parent_with_an_unread_record_holds_the_watermark_back() -> None:
    world = LiveWorld()
    world.minute()
    world.put(at=1000)
    children = world.stream.split(ROOT)
    for _ in range(20):
        assert world.sweep(1).drained == 0
        assert world.deliver(children) == set(children)
    assert world.rows() == []
    world.deliver()
    settle(world, 2)
    assert world.counts()[0] == 1
    assert set(world.qualities().values()) == {"complete"}


def test_counts_go_on_over_a_split_and_a_merge() -> None:
    world = LiveWorld()
    world.minute()
    for minute in range(30):
        for second in (5, 25, 45):
            world.put(at=minute * MINUTE + second * 1000)
        if minute == 7:
            low, high = world.stream.split(ROOT)
        if minute == 16:
            world.stream.merge(low, high)
        world.minute()
    settle(world)
    assert {window: world.counts()[window] for window in range(6)} == dict.fromkeys(range(6), 15)
    assert all(row.revision == 1 for row in world.rows())
    assert set(world.qualities().values()) == {"complete"}


def test_a_child_that_is_split_before_its_first_heartbeat_passes_on_what_it_was_given() -> None:
    world = LiveWorld()
    world.minute()
    world.put(at=1000)
    low, _ = world.stream.split(ROOT)
    lower, lowest = world.stream.split(low)  # no sweep has seen low
    world.put(at=2000)
    world.deliver()
    settle(world)
    assert world.counts()[0] == 2
    assert set(world.qualities().values()) == {"complete"}
    shards = {shard.shard_id: shard for shard in world.sweeps.shards(world.generation)}
    assert shards[low].drained
    assert shards[lower].stream_time_ms == shards[lowest].stream_time_ms


def test_a_resend_on_a_grandchild_is_a_duplicate() -> None:
    world = LiveWorld()
    world.minute()
    world.put(at=1000, ident="twice", key="k")
    low, high = world.stream.split(ROOT)
    world.minute()
    world.minute()
    grandchild = world.stream.merge(low, high)
    world.minute()
    position = world.put(at=1000, ident="twice", key="k")
    assert position.shard_id == grandchild
    settle(world)
    assert world.counts()[0] == 1


def test_a_parent_that_expired_unread_is_a_gap_until_its_childrens_first_heartbeat() -> None:
    # minute  0 ... 5      5                                      6 ...
    #         all read     event, split, parent expires unread    sweeps see the children alone
    world = LiveWorld()
    for minute in range(5):
        world.put(at=minute * MINUTE + 1000)
        world.minute()
    world.put(at=5 * MINUTE)
    world.stream.split(ROOT)
    world.stream.expire(ROOT)
    settle(world, 16)
    assert world.counts()[0] == 5
    qualities = world.qualities()
    assert qualities[0] == "gap"  # was open when the parent's clock stood
    assert qualities[1] == "gap"
    assert qualities[2] == "complete"


def test_a_merged_shard_tells_nothing_behind_the_loss_of_its_slower_parent() -> None:
    # minute  4: one parent is read no further      8: merged, and the slow one expires unread
    world = LiveWorld(2)
    slow, fast = world.stream.all
    for minute in range(8):
        world.put(at=minute * MINUTE, hash_key=0)
        world.put(at=minute * MINUTE, hash_key=world.stream.all[fast].last)
        world.sweep(1)
        world.deliver([slow, fast] if minute < 4 else [fast])
    merged = world.stream.merge(slow, fast)
    world.stream.expire(slow)
    world.sweep()  # starts the merged shard where the fast one stood, with the slow one's loss
    [state] = [s for s in world.sweeps.shards(world.generation) if s.shard_id == merged]
    assert state.stream_time_ms == BASE + 8 * MINUTE
    assert world.sweep().completed == 0
    settle(world, 12)
    assert [world.qualities()[window] for window in range(3)] == ["gap", "gap", "complete"]


def test_a_whole_line_that_expired_leaves_its_gap_to_the_orphans() -> None:
    world = LiveWorld()
    world.put(at=1000)
    world.minute()
    world.minute()
    low, high = world.stream.split(ROOT)
    lower, lowest = world.stream.split(low)
    for shard_id in (ROOT, low):
        world.stream.expire(shard_id)
    world.put(at=6 * MINUTE)
    settle(world, 20)
    shards = {shard.shard_id: shard for shard in world.sweeps.shards(world.generation)}
    assert set(shards) == {ROOT, high, lower, lowest}
    assert shards[ROOT].drained
    assert world.counts()[0] == 1
    assert world.counts()[1] == 1
    assert world.qualities()[0] == "gap"
    assert world.qualities()[2] == "complete"


def test_a_closed_shard_whose_last_batch_was_given_up_on_is_drained_all_the_same() -> None:
    world = LiveWorld()
    world.put(at=1000)
    world.minute()
    world.put(at=MINUTE + 1000)
    children = world.stream.split(ROOT)
    world.sweep(1)
    log = world.stream.all[ROOT].log
    world.failed.kept["last"] = FailedBatch(world.stream.identity().arn, ROOT, (log[-1],))
    for _ in range(12):
        world.sweep(1)
        world.deliver(children)  # nobody delivers the parent's last batch any more
    assert world.qualities()[0] == "gap"
    assert world.qualities()[1] == "complete"


def test_a_record_that_was_seen_and_expired_unread_is_a_gap() -> None:
    world = LiveWorld()
    world.minute()
    world.put(at=1000)
    world.stream.split(ROOT)
    world.sweep(1)  # sees the record behind the fence
    world.stream.all[ROOT].trim(99)
    settle(world, 12)
    assert world.rows() == []  # the only event is lost, so no series is known
    world.put(at=15 * MINUTE)
    settle(world, 12)
    gaps = world.sweeps.backlog(world.generation).gaps
    assert gaps > 0


def test_trimmed_heartbeats_are_a_gap_even_if_the_sweep_never_saw_a_record() -> None:
    world = LiveWorld()
    for minute in range(3):
        world.put(at=minute * MINUTE)
        world.minute()
    world.sweep(1)
    world.put(at=4 * MINUTE)
    world.sweep(1)
    world.stream.all[ROOT].trim(99)  # two heartbeats and an event that nobody had read
    settle(world, 14)  # the next heartbeat, of minute 6, names the one before it
    assert world.counts()[0] == 3
    assert [world.qualities()[window] for window in range(3)] == ["gap", "gap", "complete"]


def test_a_shard_that_cannot_be_probed_now_keeps_no_other_from_being_drained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = LiveWorld(2)
    world.minute()
    one, other = world.stream.all
    for shard_id in (one, other):
        world.stream.split(shard_id)
    probe = world.stream.probe

    def throttled(shard_id: str, fence: int) -> ShardEnd:
        if shard_id == one:
            msg = "slow down"
            raise Transient(msg)
        return probe(shard_id, fence)

    monkeypatch.setattr(world.stream, "probe", throttled)
    assert [str(failure) for failure in world.sweep(1).failures] == ["slow down"]
    shards = {shard.shard_id: shard for shard in world.sweeps.shards(world.generation)}
    assert (shards[one].drained, shards[other].drained) == (False, True)
