"""Sums: is a window's count, summed with those before it, still what the expected one allows?

Takes the sums of actual and expected counts that end with a window, a fit of the recent residuals
and one dial, gives a `Judgement`. Knows no history beyond these sums, no store and no clock.
"""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from tidegauge.domain.features import WEEK_MS, expected_count
from tidegauge.domain.residual import SUM_LENGTHS, Fit, SumFit
from tidegauge.domain.verdict import Judgement, Reason, Verdict, not_judged


class WindowSum(msgspec.Struct, frozen=True, gc=False):
    """Actual and expected counts summed over `windows` windows that end with the judged one."""

    windows: int
    actual: float
    expected: float


def alert_level(*, false_alerts_per_week: float, size_ms: int) -> float:
    """Return the tail probability at which one test calls a window anomalous.

    The week's false alerts are shared evenly among all tests of a week: each window is tested for
    both directions at each sum length.

    >>> round(alert_level(false_alerts_per_week=0.5, size_ms=300_000), 8)
    6.2e-05
    """
    tests = 2 * len(SUM_LENGTHS) * WEEK_MS / size_ms
    return min(0.05, false_alerts_per_week / tests)


def interval(expected: float, fit: SumFit) -> tuple[float, float]:
    """Return the prediction interval about an expected count, in counts, three decimals."""
    centre = 2.0 * math.sqrt(expected + 0.375)
    # The expected count always lies within: a skewed memory must not say otherwise.
    lower = expected_count(centre + min(0.0, fit.low_quantile))
    upper = expected_count(centre + max(0.0, fit.high_quantile))
    return round(min(lower, expected), 3), round(max(upper, expected), 3)


def judge(sums: Sequence[WindowSum], fit: Fit, *, alpha: float) -> Judgement:
    """Judge a window by the sums that end with it.

    Args:
        sums: At least the window's own count; one for each sum length whose windows are all usable.
        fit: Fit of the series' recent residuals.
        alpha: From `alert_level`.

    Returns:
        The most unusual finding. `NOT_JUDGED`, too weak, where the count is not too high and even
        no event at all would not have been too low.
    """
    could_be_low = False
    most: tuple[float, Verdict, WindowSum, SumFit] | None = None
    for item in sums:
        sum_fit = fit.sums[SUM_LENGTHS.index(item.windows)]
        phi = sum_fit.dispersion
        could_be_low = could_be_low or silence_probability(item.expected, phi) <= alpha
        for verdict, probability in (
            (Verdict.TOO_LOW, lower_tail(item.actual, item.expected, phi)),
            (Verdict.TOO_HIGH, upper_tail(item.actual, item.expected, sum_fit)),
        ):
            if most is None or probability < most[0]:
                most = (probability, verdict, item, sum_fit)
    if most is None:
        return not_judged(Reason.TOO_LITTLE_HISTORY)
    probability, verdict, item, sum_fit = most
    reason = Reason.NONE
    if probability > alpha:
        verdict = Verdict.NORMAL if could_be_low else Verdict.NOT_JUDGED
        reason = Reason.NONE if could_be_low else Reason.TOO_WEAK
    lower, upper = interval(item.expected, sum_fit)
    return Judgement(
        verdict,
        reason,
        item.windows,
        item.actual,
        item.expected,
        lower,
        upper,
        probability,
        could_be_low,
        could_be_high=True,
    )


def silence_probability(expected: float, dispersion: float) -> float:
    """Return the probability of no event at all, negative binomial."""
    return math.exp(-math.log1p(dispersion * expected) / dispersion)


# Scores nearer than this to the centre need no exact tail: no dial calls them anomalous.
_NEAR: Final = 1.7


def lower_tail(actual: float, expected: float, dispersion: float) -> float:
    """Return the probability of at most `actual` events (near the centre: of the normal score)."""
    score = _lower_score(actual, expected, dispersion)
    if score > -_NEAR:
        return 0.5 * math.erfc(-score / math.sqrt(2.0))
    return _negative_binomial_cdf(actual, expected, dispersion)


def upper_tail(actual: float, expected: float, fit: SumFit) -> float:
    """Return the probability of at least `actual` events.

    Both the negative binomial and the tail of the recent residuals must find it improbable: the
    first knows what noise there must be, the second what else this series is given to.
    """
    score = _lower_score(actual - 1.0, expected, fit.dispersion)
    if score < _NEAR:
        return 0.5 * math.erfc(score / math.sqrt(2.0))
    noise = 1.0 - _negative_binomial_cdf(actual - 1.0, expected, fit.dispersion)
    residual = 2.0 * (math.sqrt(actual + 0.375) - math.sqrt(expected + 0.375))
    return max(noise, _residual_tail(residual, fit))


def _residual_tail(residual: float, fit: SumFit) -> float:
    excess = residual - fit.tail_threshold
    if excess <= 0.0:
        return fit.tail_share
    if fit.tail_shape < 1e-6:
        return fit.tail_share * math.exp(-excess / fit.tail_scale)
    grown = 1.0 + fit.tail_shape * excess / fit.tail_scale
    return float(fit.tail_share * grown ** (-1.0 / fit.tail_shape))


def _lower_score(actual: float, expected: float, dispersion: float) -> float:
    """Return the score of `residual.lower_scores` for one count."""
    size = 1.0 / dispersion
    return (2.0 * math.sqrt(size - 0.5)) * (
        math.asinh(math.sqrt((actual + 1.0) / size)) - math.asinh(math.sqrt(expected / size))
    )


def _negative_binomial_cdf(count: float, mean: float, dispersion: float) -> float:
    """Return P(N <= count) of a negative binomial, as a regularised incomplete beta function."""
    if count < 0.0:
        return 0.0
    if mean <= 0.0:
        return 1.0
    size = 1.0 / dispersion
    return _incomplete_beta(size, count + 1.0, size / (size + mean))


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Return I_x(a, b) (Abramowitz and Stegun 26.5.8, by Lentz' method)."""
    log_front = (
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1.0) / (a + b + 2.0):
        return math.exp(log_front) * _beta_fraction(a, b, x) / a
    return 1.0 - math.exp(log_front) * _beta_fraction(b, a, 1.0 - x) / b


_TINY: Final = 1e-300
_CLOSE: Final = 1e-12
_MAX_TERMS: Final = 20_000


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of the incomplete beta function."""
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > _TINY else _TINY)
    value = d
    for m in range(1, _MAX_TERMS):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0)),
        ):
            d = 1.0 + numerator * d
            d = 1.0 / (d if abs(d) > _TINY else _TINY)
            c = 1.0 + numerator / c
            c = c if abs(c) > _TINY else _TINY
            value *= c * d
        if abs(c * d - 1.0) < _CLOSE:
            break
    return value
