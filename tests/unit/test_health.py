"""The state of a stream: silent, stalled and incomplete, each by a small timeline.

Windows of 5 minutes, lateness of 1, a heartbeat a minute: stream time may lie 9 minutes behind.
Times below are minutes after noon; `now` is 60 unless a case says otherwise.
"""

import msgspec
import pytest

from tests.support.snapshots import PRODUCER, SWEEP, at, series, shard, snapshot
from tidegauge.domain.count import Quality
from tidegauge.domain.health import (
    HealthRules,
    Silence,
    Stall,
    StallCause,
    State,
    health_of,
)
from tidegauge.domain.snapshot import Loss


def test_a_stream_whose_clock_runs_is_counting() -> None:
    health = health_of(snapshot(shard("s0", 59.5), shard("s1", 60)), SWEEP)
    assert health.states == (State.COUNTING,)
    assert (health.watermark_ms, health.lag_ms) == (at(59.5), 30_000)
    assert health.counted_until_ms == at(55)
    assert health.is_fine


# --- stalled, where the sweep is the clock --------------------------------------------------------


@pytest.mark.parametrize(("minute", "state"), [(51, State.COUNTING), (50.9, State.STALLED)])
def test_stream_time_may_lie_a_window_its_lateness_and_three_heartbeats_behind(
    minute: float, state: State
) -> None:
    #   stream time 51            now 60        patience: 5 + 1 + 3 minutes
    #        |———————— 9 min ———————|
    assert health_of(snapshot(shard("s0", minute), next_window_ms=at(45)), SWEEP).state is state


def test_a_clock_that_puts_no_heartbeats_is_told_from_heartbeats_that_nobody_counts() -> None:
    # put      ———————40 |                 put      —————————————————60 |
    # counted  ———————40 |      now 60     counted  ———————40 |           now 60
    dead = snapshot(shard("s0", 40), next_window_ms=at(30))
    unread = snapshot(shard("s0", 40, beat=600), next_window_ms=at(30))
    assert health_of(dead, SWEEP).stalls == (
        Stall(StallCause.NO_HEARTBEATS, ("s0",), since_ms=at(40)),
    )
    assert health_of(unread, SWEEP).stalls == (
        Stall(StallCause.UNREAD_HEARTBEATS, ("s0",), since_ms=at(40)),
    )


def test_one_shard_behind_holds_the_stream_and_is_named() -> None:
    health = health_of(snapshot(shard("s0", 60), shard("s1", 20, beat=600)), SWEEP)
    assert health.watermark_ms == at(20)
    assert [(s.cause, s.shard_ids) for s in health.stalls] == [
        (StallCause.UNREAD_HEARTBEATS, ("s1",))
    ]


def test_a_parent_that_is_not_drained_is_named_with_the_shards_that_wait_for_it() -> None:
    # s0 split at 30 into s1 and s2; its last records are not read
    health = health_of(
        snapshot(
            shard("s0", 30, beat=310),
            shard("s1", None, parent_ids=("s0",)),
            shard("s2", None, parent_ids=("s0",)),
        ),
        SWEEP,
    )
    assert health.watermark_ms == at(30)
    assert health.stalls == (
        Stall(StallCause.PARENT_NOT_DRAINED, ("s0",), ("s1", "s2"), since_ms=at(30)),
    )


def test_a_drained_parent_holds_nothing() -> None:
    shards = (shard("s0", 30, drained=True), shard("s1", 60, parent_ids=("s0", "gone")))
    assert health_of(snapshot(*shards), SWEEP).states == (State.COUNTING,)


def test_windows_that_stream_time_has_passed_and_nobody_closes() -> None:
    # closed up to 40, though stream time 60 has passed 46 by more than 9 minutes
    late = snapshot(shard("s0", 60), next_window_ms=at(40))
    assert health_of(late, SWEEP).stalls == (Stall(StallCause.CLOSING, since_ms=at(40)),)
    assert health_of(msgspec.structs.replace(late, next_window_ms=at(45)), SWEEP).is_fine


def test_a_first_window_that_nobody_closes() -> None:
    before_any = snapshot(shard("s0", 60), next_window_ms=None, observed_from_ms=None)
    health = health_of(before_any, SWEEP)
    assert health.stalls == (Stall(StallCause.CLOSING, since_ms=at(-5)),)
    assert health.states == (State.STALLED,)


@pytest.mark.parametrize(("now", "state"), [(10, State.STARTING), (10.1, State.STALLED)])
def test_a_stream_without_any_heartbeat_has_its_time_to_start(now: float, state: State) -> None:
    fresh = snapshot(shard("s0", None), next_window_ms=None, now_ms=at(now))
    assert health_of(fresh, SWEEP).states == (state,)


