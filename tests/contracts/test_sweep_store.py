"""The contract of `ports.SweepStore`, and of what `ports.CountStore` does about lineage.

Windows are named by their number after the base. A shard's records are numbered from 1; its log is
written at once and counted up to some record.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import pytest
from msgspec.structs import replace

from tests.support.count_stores import MemoryStores, MysqlStores, Stores
from tests.support.oracle import SIZE, Beat, Log
from tests.support.worlds import BASE, CLOSE_RULES, RULES, records, told
from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.decode import event_key
from tidegauge.domain.event import Event, Heartbeat
from tidegauge.domain.fold import NO_FENCE
from tidegauge.ports import (
    Destination,
    ShardListing,
    ShardProgress,
    StreamIdentity,
    UnknownShard,
    WaitingShard,
)
from tidegauge.steps.close import close_all, end_once
from tidegauge.steps.collect import Collected, collect

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/lineage"
MINUTE = 60_000
WIDE = replace(RULES, max_future_skew_ms=20 * SIZE)
YOUNG = replace(CLOSE_RULES, max_event_age_ms=2 * SIZE)


@pytest.fixture(params=["memory", pytest.param("mysql", marks=pytest.mark.database)])
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    """Each implementation in turn, empty: ended generations are purged whoever asks."""
    if request.param == "memory":
        made: Stores = MemoryStores()
    else:
        made = MysqlStores(cast("str", request.getfixturevalue("fresh_database_url")))
    yield made
    made.close()


class Line:
    """One generation of a stream whose shards are named as a test needs them."""

    def __init__(self, stores: Stores, *, created_ms: int = 1) -> None:
        self.stores = stores
        self.generation = stores.counts.generation(StreamIdentity(STREAM, created_ms))

    def listing(self, *names: str, gone: Sequence[str] = ()) -> "Line":
        """Register a listing of shards, each `name` or `name<parent` or `name<parent,parent`."""
        listing = []
        for name in names:
            shard_id, _, parents = name.partition("<")
            parent_ids = tuple(parents.split(",")) if parents else ()
            listing.append(ShardListing(shard_id, parent_ids, 0, 0, closed=False))
        self.stores.counts.register_shards(self.generation, listing, set(gone))
        return self

    def count(self, shard_id: str, log: Log) -> Collected:
        """Count a shard's log as far as it is written."""
        batch = records(shard_id, log)
        return collect(self.stores.counts, self.generation, shard_id, batch, WIDE)

    def drain(self, shard_id: str, fence: int | None = None) -> bool:
        """Drain a shard that was read to its end now, or found so from a fence on."""
        found = self.shards()[shard_id].fence if fence is None else fence
        return self.stores.sweeps.drain(self.generation, shard_id, found)

    def shards(self) -> Mapping[str, ShardProgress]:
        return {shard.shard_id: shard for shard in self.stores.sweeps.shards(self.generation)}

    def stream_time(self, shard_id: str) -> int | None:
        """Return a shard's stream time after the base."""
        time_ms = self.shards()[shard_id].stream_time_ms
        return None if time_ms is None else time_ms - BASE

    def close(self) -> list[tuple[int, int, int, str]]:
        """Close all that can be closed; return window, revision, count, quality."""
        return told_of(close_all(self.stores.counts, self.generation, CLOSE_RULES))

    def gaps(self) -> int:
        return self.stores.sweeps.backlog(self.generation).gaps


