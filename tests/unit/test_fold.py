"""Counting one shard's log, rule by rule.

Windows are 5 minutes, lateness is 1 minute; minutes are counted from the start of window 0:

    minute   0         5         10        15
    window   |--- 0 ---|--- 5 ---|--- 10 --|
    closes             .    6    .   11         (end + 1)
"""

from msgspec.structs import replace

from tidegauge.domain.event import Event, Heartbeat, Rejection, RejectReason
from tidegauge.domain.fold import (
    NO_FENCE,
    BatchCount,
    CountRules,
    Gap,
    GapReason,
    Partial,
    ShardState,
    count_batch,
)
from tidegauge.domain.record import DecodedRecord

MINUTE = 60_000
BASE = 1_000 * 300_000
RULES = CountRules(clock_source="/clock")
SWEEP = CountRules(clock_source="/clock", clock_is_sweep=True)


def event(minute: float, key: int = 0, series: str = "a") -> Event:
    return Event(key, series, BASE + int(minute * MINUTE))


def beat(minute: float, *, previous: int | None = None, shard: str = "s-0") -> Heartbeat:
    return Heartbeat("/clock", BASE + int(minute * MINUTE), shard, previous)


def window(minute: int) -> int:
    return BASE + minute * MINUTE


def count(
    *items: Event | Heartbeat | Rejection,
    state: ShardState | None = None,
    rules: CountRules = RULES,
    arrival: float | None = None,
    known: dict[int, set[int]] | None = None,
) -> BatchCount:
    arrival_ms = None if arrival is None else BASE + int(arrival * MINUTE)
    records = [DecodedRecord(n, arrival_ms, (item,), b"{}") for n, item in enumerate(items, 1)]
    return count_batch(state or ShardState(), records, known or {}, rules, shard_id="s-0")


def reasons(batch: BatchCount) -> list[RejectReason]:
    return [item.reason for item in batch.quarantined]


def test_an_event_of_an_open_window_is_on_time() -> None:
    batch = count(beat(0), event(3))
    assert batch.partials == {Partial(window(0), "a", window(0)): 1}
    assert batch.late == 0


def test_an_event_behind_the_heartbeat_that_closed_its_window_is_late() -> None:
    batch = count(beat(0), beat(6), event(3))
    assert batch.partials == {Partial(window(0), "a", window(5)): 1}
    assert batch.late == 1


def test_an_event_before_that_heartbeat_is_on_time_however_late_it_is_read() -> None:
    batch = count(beat(0), event(3), beat(60))
    assert batch.partials == {Partial(window(0), "a", window(0)): 1}


def test_a_heartbeat_just_short_of_the_closing_time_closes_nothing() -> None:
    assert count(beat(5.99), event(3)).late == 0
    assert count(beat(6), event(3)).late == 1


def test_stream_time_never_falls() -> None:
    batch = count(beat(6), beat(1), event(3))
    assert batch.state.stream_time_ms == window(6)
    assert batch.late == 1


def test_an_id_counts_once_in_its_window_and_again_in_another() -> None:
    batch = count(event(1, 7), event(2, 7), event(6, 7))
    assert (batch.distinct, batch.duplicates) == (2, 1)
    assert batch.keys == {window(0): [7], window(5): [7]}


def test_an_id_that_the_ledger_knows_is_a_duplicate() -> None:
    batch = count(event(1, 7), known={window(0): {7}})
    assert (batch.distinct, batch.duplicates, batch.keys) == (0, 1, {})


def test_records_at_or_before_the_fence_are_skipped() -> None:
    batch = count(event(1, 1), event(1, 2), event(1, 3), state=ShardState(fence=2))
    assert (batch.distinct, batch.first_sequence_number, batch.state.fence) == (1, 3, 3)


def test_a_wholly_known_batch_says_so() -> None:
    batch = count(event(1), state=ShardState(fence=9))
    assert batch.first_sequence_number is None
    assert batch.state.fence == 9


def test_sequence_numbers_compare_as_numbers() -> None:
    record = DecodedRecord(10**56, None, (event(1),), b"")
    counted = count_batch(ShardState(fence=9 * 10**55), [record], {}, RULES, shard_id="s-0")
    assert counted.distinct == 1


def test_too_far_ahead_and_too_old_are_measured_from_stream_time_at_that_position() -> None:
    batch = count(beat(0), event(5, 1), event(5.01, 2), beat(10), event(5.01, 3))
    assert reasons(batch) == [RejectReason.TOO_FAR_AHEAD]
    assert batch.distinct == 2
    day = 24 * 60
    batch = count(beat(day), event(0, 1), event(-0.01, 2))
    assert reasons(batch) == [RejectReason.TOO_OLD]
    assert batch.distinct == 1


def test_before_a_first_stream_time_every_time_counts() -> None:
    batch = count(event(-99_999, 1), event(99_999, 2))
    assert (batch.distinct, reasons(batch)) == (2, [])


