"""Features: what each column says, and what it says where nothing is known."""

import numpy as np
import pytest

from tidegauge.domain.features import (
    FEATURE_NAMES,
    HISTORY_DAYS,
    expected_count,
    feature_matrix,
    history_windows,
    stabilise,
)
from tidegauge.domain.window import InvalidWindow

SIZE = 300_000
DAY = 288
MONDAY = 1_357_516_800_000  # 2013-01-07, 00:00 UTC


def row_after(counts: list[float], *, first_window_ms: int = MONDAY) -> dict[str, float]:
    """Return the features of the window that follows some counts, by name."""
    values = np.array([*counts, np.nan])
    rows = feature_matrix(
        values, first_window_ms=first_window_ms, size_ms=SIZE, first_row=len(counts)
    )
    return dict(zip(FEATURE_NAMES, rows[0].tolist(), strict=True))


def scale(count: float) -> float:
    return round(float(stabilise(np.array([count]))[0]), 6)


def test_there_are_31_features_with_different_names() -> None:
    assert len(FEATURE_NAMES) == len(set(FEATURE_NAMES)) == 31


def test_the_scale_goes_there_and_back() -> None:
    for count in (0.5, 1.0, 20.0, 1e6):
        # not quite: the way back is chosen to be right on average over the noise
        assert expected_count(scale(count)) == pytest.approx(count + 0.25, abs=1e-2)
    assert expected_count(0.0) == 0.0


def test_lags_are_the_windows_before() -> None:
    row = row_after([float(count) for count in range(1, 21)])
    lags = [row[f"lag_{lag}"] for lag in (1, 2, 6, 12)]
    assert lags == pytest.approx([scale(count) for count in (20, 19, 15, 9)], abs=2e-6)


def test_a_missing_lag_is_the_mean_of_the_last_hour() -> None:
    row = row_after([np.nan, 4.0, np.nan])
    assert row["lag_1"] == row["lag_2"] == row["lag_12"] == scale(4)
    assert row["yesterday"] == row["last_week"] == row["mean_7d"] == scale(4)


def test_a_gap_of_more_than_an_hour_falls_back_on_what_was_before_it() -> None:
    assert row_after([9.0] * 50 + [np.nan] * 40)["lag_1"] == scale(9)


@pytest.mark.parametrize("counts", [[], [np.nan] * 30, [0.0] * 3000, [np.nan] * 3000])
def test_a_series_without_events_is_that_of_empty_windows(counts: list[float]) -> None:
    row = row_after(counts)
    assert {row[name] for name in FEATURE_NAMES[:16]} == {scale(0)}


def test_a_constant_series_has_constant_means() -> None:
    row = row_after([7.0] * 9000)
    assert {row[name] for name in FEATURE_NAMES[:16]} == {scale(7)}


def test_the_season_is_that_of_the_same_time() -> None:
    counts = [100.0 if 4 <= index % DAY <= 10 else 1.0 for index in range(8 * DAY + 7)]
    row = row_after(counts)
    assert row["yesterday"] == row["last_week"] == row["profile_time_of_day"] == scale(100)
    assert scale(1) < row["mean_7d"] < scale(5)


def test_a_mean_forgets_by_half_in_a_half_life() -> None:
    # Three windows make the 15 minutes: the three latest weigh as much as all before them.
    row = row_after([0.0] * 400 + [4.0] * 3)
    assert row["mean_15min"] == pytest.approx((scale(0) + scale(4)) / 2, abs=0.02)


def test_the_weekend_is_saturday_and_sunday_in_utc() -> None:
    flags = [
        row_after([], first_window_ms=MONDAY + day * DAY * SIZE)["weekend"] for day in range(8)
    ]
    assert flags == [0.0] * 5 + [1.0, 1.0, 0.0]
    assert row_after([], first_window_ms=MONDAY - SIZE)["weekend"] == 1.0


def test_nothing_older_than_the_history_is_seen() -> None:
    far = history_windows(SIZE)
    assert far == HISTORY_DAYS * DAY
    recent = np.random.default_rng(1).poisson(5.0, far).astype(np.float64)
    for older in (np.zeros(600), np.full(600, 1e6)):
        rows = feature_matrix(
            np.concatenate((older, recent, [np.nan])),
            first_window_ms=MONDAY,
            size_ms=SIZE,
            first_row=600 + far,
        )
        alone = feature_matrix(
            np.concatenate((recent, [np.nan])),
            first_window_ms=MONDAY + 600 * SIZE,
            size_ms=SIZE,
            first_row=far,
        )
        assert rows.tobytes() == alone.tobytes()


def test_no_row_makes_an_empty_matrix() -> None:
    rows = feature_matrix(np.zeros(3), first_window_ms=0, size_ms=SIZE, first_row=3)
    assert rows.shape == (0, 31)


def test_a_window_has_a_length() -> None:
    with pytest.raises(InvalidWindow):
        history_windows(0)
