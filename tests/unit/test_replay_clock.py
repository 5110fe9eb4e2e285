"""The replay clock, rule by rule. Windows of 5 minutes, lateness 1 minute, skew 5 minutes.

12:00      12:05 12:06   12:10 12:11
  |---w0-----|     |       |     |
             |-----w1------|     closes here
             closes w0 here
"""

from collections.abc import Iterable

from tests.support.events import MINUTE_MS, NOON_MS, offered_event, offered_rejection
from tidegauge.domain.event import Heartbeat
from tidegauge.domain.fold import CountRules
from tidegauge.domain.offered import Offered
from tidegauge.steps.replay_clock import Beat, Unconfirmed, with_beats

RULES = CountRules()
HOUR = 60.0


def at(minute: float) -> int:
    return NOON_MS + round(minute * MINUTE_MS)


def told(offered: Iterable[Offered], rules: CountRules = RULES) -> list[str]:
    """Return what the clock gives: `beat 6` at 12:06, `3` for the third, `not 3` unconfirmed."""
    names: list[str] = []
    for one in with_beats(offered, rules):
        if isinstance(one, Beat):
            names.append(f"beat {(one.time_ms - NOON_MS) / MINUTE_MS:g}")
        elif isinstance(one, Unconfirmed):
            names.append(f"not {one.offered.line}")
        else:
            names.append(str(one.line))
    return names


def events(*minutes: float) -> list[Offered]:
    return [offered_event(number, at(minute)) for number, minute in enumerate(minutes, 1)]


def test_a_heartbeat_goes_before_the_event_that_closes_a_window() -> None:
    assert told(events(0.5, 0.9, 3, 5.9, 6, 6.1)) == [
        "beat 0", "1", "2", "beat 3", "3", "4", "beat 6", "5", "6", "beat 11",
    ]  # fmt: skip


def test_an_event_far_from_the_last_heartbeat_gets_one_though_no_window_closes() -> None:
    hour = CountRules(size_ms=3_600_000)
    assert told(events(1, 5.9, 6, 10.9, 11), hour) == [
        "beat 1", "1", "2", "beat 6", "3", "4", "beat 11", "5", "beat 61",
    ]  # fmt: skip


def test_the_whole_minute_must_reach_the_closing_time() -> None:
    rules = CountRules(size_ms=300_000, lateness_ms=30_000, max_future_skew_ms=600_000)
    assert told(events(1, 5.5, 5.9, 6), rules) == [
        "beat 1", "1", "2", "3", "beat 6", "4", "beat 10.5",
    ]  # fmt: skip


def test_a_first_event_alone_stands_by_itself() -> None:
    assert told(events(2)) == ["beat 2", "1", "beat 6"]


def test_no_event_at_all_gives_no_heartbeat() -> None:
    assert told([offered_rejection(1)]) == ["1"]


def test_an_absurd_first_event_is_not_believed_whether_old_or_new() -> None:
    old = events(-50 * HOUR * 24, *(n / 10 for n in range(12)))
    assert told(old)[:3] == ["not 1", "beat 0", "2"]
    new = events(50 * HOUR * 24, *(n / 10 for n in range(12)))
    assert told(new)[:3] == ["not 1", "beat 0", "2"]


def test_the_event_after_an_absurd_first_one_is_asked_like_a_first() -> None:
    assert told(events(-9999, -9998, *[0.0] * 9))[:4] == ["not 1", "not 2", "beat 0", "3"]


def test_most_means_more_than_half_of_the_next_ten() -> None:
    five_agree = events(0, *[0.0] * 10, 30, *[0.0] * 5, *[30.0] * 5, 0)
    assert "not 12" in told(five_agree)
    six_agree = events(0, *[0.0] * 10, 30, *[0.0] * 4, *[30.0] * 6)
    assert "not 12" not in told(six_agree)


def test_an_event_up_to_the_skew_before_a_jump_confirms_it() -> None:
    assert "not 2" not in told(events(0, 30, 25, 25, 0))
    assert "not 2" in told(events(0, 30, 24.99, 24.99, 30))


def test_a_jump_back_and_small_steps_need_no_witness() -> None:
    assert "not 2" not in told(events(0, 5, 0, 0, 0, 0))
    assert told(events(10, 1, 1, 1)) != []
    assert "not 2" in told(events(0, 5.1, 0, 0, 0, 0))


def test_a_jump_is_measured_from_the_latest_event_not_from_the_last_heartbeat() -> None:
    assert "not 3" not in told(events(0, 4, 8, 0, 0, 0, 0))


def test_a_last_event_is_believed_within_the_age_limit_only() -> None:
    assert told(events(0, 24 * HOUR))[-3:] == ["beat 1440", "2", "beat 1446"]
    assert told(events(0, 0, 0, 24 * HOUR + 0.1))[-2:] == ["not 4", "beat 6"]


def test_rejected_lines_neither_confirm_nor_hold_up_memory() -> None:
    one, two, three = events(0, 30, 30)
    rejected = [offered_rejection(number) for number in range(100, 120)]
    found = told([one, two, *rejected, three])
    assert "not 2" not in found
    assert found.index("119") < found.index("2")


def test_heartbeats_of_the_own_clock_are_left_out_and_foreign_ones_pass() -> None:
    own = Offered(1, Heartbeat(RULES.clock_source, 0, "s", None), b"{}")
    foreign = Offered(2, Heartbeat("/other", 0, "s", None), b"{}")
    assert told([own, foreign]) == ["2"]