def test_where_the_sweep_is_the_clock_dead_heartbeats_quarantine_nothing() -> None:
    late_clock: list[Event | Heartbeat] = [beat(0), event(60, 1), event(64, 2), event(66, 3)]
    assert len(reasons(count(*late_clock, rules=SWEEP, arrival=60))) == 1
    assert len(reasons(count(*late_clock, rules=RULES, arrival=60))) == 3


def test_where_the_sweep_is_the_clock_a_fast_heartbeat_cannot_hasten() -> None:
    fast = count(beat(100), rules=SWEEP, arrival=6)
    assert fast.state.stream_time_ms == window(6)
    slow = count(beat(6), rules=SWEEP, arrival=100)
    assert slow.state.stream_time_ms == window(6)
    assert count(beat(100), rules=RULES, arrival=6).state.stream_time_ms == window(100)


def test_a_foreign_heartbeat_is_set_aside_and_a_misrouted_one_does_not_count() -> None:
    rogue = replace(beat(100), source="/rogue")
    batch = count(rogue, beat(100, shard="s-1"))
    assert reasons(batch) == [RejectReason.FOREIGN_HEARTBEAT]
    assert (batch.state.stream_time_ms, batch.heartbeats) == (None, 0)


def test_a_heartbeat_whose_predecessor_is_missing_proves_a_gap() -> None:
    state = ShardState(fence=10, stream_time_ms=window(7), heartbeat=10)
    records = [DecodedRecord(20, None, (beat(17, previous=15),), b"")]
    batch = count_batch(state, records, {}, RULES, shard_id="s-0")
    assert batch.gaps == [Gap(20, window(5), window(17), GapReason.HEARTBEAT_MISSING)]


def test_a_predecessor_at_or_before_the_last_heartbeat_proves_nothing() -> None:
    state = ShardState(fence=10, stream_time_ms=window(7), heartbeat=10)
    for previous in (10, 9, None):
        records = [DecodedRecord(20, None, (beat(17, previous=previous),), b"")]
        assert count_batch(state, records, {}, RULES, shard_id="s-0").gaps == []


def test_a_first_heartbeat_proves_a_gap_only_if_it_names_one_before_it() -> None:
    assert count(beat(6)).gaps == []
    batch = count(beat(6, previous=99))  # the shard's beginning was trimmed before it was read
    assert batch.gaps == [Gap(1, 0, window(6), GapReason.PARENT_LOST)]


def test_a_loss_taken_over_from_a_parent_ends_with_the_first_heartbeat() -> None:
    state = ShardState(stream_time_ms=window(7), lost_from_ms=window(6))
    batch = count(event(8), beat(17), beat(18, previous=2), state=state)
    assert batch.gaps == [Gap(2, window(5), window(17), GapReason.PARENT_LOST)]
    assert batch.state.lost_from_ms is None


def test_a_loss_without_a_stream_time_reaches_back_to_the_beginning() -> None:
    batch = count(beat(17), state=ShardState(lost_from_ms=0))
    assert batch.gaps == [Gap(1, 0, window(17), GapReason.PARENT_LOST)]


def test_a_loss_waits_for_a_heartbeat_that_moves_stream_time() -> None:
    state = ShardState(fence=9, stream_time_ms=window(7), heartbeat=9)
    records = [DecodedRecord(30, None, (beat(6, previous=20),), b"")]  # a clock that went back
    batch = count_batch(state, records, {}, RULES, shard_id="s-0")
    assert batch.gaps == []
    assert batch.state.lost_from_ms == window(7)
    records = [DecodedRecord(40, None, (beat(12, previous=30),), b"")]
    batch = count_batch(batch.state, records, {}, RULES, shard_id="s-0")
    assert batch.gaps == [Gap(40, window(5), window(12), GapReason.HEARTBEAT_MISSING)]
    assert batch.state.lost_from_ms is None


def test_the_first_stream_time_is_the_first_heartbeat_that_counted() -> None:
    batch = count(beat(3), beat(9))
    assert batch.first_stream_time_ms == window(3)
    assert count(event(1)).first_stream_time_ms is None


def test_a_rejection_keeps_its_position_and_bytes() -> None:
    batch = count(event(1), Rejection(RejectReason.BAD_TIME, b"oops"), arrival=2)
    (item,) = batch.quarantined
    assert (item.sequence_number, item.sub_index, item.data) == (2, 0, b"oops")
    assert item.arrival_time_ms == window(2)
    assert batch.distinct == 1


def test_an_event_set_aside_from_a_batch_keeps_its_own_bytes() -> None:
    data = b'[{"n": 1}, {"n": 2}]'
    record = DecodedRecord(1, None, (beat(0), event(99)), data)
    batch = count_batch(ShardState(), [record], {}, RULES, shard_id="s-0")
    assert [item.data for item in batch.quarantined] == [b'{"n": 2}']


def test_nothing_at_all_changes_nothing() -> None:
    batch = count()
    assert batch.state == ShardState(NO_FENCE, None, None)
    assert (batch.partials, batch.keys, batch.distinct) == ({}, {}, 0)
