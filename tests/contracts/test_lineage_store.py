"""The contract of the stores about lineage: who waits, what children start with, what is lost."""

import random

import pytest
from msgspec.structs import replace

from tests.support.count_stores import Stores
from tests.support.lineage_oracle import recount_lineage
from tests.support.lineage_worlds import WIDE, Counting, resharded
from tests.support.oracle import LATENESS, SIZE, Beat, Log
from tests.support.shard_line import MINUTE, STREAM, Line, beat
from tests.support.worlds import BASE, as_tuples, records, told
from tidegauge.domain.event import Heartbeat
from tidegauge.domain.fold import NO_FENCE
from tidegauge.ports import ShardProgress, WaitingShard
from tidegauge.steps.collect import collect


@pytest.fixture
def stores(empty_stores: Stores) -> Stores:
    """Each implementation in turn."""
    return empty_stores


# --- a split, a merge


def test_children_wait_for_their_parent_and_go_on_at_its_stream_time(stores: Stores) -> None:
    line = Line(stores).listing("p")
    line.count("p", [Beat(BASE), told(1, "a", 1), beat(1)])
    line.listing("p", "left<p", "right<p")
    assert line.shards()["left"].waiting
    for child in ("left", "right"):
        with pytest.raises(WaitingShard):
            line.count(child, [told(SIZE + 1, "a", 2)])
    assert line.drain("p")
    assert [line.stream_time(child) for child in ("left", "right")] == [SIZE + MINUTE] * 2
    assert (line.shards()["p"].drained, line.shards()["left"].waiting) == (True, False)
    line.count("left", [told(SIZE + 1, "a", 2), told(2, "a", 3), beat(2)])
    assert line.close() == [(0, 1, 1, "complete")]  # the other child holds the watermark back
    line.count("right", [told(SIZE + 2, "a", 4), beat(2)])
    assert line.close() == [(0, 2, 2, "complete"), (1, 1, 2, "complete")]
    assert line.gaps() == 0


def test_a_waiting_shard_holds_nothing_back_but_its_parent_does(stores: Stores) -> None:
    line = Line(stores).listing("other", "p")
    line.count("other", [Beat(BASE), told(1, "a", 1), beat(2)])
    line.count("p", [Beat(BASE), beat(1)])
    line.listing("other", "p", "c<p")
    assert line.close() == [(0, 1, 1, "complete")]
    line.drain("p")
    assert line.close() == []
    line.count("c", [beat(2)])
    assert line.close() == [(1, 1, 0, "complete")]


def test_a_merged_shard_waits_for_both_parents_and_starts_at_the_greater(stores: Stores) -> None:
    line = Line(stores).listing("p", "q", "c<p,q")
    line.count("p", [Beat(BASE), told(1, "a", 1), beat(1)])
    line.count("q", [Beat(BASE), told(2, "a", 2), beat(3)])
    assert line.drain("q")
    assert line.shards()["c"].waiting
    with pytest.raises(WaitingShard):
        line.count("c", [beat(4)])
    assert line.close() == [(0, 1, 2, "complete")]
    assert line.drain("p")
    assert line.stream_time("c") == 3 * SIZE + MINUTE
    assert line.close() == [(1, 1, 0, "complete"), (2, 1, 0, "complete")]


def test_two_quick_splits_pass_on_what_the_one_between_was_given(stores: Stores) -> None:
    line = Line(stores).listing("p", "c<p", "left<c", "right<c")
    line.count("p", [Beat(BASE), told(1, "a", 1), beat(1)])
    assert not line.drain("c", NO_FENCE)  # it waits itself
    assert line.drain("p")
    assert line.drain("c", NO_FENCE)
    for child in ("left", "right"):
        assert line.stream_time(child) == SIZE + MINUTE
        line.count(child, [beat(2)])
    assert line.close() == [(0, 1, 1, "complete"), (1, 1, 0, "complete")]


def test_a_drained_shard_counts_nothing_more_whoever_still_holds_its_records(
    stores: Stores,
) -> None:
    # given up by the mapping, or fetched before the shard expired: told as lost, and never counted
    # for a window that is told already
    line = Line(stores).listing("p", "c<p")
    line.count("p", [Beat(BASE), told(1, "a", 1)])
    stores.sweeps.note_skipped(line.generation, "p", 9)
    assert line.drain("p")
    late = line.count("p", [told(2, "a", 2), beat(5)])
    assert late.skipped
    assert (late.batch.distinct, late.closes) == (0, False)
    assert line.stream_time("p") == 0
    line.count("c", [beat(1)])
    assert line.close() == [(0, 1, 1, "complete")]


