"""The linear model: what it fits, what it answers, what it refuses."""

import msgspec
import numpy as np
import pytest

from tests.support.models import model_of
from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.linear_model import LinearModel, fit_linear_model

NAMES = ("a", "b")


def test_a_score_is_bias_and_weighted_features() -> None:
    model = msgspec.structs.replace(
        model_of(2.0, -1.0, bias=0.5),
        feature_means=(1.0, 0.0),
        feature_scales=(2.0, 1.0),
        label_mean=10.0,
        label_scale=3.0,
    )
    # 10 + 3 * (0.5 + 2 * (5 - 1) / 2 - 4)
    assert model.score(np.array([[5.0, 4.0]])).tolist() == [11.5]


def test_a_row_with_nan_or_infinity_scores_nan_and_leaves_its_neighbours_alone() -> None:
    rows = np.array([[1.0, np.nan], [np.inf, 1.0], [1.0, 1.0]])
    scores = model_of(1.0, 1.0).score(rows)
    assert np.isnan(scores[:2]).all()
    assert scores[2] == 2.0


@pytest.mark.parametrize("shape", [(3, 1), (3, 3), (2,)])
def test_rows_of_another_width_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match="2 features"):
        model_of(1.0, 1.0).score(np.zeros(shape))


def test_no_rows_get_no_scores() -> None:
    assert model_of(1.0, 1.0).score(np.zeros((0, 2))).shape == (0,)


def test_a_line_is_found_though_a_storm_lies_in_the_history() -> None:
    rng = np.random.default_rng(7)
    rows = rng.normal(5.0, 2.0, size=(2000, 2))
    labels = 3.0 + 0.7 * rows[:, 0] - 0.2 * rows[:, 1] + rng.normal(0.0, 0.5, size=2000)
    labels[:100] = 0.0  # one day in twenty without an event
    model = fit_linear_model(rows, labels, feature_names=NAMES, model_version="v1")
    expected = 3.0 + 0.7 * 5.0 - 0.2 * 5.0
    assert model.score(np.array([[5.0, 5.0]]))[0] == pytest.approx(expected, abs=0.05)
    slope = np.diff(model.score(np.array([[4.0, 5.0], [6.0, 5.0]])))[0] / 2.0
    assert slope == pytest.approx(0.7, abs=0.03)


def test_rows_that_are_not_finite_are_passed_over() -> None:
    rng = np.random.default_rng(8)
    rows = rng.normal(size=(100, 2))
    labels = rows[:, 0] * 2.0
    spoiled_rows, spoiled_labels = np.vstack([rows, rows[:2]]), np.append(labels, [np.nan, 1e6])
    spoiled_rows[101, 1] = np.nan
    clean = fit_linear_model(rows, labels, feature_names=NAMES, model_version="v1")
    assert clean == fit_linear_model(
        spoiled_rows, spoiled_labels, feature_names=NAMES, model_version="v1"
    )


def test_constant_columns_and_labels_are_fitted() -> None:
    rows = np.full((50, 2), 0.1)
    model = fit_linear_model(rows, np.full(50, 1.7), feature_names=NAMES, model_version="v1")
    assert model.weights == (0.0, 0.0)
    assert model.score(np.array([[0.1, 99.0]]))[0] == pytest.approx(1.7)
    assert LinearModel.from_json(model.to_json()) == model


def test_too_few_windows_are_no_model() -> None:
    with pytest.raises(InvalidInput, match="2 windows"):
        fit_linear_model(np.zeros((2, 2)), np.zeros(2), feature_names=NAMES, model_version="v1")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "onnx"}, "format is 'onnx'"),
        ({"model_version": ""}, "version"),
        ({"model_version": "a" * 64}, "version"),
        ({"model_version": "v1.2"}, "version"),
        ({"model_version": "v1-"}, "version"),
        ({"weights": (1.0,)}, "1 weights for 2 features"),
        ({"feature_means": (1.0, 2.0, 3.0)}, "3 means for 2 features"),
        ({"feature_scales": (1.0, 0.0)}, "scale"),
        ({"feature_scales": ()}, "0 scales"),
        ({"label_scale": -1.0}, "scale"),
        ({"feature_names": ("a", "a")}, "twice"),
        (
            {"feature_names": (), "feature_means": (), "feature_scales": (), "weights": ()},
            "0 features",
        ),
    ],
)
def test_a_model_whose_parts_do_not_fit_is_refused(change: dict[str, object], words: str) -> None:
    model = msgspec.structs.replace(model_of(1.0, 1.0), **change)
    with pytest.raises(InvalidInput, match=words):
        LinearModel.from_json(model.to_json())


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"null", b"\xff", b'{"format": 1}', b"[" * 10_000, b"\x80\x04N."]
)
def test_what_is_no_model_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="no linear model"):
        LinearModel.from_json(data)


def test_an_unknown_field_or_a_huge_number_is_refused() -> None:
    text = model_of(1.0).to_json()
    with pytest.raises(InvalidInput):
        LinearModel.from_json(text.replace(b"{", b'{"exec":"rm",', 1))
    with pytest.raises(InvalidInput):
        LinearModel.from_json(text.replace(b'"bias":0.0', b'"bias":1e999'))
