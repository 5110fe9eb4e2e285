"""Few residuals: what a memory that has only begun allows, and how much wider it must be.

Takes the same pairs as `residual` does, gives a `Fit` for the time before there are enough of them
to see a distribution. A spread that is known from n residuals is uncertain itself, so that noise
looks rarer than it is: judged as if it were known, six to twelve residuals raised 100 to 3,000
times the false alerts that the dial allows, widened as here 0 to 2 times (simulated with Poisson,
overdispersed and slowly drifting counts of 20 and 100 a window).
"""

import math
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegauge.domain.features import stabilise
from tidegauge.domain.residual import (
    DISPERSIONS,
    SHADOW_AFTER,
    SUM_LENGTHS,
    Fit,
    SumFit,
    lower_scores,
    upper_tail_of,
)

FEWEST: Final = 6
"""With fewer, Student's t is so wide that not even silence would be improbable."""


def fit_few(
    actual: NDArray[np.float64],
    expected: NDArray[np.float64],
    anomalous: NDArray[np.bool_],
    *,
    level: float,
    alpha: float,
    least: int,
) -> Fit | None:
    """Fit the noise of a series to a short memory.

    Args:
        actual: Counts of consecutive windows, oldest first, (n_windows,); NaN = not usable.
        expected: What was expected of them, NaN where there was no prediction.
        anomalous: Windows judged anomalous: kept out, with those after them.
        level: Coverage of the prediction interval, in (0, 1).
        alpha: The tail probability at which one test alerts, in (0, 0.5).
        least: Usable windows that it takes, `FEWEST` or more.

    Returns:
        The fit, or None with fewer than `least` usable windows.
    """
    usable = np.isfinite(actual) & np.isfinite(expected) & ~_with_what_follows(anomalous)
    n = int(usable.sum())
    if n < least:
        return None
    actual, expected = actual[usable], expected[usable]
    residuals = stabilise(actual) - stabilise(expected)
    # The noise of a Poisson count is the least we believe in: a spread of 1 on this scale.
    spread = max(1.0, math.sqrt(float((residuals * residuals).mean())))
    normal = NormalDist()
    bound = student(normal.inv_cdf((1.0 + level) / 2.0), n) * spread
    one = SumFit(
        _dispersion(actual, expected, -normal.inv_cdf(alpha)),
        -bound,
        bound,
        *upper_tail_of(np.sort(residuals)),
    )
    return Fit(tuple(_of_sum(one, length) for length in SUM_LENGTHS))


def student(score: float, n: int) -> float:
    """Return the quantile of Student's t, n degrees of freedom, for a normal score above zero.

    Wallace's approximation (1959), turned round: within 3 % of the quantile from 6 residuals on.

    >>> round(student(1.96, 12), 2), round(student(4.46, 6), 1)
    (2.18, 14.6)
    """
    scaled = score * (8.0 * n + 3.0) / (8.0 * n + 1.0)
    return math.sqrt(n * math.expm1(scaled * scaled / n))


def _with_what_follows(anomalous: NDArray[np.bool_]) -> NDArray[np.bool_]:
    # What came before an anomaly stays: it would be most of a short memory.
    shadow = anomalous.copy()
    for offset in range(1, SHADOW_AFTER + 1):
        shadow[offset:] |= anomalous[:-offset]
    return shadow


def _dispersion(actual: NDArray[np.float64], expected: NDArray[np.float64], score: float) -> float:
    """Return the least dispersion under which the scores spread less than a short memory may show.

    Args:
        actual: Counts, (n,).
        expected: What was expected of them, (n,).
        score: The normal score at which one test alerts, above zero.
    """
    most = score / student(score, len(actual))
    for dispersion in DISPERSIONS:
        scores = lower_scores(actual, expected, dispersion)
        if math.sqrt(float((scores * scores).mean())) <= most:
            return dispersion
    return DISPERSIONS[-1]


def _of_sum(one: SumFit, length: int) -> SumFit:
    """Return a fit for sums that holds however the noise of their windows hangs together.

    The variance of one window is mean + φ·mean². What is not Poisson noise adds up to φ·(length ·
    mean)² at most, if it is the same in every window, so that φ is a bound for the sum too; a
    residual of the sum on the stabilised scale then is √length times that of one window.
    """
    wider = math.sqrt(length)
    return SumFit(
        one.dispersion,
        wider * one.low_quantile,
        wider * one.high_quantile,
        wider * one.tail_threshold,
        one.tail_share,
        wider * one.tail_scale,
        one.tail_shape,
    )