def test_children_of_a_parent_without_any_heartbeat_start_without_stream_time(
    stores: Stores,
) -> None:
    line = Line(stores).listing("p", "c<p")
    line.count("p", [told(1, "a", 1)])
    assert line.drain("p")
    assert line.stream_time("c") is None
    line.count("c", [told(2, "a", 2)])
    assert line.close() == []
    line.count("c", [told(2, "a", 2), Beat(BASE), beat(1)])
    assert line.close() == [(0, 1, 2, "complete")]


def test_a_key_of_a_drained_parent_is_a_duplicate_in_the_child(stores: Stores) -> None:
    line = Line(stores).listing("p", "q", "c<p,q")
    for parent, ident in (("p", 1), ("q", 2)):
        line.count(parent, [Beat(BASE), told(1, "a", ident)])
        line.drain(parent)
    counted = line.count("c", [told(1, "a", 1), told(1, "a", 2), told(1, "a", 3)]).batch
    assert (counted.distinct, counted.duplicates) == (1, 2)


def test_nothing_is_drained_twice_or_behind_a_fence_that_moved_or_without_a_child(
    stores: Stores,
) -> None:
    line = Line(stores).listing("p")
    log: Log = [Beat(BASE), told(1, "a", 1), beat(1)]
    line.count("p", log[:2])
    assert not line.drain("p", 2)  # no child is listed yet
    line.listing("p", "c<p")
    line.count("p", log)
    assert not line.drain("p", 2)  # a record came after the probe
    assert not line.shards()["p"].drained
    assert line.drain("p", 3)
    assert not line.drain("p", 3)


def test_the_shards_are_told_in_order_with_all_that_is_noted(stores: Stores) -> None:
    line = Line(stores).listing("s-2", "s-1", "s-3<s-1,s-2")
    line.count("s-1", [Beat(BASE), told(1, "a", 1)])
    stores.sweeps.note_beats(line.generation, {"s-1": 1 << 180, "s-2": 7})
    assert stores.sweeps.shards(line.generation) == [
        ShardProgress("s-1", (), 2, BASE, 1 << 180, drained=False, waiting=False),
        ShardProgress("s-2", (), NO_FENCE, None, 7, drained=False, waiting=False),
        ShardProgress("s-3", ("s-1", "s-2"), NO_FENCE, None, None, drained=False, waiting=True),
    ]


# --- losses


@pytest.mark.parametrize(
    ("put", "seen", "lost"),
    [(2, None, False), (9, None, True), (None, 3, False), (None, 9, True), (2, 3, False)],
    ids=["beat read", "beat unread", "record read", "record unread", "both read"],
)
def test_a_drained_shard_lost_what_was_put_or_seen_and_never_counted(
    stores: Stores, put: int | None, seen: int | None, *, lost: bool
) -> None:
    line = Line(stores).listing("p", "c<p")
    line.count("p", [Beat(BASE), beat(1), told(1, "a", 1)])
    if put is not None:
        stores.sweeps.note_beats(line.generation, {"p": put})
    if seen is not None:
        stores.sweeps.note_unread(line.generation, "p", seen)
    assert line.drain("p")
    line.count("c", [Beat(BASE + 2 * SIZE), beat(3)])
    qualities = [quality for _, _, _, quality in line.close()]
    assert qualities == ["complete", "gap" if lost else "complete", "complete"]
    assert line.gaps() == int(lost)


def test_a_loss_goes_on_to_grandchildren_that_the_child_never_had_a_heartbeat_for(
    stores: Stores,
) -> None:
    line = Line(stores).listing("p", "c<p", "left<c", "right<c")
    line.count("p", [Beat(BASE), told(1, "a", 1), beat(1)])
    stores.sweeps.note_beats(line.generation, {"p": 9})
    line.drain("p")
    line.drain("c", NO_FENCE)
    line.count("left", [beat(3)])
    assert line.close() == [(0, 1, 1, "complete")]
    line.count("right", [beat(3)])
    assert line.close() == [(1, 1, 0, "gap"), (2, 1, 0, "gap")]
    assert line.gaps() == 2


def test_a_loss_that_the_child_has_ended_is_not_passed_on(stores: Stores) -> None:
    line = Line(stores).listing("p", "c<p", "g<c")
    line.count("p", [Beat(BASE), told(1, "a", 1), beat(1)])
    stores.sweeps.note_unread(line.generation, "p", 9)
    line.drain("p")
    line.count("c", [Beat(BASE + 2 * SIZE)])
    line.drain("c")
    line.count("g", [beat(3)])
    assert [quality for _, _, _, quality in line.close()] == ["complete", "gap", "complete"]


