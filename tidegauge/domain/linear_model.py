"""A linear regressor on the stabilised scale: fit, score, to JSON and back.

Takes feature rows and labels `z = stabilise(count)`, gives a model; takes rows, gives scores. What
the score means for a count is said in `features`; where the model's file lies, only adapters know.
"""

import re
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.domain.errors import InvalidInput

FORMAT = "tidegauge-linear-model/1"
MAX_FEATURES = 1000

# The version becomes the name of an endpoint's production variant, so it must be one on AWS.
VERSION_PATTERN = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")

# Errors beyond 1.345 robust standard deviations count linearly: 95 % efficiency where the noise is
# normal (Huber 1964), and a storm in the history bends the model little.
HUBER_K = 1.345

# One observation's worth of "this weight is zero" for each normalised feature: decides between
# features that say the same, and vanishes beside a day of windows.
RIDGE = 1.0

MAX_ITERATIONS = 50
TOLERANCE = 1e-8

# The median absolute deviation of a normal distribution, in standard deviations.
MAD_PER_SIGMA = 0.6744897501960817


class LinearModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights on normalised features.

    `score = label_mean + label_scale * (bias + weights . (row - feature_means) / feature_scales)`

    Attributes:
        format: `FORMAT`; another one is another model.
        model_version: Names the model wherever it answers: 1 to 63 letters, digits and hyphens.
        feature_names: The columns of a row, in order; unique.
        feature_means: What is taken from each column.
        feature_scales: What each column is divided by, above zero.
        weights: One for each column.
        bias: On the normalised label's scale.
        label_mean: On the stabilised scale.
        label_scale: On the stabilised scale, above zero.
    """

    format: str
    model_version: str
    feature_names: tuple[str, ...]
    feature_means: tuple[float, ...]
    feature_scales: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    label_mean: float
    label_scale: float

    def score(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the score of each row (n_rows,); NaN where a row (n_rows, n_features) has one.

        Raises:
            InvalidInput: The rows have another number of columns than the model.
        """
        if rows.ndim != 2 or rows.shape[1] != len(self.weights):
            msg = f"the model takes rows of {len(self.weights)} features, not of shape {rows.shape}"
            raise InvalidInput(msg)
        # Column by column, in order: a matrix product adds up in another order for another number
        # of rows, and the same window must get the same score in every batch.
        answer = np.full(len(rows), self.bias)
        # An infinity in a row is answered by NaN, not by a warning.
        with np.errstate(invalid="ignore", over="ignore"):
            for column, (mean, scale, weight) in enumerate(
                zip(self.feature_means, self.feature_scales, self.weights, strict=True)
            ):
                answer += (rows[:, column] - mean) / scale * weight
            scores = answer * self.label_scale + self.label_mean
        scores[~np.isfinite(scores)] = np.nan
        return scores

    def to_json(self) -> bytes:
        """Return the model as JSON; `from_json` gives back an equal one."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read a model and check it.

        Raises:
            InvalidInput: It is no model of this format, or its parts do not fit each other.
        """
        try:
            model = msgspec.json.decode(data, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            msg = f"this is no linear model of Tidegauge: {error}"
            raise InvalidInput(msg) from error
        problems = _problems_of(model)
        if problems:
            msg = f"this linear model cannot be used: {'; '.join(problems)}"
            raise InvalidInput(msg)
        return model


def fit_linear_model(
    rows: NDArray[np.float64],
    labels: NDArray[np.float64],
    *,
    feature_names: tuple[str, ...],
    model_version: str,
) -> LinearModel:
    """Fit a Huber regression with a slight ridge by iteratively reweighted least squares.

    Rows with a value that is not finite are passed over. A column that never changes gets weight
    zero; constant labels give a model that answers that constant.

    Args:
        rows: Features, (n_rows, n_features), oldest first.
        labels: Stabilised counts, (n_rows,).
        feature_names: The columns' names.
        model_version: The new model's version.

    Raises:
        InvalidInput: There are no more usable rows than features.
    """
    usable = np.isfinite(rows).all(axis=1) & np.isfinite(labels)
    n_usable = int(usable.sum())
    if n_usable <= len(feature_names):
        msg = (
            f"{n_usable} windows with all features are too few to fit {len(feature_names)} weights"
        )
        raise InvalidInput(msg)
    features, feature_means, feature_scales = _normalised(rows[usable])
    label, label_mean, label_scale = _normalised(labels[usable, np.newaxis])
    solution = _huber_ridge(features, label[:, 0])
    return LinearModel(
        format=FORMAT,
        model_version=model_version,
        feature_names=feature_names,
        feature_means=tuple(feature_means.tolist()),
        feature_scales=tuple(feature_scales.tolist()),
        weights=tuple(solution[1:].tolist()),
        bias=float(solution[0]),
        label_mean=float(label_mean[0]),
        label_scale=float(label_scale[0]),
    )


def _huber_ridge(features: NDArray[np.float64], label: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the bias and the weights, (1 + n_features,)."""
    design = np.column_stack([np.ones(len(label)), features])
    # The bias is not drawn towards zero.
    ridge = np.diag([0.0] + [RIDGE] * features.shape[1])
    trust = np.ones(len(label))
    solution = np.zeros(design.shape[1])
    for _ in range(MAX_ITERATIONS):
        weighted = design * trust[:, np.newaxis]
        before, solution = (
            solution,
            np.linalg.solve(weighted.T @ design + ridge, weighted.T @ label),
        )
        size = np.abs(label - design @ solution)
        sigma = float(np.median(size)) / MAD_PER_SIGMA
        if sigma <= TOLERANCE or float(np.max(np.abs(solution - before))) <= TOLERANCE:
            break
        trust = np.minimum(1.0, HUBER_K * sigma / np.maximum(size, TOLERANCE))
    return np.asarray(solution, dtype=np.float64)


def _normalised(
    columns: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    means = columns.mean(axis=0)
    scales = columns.std(axis=0)
    # What never changes may still differ from its own mean in the last bits: dividing by those
    # would turn rounding into a feature.
    scales[scales <= TOLERANCE * np.maximum(1.0, np.abs(means))] = 1.0
    return (columns - means) / scales, means, scales


def _problems_of(model: LinearModel) -> list[str]:
    problems = []
    if model.format != FORMAT:
        problems.append(f"its format is {model.format!r}, not {FORMAT!r}")
    if not VERSION_PATTERN.fullmatch(model.model_version):
        problems.append("its version is not 1 to 63 letters, digits and inner hyphens")
    n_features = len(model.feature_names)
    if not 1 <= n_features <= MAX_FEATURES:
        problems.append(f"it has {n_features} features, not 1 to {MAX_FEATURES}")
    if len(set(model.feature_names)) != n_features:
        problems.append("a feature is named twice")
    columns = {
        "means": model.feature_means,
        "scales": model.feature_scales,
        "weights": model.weights,
    }
    problems += [
        f"it has {len(values)} {name} for {n_features} features"
        for name, values in columns.items()
        if len(values) != n_features
    ]
    if min((*model.feature_scales, model.label_scale)) <= 0:
        problems.append("a scale is not above zero")
    # JSON has no NaN, but 1e999 is read as infinity by some parsers.
    numbers = (*model.feature_means, *model.feature_scales, *model.weights)
    if not np.isfinite([*numbers, model.bias, model.label_mean, model.label_scale]).all():
        problems.append("a number is not finite")
    return problems
