"""Features: what a model is told about a window, from the counts that came before it.

Takes the counts of one series, gives one row of 31 numbers a window, all on the stabilised scale.
A row is a pure function of its window and of the counts of the last `HISTORY_DAYS` days: the same
bits come out whatever the batch it is computed in. For that every mean is a sum of integers
(stabilised counts in units of 2^-20), exact in any order; nothing runs from where a batch began.
Knows no model, no store and no clock.
"""

import functools
import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tidegauge.domain.feature_names import (
    DAILY_HARMONICS,
    EPOCH_AFTER_MONDAY_MS,
    HALF_LIVES_MS,
    LAGS,
    WEEKLY_HARMONICS,
)
from tidegauge.domain.feature_names import DAY_MS as DAY_MS
from tidegauge.domain.feature_names import FEATURE_NAMES as FEATURE_NAMES
from tidegauge.domain.feature_names import HOUR_MS as HOUR_MS
from tidegauge.domain.feature_names import MINUTE_MS as MINUTE_MS
from tidegauge.domain.feature_names import WEEK_MS as WEEK_MS
from tidegauge.domain.window import InvalidWindow

HISTORY_DAYS: Final = 28
"""How far back a row may look, in days."""

MAX_HISTORY_WINDOWS: Final = HISTORY_DAYS * 24 * 60
"""Bound on the windows a row looks back on: 28 days of one-minute windows, fewer days below."""

DECIMALS: Final = 6
"""A row's precision: it travels as text, and both ends must see the same number."""

_UNIT: Final = float(2**20)
_WEIGHT_UNIT: Final = 2**10
# Above a milliard events a window the features stop growing: so no sum leaves 64 bits.
_MAX_COUNT: Final = 1e9
_HALF_LIVES_BACK: Final = 8
_BLOCKS_PER_HALF_LIFE: Final = 8
_ROWS_AT_ONCE: Final = 4096


