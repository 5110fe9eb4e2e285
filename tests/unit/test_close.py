"""Closing windows, rule by rule."""

from tidegauge.domain.close import (
    MAX_FILLS,
    CloseInput,
    CloseRules,
    SeriesState,
    StepCount,
    close_windows,
)
from tidegauge.domain.count import CompletedWindow, Quality

SIZE = 300_000
RULES = CloseRules()
DAY_WINDOWS = 288


def close(
    *counts: tuple[int, int, str, int],
    first: int = 1000,
    until: int = 1001,
    observed: int = 0,
    latest: dict[tuple[int, str], CompletedWindow] | None = None,
    series: dict[str, SeriesState] | None = None,
    gaps: tuple[tuple[int, int], ...] = (),
    suspect: frozenset[int] = frozenset(),
    rules: CloseRules = RULES,
) -> list[tuple[int, str, int, int, int, str]]:
    """Close windows by number; counts are (step, window, series, n)."""
    read = CloseInput(
        generation=1,
        first_ms=first * SIZE,
        until_ms=until * SIZE,
        observed_from_ms=observed * SIZE,
        counts=[StepCount(step * SIZE, w * SIZE, name, n) for step, w, name, n in counts],
        latest={(w * SIZE, name): row for (w, name), row in (latest or {}).items()},
        series=series or {},
        gaps=[(a * SIZE, b * SIZE) for a, b in gaps],
        suspect={w * SIZE for w in suspect},
    )
    closing = close_windows(read, rules)
    return [
        (r.window_start_ms // SIZE, r.series, r.revision, r.count, r.late, r.quality.value)
        for r in closing.rows
    ]


def known(first: int, last: int) -> SeriesState:
    return SeriesState(first * SIZE, last * SIZE)


def test_zero_counts_are_announced_for_every_active_series() -> None:
    rows = close((1000, 1000, "b", 3), series={"a": known(990, 995)})
    assert rows == [(1000, "a", 1, 0, 0, "complete"), (1000, "b", 1, 3, 0, "complete")]


def test_a_late_count_corrects_the_window_that_it_belongs_to() -> None:
    before = CompletedWindow(1, "a", 998 * SIZE, 1, 998 * SIZE, 5, 0, Quality.COMPLETE)
    rows = close((1000, 998, "a", 2), series={"a": known(990, 998)}, latest={(998, "a"): before})
    assert rows == [(998, "a", 2, 7, 2, "complete"), (1000, "a", 1, 0, 0, "complete")]


def test_a_flood_of_new_series_with_old_events_gets_only_the_latest_windows_before() -> None:
    old = 1000 - DAY_WINDOWS
    rows = close(*((1000, old, f"s-{number}", 1) for number in range(10_000)))
    assert len(rows) <= MAX_FILLS + 2 * 10_000
    of_one = [window for window, name, *_ in rows if name == "s-77"]
    assert of_one == [old, *range(1000 - MAX_FILLS // 10_000, 1001)]


def test_one_late_series_among_many_gets_every_window_since() -> None:
    busy = {f"s-{number}": SeriesState(0, 999 * SIZE) for number in range(9_000)}
    counts = [(1000, 1000, name, 1) for name in busy]
    rows = close(*counts, (1000, 900, "late", 1), series=busy)
    assert [window for window, name, *_ in rows if name == "late"] == list(range(900, 1001))


def test_a_series_first_seen_late_gets_every_window_since() -> None:
    rows = close((1000, 997, "a", 1))
    assert rows == [
        (997, "a", 1, 1, 1, "complete"),
        (998, "a", 1, 0, 0, "complete"),
        (999, "a", 1, 0, 0, "complete"),
        (1000, "a", 1, 0, 0, "complete"),
    ]


def test_an_event_before_a_series_first_window_moves_its_beginning() -> None:
    rows = close((1000, 996, "a", 1), series={"a": known(998, 999)})
    assert rows == [
        (996, "a", 1, 1, 1, "complete"),
        (997, "a", 1, 0, 0, "complete"),
        (1000, "a", 1, 0, 0, "complete"),
    ]


def test_windows_before_observation_are_partial_and_late() -> None:
    rows = close((999, 999, "a", 4), (1000, 1000, "a", 1), first=1000, observed=1000)
    assert rows == [(999, "a", 1, 4, 4, "partial"), (1000, "a", 1, 1, 0, "complete")]


def test_zero_is_claimed_before_observation_only_as_far_back_as_events_may_lie() -> None:
    rows = close((500, 500, "a", 1), first=1000, observed=1000)
    assert rows[0][:4] == (500, "a", 1, 1)
    assert rows[1][:4] == (1000 - DAY_WINDOWS, "a", 1, 0)
    assert len(rows) == 1 + DAY_WINDOWS + 1


def test_gaps_and_suspect_windows_are_marked() -> None:
    rows = close(
        until=1004, series={"a": known(990, 999)}, gaps=((1001, 1002),), suspect=frozenset({1003})
    )
    assert [row[5] for row in rows] == ["complete", "gap", "complete", "suspect"]


def test_a_silent_series_retires_with_a_last_row_and_nothing_after_it() -> None:
    rules = CloseRules(series_idle_ms=3 * SIZE)
    rows = close(until=1010, series={"a": known(990, 999)}, rules=rules)
    assert [(row[0], row[5]) for row in rows] == [
        (1000, "complete"),
        (1001, "complete"),
        (1002, "retired"),
    ]


def test_idleness_is_measured_from_the_latest_event_not_from_the_one_that_came_last() -> None:
    rules = CloseRules(series_idle_ms=4 * SIZE)
    rows = close((1000, 990, "a", 1), until=1005, series={"a": known(980, 999)}, rules=rules)
    assert [row[0] for row in rows if row[5] == "retired"] == [1003]


def test_a_late_event_of_a_retired_series_brings_it_back_without_writing_rows_twice() -> None:
    retired = SeriesState(990 * SIZE, 995 * SIZE, 998 * SIZE, active=False)
    before = CompletedWindow(1, "a", 997 * SIZE, 1, 997 * SIZE, 0, 0, Quality.COMPLETE)
    rows = close((1000, 997, "a", 1), series={"a": retired}, latest={(997, "a"): before})
    assert rows == [
        (997, "a", 2, 1, 1, "complete"),
        (999, "a", 1, 0, 0, "complete"),
        (1000, "a", 1, 0, 0, "complete"),
    ]


def test_series_are_admitted_in_order_of_name_and_the_rest_is_counted_together() -> None:
    rules = CloseRules(max_series=2)
    rows = close(
        *((1000, 1000, name, 1) for name in "dcb"), series={"a": known(990, 999)}, rules=rules
    )
    assert [(row[1], row[3]) for row in rows] == [("__other__", 2), ("a", 0), ("b", 1)]


def test_a_closing_stops_at_the_row_limit_but_closes_at_least_one_window() -> None:
    rules = CloseRules(max_rows=3)
    both = {"a": known(990, 999), "b": known(990, 999)}
    assert len(close(until=1010, series=both, rules=rules)) == 2
    assert len(close(until=1010, series=both, rules=CloseRules(max_rows=1))) == 2


def test_a_century_without_anybody_to_announce_passes_at_once() -> None:
    assert close(until=1000 + 10_000_000) == []
    rows = close((9_000_000, 9_000_000, "a", 1), until=9_000_001)
    assert [row[0] for row in rows] == [9_000_000]


def test_events_that_only_observation_makes_late_are_told_once() -> None:
    read = CloseInput(
        generation=1,
        first_ms=1000 * SIZE,
        until_ms=1002 * SIZE,
        observed_from_ms=1000 * SIZE,
        # on time on a shard without stream time; late on its shard already; on time
        counts=[
            StepCount(998 * SIZE, 998 * SIZE, "a", 2),
            StepCount(999 * SIZE, 998 * SIZE, "a", 3),
            StepCount(1000 * SIZE, 1000 * SIZE, "a", 5),
        ],
        latest={},
        series={},
        gaps=[],
        suspect=frozenset(),
    )
    closing = close_windows(read, RULES)
    assert closing.late_by_observation == 2
    assert [row.late for row in closing.rows if row.window_start_ms == 998 * SIZE] == [5]
