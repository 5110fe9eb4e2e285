"""Residuals: how far a series' recent counts lay from the expected ones, and what that allows.

Takes pairs of actual and expected counts of consecutive windows, gives a `Fit`: for each sum length
the dispersion of the noise, the quantiles that make the prediction interval, and the upper tail.
A fit is taken at fixed steps of stream time, never "now", so it is a pure function of what was
judged before that step. Knows no verdicts but the flag that keeps rows far out of the memory.
"""

import math
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.domain.features import DAY_MS, stabilise

SUM_LENGTHS: Final = (1, 6)
"""Verdicts rest on sums of so many windows, the judged one last."""

MEMORY_DAYS: Final = 14
"""How far back the memory of residuals reaches unless told otherwise, in days."""

MAX_MEMORY_WINDOWS: Final = 28 * 24 * 60
FIT_EVERY_WINDOWS: Final = 72
MIN_RESIDUALS: Final = 72
"""Fewer than so many usable windows in memory do not show a distribution."""

# An anomaly casts a shadow: it was on its way before a sum showed it, and it fades after the last.
# Left in memory, these windows make the noise look so wild that nothing after them can be judged.
_SHADOW_BEFORE: Final = max(SUM_LENGTHS) - 1
SHADOW_AFTER: Final = 2 * max(SUM_LENGTHS)
# A series that is anomalous for more than this share of its memory has a new normal.
_NEW_NORMAL_SHARE: Final = 0.25
DISPERSIONS: Final = tuple(float(phi) for phi in np.geomspace(1e-4, 1.0, 25))
# The share of sums below these standard scores must not exceed what the fit promises: 1 % and 5 %.
_MATCHED: Final = ((0.01, -2.3263), (0.05, -1.6449))
# Below so few expected events a sum is too coarse to match a distribution by.
_LEAST_EXPECTED: Final = 3.0
_TAIL_SHARE: Final = 0.02
_MIN_EXCEEDANCES: Final = 10
_MAX_SHAPE: Final = 0.5


class SumFit(msgspec.Struct, frozen=True):
    """What the memory says about sums of one length.

    Attributes:
        dispersion: Negative-binomial dispersion φ: variance = mean + φ·mean².
        low_quantile: Residual on the stabilised scale at the interval's lower bound.
        high_quantile: The same at its upper bound.
        tail_threshold: Residual above which the upper tail begins.
        tail_share: Share of the memory above that threshold.
        tail_scale: Scale of the generalised-Pareto tail above it.
        tail_shape: Its shape, from 0 (exponential) up.
    """

    dispersion: float
    low_quantile: float
    high_quantile: float
    tail_threshold: float
    tail_share: float
    tail_scale: float
    tail_shape: float


class Fit(msgspec.Struct, frozen=True):
    """One `SumFit` for each of `SUM_LENGTHS`."""

    sums: tuple[SumFit, ...]