def stabilise(count: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return counts on the scale where their noise is about the same at every level.

    The Anscombe transform `2·sqrt(count + 3/8)`: a Poisson count gets a variance of about 1.
    NaN stays NaN.
    """
    root: NDArray[np.float64] = np.sqrt(np.asarray(count, dtype=np.float64) + 0.375)
    return 2.0 * root


def expected_count(score: float) -> float:
    """Return the count that a score on the stabilised scale stands for, zero or more.

    >>> expected_count(4.0)
    3.875
    >>> expected_count(-4.0)
    0.0
    """
    # A negative score means less than nothing; its square would mean a lot.
    half = max(0.0, score) / 2.0
    return max(0.0, half * half - 0.125)


def history_windows(size_ms: int) -> int:
    """Return how many windows before its own a row may look at.

    >>> history_windows(300_000)
    8064
    """
    if size_ms <= 0:
        msg = f"a window's size must be above zero, not {size_ms} ms"
        raise InvalidWindow(msg)
    return max(1, min(HISTORY_DAYS * DAY_MS // size_ms, MAX_HISTORY_WINDOWS))


def feature_matrix(
    counts: NDArray[np.float64], *, first_window_ms: int, size_ms: int, first_row: int
) -> NDArray[np.float64]:
    """Return the feature rows of the windows from `first_row` to the last one given.

    Args:
        counts: Counts of consecutive windows, oldest first, (n_windows,); NaN = missing. A row
            never looks at its own window's count, so the last may be NaN.
        first_window_ms: Start of the first window, ms since the epoch.
        size_ms: Window length.
        first_row: Index in `counts` of the first window wanted.

    Returns:
        (n_windows - first_row, 31), in the order of `FEATURE_NAMES`, rounded to six decimals,
        never NaN. What is missing falls back to the mean of the last hour, and a series without
        any count to that of an empty window.
    """
    n_windows = len(counts)
    rows = np.arange(min(max(first_row, 0), n_windows), n_windows, dtype=np.int64)
    return features_at(rows, counts, first_window_ms=first_window_ms, size_ms=size_ms)


def features_at(
    rows: NDArray[np.int64], counts: NDArray[np.float64], *, first_window_ms: int, size_ms: int
) -> NDArray[np.float64]:
    """Return the feature rows of some windows alone: those of `feature_matrix`, bit for bit.

    Args:
        rows: Indices in `counts` of the windows wanted, ascending, (n_rows,).
        counts: As for `feature_matrix`.
        first_window_ms: As there.
        size_ms: As there.

    Returns:
        (n_rows, 31).
    """
    plan = _plan(size_ms)
    # What lies further back than any row may look is left away before it costs anything.
    oldest = max(0, int(rows[0]) - plan.history) if len(rows) else len(counts)
    counts = np.asarray(counts[oldest:], dtype=np.float64)
    first_window_ms += oldest * size_ms
    known = np.isfinite(counts)
    clipped = np.clip(np.where(known, counts, 0.0), 0.0, _MAX_COUNT)
    units = np.where(known, np.rint(stabilise(clipped) * _UNIT), 0.0).astype(np.int64)
    sums = np.concatenate(([0], np.cumsum(units)))
    numbers = np.concatenate(([0], np.cumsum(known.astype(np.int64))))
    parts = [
        np.hstack((_means(chunk, sums, numbers, plan), _calendar(chunk, first_window_ms, size_ms)))
        for chunk in np.array_split(rows - oldest, max(1, math.ceil(len(rows) / _ROWS_AT_ONCE)))
    ]
    return np.vstack(parts).round(DECIMALS)


class _Plan(NamedTuple):
    """For one window length: which blocks of lags are summed, and into which mean each goes.

    A block is the windows from `far` to `near` before the row's own, both included.
    """

    history: int
    far: NDArray[np.int64]  # (n_blocks,)
    near: NDArray[np.int64]  # (n_blocks,)
    weights: NDArray[np.int64]  # (n_blocks, n_means)


# Columns of the means, in the order `_plan` adds them.
_N_LAGS: Final = len(LAGS)
_N_MEANS: Final = _N_LAGS + len(HALF_LIVES_MS)
_YESTERDAY: Final = _N_MEANS
_LAST_WEEK: Final = _N_MEANS + 1
_TIME_OF_DAY: Final = _N_MEANS + 2
_HOUR_OF_WEEK: Final = _N_MEANS + 3
_LAST_HOUR: Final = _N_MEANS + 4


@functools.lru_cache(maxsize=8)
def _plan(size_ms: int) -> _Plan:
    """Lay out the blocks of every mean, bounded by the history a row may look at."""
    history = history_windows(size_ms)
    blocks: list[tuple[int, int, int, int]] = []  # far, near, weight, column

    def add(far: int, near: int, weight: int, column: int) -> None:
        if near <= history:
            blocks.append((min(far, history), max(1, near), weight, column))

    for column, lag in enumerate(LAGS):
        add(lag, lag, 1, column)
    for column, half_life_ms in enumerate(HALF_LIVES_MS, start=_N_LAGS):
        half_life = half_life_ms / size_ms
        length = max(1, int(half_life / _BLOCKS_PER_HALF_LIFE))
        n_blocks = max(1, min(math.ceil(_HALF_LIVES_BACK * half_life), history) // length)
        for k in range(n_blocks):
            weight = max(1, round(_WEIGHT_UNIT * 2.0 ** (-k * length / half_life)))
            add((k + 1) * length, k * length + 1, weight, column)
    day, week = _windows_in(DAY_MS, size_ms), _windows_in(WEEK_MS, size_ms)
    quarter, half_hour = round(15 * MINUTE_MS / size_ms), round(30 * MINUTE_MS / size_ms)
    add(day + quarter, day - quarter, 1, _YESTERDAY)
    add(week + quarter, week - quarter, 1, _LAST_WEEK)
    for days in range(1, HISTORY_DAYS + 1):
        lag = _windows_in(days * DAY_MS, size_ms)
        add(lag + quarter, lag - quarter, 1, _TIME_OF_DAY)
    for weeks in range(1, HISTORY_DAYS // 7 + 1):
        lag = _windows_in(weeks * WEEK_MS, size_ms)
        add(lag + half_hour, lag - half_hour, 1, _HOUR_OF_WEEK)
    add(_windows_in(HOUR_MS, size_ms), 1, 1, _LAST_HOUR)

    weights = np.zeros((len(blocks), _LAST_HOUR + 1), dtype=np.int64)
    for index, (_, _, weight, column) in enumerate(blocks):
        weights[index, column] = weight
    far = np.array([block[0] for block in blocks], dtype=np.int64)
    near = np.array([block[1] for block in blocks], dtype=np.int64)
    return _Plan(history, far, near, weights)


def _windows_in(span_ms: int, size_ms: int) -> int:
    """Return the whole number of windows nearest to a span, at least one."""
    return max(1, round(span_ms / size_ms))


def _means(
    rows: NDArray[np.int64], sums: NDArray[np.int64], numbers: NDArray[np.int64], plan: _Plan
) -> NDArray[np.float64]:
    """Return the lags, means, seasonal lags and profiles of the rows, (n_rows, 16)."""
    newest = rows[:, None] - plan.near + 1
    oldest = np.maximum(rows[:, None] - plan.far, 0)
    newest = np.maximum(newest, oldest)
    total = (sums[newest] - sums[oldest]) @ plan.weights
    number = (numbers[newest] - numbers[oldest]) @ plan.weights
    with np.errstate(invalid="ignore", divide="ignore"):
        means: NDArray[np.float64] = np.where(number > 0, total / number, np.nan) / _UNIT
    level = means[:, _LAST_HOUR]
    for column in range(_N_LAGS, _N_MEANS):
        level = np.where(np.isnan(level), means[:, column], level)
    level = np.where(np.isnan(level), stabilise(np.zeros(1))[0], level)
    # A young series knows its day before its week: the seasonal values fall back on each other.
    for column, stand_in in ((_HOUR_OF_WEEK, _TIME_OF_DAY), (_LAST_WEEK, _HOUR_OF_WEEK)):
        means[:, column] = np.where(
            np.isnan(means[:, column]), means[:, stand_in], means[:, column]
        )
    means = np.where(np.isnan(means), level[:, None], means)
    return means[:, :_LAST_HOUR]


def _calendar(rows: NDArray[np.int64], first_window_ms: int, size_ms: int) -> NDArray[np.float64]:
    """Return the Fourier terms of day and week and the weekend flag, UTC, (n_rows, 15)."""
    start_ms = first_window_ms + rows * size_ms
    in_week_ms = ((start_ms + EPOCH_AFTER_MONDAY_MS) % WEEK_MS).tolist()
    return np.array([_calendar_row(at_ms) for at_ms in in_week_ms]).reshape(
        len(rows), len(FEATURE_NAMES) - _LAST_HOUR
    )


# Plain math, one window at a time: vectorised sines may differ in the last bit with the batch.
@functools.lru_cache(maxsize=MAX_HISTORY_WINDOWS)
def _calendar_row(in_week_ms: int) -> tuple[float, ...]:
    """Return the calendar features of a time of the week, ms since Monday 00:00 UTC."""
    row: list[float] = []
    for period_ms, harmonics in ((DAY_MS, DAILY_HARMONICS), (WEEK_MS, WEEKLY_HARMONICS)):
        turn = 2.0 * math.pi * (in_week_ms % period_ms) / period_ms
        for k in range(1, harmonics + 1):
            row += (math.sin(k * turn), math.cos(k * turn))
    return (*row, 1.0 if in_week_ms >= 5 * DAY_MS else 0.0)
