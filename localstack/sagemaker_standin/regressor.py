"""The fit of a training job: a linear regressor under one of the linear-learner's losses.

Takes feature rows and labels, gives a model and its metrics. It knows no hyperparameter's spelling,
no S3 and no job. The linear-learner goes there by stochastic gradient descent; here the minimum
itself is found, so the same rows give the same model.
"""

import math
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from sagemaker_standin.interior_point import Piece, minimise
from tidegauge.domain.linear_model import FORMAT, LinearModel

Array = NDArray[np.float64]

# A column that differs from its own mean by no more than this share of it is constant: what is
# left is rounding, and dividing by it would turn rounding into a feature.
STILL = 1e-8


class Loss(NamedTuple):
    """A convex loss whose slope grows evenly with the residual, between two bounds.

    `slope = clip(residual / softness, lowest, highest)`, with a kink at zero where `softness` is 0.

    Attributes:
        softness: The inverse of the slope's growth; 0 or more.
        lowest: Least slope, below zero.
        highest: Greatest slope, above zero.
    """

    softness: float
    lowest: float
    highest: float

    @classmethod
    def squared(cls) -> Self:
        """Return the loss `residual ** 2`, whose minimum is the mean."""
        return cls(0.5, -math.inf, math.inf)

    @classmethod
    def absolute(cls) -> Self:
        """Return the loss `|residual|`, whose minimum is the median."""
        return cls(0.0, -1.0, 1.0)

    @classmethod
    def huber(cls, delta: float) -> Self:
        """Return the loss that is half the square up to `delta`, in the label's unit, then even."""
        return cls(1.0, -delta, delta)

    @classmethod
    def of_quantile(cls, quantile: float) -> Self:
        """Return the loss whose minimum is a quantile, in (0, 1)."""
        return cls(0.0, quantile - 1.0, quantile)

    def mean(self, residuals: Array) -> float:
        """Return the mean loss of residuals, label less score."""
        if self.softness:
            slopes = np.clip(residuals / self.softness, self.lowest, self.highest)
        else:
            slopes = np.where(residuals > 0, self.highest, self.lowest)
        return float(np.mean(slopes * residuals - self.softness * slopes**2 / 2.0))

    def in_unit(self, unit: float) -> "Loss":
        """Return the loss with the same minimum for residuals that are divided by a unit."""
        if not self.softness:
            return self
        return Loss(self.softness, self.lowest / unit, self.highest / unit)


class Rules(NamedTuple):
    """How a regressor is fitted: `mean loss + wd / 2 * |weights|^2 + l1 * |weights|`.

    The penalties are on the weights of the features and labels as they are after normalisation.

    Attributes:
        loss: On the label's own scale.
        normalize_data: Whether each column is divided by its standard deviation.
        unbias_data: Whether each column's mean is taken from it.
        normalize_label: The same for the label.
        unbias_label: The same for the label.
        use_bias: Whether there is a constant, which is never penalised.
        wd: Weight of the squares, 0 or more.
        l1: Weight of the absolute values, 0 or more.
    """

    loss: Loss
    normalize_data: bool = True
    unbias_data: bool = True
    normalize_label: bool = True
    unbias_label: bool = True
    use_bias: bool = True
    wd: float = 0.0
    l1: float = 0.0


