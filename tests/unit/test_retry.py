"""Counting anew: what an item adds to, where it is told, and what is refused."""

from collections.abc import Mapping, Set

import pytest

from tidegauge.domain.event import Event, Heartbeat, Rejection, RejectReason
from tidegauge.domain.evidence import Evidence
from tidegauge.domain.fold import CountRules, Partial
from tidegauge.domain.retry import (
    ItemState,
    Refusal,
    Refused,
    Retried,
    Standing,
    count_again,
    events_in,
    refusal_of,
)

W = 300_000
HOUR = 3_600_000
RULES = CountRules(max_event_age_ms=HOUR)
OPEN = Standing(current=True, next_window_ms=100 * W, stream_time_ms=101 * W, greatest_ms=102 * W)


def event(time_ms: int, key: int = 1, series: str = "a") -> Event:
    return Event(key, series, time_ms)


def counted(
    *events: Event, standing: Standing = OPEN, known: Mapping[int, Set[int]] | None = None
) -> Retried:
    return count_again(events, known or {}, standing, RULES, sequence_number=7)


def refused(
    time_ms: int,
    standing: Standing = OPEN,
    rules: CountRules = RULES,
    arrival_time_ms: int | None = None,
) -> Refused | None:
    return refusal_of([event(100 * W), event(time_ms)], arrival_time_ms, standing, rules)


# --- what an item holds


def test_all_that_an_item_holds_must_be_events() -> None:
    good, bad = event(1), Rejection(RejectReason.BAD_TIME, b"")
    clock = Heartbeat("/anybody", 1, "s", None)
    assert events_in([good, good]) == [good, good]
    assert events_in([good, bad]) == Refused(Refusal.NO_EVENT, RejectReason.BAD_TIME)
    assert events_in([good, clock]) == Refused(Refusal.HEARTBEAT)
    assert events_in([]) == Refused(Refusal.NO_EVENT, RejectReason.EMPTY)


# --- where it is told


#                next window 100   shard's stream time 101      the stream's greatest 102
# window   98    99    |    100    |                          101    102
@pytest.mark.parametrize(
    ("window", "step", "late"), [(98, 100, 1), (99, 100, 1), (100, 100, 0), (101, 101, 0)]
)
def test_an_event_is_told_at_the_next_closing_however_far_its_shard_is(
    window: int, step: int, late: int
) -> None:
    retried = counted(event(window * W + 5))
    assert retried.partials == {Partial(window * W, "a", step * W): 1}
    assert retried.total == Evidence(7, 7, on_time=1 - late, late=late)


def test_before_the_first_closing_the_shards_stream_time_decides() -> None:
    # 99 is closed by the shard: its end and a minute have passed
    passed = Standing(current=True, stream_time_ms=100 * W + 60_000, greatest_ms=200 * W)
    assert set(counted(event(99 * W), standing=passed).partials) == {Partial(99 * W, "a", 100 * W)}
    nearly = Standing(current=True, stream_time_ms=100 * W + 59_999, greatest_ms=200 * W)
    assert set(counted(event(99 * W), standing=nearly).partials) == {Partial(99 * W, "a", 99 * W)}


def test_before_any_stream_time_an_event_is_told_in_its_own_window() -> None:
    retried = counted(event(5 * W), standing=Standing(current=True))
    assert set(retried.partials) == {Partial(5 * W, "a", 5 * W)}


# --- what is counted


def test_a_key_counts_once_in_its_window_and_again_in_another() -> None:
    events = [event(100 * W), event(100 * W + 1), event(101 * W), event(100 * W, key=2, series="b")]
    retried = counted(*events)
    assert retried.keys == {100 * W: [1, 2], 101 * W: [1]}
    assert retried.evidence == {
        (100 * W, "a"): Evidence(7, 7, on_time=1, duplicates=1),
        (101 * W, "a"): Evidence(7, 7, on_time=1),
        (100 * W, "b"): Evidence(7, 7, on_time=1),
    }
    assert sum(retried.partials.values()) == 3
    assert retried.state is ItemState.COUNTED


def test_an_item_of_which_all_is_known_adds_nothing() -> None:
    retried = counted(event(100 * W), event(99 * W), known={100 * W: {1}, 99 * W: {1, 2}})
    assert (retried.partials, retried.keys) == ({}, {})
    assert retried.state is ItemState.KNOWN
    assert retried.total == Evidence(duplicates=2)


def test_an_item_of_which_some_is_new_is_counted() -> None:
    retried = counted(event(100 * W), event(100 * W, key=2), known={100 * W: {1}})
    assert retried.state is ItemState.COUNTED
    assert retried.keys == {100 * W: [2]}


# --- what is refused


def test_an_event_of_the_generation_before_is_refused_however_young() -> None:
    assert refused(100 * W, Standing(current=False)) == Refused(Refusal.RECREATED)


@pytest.mark.parametrize("size_ms", [W, 240_000, 8 * HOUR, 86_400_000])
def test_an_event_is_too_old_exactly_where_its_window_is_purged(size_ms: int) -> None:
    age_ms = 48 * HOUR
    rules = CountRules(size_ms=size_ms, max_event_age_ms=age_ms)
    next_ms = 500 * size_ms
    # a drained shard: its own stream time stands still
    standing = Standing(current=True, next_window_ms=next_ms, stream_time_ms=0, greatest_ms=next_ms)
    for number in range(300, 500):
        window_ms = number * size_ms
        is_purged = window_ms <= next_ms - size_ms - age_ms
        for time_ms in (window_ms, window_ms + size_ms - 1):
            too_old = refusal_of([event(time_ms)], None, standing, rules)
            assert (too_old is not None) == is_purged
            if too_old is not None:
                assert too_old.refusal is Refusal.TOO_OLD
                assert too_old.limit_ms is not None
                assert refusal_of([event(too_old.limit_ms)], None, standing, rules) is None


def test_an_event_is_too_old_where_collect_would_find_it_so_on_the_shard_now() -> None:
    limit_ms = 101 * W - HOUR
    assert refused(limit_ms) is None
    told = Refused(Refusal.TOO_OLD, event_time_ms=limit_ms - 1, limit_ms=limit_ms)
    assert refused(limit_ms - 1) == told


def test_an_event_may_lie_ahead_of_the_greatest_stream_time_by_the_skew() -> None:
    limit_ms = 102 * W + RULES.max_future_skew_ms
    assert refused(limit_ms) is None
    told = Refused(Refusal.TOO_FAR_AHEAD, event_time_ms=limit_ms + 1, limit_ms=limit_ms)
    assert refused(limit_ms + 1) == told


def test_where_the_sweep_is_the_clock_dead_heartbeats_make_no_event_implausible() -> None:
    by_sweep = CountRules(max_event_age_ms=HOUR, clock_is_sweep=True)
    assert refused(120 * W, rules=by_sweep, arrival_time_ms=119 * W) is None
    assert refused(120 * W, rules=by_sweep) is not None
    assert refused(120 * W, rules=RULES, arrival_time_ms=119 * W) is not None


def test_before_any_stream_time_nobody_can_tell_that_a_time_is_wrong() -> None:
    assert refused(10**15, Standing(current=True)) is None
    assert refused(-(10**13), Standing(current=True)) is None