def test_a_merged_shard_closes_nothing_behind_the_slower_parents_loss(stores: Stores) -> None:
    # p   |--beat 1--|  lost what followed
    # q   |--beat 1--beat 2--beat 3--|
    # c                              |--beat 4--
    line = Line(stores).listing("p", "q", "c<p,q")
    line.count("p", [Beat(BASE), told(1, "a", 1), beat(1)])
    line.count("q", [Beat(BASE), beat(3)])
    stores.sweeps.note_beats(line.generation, {"p": 9})
    line.drain("p")
    assert line.close() == [(0, 1, 1, "complete")]
    line.drain("q")
    assert line.close() == []  # windows 1 and 2 may lack records, and no gap says so yet
    line.count("c", [beat(4)])
    assert line.close() == [(1, 1, 0, "gap"), (2, 1, 0, "gap"), (3, 1, 0, "gap")]


def test_a_loss_without_a_beginning_marks_all_up_to_the_childs_heartbeat(stores: Stores) -> None:
    line = Line(stores).listing("other", "p", "c<p")
    line.count("other", [Beat(BASE), told(1, "a", 1), beat(3)])
    stores.sweeps.note_beats(line.generation, {"p": 9})
    line.drain("p", NO_FENCE)
    assert line.close() == []
    line.count("c", [Beat(BASE + 2 * SIZE), beat(3)])
    assert [quality for _, _, _, quality in line.close()] == ["gap", "gap", "complete"]


# --- listings that lack a shard, or bring one without its parents


def test_a_shard_that_left_the_listing_is_a_loss_up_to_its_childrens_heartbeats(
    stores: Stores,
) -> None:
    line = Line(stores).listing("p")
    line.count("p", [Beat(BASE), told(1, "a", 1), beat(1)])
    line.listing("left<p", "right<p", gone=["p"])
    assert line.shards()["p"].drained
    for child in ("left", "right"):
        assert line.stream_time(child) == SIZE + MINUTE
        line.count(child, [Beat(BASE + 2 * SIZE), beat(3)])
    assert line.close() == [(0, 1, 1, "complete"), (1, 1, 0, "gap"), (2, 1, 0, "complete")]


def test_a_whole_line_that_left_the_listing_is_drained_from_its_root_on(stores: Stores) -> None:
    line = Line(stores).listing("p", "c<p")
    line.count("p", [Beat(BASE), told(1, "a", 1), beat(1)])
    line.listing("g<c", gone=["c", "p"])
    assert [line.shards()[name].drained for name in ("p", "c", "g")] == [True, True, False]
    assert line.stream_time("g") == SIZE + MINUTE
    line.count("g", [beat(2)])
    assert line.close() == [(0, 1, 1, "complete"), (1, 1, 0, "gap")]


def test_a_shard_that_left_without_a_listed_child_leaves_its_loss_to_the_orphans(
    stores: Stores,
) -> None:
    line = Line(stores).listing("p", "other")
    line.count("p", [Beat(BASE), told(1, "a", 1), beat(1)])
    line.count("other", [Beat(BASE), beat(3)])
    line.listing("other", "orphan<unlisted", gone=["p"])
    assert line.shards()["p"].drained
    assert line.stream_time("orphan") == 3 * SIZE + MINUTE
    assert line.close() == [(0, 1, 1, "complete")]  # the rest waits until the gap is known
    line.count("orphan", [told(SIZE + 1, "a", 2), beat(4)])
    line.count("other", [Beat(BASE), beat(3), beat(4)])
    assert line.close() == [
        (1, 1, 0, "gap"),
        (2, 1, 0, "gap"),
        (1, 2, 1, "gap"),  # the orphan's event is late: it may have been told without it
        (3, 1, 0, "gap"),
    ]


def test_orphans_that_were_registered_before_take_over_the_loss_as_well(stores: Stores) -> None:
    line = Line(stores).listing("p")
    line.count("p", [Beat(BASE), told(1, "a", 1), beat(1)])
    line.listing("orphan<unlisted")  # by a batch of it, which says nothing of who is gone
    line.count("orphan", [beat(2)])
    assert line.close() == [(0, 1, 1, "complete")]
    line.listing("orphan<unlisted", gone=["p"])
    assert line.shards()["p"].drained
    line.count("orphan", [beat(2), Beat(BASE + 3 * SIZE), beat(4)])
    assert [quality for _, _, _, quality in line.close()] == ["gap", "gap", "complete"]


