"""What counting notes of where a count comes from.

Windows are 5 minutes, lateness is 1 minute; minutes are counted from the start of window 0. Every
item is a record of its own, numbered from 1.
"""

from msgspec.structs import replace

from tests.support.closing import close_all
from tests.support.oracle import SIZE, Beat
from tests.support.worlds import BASE, CLOSE_RULES, records, told
from tests.support.worlds import RULES as LOG_RULES
from tests.unit.test_fold import RULES, beat, count, event, window
from tidegauge.adapters.memory import MemoryCountStore
from tidegauge.domain.event import Event, RejectReason
from tidegauge.domain.evidence import Evidence
from tidegauge.domain.fold import ShardState, count_batch
from tidegauge.domain.record import DecodedRecord
from tidegauge.ports import ShardListing, StreamIdentity
from tidegauge.steps.collect import collect


def test_it_names_the_first_and_the_last_record_that_was_counted() -> None:
    batch = count(beat(0), event(1, 1), event(2, 2), beat(3), event(4, 3))
    assert batch.evidence == {(window(0), "a"): Evidence(2, 5, on_time=3)}


def test_series_and_windows_have_their_own() -> None:
    batch = count(event(1, 1, "a"), event(2, 2, "b"), event(6, 3, "a"))
    assert batch.evidence == {
        (window(0), "a"): Evidence(1, 1, on_time=1),
        (window(0), "b"): Evidence(2, 2, on_time=1),
        (window(5), "a"): Evidence(3, 3, on_time=1),
    }


def test_late_events_are_told_apart_from_those_on_time_at_whatever_step() -> None:
    batch = count(event(1, 1), beat(6), event(2, 2), beat(11), event(3, 3))
    assert batch.evidence == {(window(0), "a"): Evidence(1, 5, on_time=1, late=2)}


def test_a_duplicate_is_counted_as_one_and_moves_no_bound() -> None:
    batch = count(event(1, 1), event(1, 2), event(2, 1), event(3, 1))
    assert batch.evidence == {(window(0), "a"): Evidence(1, 2, on_time=2, duplicates=2)}


def test_where_only_duplicates_came_there_is_no_first_and_no_last() -> None:
    batch = count(event(1, 7), known={window(0): {7}})
    assert batch.evidence == {(window(0), "a"): Evidence(None, None, duplicates=1)}


def test_several_events_of_one_record_share_its_number() -> None:
    items = (event(1, 1), event(2, 2), event(3, 1))
    record = DecodedRecord(10**55, None, items, b"[{},{},{}]")
    batch = count_batch(ShardState(), [record], {}, RULES, shard_id="s-0")
    assert batch.evidence == {(window(0), "a"): Evidence(10**55, 10**55, on_time=2, duplicates=1)}


def test_what_the_fence_skips_leaves_none() -> None:
    assert count(event(1), state=ShardState(fence=9)).evidence == {}


def test_what_lies_too_far_off_is_set_aside_with_its_series_and_time() -> None:
    old, ahead = event(-60 * 25, 1, "shop"), event(60, 2, "till")
    batch = count(beat(0), old, ahead)
    assert batch.evidence == {}
    assert [(q.reason, q.series, q.event_time_ms) for q in batch.quarantined] == [
        (RejectReason.TOO_OLD, "shop", old.event_time_ms),
        (RejectReason.TOO_FAR_AHEAD, "till", ahead.event_time_ms),
    ]


def test_a_duplicate_counts_for_the_series_that_it_names_itself() -> None:
    renamed = Event(1, "b", window(1))
    batch = count(event(1, 1, "a"), renamed)
    assert batch.evidence[window(0), "b"] == Evidence(duplicates=1)


def test_sequence_numbers_of_different_length_span_as_numbers() -> None:
    assert Evidence(99, 100, on_time=2) + Evidence(9, 9, late=1) == Evidence(9, 100, 2, 1)


def evidence_held(store: MemoryCountStore) -> list[int]:
    """Count and close 40 windows one by one; return for how many evidence was held after each."""
    generation = store.generation(StreamIdentity("arn", 0))
    store.register_shards(generation, [ShardListing("s", (), 0, 0, closed=False)])
    log = [
        item
        for n in range(40)
        for item in (Beat(BASE + n * SIZE + 60_000), told(n * SIZE + 60_001, "a", n))
    ]
    held = []
    for at, record in enumerate(records("s", log)):
        collect(store, generation, "s", [record], LOG_RULES)
        close_all(store, generation, replace(CLOSE_RULES, max_event_age_ms=5 * SIZE))
        held += [len(store.evidence(generation))] if at % 2 else []
    return held


def test_a_store_in_memory_forgets_it_with_the_ledgers() -> None:
    held = evidence_held(MemoryCountStore(max_event_age_ms=5 * SIZE))
    assert held[:6] == [1, 2, 3, 4, 5, 6]
    assert set(held[6:]) == {6}


def test_a_replay_keeps_none() -> None:
    assert set(evidence_held(MemoryCountStore(keeps_evidence=False))) == {0}