def memory_windows(size_ms: int, memory_days: int = MEMORY_DAYS) -> int:
    """Return how many windows the memory of residuals spans.

    >>> memory_windows(300_000)
    4032
    """
    return max(MIN_RESIDUALS, min(memory_days * DAY_MS // size_ms, MAX_MEMORY_WINDOWS))


def fit_step_ms(step_ms: int, *, size_ms: int) -> int:
    """Return the step at whose beginning the fit for `step_ms` is taken.

    >>> fit_step_ms(100 * 300_000, size_ms=300_000) // 300_000
    72
    """
    return step_ms - step_ms % (FIT_EVERY_WINDOWS * size_ms)


def fit_residuals(
    actual: NDArray[np.float64],
    expected: NDArray[np.float64],
    anomalous: NDArray[np.bool_],
    *,
    level: float,
) -> Fit | None:
    """Fit the noise of a series to its memory.

    Args:
        actual: Counts of consecutive windows, oldest first, (n_windows,); NaN = not usable.
        expected: What was expected of them, NaN where there was no prediction.
        anomalous: Windows judged anomalous: kept out, with those just before and after them,
            unless they are too many to be exceptions.
        level: Coverage of the prediction interval, in (0, 1).

    Returns:
        The fit, or None with fewer than `MIN_RESIDUALS` usable windows.
    """
    usable = np.isfinite(actual) & np.isfinite(expected)
    if anomalous[usable].mean() <= _NEW_NORMAL_SHARE if usable.any() else False:
        usable = usable & ~_with_shadow(anomalous)
    if int(usable.sum()) < MIN_RESIDUALS:
        return None
    sums = [
        _fit_sum(
            _sums(np.where(usable, actual, np.nan), length),
            _sums(np.where(usable, expected, np.nan), length),
            level,
        )
        for length in SUM_LENGTHS
    ]
    return Fit(tuple(sums))


def _with_shadow(anomalous: NDArray[np.bool_]) -> NDArray[np.bool_]:
    shadow = anomalous.copy()
    for offset in range(1, _SHADOW_BEFORE + 1):
        shadow[:-offset] |= anomalous[offset:]
    for offset in range(1, SHADOW_AFTER + 1):
        shadow[offset:] |= anomalous[:-offset]
    return shadow


def _sums(values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Return the sums of `length` consecutive values, NaN where one of them is."""
    padded = np.concatenate((np.full(length - 1, np.nan), values))
    total = np.zeros(len(values))
    for offset in range(length):
        total = total + padded[offset : offset + len(values)]
    return total


def _fit_sum(actual: NDArray[np.float64], expected: NDArray[np.float64], level: float) -> SumFit:
    whole = np.isfinite(actual) & np.isfinite(expected)
    actual, expected = actual[whole], expected[whole]
    busy = expected >= _LEAST_EXPECTED
    residuals = np.sort(stabilise(actual) - stabilise(expected))
    # Quiet hours would narrow the band of the busy ones.
    shown = np.sort((stabilise(actual) - stabilise(expected))[expected >= 1.0])
    if len(shown) < MIN_RESIDUALS:
        shown = residuals
    return SumFit(
        _dispersion(actual[busy], expected[busy]),
        _quantile(shown, (1.0 - level) / 2.0),
        _quantile(shown, (1.0 + level) / 2.0),
        *upper_tail_of(residuals),
    )


def _quantile(ordered: NDArray[np.float64], share: float) -> float:
    if len(ordered) == 0:
        return 0.0
    return float(ordered[min(len(ordered) - 1, max(0, round(share * (len(ordered) - 1))))])


def _dispersion(actual: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Return the least dispersion under which the lower tail is as thin as it claims to be."""
    if len(actual) == 0:
        return DISPERSIONS[0]
    for dispersion in DISPERSIONS:
        scores = lower_scores(actual, expected, dispersion)
        if all(float((scores <= bound).mean()) <= share for share, bound in _MATCHED):
            return dispersion
    return DISPERSIONS[-1]


def lower_scores(
    actual: NDArray[np.float64], expected: NDArray[np.float64], dispersion: float
) -> NDArray[np.float64]:
    """Return normal scores of the negative binomial's P(N <= actual), size 1/φ.

    Molenaar's root approximation for the Poisson, `2·(√(x + 1) - √mean)`, carried over to the
    negative binomial by the inverse hyperbolic sine. Good to a few parts in ten between 0.1 % and
    10 %, also where counts are small; the transform of `stabilise` there finds silence ten times
    too improbable.
    """
    size = 1.0 / dispersion
    scale = 2.0 * math.sqrt(size - 0.5)
    roots = np.arcsinh(np.sqrt((actual + 1.0) / size)) - np.arcsinh(np.sqrt(expected / size))
    scores: NDArray[np.float64] = scale * roots
    return scores


class Tail(NamedTuple):
    """The upper tail: the last four fields of a `SumFit`."""

    threshold: float
    share: float
    scale: float
    shape: float


def upper_tail_of(ordered: NDArray[np.float64]) -> Tail:
    """Fit a generalised-Pareto tail to the top of two or more residuals, in ascending order.

    By probability-weighted moments, Hosking and Wallis (1987). The shape is kept at or above zero:
    a bounded tail would make whatever the memory has not seen yet impossible.
    """
    n = len(ordered)
    n_above = min(max(_MIN_EXCEEDANCES, int(n * _TAIL_SHARE)), n - 1)
    threshold = float(ordered[n - n_above - 1])
    excess = ordered[n - n_above :] - threshold
    ranks = np.arange(n_above, dtype=np.float64)
    first = float(excess.mean())
    second = float((excess * (n_above - 1 - ranks)).sum()) / (n_above * max(1, n_above - 1))
    spread = first - 2.0 * second
    shape = 2.0 - first / spread if spread > 0.0 else _MAX_SHAPE
    shape = min(max(shape, 0.0), _MAX_SHAPE)
    # A constant series has no excess; the noise of a Poisson count is the least we believe in.
    scale = max(first * (1.0 - shape), 0.1)
    return Tail(threshold, n_above / n, scale, shape)
