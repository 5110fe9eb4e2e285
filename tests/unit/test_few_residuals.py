"""A short memory: judged early, by an interval that is wider the shorter it is."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tidegauge.domain.few_residuals import FEWEST, fit_few, student
from tidegauge.domain.judging import JudgingRules
from tidegauge.domain.residual import MIN_RESIDUALS, Fit
from tidegauge.domain.sums import WindowSum, alert_level, interval, judge
from tidegauge.domain.verdict import Reason, Verdict
from tidegauge.settings import JudgingSettings
from tidegauge.testing import Tide, usual_counts

ALPHA = alert_level(false_alerts_per_week=0.5, size_ms=20_000)
MEAN = 100.0


def fit_of(actual: NDArray[np.float64], mean: float, *, alpha: float = ALPHA) -> Fit:
    fit = fit_few(
        actual,
        np.full(len(actual), mean),
        np.zeros(len(actual), dtype=np.bool_),
        level=0.95,
        alpha=alpha,
        least=FEWEST,
    )
    assert fit is not None
    return fit


# Quantiles from tables of Student's t.
@pytest.mark.parametrize(
    ("normal", "n", "expected"),
    [(1.95996, 6, 2.447), (1.95996, 12, 2.179), (3.09023, 6, 5.208), (3.09023, 30, 3.385)],
)
def test_students_quantiles(normal: float, n: int, expected: float) -> None:
    assert student(normal, n) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("n", [FEWEST, 12, 24, 71])
@pytest.mark.parametrize("spread", [0.0, 0.05])
def test_a_short_memory_raises_no_more_false_alerts_than_the_dial_allows(
    n: int, spread: float
) -> None:
    # The dial of a demonstration is too small to be seen missed: a thousandth is not.
    alpha, tried, found = 1e-3, 0, 0
    noise = np.random.default_rng(n)
    for _ in range(150):
        rates = MEAN * (noise.gamma(1 / spread, spread, n + 40) if spread else np.ones(n + 40))
        counts = noise.poisson(rates).astype(np.float64)
        fit = fit_of(counts[:n], MEAN, alpha=alpha)
        for count in counts[n:].tolist():
            found += judge([WindowSum(1, count, MEAN)], fit, alpha=alpha).anomalous
            tried += 1
    # Two tests a window, and some luck; without widening it is ten to fifty times as many.
    assert found <= 4 * 2 * alpha * tried


def test_the_fewer_the_residuals_the_wider_the_interval() -> None:
    noise = np.random.default_rng(1).poisson(MEAN, (40, 71)).astype(np.float64)
    widths = []
    for n in (FEWEST, 12, 24, 71):
        bounds = [interval(MEAN, fit_of(counts[:n], MEAN).sums[0]) for counts in noise]
        widths.append(float(np.mean([upper - lower for lower, upper in bounds])))
    assert widths == sorted(widths, reverse=True)
    # The Poisson's own 95 % is 39 wide.
    assert widths[0] > 45 > widths[-1] > 38


def test_six_residuals_prove_silence_where_many_events_were_expected_and_not_where_few_were() -> (
    None
):
    for mean, verdict in ((200.0, Verdict.TOO_LOW), (20.0, Verdict.NOT_JUDGED)):
        counts = np.random.default_rng(4).poisson(mean, FEWEST).astype(np.float64)
        found = judge([WindowSum(1, 0.0, mean)], fit_of(counts, mean), alpha=ALPHA)
        assert found.verdict is verdict


def test_a_sum_is_not_trusted_more_than_windows_that_err_alike() -> None:
    # Every window is 20 % too high: six of them are still no news.
    counts = np.full(12, MEAN * 1.2)
    found = judge([WindowSum(6, 6 * MEAN * 1.2, 6 * MEAN)], fit_of(counts, MEAN), alpha=ALPHA)
    assert not found.anomalous


def test_an_outage_and_what_follows_it_do_not_widen_the_interval() -> None:
    counts = np.random.default_rng(2).poisson(MEAN, 30).astype(np.float64)
    calm = fit_of(counts[:12], MEAN)
    counts[12:15], out = 0.0, np.zeros(30, dtype=np.bool_)
    out[12:15] = True
    counts[15:27] *= 1.5
    memory, expected = counts[:27], np.full(27, MEAN)
    fit = fit_few(memory, expected, out[:27], level=0.95, alpha=ALPHA, least=12)
    assert fit == calm


def test_too_few_residuals_make_no_fit() -> None:
    few = np.full(11, MEAN)
    none = np.zeros(11, dtype=np.bool_)
    assert fit_few(few, few, none, level=0.95, alpha=ALPHA, least=12) is None
    assert fit_few(few, few, none, level=0.95, alpha=ALPHA, least=11) is not None


@pytest.mark.parametrize("enough", [FEWEST, 12])
def test_verdicts_begin_after_twice_the_setting_and_silence_is_found(enough: int) -> None:
    tide = Tide(model=MEAN, enough_windows=enough)
    tide.fill({"a": [*usual_counts(MEAN, 2 * enough + 3), 0, 0]}, start="2013-01-07T00:00:00Z")
    windows = tide.windows("a")
    assert {one.reason for one in windows[: 2 * enough]} == {Reason.TOO_LITTLE_HISTORY}
    assert {one.verdict for one in windows[2 * enough : -2]} == {Verdict.NORMAL}
    assert windows[-2].verdict is Verdict.TOO_LOW
    [alert] = tide.alerts
    assert "silent" in alert.subject


def test_a_setting_of_a_day_still_waits_for_a_distribution() -> None:
    tide = Tide(model=MEAN)
    tide.fill({"a": [*usual_counts(MEAN, 288 + MIN_RESIDUALS), 0]}, start="2013-01-07T00:00:00Z")
    *waited, last = tide.windows("a")
    assert {one.reason for one in waited} == {Reason.TOO_LITTLE_HISTORY}
    assert last.verdict is Verdict.TOO_LOW


def test_the_least_setting_is_the_fewest_residuals() -> None:
    env = {"ENOUGH_WINDOWS": str(FEWEST)}
    rules = JudgingSettings.from_env(env).judging_rules(size_ms=20_000)
    assert rules.enough_windows == FEWEST
    assert JudgingSettings.from_env({}).judging_rules(size_ms=20_000) == JudgingRules(
        size_ms=20_000
    )