def fit_regressor(
    rows: Array, labels: Array, rules: Rules, *, feature_names: tuple[str, ...], version: str
) -> LinearModel:
    """Fit a model.

    Where columns say the same, the smallest of the equally good weights are taken: a column that
    never changes gets weight zero beside a constant.

    Args:
        rows: Features, (n_rows, n_features), at least one of each, all finite.
        labels: (n_rows,), all finite.
        rules: How.
        feature_names: The columns' names.
        version: The model's version.

    Raises:
        ArithmeticError: No minimum was found.
    """
    features, means, scales = _normalised(
        rows, centre=rules.unbias_data, scale=rules.normalize_data
    )
    label, label_mean, label_scale = _normalised(
        labels[:, np.newaxis], centre=rules.unbias_label, scale=rules.normalize_label
    )
    solution = _solution(features, label[:, 0], rules, rules.loss.in_unit(float(label_scale[0])))
    bias = solution[0] if rules.use_bias else 0.0
    return LinearModel(
        format=FORMAT,
        model_version=version,
        feature_names=feature_names,
        feature_means=tuple(means.tolist()),
        feature_scales=tuple(scales.tolist()),
        weights=tuple(solution[-rows.shape[1] :].tolist()),
        bias=float(bias),
        label_mean=float(label_mean[0]),
        label_scale=float(label_scale[0]),
    )


def metrics_of(loss: Loss, residuals: Array) -> dict[str, float]:
    """Return the linear-learner's metrics of residuals, label less score, on the label's scale."""
    squares = float(np.mean(residuals**2))
    return {
        "objective_loss": loss.mean(residuals),
        "absolute_loss": float(np.mean(np.abs(residuals))),
        "mse": squares,
        "rmse": math.sqrt(squares),
    }


def _normalised(columns: Array, *, centre: bool, scale: bool) -> tuple[Array, Array, Array]:
    """Return the columns as the fit sees them, and what was taken from and divided out of each."""
    own_means, deviations = columns.mean(axis=0), columns.std(axis=0)
    still = deviations <= STILL * np.maximum(1.0, np.abs(own_means))
    means = own_means if centre else np.zeros_like(own_means)
    scales = np.where(still, 1.0, deviations) if scale else np.ones_like(deviations)
    seen = (columns - means) / scales
    if centre:
        seen[:, still] = 0.0
    return seen, means, scales


def _solution(features: Array, label: Array, rules: Rules, loss: Loss) -> Array:
    """Return the bias, if there is one, and the weights."""
    n_rows, n_features = features.shape
    design = np.hstack([np.ones((n_rows, int(rules.use_bias))), features])
    basis = _basis(design)
    # A penalty on weights is, in these coordinates, one on combinations of them.
    weights = basis[design.shape[1] - n_features :]
    curvature = n_rows * rules.wd * (weights.T @ weights)
    rows = design @ basis
    if not (rules.l1 or math.isfinite(loss.highest)):
        gram = rows.T @ rows / loss.softness + curvature
        return np.asarray(basis @ np.linalg.solve(gram, rows.T @ label / loss.softness))
    # No residual of the best fit is longer than the label itself: this bound is never met.
    limit = max(1.0, 2.0 * float(np.linalg.norm(label))) / max(loss.softness, 0.5)
    lowest, highest = max(loss.lowest, -limit), min(loss.highest, limit)
    pieces = [Piece(rows, label, loss.softness, lowest, highest)]
    if rules.l1:
        # |weight| is the absolute loss of a row that should score zero. Beyond what all residuals
        # together can pull, the weight is zero anyway.
        pull = float(np.abs(features).sum(axis=0).max()) * max(highest, -lowest)
        strength = min(n_rows * rules.l1, 2.0 * pull or 1.0)
        pieces.append(Piece(weights, np.zeros(n_features), 0.0, -strength, strength))
    return np.asarray(basis @ minimise(pieces, curvature))


def _basis(design: Array) -> Array:
    """Return directions (n_columns, n_directions) along which the design's rows are uncorrelated.

    Directions in which the rows do not differ are left out: nothing could be learned there.
    """
    sizes = np.sqrt(np.mean(design**2, axis=0))
    sizes[sizes == 0.0] = 1.0
    even = design / sizes
    spreads, directions = np.linalg.eigh(even.T @ even / len(design))
    kept = spreads > 1e-12 * spreads[-1]
    if not kept.any():
        kept[-1] = True
        spreads[-1] = 1.0
    return np.asarray(
        directions[:, kept] / np.sqrt(spreads[kept]) / sizes[:, np.newaxis], dtype=np.float64
    )
