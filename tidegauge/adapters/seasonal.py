"""The seasonal baseline as a predictor: no file, no endpoint, nothing to learn beforehand."""

from collections.abc import Sequence

from tidegauge.domain.prediction import SEASONAL_VERSION, seasonal_scores
from tidegauge.ports import Scores


class SeasonalPredictor:
    """Implements `ports.Predictor` from the features alone."""

    def predict(self, rows: Sequence[Sequence[float]]) -> Scores:
        """Return one score for each row of features (n_rows, 31)."""
        return Scores(tuple(seasonal_scores(rows)), SEASONAL_VERSION)