@pytest.mark.parametrize(
    ("seconds", "state"), [(60, State.STARTING), (105, State.STARTING), (106, State.STALLED)]
)
def test_heartbeats_may_be_dense_and_the_first_sweep_still_comes_with_its_minute(
    seconds: float, state: State
) -> None:
    # patience: 20 + 10 + 3 * 5 s, and a minute until the sweep comes for the first time
    dense = HealthRules(size_ms=20_000, lateness_ms=10_000, beat_ms=5_000)
    now = seconds / 60
    for fresh in (
        snapshot(shard("s0", None, fence=7), next_window_ms=None, now_ms=at(now)),
        snapshot(shard("s0", None, beat=600), next_window_ms=None, now_ms=at(now)),
        snapshot(listed=False, next_window_ms=None, now_ms=at(now)),
    ):
        assert health_of(fresh, dense).states == (state,)
    # Once a heartbeat was counted, the next ones are due.
    begun = snapshot(shard("s0", 0), next_window_ms=None, now_ms=at(46 / 60))
    assert health_of(begun, dense).states == (State.STALLED,)


@pytest.mark.parametrize(("now", "state"), [(10, State.STARTING), (10.1, State.STALLED)])
def test_shards_that_nobody_lists(now: float, state: State) -> None:
    unlisted = snapshot(listed=False, next_window_ms=None, now_ms=at(now))
    health = health_of(unlisted, SWEEP)
    assert health.states == (state,)
    assert [s.cause for s in health.stalls] == [StallCause.NO_LISTING] * (now > 10)


def test_what_moves_between_two_readings_is_behind_and_not_stalled() -> None:
    # a backlog is read: 20 -> 25 while the clock shows 60
    earlier = snapshot(shard("s0", 20, beat=600), next_window_ms=at(10))
    now = snapshot(shard("s0", 25, beat=600), next_window_ms=at(15))
    health = health_of(now, SWEEP, earlier)
    assert health.states == (State.BEHIND,)
    assert not health.is_fine
    assert health_of(now, SWEEP, now).states == (State.STALLED,)


def test_events_alone_move_no_clock() -> None:
    # the sweep is dead, producers go on: the fence moves, stream time does not
    earlier = snapshot(shard("s0", 20), next_window_ms=at(10))
    now = snapshot(shard("s0", 20, fence=999), next_window_ms=at(10))
    assert health_of(now, SWEEP, earlier).states == (State.STALLED,)


def test_a_shard_that_stands_is_a_stall_though_another_moves() -> None:
    earlier = snapshot(shard("s0", 20, beat=600), shard("s1", 30, beat=600))
    now = snapshot(shard("s0", 20, beat=600), shard("s1", 40, beat=600))
    assert health_of(now, SWEEP, earlier).state is State.STALLED


def test_a_reading_of_another_generation_says_nothing_about_movement() -> None:
    earlier = snapshot(shard("s0", 10), generation=7)
    assert health_of(snapshot(shard("s0", 20)), SWEEP, earlier).state is State.STALLED


# --- stalled, where a producer is the clock -------------------------------------------------------


def test_a_replay_of_years_ago_that_has_ended_is_counting() -> None:
    old = snapshot(shard("s0", 61), shard("s1", 61), next_window_ms=at(60), now_ms=at(1_000_000))
    health = health_of(old, PRODUCER)
    assert health.states == (State.COUNTING,)
    assert health.lag_ms is None


def test_heartbeats_of_a_replay_that_closed_nothing() -> None:
    passed = snapshot(shard("s0", 61), next_window_ms=at(50))
    assert health_of(passed, PRODUCER).stalls == (Stall(StallCause.CLOSING, since_ms=at(50)),)
    earlier = msgspec.structs.replace(passed, next_window_ms=at(45))
    assert health_of(passed, PRODUCER, earlier).states == (State.COUNTING,)


def test_events_that_nobody_puts_heartbeats_beside() -> None:
    counted = snapshot(shard("s0", None, fence=5), shard("s1", None), next_window_ms=None)
    assert health_of(counted, PRODUCER).stalls == (Stall(StallCause.NO_HEARTBEATS, ("s0",)),)
    nothing = snapshot(shard("s0", None), shard("s1", None), next_window_ms=None)
    assert health_of(nothing, PRODUCER).states == (State.STARTING,)


def test_a_shard_that_a_replays_clock_leaves_out() -> None:
    left_out = snapshot(shard("s0", 60), shard("s1", None), next_window_ms=None)
    assert health_of(left_out, PRODUCER).stalls == (Stall(StallCause.NO_HEARTBEATS, ("s1",)),)


@pytest.mark.parametrize(
    ("minute", "before", "state"),
    [
        (54, 54, State.COUNTING),  # a window and its lateness
        (53.9, 53.9, State.STALLED),
        (30, 29, State.COUNTING),  # it moves: somebody reads it just now
    ],
)
def test_a_shard_that_a_replay_has_left_behind(minute: float, before: float, state: State) -> None:
    now, earlier = (
        snapshot(shard("s0", 60), shard("s1", m, fence=round(m * 10)), next_window_ms=at(50))
        for m in (minute, before)
    )
    assert health_of(now, PRODUCER, earlier).state is state


