"""Who says what is expected in a test: the seasonal baseline, a number, a function or a file."""

import math
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, cast

from tidegauge.domain.feature_names import FEATURE_NAMES
from tidegauge.ports import Predictor, Scores

SEASONAL: Final = "seasonal"

Expect = Callable[[Mapping[str, float]], float]
"""Takes the features of a window by name, gives the count to expect. Features that are levels stand
on the scale `2·sqrt(count + 3/8)`."""

Predicting = str | Path | float | Expect | Predictor
"""`"seasonal"`, the path of a model's file, a count to expect of every window, a function of the
features, or whatever answers feature rows as `ports.Predictor` does."""

Model = Predicting | None
"""None to count without verdicts."""


def model_problem(model: Model) -> str | None:
    """Return what is wrong with a model, in one sentence; None where nothing is."""
    if model is None:
        return None
    if find_spec("numpy") is None:
        return (
            "judging needs numpy: install tidegauge[testing], or say model=None to count without "
            "verdicts"
        )
    if isinstance(model, bool) or not (
        isinstance(model, str | Path | int | float) or callable(model) or hasattr(model, "predict")
    ):
        return (
            'MODEL must be "seasonal", a model\'s file, a count to expect, a function of features, '
            f"or None, not {model!r}"
        )
    if isinstance(model, int | float):
        return None if math.isfinite(model) and model >= 0 else f"no count can be {model!r}: MODEL"
    if isinstance(model, str | Path) and model != SEASONAL and not Path(model).is_file():
        return f'MODEL is neither "seasonal" nor a file that is there: {str(model)!r}'
    return None


def predictor_of(model: Predicting) -> Predictor:
    """Return the predictor that a model names; nothing is wrong with it.

    Raises:
        InvalidInput: its file holds no model.
    """
    if isinstance(model, str | Path):
        if model == SEASONAL:
            from tidegauge.adapters.seasonal import SeasonalPredictor

            return SeasonalPredictor()
        from tidegauge.adapters.model_file import FileModelPredictor

        return FileModelPredictor(Path(model))
    if isinstance(model, int | float):
        return Expecting(lambda _features: float(model), f"always {model:g}")
    if hasattr(model, "predict"):
        return cast("Predictor", model)
    return Expecting(model, getattr(model, "__name__", "a function"))


class Expecting:
    """Implements `ports.Predictor` by a function of a window's features.

    Args:
        expect: The function.
        version: What predictions name as their model.
    """

    def __init__(self, expect: Expect, version: str) -> None:
        self._expect = expect
        self._version = version

    def predict(self, rows: Sequence[Sequence[float]]) -> Scores:
        """Return one score for each row of features (n_rows, 31)."""
        named = (dict(zip(FEATURE_NAMES, row, strict=True)) for row in rows)
        return Scores(tuple(score_of(self._expect(row)) for row in named), self._version)


def score_of(expected: float) -> float:
    """Return the score that stands for an expected count; NaN where no count can be that.

    >>> score_of(3.875)
    4.0
    """
    return 2.0 * math.sqrt(expected + 0.125) if expected >= 0 else math.nan
