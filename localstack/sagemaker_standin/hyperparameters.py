"""The linear-learner's hyperparameters: texts become rules for the fit, and faults are named.

Knows what each may be and what `auto` means. What only steers the real one's descent is accepted
and has no influence here, since the fit goes to the minimum itself.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple, NoReturn

from sagemaker_standin.aws import ClientFault
from sagemaker_standin.regressor import Loss, Rules

AUTO = "auto"

# What the real one takes if nothing is said.
DEFAULT_MINI_BATCH = 1000
DEFAULT_EPOCHS = 15

WITHOUT_INFLUENCE = frozenset(
    {
        "accuracy_top_k",
        "balance_multiclass_weights",
        "beta_1",
        "beta_2",
        "bias_lr_mult",
        "bias_wd_mult",
        "binary_classifier_model_selection_criteria",
        "early_stopping_patience",
        "early_stopping_tolerance",
        "f_beta",
        "init_bias",
        "init_method",
        "init_scale",
        "init_sigma",
        "learning_rate",
        "loss_insensitivity",
        "lr_scheduler_factor",
        "lr_scheduler_minimum_lr",
        "lr_scheduler_step",
        "margin",
        "momentum",
        "num_calibration_samples",
        "num_classes",
        "num_models",
        "num_point_for_scaler",
        "optimizer",
        "positive_example_weight_mult",
        "target_precision",
        "target_recall",
        "use_lr_scheduler",
    }
)
WITH_INFLUENCE = frozenset(
    {
        "epochs",
        "feature_dim",
        "huber_delta",
        "l1",
        "loss",
        "mini_batch_size",
        "normalize_data",
        "normalize_label",
        "predictor_type",
        "quantile",
        "unbias_data",
        "unbias_label",
        "use_bias",
        "wd",
    }
)
_PREDICTORS = frozenset({"regressor", "binary_classifier", "multiclass_classifier"})
_LOSSES_ELSEWHERE = frozenset(
    {
        "eps_insensitive_absolute_loss",
        "eps_insensitive_squared_loss",
        "hinge_loss",
        "logistic",
        "softmax_loss",
    }
)


class Hyperparameters(NamedTuple):
    """What a job's hyperparameters say.

    Attributes:
        rules: How to fit.
        mini_batch_size: The least number of rows that the real one could train on.
        feature_dim: How many features there must be; None takes any number.
    """

    rules: Rules
    mini_batch_size: int
    feature_dim: int | None


def read_hyperparameters(given: Mapping[str, str]) -> Hyperparameters:
    """Read hyperparameters.

    Raises:
        ClientFault: One is unknown, missing, out of its range, or not in the stand-in.
    """
    unknown = sorted(set(given) - WITH_INFLUENCE - WITHOUT_INFLUENCE)
    if unknown:
        msg = f"the linear-learner has no hyperparameter {', '.join(unknown)}"
        raise ClientFault(msg)
    read = _Reader(given)
    read.predictor()
    read.whole("epochs", default=DEFAULT_EPOCHS)
    use_bias = read.flag("use_bias", default=True)
    return Hyperparameters(
        Rules(
            loss=read.loss(),
            normalize_data=read.flag("normalize_data", default=True),
            # What the real one calls unbiasing follows the bias unless it is told otherwise.
            unbias_data=read.flag("unbias_data", default=use_bias),
            normalize_label=read.flag("normalize_label", default=True),
            unbias_label=use_bias and read.flag("unbias_label", default=True),
            use_bias=use_bias,
            wd=read.number("wd", default=0.0),
            l1=read.number("l1", default=0.0),
        ),
        mini_batch_size=read.whole("mini_batch_size", default=DEFAULT_MINI_BATCH),
        feature_dim=read.whole("feature_dim", default=0) or None,
    )


class _Reader:
    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = {name: value for name, value in given.items() if value != AUTO}

    def predictor(self) -> None:
        kind = self._given.get("predictor_type")
        if kind not in _PREDICTORS:
            _refuse("predictor_type", kind, f"one of {', '.join(sorted(_PREDICTORS))}")
        if kind != "regressor":
            msg = f"predictor_type {kind} is not in the stand-in: it trains a regressor alone"
            raise ClientFault(msg)

    def loss(self) -> Loss:
        name = self._given.get("loss", "squared_loss")
        delta = self.number("huber_delta", default=1.0)
        quantile = self.number("quantile", default=0.5)
        if not 0.0 < quantile < 1.0:
            _refuse("quantile", self._given.get("quantile"), "between 0 and 1")
        if name == "huber_loss" and delta == 0.0:
            _refuse("huber_delta", self._given.get("huber_delta"), "above 0")
        losses = {
            "squared_loss": Loss.squared(),
            "absolute_loss": Loss.absolute(),
            "huber_loss": Loss.huber(delta),
            "quantile_loss": Loss.of_quantile(quantile),
        }
        if name in _LOSSES_ELSEWHERE:
            msg = f"loss {name} is not in the stand-in; it has {', '.join(losses)}"
            raise ClientFault(msg)
        if name not in losses:
            _refuse("loss", name, f"one of {', '.join(losses)}")
        return losses[name]

    def flag(self, name: str, *, default: bool) -> bool:
        text = self._given.get(name)
        if text is None:
            return default
        flags = {"true": True, "1": True, "false": False, "0": False}
        if text.lower() not in flags:
            _refuse(name, text, "true or false")
        return flags[text.lower()]

    def whole(self, name: str, *, default: int) -> int:
        text = self._given.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdecimal() and len(text) <= 18 and int(text) > 0):
            _refuse(name, text, "a whole number above 0")
        return int(text)

    def number(self, name: str, *, default: float) -> float:
        text = self._given.get(name)
        if text is None:
            return default
        try:
            number = float(text)
        except ValueError as error:
            _refuse(name, text, "a number", error)
        if not math.isfinite(number) or number < 0.0:
            _refuse(name, text, "a number of 0 or more")
        return number


def _refuse(name: str, text: str | None, wanted: str, cause: Exception | None = None) -> NoReturn:
    given = "is missing" if text is None else f"is {text!r}"
    msg = f"hyperparameter {name} {given}: it must be {wanted}"
    raise ClientFault(msg) from cause