# --- silent ---------------------------------------------------------------------------------------


def test_silence_is_complete_windows_with_count_zero_since_the_last_event() -> None:
    #  30        35                  55   60
    #   | event   |0   |0   |0   |0   |    now
    health = health_of(
        snapshot(shard("s0", 60), series=[series("a", 30), series("b", 50, count=7)]), SWEEP
    )
    assert health.states == (State.SILENT,)
    assert health.silent == (Silence("a", at(35), at(55), windows=4, incident=False),)
    assert (health.n_series, health.is_fine) == (2, True)


def test_silence_is_proven_only_behind_the_last_gap() -> None:
    # a gap ends within [40, 45): silence is proven from 45 on
    lost = Loss(at(36), at(42), "heartbeat_missing", "s0")
    health = health_of(snapshot(shard("s0", 60), series=[series("a", 30)], losses=[lost]), SWEEP)
    assert health.states == (State.INCOMPLETE, State.SILENT)
    assert health.silent == (Silence("a", at(45), at(55), windows=2, incident=False),)


@pytest.mark.parametrize("quality", [Quality.GAP, Quality.PARTIAL, Quality.SUSPECT])
def test_a_zero_that_cannot_be_trusted_is_no_silence(quality: Quality) -> None:
    doubtful = msgspec.structs.replace(series("a", 30), quality=quality)
    health = health_of(snapshot(shard("s0", 60), series=[doubtful]), SWEEP)
    assert health.silent == ()
    assert health.suspect == (("a",) if quality is Quality.SUSPECT else ())


def test_windows_before_the_stream_was_watched_prove_nothing() -> None:
    watched = snapshot(shard("s0", 60), series=[series("a", 30)], observed_from_ms=at(45))
    assert health_of(watched, SWEEP).silent[0].from_ms == at(45)


def test_silence_that_people_were_alerted_to_comes_first_then_the_latest() -> None:
    silent = [series("old", 0), series("new", 45), series("alerted", 10, incident=True)]
    health = health_of(snapshot(shard("s0", 60), series=silent), SWEEP)
    assert [silence.series for silence in health.silent] == ["alerted", "new", "old"]


# --- incomplete -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("until", "current"), [(60 - 24 * 60, False), (60.1 - 24 * 60, True), (58, True)]
)
def test_only_losses_of_the_last_day_are_current(until: float, current: bool) -> None:
    lost = Loss(at(until - 10), at(until), "parent_lost", "s0")
    health = health_of(snapshot(shard("s0", 60), losses=[lost]), SWEEP)
    assert health.losses == ((lost,) if current else ())
    assert (health.state is State.INCOMPLETE) is current


def test_a_loss_in_an_open_window_is_current_however_long_ago() -> None:
    # closing has stood at 12:00 for two days, one shard's clock went on
    two_days = 2 * 24 * 60.0
    lost = Loss(at(2), at(8), "heartbeat_missing", "s0")
    stuck = snapshot(
        shard("s0", two_days), shard("s1", 8), next_window_ms=at(0), now_ms=at(two_days),
        losses=[lost],
    )  # fmt: skip
    assert health_of(stuck, SWEEP).states == (State.STALLED, State.INCOMPLETE)


def test_a_loss_that_no_heartbeat_has_ended_yet() -> None:
    parent = shard("s0", 40, drained=True, lost_from_ms=at(30))
    child = shard("s1", 57, parent_ids=("s0",), lost_from_ms=at(40), heartbeat=None)
    health = health_of(snapshot(parent, child), SWEEP)
    assert health.losses == (Loss(at(40), None, "parent_lost", "s1"),)
    # and it claims nothing of a stream time that is long over
    assert health.states == (State.INCOMPLETE,)


def test_losses_of_a_replay_are_current_by_its_own_time() -> None:
    lost = Loss(at(10), at(20), "heartbeat_missing", "s0")
    replayed = snapshot(shard("s0", 60), losses=[lost], now_ms=at(10_000_000))
    assert health_of(replayed, PRODUCER).states == (State.INCOMPLETE,)


def test_stalled_incomplete_and_silent_can_all_be_true_and_the_worst_leads() -> None:
    lost = Loss(at(20), at(25), "heartbeat_missing", "s1")
    all_three = snapshot(
        shard("s0", 60), shard("s1", 50, beat=600), series=[series("a", 30)], losses=[lost]
    )
    health = health_of(all_three, SWEEP)
    assert health.states == (State.STALLED, State.INCOMPLETE, State.SILENT)
    assert not health.is_fine


# --- beside the state -----------------------------------------------------------------------------


def test_series_that_wait_for_more_than_their_newest_verdict_are_told() -> None:
    judged = [
        msgspec.structs.replace(series("a", 50, 3), judged_step_ms=at(m)) for m in (50, 45, 40)
    ]
    health = health_of(snapshot(shard("s0", 60), series=judged), SWEEP)
    assert (health.unjudged, health.state) == (1, State.COUNTING)
