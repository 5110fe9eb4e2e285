"""The fit of a training job, against answers that are known without it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sagemaker_standin.regressor import Loss, Rules, fit_regressor, metrics_of
from tidegauge.adapters.model_file import pack_model
from tidegauge.domain.linear_model import LinearModel

Array = NDArray[np.float64]

LOSSES = {
    "squared": Loss.squared(),
    "absolute": Loss.absolute(),
    "huber": Loss.huber(0.8),
    "quantile": Loss.of_quantile(0.9),
}


def fit(rows: Array, labels: Array, rules: Rules) -> LinearModel:
    names = tuple(f"f{number}" for number in range(rows.shape[1]))
    return fit_regressor(rows, labels, rules, feature_names=names, version="v")


def noisy(n_rows: int = 2_000, n_features: int = 4) -> tuple[Array, Array]:
    """Return rows of very different sizes, and labels with heavy-tailed noise."""
    drawn = np.random.default_rng(7)
    sizes = 10.0 ** drawn.uniform(-3, 3, n_features)
    rows = drawn.normal(size=(n_rows, n_features)) * sizes + sizes * 5.0
    labels = rows @ (1.0 / sizes) + drawn.standard_t(2, size=n_rows) + 40.0
    return rows, labels


def residuals_of(model: LinearModel, rows: Array, labels: Array) -> Array:
    return labels - model.score(rows)


def test_squares_give_the_least_squares_solution() -> None:
    rows, labels = noisy()
    design = np.column_stack([np.ones(len(rows)), rows])
    solution = np.linalg.lstsq(design, labels, rcond=None)[0]
    assert np.allclose(fit(rows, labels, Rules(Loss.squared())).score(rows), design @ solution)


def test_absolute_errors_have_as_many_labels_above_as_below() -> None:
    rows, labels = noisy()
    residuals = residuals_of(fit(rows, labels, Rules(Loss.absolute())), rows, labels)
    # The fit goes through as many rows as it has unknowns: four weights and the bias.
    assert (np.abs(residuals) < 1e-7).sum() == 5
    assert abs((residuals > 1e-7).sum() - (residuals < -1e-7).sum()) <= 5


@pytest.mark.parametrize("quantile", [0.02, 0.5, 0.9, 0.99])
def test_a_quantile_has_its_share_of_labels_below(quantile: float) -> None:
    rows, labels = noisy()
    rules = Rules(Loss.of_quantile(quantile))
    residuals = residuals_of(fit(rows, labels, rules), rows, labels)
    below, on = (residuals < -1e-7).sum(), (np.abs(residuals) < 1e-7).sum()
    assert on == 5
    assert below <= quantile * len(labels) <= below + on


@pytest.mark.parametrize("delta", [0.05, 0.8, 3.0])
def test_huber_slopes_balance_on_every_column(delta: float) -> None:
    rows, labels = noisy()
    model = fit(rows, labels, Rules(Loss.huber(delta)))
    slopes = np.clip(residuals_of(model, rows, labels), -delta, delta)
    columns = np.column_stack([np.ones(len(rows)), (rows - rows.mean(axis=0)) / rows.std(axis=0)])
    assert np.abs(columns.T @ slopes / len(rows)).max() < 1e-5 * delta


def test_huber_lies_between_the_mean_and_the_median() -> None:
    labels = np.array([0.0, 1.0, 2.0, 3.0, 100.0])
    rows = np.zeros((5, 1))
    mean = fit(rows, labels, Rules(Loss.squared())).score(rows)[0]
    median = fit(rows, labels, Rules(Loss.absolute())).score(rows)[0]
    assert mean == pytest.approx(21.2)
    assert median == pytest.approx(2.0)
    hubers = [
        fit(rows, labels, Rules(Loss.huber(delta))).score(rows)[0]
        for delta in (1e-6, 1.0, 50.0, 1e6)
    ]
    assert hubers[0] == pytest.approx(median, abs=1e-4)
    assert hubers == sorted(hubers)
    assert hubers[-1] == pytest.approx(mean)


def test_no_other_weights_have_less_loss() -> None:
    rows, labels = noisy(n_rows=300)
    drawn = np.random.default_rng(3)
    for loss in LOSSES.values():
        model = fit(rows, labels, Rules(loss))
        least = loss.mean(residuals_of(model, rows, labels))
        for size in (1e-6, 1e-4, 1e-2):
            nudge = drawn.normal(size=(100, 5)) * size
            nudged = rows / rows.std(axis=0) @ nudge[:, 1:].T + nudge[:, 0]
            residuals = residuals_of(model, rows, labels)[:, np.newaxis] - nudged
            losses = [loss.mean(column) for column in residuals.T]
            assert min(losses) >= least - 1e-12


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_how_data_are_normalised_does_not_move_an_unpenalised_minimum(loss: Loss) -> None:
    rows, labels = noisy(n_rows=500)
    plain = Rules(
        loss, normalize_data=False, unbias_data=False, normalize_label=False, unbias_label=False
    )
    scores = fit(rows, labels, plain).score(rows)
    assert np.allclose(scores, fit(rows, labels, Rules(loss)).score(rows), atol=1e-5)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_penalty_draws_the_weights_to_zero(loss: Loss) -> None:
    rows, labels = noisy(n_rows=500)

    def size(rules: Rules) -> float:
        return float(np.abs(fit(rows, labels, rules).weights).sum())

    free = size(Rules(loss))
    assert 0.0 < size(Rules(loss, wd=1.0)) < free
    assert 0.0 < size(Rules(loss, l1=0.001)) < free
    assert size(Rules(loss, l1=100.0)) < 1e-6 * free


def test_a_ridge_is_the_known_one() -> None:
    rows, labels = noisy(n_rows=500)
    seen = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    label = (labels - labels.mean()) / labels.std()
    # mean of squares + wd / 2 * |w|^2 has its minimum where 2 X'X w / n + wd w = 2 X'y / n.
    gram = 2.0 * seen.T @ seen / len(seen) + 0.3 * np.eye(4)
    known = np.linalg.solve(gram, 2.0 * seen.T @ label / len(seen))
    assert np.allclose(fit(rows, labels, Rules(Loss.squared(), wd=0.3)).weights, known)


def test_a_lasso_leaves_out_what_is_weaker_than_it() -> None:
    # Of columns without correlation, the lasso is the least-squares weight less half its strength.
    signs = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=np.float64)
    labels = signs @ np.array([3.0, 1.0, 0.2])
    plain = Rules(Loss.squared(), l1=0.5, normalize_label=False)
    assert fit(signs, labels, plain).weights == pytest.approx((2.75, 0.75, 0.0), abs=1e-6)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_column_that_never_changes_has_weight_zero(loss: Loss) -> None:
    rows, labels = noisy(n_rows=300)
    rows[:, 2] = 123_456.7
    model = fit(rows, labels, Rules(loss))
    assert model.weights[2] == pytest.approx(0.0, abs=1e-12)
    without = fit(np.delete(rows, 2, axis=1), labels, Rules(loss))
    assert np.allclose(model.score(rows), without.score(np.delete(rows, 2, axis=1)), atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_columns_that_say_the_same_share_the_weight(loss: Loss) -> None:
    rows, labels = noisy(n_rows=300)
    rows[:, 1] = 3.0 * rows[:, 0] - 5.0
    model = fit(rows, labels, Rules(loss))
    assert model.weights[0] == pytest.approx(model.weights[1])


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_constant_labels_are_answered_by_that_constant(loss: Loss) -> None:
    rows, _ = noisy(n_rows=100)
    model = fit(rows, np.full(100, 17.25), Rules(loss))
    assert model.score(rows) == pytest.approx(17.25)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_without_a_bias_nothing_is_added(loss: Loss) -> None:
    rows, labels = noisy(n_rows=300)
    rules = Rules(loss, use_bias=False, unbias_data=False, unbias_label=False)
    model = fit(rows, labels, rules)
    assert (model.bias, model.label_mean) == (0.0, 0.0)
    assert model.score(np.zeros((1, 4)))[0] == 0.0


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_an_exact_relation_is_found(loss: Loss) -> None:
    rows, _ = noisy(n_rows=200)
    labels = rows @ np.array([1.0, -2.0, 3.0, 0.5]) + 4.0
    assert np.allclose(fit(rows, labels, Rules(loss)).score(rows), labels, atol=1e-6)


def test_the_same_rows_give_the_same_bytes() -> None:
    rows, labels = noisy()
    for loss in LOSSES.values():
        first, second = (pack_model(fit(rows.copy(), labels, Rules(loss))) for _ in range(2))
        assert first == second


@given(st.lists(st.integers(-100, 100), min_size=1, max_size=40), st.sampled_from([0.1, 0.5, 0.75]))
def test_of_few_labels_the_quantile_has_no_more_than_its_share_on_either_side(
    values: list[int], quantile: float
) -> None:
    labels = np.array(values, dtype=np.float64)
    rows = np.zeros((len(labels), 1))
    score = fit(rows, labels, Rules(Loss.of_quantile(quantile))).score(rows)[0]
    slack = 1e-6 * max(1.0, float(np.abs(labels).max()))
    assert (labels < score - slack).sum() <= quantile * len(labels) + 1e-9
    assert (labels > score + slack).sum() <= (1.0 - quantile) * len(labels) + 1e-9


def test_metrics_are_on_the_scale_of_the_label() -> None:
    residuals = np.array([-3.0, 1.0, 0.5])
    metrics = metrics_of(Loss.huber(1.0), residuals)
    assert metrics["objective_loss"] == pytest.approx((2.5 + 0.5 + 0.125) / 3)
    assert metrics["absolute_loss"] == pytest.approx(1.5)
    assert metrics["mse"] == pytest.approx(10.25 / 3)
    assert metrics["rmse"] == pytest.approx((10.25 / 3) ** 0.5)
    assert Loss.squared().mean(residuals) == pytest.approx(10.25 / 3)
    assert Loss.absolute().mean(residuals) == pytest.approx(1.5)
    assert Loss.of_quantile(0.9).mean(residuals) == pytest.approx((0.3 + 0.9 + 0.45) / 3)