def test_a_merged_shard_inherits_by_its_unlisted_parent_though_the_other_one_is_known(
    stores: Stores,
) -> None:
    line = Line(stores).listing("p", "q")
    line.count("p", [Beat(BASE), told(1, "a", 1), beat(1)])
    line.count("q", [Beat(BASE), beat(3)])
    line.listing("q", "m<unlisted,q", gone=["p"])  # p's child came and expired as well
    assert line.shards()["p"].drained
    assert line.close() == [(0, 1, 1, "complete")]
    assert line.drain("q")
    line.count("m", [beat(4)])
    assert line.close() == [(1, 1, 0, "gap"), (2, 1, 0, "gap"), (3, 1, 0, "gap")]


def test_the_last_record_that_was_given_up_on_is_known_and_moves_no_fence(stores: Stores) -> None:
    line = Line(stores).listing("p")
    line.count("p", [Beat(BASE)])
    assert line.shards()["p"].skipped is None
    for sequence_number in (99, 1 << 180, 100):
        stores.sweeps.note_skipped(line.generation, "p", sequence_number)
    assert (line.shards()["p"].fence, line.shards()["p"].skipped) == (1, 1 << 180)


def test_a_shard_that_left_to_nobody_stays_and_holds_the_watermark_back(stores: Stores) -> None:
    line = Line(stores).listing("p", "other")
    line.count("p", [Beat(BASE), told(1, "a", 1), beat(1)])
    line.count("other", [Beat(BASE), beat(3)])
    line.listing("other", gone=["p"])
    assert not line.shards()["p"].drained
    assert line.close() == [(0, 1, 1, "complete")]
    assert line.gaps() == 0


def test_gone_shards_that_are_drained_or_unknown_change_nothing(stores: Stores) -> None:
    line = Line(stores).listing("p", "c<p")
    line.count("p", [Beat(BASE), told(1, "a", 1), beat(1)])
    line.drain("p")
    line.count("c", [beat(2)])
    line.listing("c<p", gone=["p", "nobody"])
    line.count("c", [beat(2), beat(3)])
    assert {quality for _, _, _, quality in line.close()} == {"complete"}


def test_a_new_shard_of_a_stream_that_has_counted_gets_no_event_on_time_in_a_told_window(
    stores: Stores,
) -> None:
    line = Line(stores).listing("p")
    line.count("p", [Beat(BASE), told(1, "a", 1), beat(2)])
    assert line.close() == [(0, 1, 1, "complete"), (1, 1, 0, "complete")]
    line.listing("p", "new")
    assert line.stream_time("new") == 2 * SIZE + MINUTE
    late = line.count("new", [told(SIZE + 1, "a", 2), beat(3)]).batch.late
    assert late == 1
    line.count("p", [Beat(BASE), told(1, "a", 1), beat(2), beat(3)])
    assert line.close() == [(1, 2, 1, "complete"), (2, 1, 0, "complete")]


def test_a_second_child_that_is_listed_after_the_parent_was_drained_starts_as_far_as_anybody(
    stores: Stores,
) -> None:
    line = Line(stores).listing("p", "left<p")
    line.count("p", [Beat(BASE), told(1, "a", 1), beat(1)])
    line.drain("p")
    line.count("left", [beat(3)])
    line.listing("p", "left<p", "right<p")
    assert not line.shards()["right"].waiting
    assert line.stream_time("right") == 3 * SIZE + MINUTE


def test_a_heartbeat_that_lost_its_predecessor_before_the_first_one_is_a_loss_too(
    stores: Stores,
) -> None:
    line = Line(stores).listing("p")
    batch = records("p", [Beat(BASE), told(1, "a", 1), Beat(BASE)])
    trimmed = replace(batch[0], items=(Heartbeat("/clock", BASE + MINUTE, "p", previous=0),))
    closing = replace(batch[2], items=(Heartbeat("/clock", beat(1).time, "p", previous=1),))
    collect(stores.counts, line.generation, "p", [trimmed, batch[1], closing], WIDE)
    assert line.close() == [(0, 1, 1, "gap")]


@pytest.mark.parametrize("seed", range(4))
def test_a_stream_that_splits_and_merges_is_told_as_a_plain_recount_has_it(
    stores: Stores, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311
    world = resharded(chance)
    rows = Counting(stores.counts, stores.sweeps, world, name=STREAM).run(chance)
    truth = recount_lineage(world.logs, world.parents, size=SIZE, lateness=LATENESS)
    assert as_tuples(rows) == truth
    assert truth