def told_of(rows: Sequence[CompletedWindow]) -> list[tuple[int, int, int, str]]:
    return [
        ((row.window_start_ms - BASE) // SIZE, row.revision, row.count, row.quality.value)
        for row in rows
    ]


def beat(windows: int) -> Beat:
    """A heartbeat that closes so many windows after the base, and no more."""
    return Beat(BASE + windows * SIZE + MINUTE)


def event(offset: int, ident: int, series: str = "a") -> Event:
    """An event as `told` has it in a log."""
    return Event(event_key("/s", f"id-{ident}"), series, BASE + offset)


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


# --- generations


def test_older_generations_are_told_in_order_until_they_are_ended(stores: Stores) -> None:
    third, first, second = (Line(stores, created_ms=at) for at in (30, 10, 20))
    stores.counts.generation(StreamIdentity(f"{STREAM}-other", 5))
    older = [first.generation, second.generation]
    assert stores.counts.superseded(third.generation) == older
    assert stores.counts.superseded(first.generation) == []
    assert end_once(stores.counts, first.generation, CLOSE_RULES).finished
    assert stores.counts.superseded(third.generation) == [second.generation]


def test_an_ended_generation_has_told_all_that_was_open_as_a_gap_and_tells_no_more(
    stores: Stores,
) -> None:
    line = Line(stores).listing("p", "q")
    line.count("p", [Beat(BASE), told(1, "a", 1), beat(1), told(2 * SIZE + 1, "a", 2)])
    line.count("q", [Beat(BASE), told(SIZE + 1, "a", 3), beat(2)])
    assert line.close() == [(0, 1, 1, "complete")]
    ended = end_once(stores.counts, line.generation, CLOSE_RULES)
    assert ended.finished
    assert told_of(ended.rows) == [(1, 1, 1, "gap"), (2, 1, 1, "gap")]
    assert line.gaps() == 1
    again = end_once(stores.counts, line.generation, CLOSE_RULES)
    assert (again.rows, again.finished) == ([], True)
    line.count("p", [Beat(BASE), *([beat(1)] * 3), beat(9)])
    assert line.close() == []


def test_an_ending_goes_on_where_the_row_limit_stopped_it(stores: Stores) -> None:
    line = Line(stores).listing("p")
    line.count("p", [Beat(BASE), *(told(n * SIZE + 1, "a", n) for n in range(2)), beat(3)])
    few = replace(CLOSE_RULES, max_rows=1)
    outcomes = [end_once(stores.counts, line.generation, few) for _ in range(5)]
    assert [outcome.finished for outcome in outcomes] == [False] * 4 + [True]
    assert [told_of(outcome.rows) for outcome in outcomes] == [
        [],  # the window before the base was watched as well
        [(0, 1, 1, "gap")],
        [(1, 1, 1, "gap")],
        [(2, 1, 0, "gap")],
        [(3, 1, 0, "gap")],
    ]


# --- purge


def test_a_purge_leaves_every_window_whose_events_are_still_accepted(stores: Stores) -> None:
    # stream time 5 windows and a minute, age 2 windows: 0..2 go, of 3 all but its first minute
    rules = replace(WIDE, max_event_age_ms=2 * SIZE)
    line = Line(stores).listing("p")
    inside = 3 * SIZE + MINUTE

    def count(log: Log) -> Collected:
        return collect(stores.fresh(), line.generation, "p", records("p", log), rules)

    log: Log = [Beat(BASE)]
    log += [told(n * SIZE + MINUTE, "a", n) for n in range(5)]
    log += [beat(n) for n in range(1, 6)]
    count(log[:1])
    for end in range(2, len(log) + 1):
        count(log[:end])
    line.close()
    assert stores.sweeps.purge(line.generation, YOUNG).windows == 3
    assert stores.sweeps.purge(line.generation, YOUNG).windows == 0
    log += [told(inside, "a", 3), told(inside, "a", 33), told(inside - 1, "a", 34), beat(6)]
    counted = count(log).batch
    assert (counted.duplicates, counted.late, len(counted.quarantined)) == (1, 1, 1)
    assert line.close() == [(3, 2, 2, "complete"), (5, 1, 0, "complete")]


def test_a_window_that_is_not_old_enough_or_not_closed_is_kept(stores: Stores) -> None:
    line = Line(stores).listing("p")
    line.count("p", [Beat(BASE), told(1, "a", 1), beat(2)])
    assert stores.sweeps.purge(line.generation, YOUNG).windows == 0  # nothing is closed yet
    line.close()
    assert stores.sweeps.purge(line.generation, YOUNG).windows == 0  # it is 2, not 3, windows old
    line.count("p", [Beat(BASE), told(1, "a", 1), beat(2), beat(3)])
    line.close()
    assert stores.sweeps.purge(line.generation, YOUNG).windows == 1


def test_an_ended_generation_is_purged_at_once_and_whole(stores: Stores) -> None:
    old, new = Line(stores, created_ms=1), Line(stores, created_ms=2)
    old.listing("p").count("p", [Beat(BASE), told(1, "a", 1), told(7 * SIZE, "a", 2), beat(8)])
    assert stores.sweeps.purge(new.generation, CLOSE_RULES).windows == 0
    assert end_once(stores.counts, old.generation, CLOSE_RULES).finished
    purged = stores.sweeps.purge(new.generation, CLOSE_RULES)
    assert (purged.windows, purged.finished) == (2, True)
    assert stores.sweeps.purge(new.generation, CLOSE_RULES).windows == 0


def test_a_purge_leaves_what_is_still_to_be_told_of_an_old_window(stores: Stores) -> None:
    line = Line(stores).listing("p")
    line.count("p", [Beat(BASE), told(1, "a", 1), beat(5)])
    line.close()
    lost = stores.sweeps.note_failure(line.generation, "p", "f", [event(2, 2)], YOUNG)
    assert lost == 1
    stores.sweeps.purge(line.generation, YOUNG)
    line.count("p", [Beat(BASE), told(1, "a", 1), beat(5), beat(6)])
    assert line.close() == [(0, 2, 1, "gap"), (5, 1, 0, "complete")]


# --- batches that the stream's reader gave up on


def test_only_events_that_no_ledger_holds_are_lost(stores: Stores) -> None:
    line = Line(stores).listing("p", "c<p")
    line.count("p", [Beat(BASE), told(1, "a", 1)])
    line.drain("p")
    line.count("c", [told(2, "a", 2)])
    batch = [event(1, 1), event(2, 2), event(3, 3), event(3, 3), event(SIZE + 1, 4, "b")]
    assert stores.sweeps.note_failure(line.generation, "c", "f-1", batch, CLOSE_RULES) == 2
    line.count("c", [told(2, "a", 2), told(2 * SIZE, "a", 5), beat(3)])
    assert [(row[0], row[2], row[3]) for row in line.close()] == [
        (0, 2, "gap"),
        (1, 0, "gap"),
        (2, 1, "complete"),
    ]


def test_a_batch_that_was_counted_all_the_same_lost_nothing(stores: Stores) -> None:
    line = Line(stores).listing("p")
    line.count("p", [Beat(BASE), told(1, "a", 1)])
    assert stores.sweeps.note_failure(line.generation, "p", "f", [event(1, 1)], CLOSE_RULES) == 0
    assert line.gaps() == 0
    assert stores.sweeps.noted_failures(["f", "g"]) == {"f"}


def test_windows_that_were_told_already_are_told_again_once(stores: Stores) -> None:
    line = Line(stores).listing("p")
    log: Log = [Beat(BASE), told(1, "a", 1), told(SIZE + 1, "a", 2), beat(2)]
    line.count("p", log)
    assert line.close() == [(0, 1, 1, "complete"), (1, 1, 1, "complete")]
    batch = [event(2, 3), event(3 * SIZE, 4)]
    assert stores.sweeps.note_failure(line.generation, "p", "f", batch, CLOSE_RULES) == 2
    assert line.close() == []  # no window has closed since
    line.count("p", [*log, beat(5)])
    assert line.close() == [
        (0, 2, 1, "gap"),
        (2, 1, 0, "complete"),
        (3, 1, 0, "gap"),
        (4, 1, 0, "complete"),
    ]


def test_events_far_apart_mark_only_their_own_windows(stores: Stores) -> None:
    line = Line(stores).listing("p")
    batch = [event(n * SIZE, n) for n in (0, 1, 4)]
    assert stores.sweeps.note_failure(line.generation, "p", "f", batch, CLOSE_RULES) == 3
    assert line.gaps() == 2
    line.count("p", [Beat(BASE), told(1, "a", 9), beat(6)])
    qualities = [quality for _, _, _, quality in line.close()]
    assert qualities == ["gap", "gap", "complete", "complete", "gap", "complete"]


def test_a_name_is_noted_once_and_another_batch_does_not_replace_its_gap(stores: Stores) -> None:
    line = Line(stores).listing("p")
    note = stores.sweeps.note_failure
    first, other = "aws/lambda/e\u0301-1", "aws/lambda/\u00e9-1"
    assert note(line.generation, "p", first, [event(1, 1)], CLOSE_RULES) == 1
    assert note(line.generation, "p", first, [event(1, 1), event(2, 2)], CLOSE_RULES) == 0
    assert note(line.generation, "p", other, [event(3 * SIZE, 3)], CLOSE_RULES) == 1
    assert line.gaps() == 2
    assert stores.sweeps.noted_failures([first, other, "none"]) == {first, other}
    assert stores.sweeps.noted_failures([]) == set()


def test_a_failed_batch_of_a_shard_that_is_not_registered_is_not_noted(stores: Stores) -> None:
    line = Line(stores).listing("p")
    with pytest.raises(UnknownShard):
        stores.sweeps.note_failure(line.generation, "q", "f", [event(1, 1)], CLOSE_RULES)
    assert stores.sweeps.noted_failures(["f"]) == set()


def test_a_batch_that_is_counted_after_it_was_given_up_is_counted_once(stores: Stores) -> None:
    line = Line(stores).listing("p")
    stores.sweeps.note_failure(line.generation, "p", "f", [event(1, 1)], CLOSE_RULES)
    line.count("p", [Beat(BASE), told(1, "a", 1), told(1, "a", 1), beat(1)])
    assert line.close() == [(0, 1, 1, "gap")]


# --- what waits


def test_the_backlog_is_what_is_open_known_to_be_lost_and_unsent(stores: Stores) -> None:
    line = Line(stores).listing("p")
    empty = stores.sweeps.backlog(line.generation)
    assert (empty.open_windows, empty.gaps, empty.outbox_age_ms) == (0, 0, 0)
    log: Log = [Beat(BASE), *(told(n * SIZE, series, n) for n in range(4) for series in "ab")]
    line.count("p", log)
    assert stores.sweeps.backlog(line.generation).open_windows == 4
    line.count("p", [*log, beat(2), told(1, "a", 7)])
    line.close()
    # 2 and 3 are open; 0 has a late event of step 2
    assert stores.sweeps.backlog(line.generation).open_windows == 3
    stores.outbox.mark_sent([one.number for one in stores.outbox.take(Destination.WINDOWS, 100)])
    assert stores.sweeps.backlog(line.generation).outbox_age_ms == 0


def test_one_sweep_has_the_store_at_a_time(stores: Stores) -> None:
    with stores.sweeps.only_one() as first, stores.rival().only_one() as second:
        assert (first, second) == (True, False)
    with stores.rival().only_one() as third:
        assert third


def test_a_heartbeat_that_lost_its_predecessor_before_the_first_one_is_a_loss_too(
    stores: Stores,
) -> None:
    line = Line(stores).listing("p")
    batch = records("p", [Beat(BASE), told(1, "a", 1), Beat(BASE)])
    trimmed = replace(batch[0], items=(Heartbeat("/clock", BASE + MINUTE, "p", previous=0),))
    closing = replace(batch[2], items=(Heartbeat("/clock", beat(1).time, "p", previous=1),))
    collect(stores.counts, line.generation, "p", [trimmed, batch[1], closing], RULES)
    assert line.close() == [(0, 1, 1, "gap")]
