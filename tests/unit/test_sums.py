"""Verdicts by sums: tails, bounds, and what is too weak to be judged."""

import math

import numpy as np
import pytest

from tidegauge.domain.residual import MIN_RESIDUALS, Fit, fit_residuals
from tidegauge.domain.sums import (
    WindowSum,
    alert_level,
    interval,
    judge,
    lower_tail,
    silence_probability,
    upper_tail,
)
from tidegauge.domain.verdict import Reason, Verdict

SIZE = 300_000
ALPHA = alert_level(false_alerts_per_week=0.5, size_ms=SIZE)


def fit_of(mean: float, *, spread: float = 0.0, n: int = 4032, seed: int = 1) -> Fit:
    """Return the fit of a series with a known mean, Poisson or wider."""
    noise = np.random.default_rng(seed)
    rates = mean * (noise.gamma(1.0 / spread, spread, n) if spread else np.ones(n))
    actual = noise.poisson(rates).astype(np.float64)
    fit = fit_residuals(actual, np.full(n, mean), np.zeros(n, dtype=bool), level=0.95)
    assert fit is not None
    return fit


def plain_cdf(count: int, mean: float, dispersion: float) -> float:
    """P(N <= count) of a negative binomial, term by term."""
    size = 1.0 / dispersion
    share = mean / (size + mean)
    return sum(
        math.exp(
            math.lgamma(k + size)
            - math.lgamma(size)
            - math.lgamma(k + 1)
            + size * math.log1p(-share)
            + k * math.log(share)
        )
        for k in range(count + 1)
    )


@pytest.mark.parametrize("dispersion", [1e-4, 0.01, 0.3, 1.0])
@pytest.mark.parametrize(("count", "mean"), [(0, 3.0), (0, 40.0), (12, 40.0), (700, 1000.0)])
def test_a_tail_is_the_sum_of_its_terms(count: int, mean: float, dispersion: float) -> None:
    plain = plain_cdf(count, mean, dispersion)
    found = lower_tail(count, mean, dispersion)
    if plain < 0.01:
        assert found == pytest.approx(plain, rel=1e-6)
    else:
        assert found > 0.001  # near the centre the normal score is enough
    if count == 0:
        assert silence_probability(mean, dispersion) == pytest.approx(plain, rel=1e-9)


def test_tails_hold_where_counts_are_huge_or_nothing() -> None:
    fit = fit_of(20.0).sums[0]
    for actual, expected in ((0.0, 0.0), (5.0, 0.0), (0.0, 1e9), (1e12, 1.0), (1e6, 1e6)):
        for probability in (
            lower_tail(actual, expected, 0.01),
            upper_tail(actual, expected, fit),
        ):
            assert 0.0 <= probability <= 1.0


def test_the_dispersion_is_found_again() -> None:
    assert fit_of(50.0).sums[0].dispersion < 0.01
    assert 0.05 < fit_of(50.0, spread=0.1).sums[0].dispersion < 0.25


def test_normal_noise_is_seldom_called_anomalous() -> None:
    fit = fit_of(20.0)
    counts = np.random.default_rng(7).poisson(20.0, 4032).tolist()
    found = [judge([WindowSum(1, float(c), 20.0)], fit, alpha=ALPHA).anomalous for c in counts]
    assert sum(found) <= 2


def test_silence_is_too_low_where_it_is_improbable_and_weak_where_it_is_not() -> None:
    fit = fit_of(20.0)
    silent = judge([WindowSum(1, 0.0, 20.0)], fit, alpha=ALPHA)
    assert (silent.verdict, silent.windows) == (Verdict.TOO_LOW, 1)
    weak = judge([WindowSum(1, 0.0, 5.0)], fit, alpha=ALPHA)
    assert (weak.verdict, weak.reason) == (Verdict.NOT_JUDGED, Reason.TOO_WEAK)
    assert not weak.could_be_low
    assert weak.could_be_high


def test_at_five_a_window_only_the_sum_of_six_shows_silence() -> None:
    fit = fit_of(5.0)
    alone = WindowSum(1, 0.0, 5.0)
    assert judge([alone], fit, alpha=ALPHA).verdict is Verdict.NOT_JUDGED
    found = judge([alone, WindowSum(6, 0.0, 30.0)], fit, alpha=ALPHA)
    assert (found.verdict, found.windows) == (Verdict.TOO_LOW, 6)
    assert found.tail_probability <= ALPHA


def test_a_spike_is_too_high_even_in_a_quiet_night() -> None:
    found = judge([WindowSum(1, 40.0, 0.3)], fit_of(5.0), alpha=ALPHA)
    assert found.verdict is Verdict.TOO_HIGH


def test_the_interval_holds_about_as_much_as_it_says() -> None:
    lower, upper = interval(20.0, fit_of(20.0).sums[0])
    counts = np.random.default_rng(3).poisson(20.0, 4000)
    inside = float(((counts >= lower) & (counts <= upper)).mean())
    assert 0.93 < inside < 0.98
    assert lower < 20.0 < upper


def test_too_few_residuals_make_no_fit() -> None:
    few = np.full(MIN_RESIDUALS - 1, 5.0)
    none = np.zeros(len(few), dtype=bool)
    assert fit_residuals(few, few, none, level=0.95) is None
    assert (
        fit_residuals(np.full(500, np.nan), np.full(500, 5.0), np.zeros(500, bool), level=0.9)
        is None
    )


def test_a_constant_series_and_one_of_zeros_have_a_fit() -> None:
    for value in (0.0, 6.0):
        same = np.full(500, value)
        fit = fit_residuals(same, same, np.zeros(500, dtype=bool), level=0.95)
        assert fit is not None
        assert judge([WindowSum(1, value, value)], fit, alpha=ALPHA).anomalous is False


def test_an_outage_stays_out_of_the_memory_and_a_new_normal_comes_in() -> None:
    noise = np.random.default_rng(5).poisson(20.0, 1000).astype(np.float64)
    expected = np.full(1000, 20.0)
    for n_out, wider in ((200, False), (600, True)):
        actual, out = noise.copy(), np.zeros(1000, dtype=bool)
        actual[:n_out], out[:n_out] = 0.0, True
        fit = fit_residuals(actual, expected, out, level=0.95)
        assert fit is not None
        assert (fit.sums[0].dispersion > 0.5) is wider


def test_the_dial_is_shared_by_all_tests_of_a_week() -> None:
    assert alert_level(false_alerts_per_week=0.5, size_ms=SIZE) == pytest.approx(0.5 / (2016 * 4))
    assert alert_level(false_alerts_per_week=0.5, size_ms=20_000) == pytest.approx(
        0.5 / (30240 * 4)
    )
    assert alert_level(false_alerts_per_week=1e6, size_ms=SIZE) == 0.05
