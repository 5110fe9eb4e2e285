"""Small models with known answers."""

from tidegauge.domain.features import FEATURE_NAMES
from tidegauge.domain.linear_model import FORMAT, LinearModel


def model_of(
    *weights: float, version: str = "v1", bias: float = 0.0, names: tuple[str, ...] | None = None
) -> LinearModel:
    """Return a model with scales of one and means of zero: `bias + weights . row`."""
    return LinearModel(
        format=FORMAT,
        model_version=version,
        feature_names=names or tuple(f"f{number}" for number in range(len(weights))),
        feature_means=(0.0,) * len(weights),
        feature_scales=(1.0,) * len(weights),
        weights=weights,
        bias=bias,
        label_mean=0.0,
        label_scale=1.0,
    )


def first_feature_model(version: str = "v1") -> LinearModel:
    """Return a model of our features that answers the first one."""
    weights = (1.0, *(0.0,) * (len(FEATURE_NAMES) - 1))
    return model_of(*weights, version=version, names=FEATURE_NAMES)
