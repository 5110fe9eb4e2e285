"""Predictions: what was expected of a window's count, and everything the answer rests on.

Takes a predictor's score for a row of features, gives an expected count or the plain statement that
there is none. Holds the seasonal baseline, which needs no model: a row of features is enough.
"""

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.features import FEATURE_NAMES, expected_count
from tidegauge.domain.verdict import Reason, Verdict

SEASONAL_VERSION: Final = "seasonal-1"

# What a baseline can know of a time: the mean of its time of day and of its hour of the week, with
# the last of each for what has changed since.
_SEASONAL_WEIGHTS: Final = (
    (FEATURE_NAMES.index("profile_time_of_day"), 0.3),
    (FEATURE_NAMES.index("profile_hour_of_week"), 0.3),
    (FEATURE_NAMES.index("yesterday"), 0.2),
    (FEATURE_NAMES.index("last_week"), 0.2),
)

# Beyond any count that a window could hold: a model that answers so has gone astray.
_MAX_EXPECTED: Final = 1e12


class Position(NamedTuple):
    """Where a revision stands in the order of judging: by step, then window, then revision."""

    step_ms: int
    window_start_ms: int
    revision: int


class PredictionStatus(StrEnum):
    """Whether there was an answer to judge by."""

    OK = "ok"
    ERROR = "error"  # the model answered nonsense: alarm, but no alert
    NONE = "none"  # nobody was asked


class Prediction(msgspec.Struct, frozen=True, gc=False):
    """One revision of one window of one series, predicted and judged.

    Attributes:
        window: The revision that was judged.
        status: Whether there was an answer.
        expected: Expected count; None without an answer.
        lower: Lower bound of the window's own prediction interval; None where none could be fitted.
        upper: Upper bound of it.
        verdict: The verdict.
        reason: Why not, where it is `NOT_JUDGED`.
        windows_judged: How many windows the verdict rests on; 0 where there is none.
        tail_probability: How often normal noise is so far out; None where there is no verdict.
        model_version: Who answered; empty without an answer.
    """

    window: CompletedWindow
    status: PredictionStatus
    expected: float | None
    lower: float | None
    upper: float | None
    verdict: Verdict
    reason: Reason
    windows_judged: int
    tail_probability: float | None
    model_version: str

    @property
    def usable(self) -> bool:
        """Whether its residual tells about the noise of the series."""
        return self.expected is not None and self.reason not in UNTRUSTED


UNTRUSTED: Final = frozenset({Reason.GAP, Reason.PARTIAL, Reason.SUSPECT, Reason.RETIRED})
"""Windows whose counts are not to be learned from."""


def position_of(window: CompletedWindow) -> Position:
    """Return where a revision stands in the order of judging."""
    return Position(window.step_ms, window.window_start_ms, window.revision)


def expected_of(score: float) -> float | None:
    """Return the count a score stands for, six decimals; None where it stands for none."""
    if not math.isfinite(score) or score > 2.0 * math.sqrt(_MAX_EXPECTED):
        return None
    return round(expected_count(score), 6)


def seasonal_scores(rows: Sequence[Sequence[float]]) -> list[float]:
    """Return the seasonal baseline's score for each row of features (n_rows, 31)."""
    return [sum(weight * row[column] for column, weight in _SEASONAL_WEIGHTS) for row in rows]
