"""The contract of `ports.SweepStore` beside lineage: generations, purge, failures, backlog."""

import pytest
from msgspec.structs import replace

from tests.support.count_stores import Stores
from tests.support.lineage_worlds import WIDE
from tests.support.oracle import SIZE, Beat, Log
from tests.support.shard_line import MINUTE, STREAM, Line, beat, event, told_of
from tests.support.worlds import BASE, CLOSE_RULES, records, told
from tidegauge.ports import Destination, EndedGeneration, StreamIdentity, UnknownShard
from tidegauge.steps.close import end_once
from tidegauge.steps.collect import Collected, collect

YOUNG = replace(CLOSE_RULES, max_event_age_ms=2 * SIZE)


@pytest.fixture
def stores(empty_stores: Stores) -> Stores:
    """Each implementation in turn, empty: ended generations are purged whoever asks."""
    return empty_stores


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
    with pytest.raises(EndedGeneration):
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


def test_an_ending_passes_over_the_years_before_an_event_of_a_wrong_year(stores: Stores) -> None:
    line = Line(stores).listing("p")
    year, hour = 365 * 86_400_000, 3_600_000
    line.count(
        "p",
        [
            told(year, "a", 1),  # before a first heartbeat nobody can tell that it is wrong
            told(2 * hour, "a", 2),
            told(7000 * year, "b", 3),
            Beat(BASE),
            told(1, "a", 4),
            beat(1),
        ],
    )
    assert line.close() == [(0, 1, 1, "complete")]
    outcomes = [end_once(stores.counts, line.generation, CLOSE_RULES) for _ in range(5)]
    assert [outcome.finished for outcome in outcomes[-2:]] == [True, True]
    rows = [row for outcome in outcomes for row in outcome.rows]
    counted = [(row.series, row.window_start_ms - BASE, row.count) for row in rows if row.count]
    assert counted == [
        ("a", 2 * hour, 1),
        ("a", year // SIZE * SIZE, 1),
        ("b", 7000 * year // SIZE * SIZE, 1),
    ]
    assert len(rows) < 3 * CLOSE_RULES.max_event_age_ms // SIZE


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
