"""Who predicts in an offline replay."""

from pathlib import Path

from tidegauge.ports import Predictor

SEASONAL = "seasonal"
ENDPOINT_PREFIX = "endpoint:"


def predictor_of(model: str) -> Predictor:
    """Return the predictor that `--model` names: `seasonal`, `endpoint:NAME` or a file.

    Raises:
        InvalidInput: the file is no model.
    """
    if model == SEASONAL:
        from tidegauge.adapters.seasonal import SeasonalPredictor

        return SeasonalPredictor()
    if model.startswith(ENDPOINT_PREFIX):
        from tidegauge.adapters.sagemaker import EndpointPredictor

        return EndpointPredictor(model.removeprefix(ENDPOINT_PREFIX))
    from tidegauge.adapters.model_file import FileModelPredictor

    return FileModelPredictor(Path(model))
