"""Laws of the linear model."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tidegauge.adapters.model_file import pack_model, unpack_model
from tidegauge.domain.linear_model import FORMAT, LinearModel

NUMBERS = st.floats(-1e6, 1e6)
SCALES = st.floats(1e-3, 1e3)


@st.composite
def linear_models(draw: st.DrawFn) -> LinearModel:
    size = draw(st.integers(1, 40))

    def column(numbers: st.SearchStrategy[float]) -> tuple[float, ...]:
        return tuple(draw(st.lists(numbers, min_size=size, max_size=size)))

    return LinearModel(
        format=FORMAT,
        model_version=draw(st.from_regex(r"[a-zA-Z0-9](-{0,2}[a-zA-Z0-9]){0,20}", fullmatch=True)),
        feature_names=tuple(f"f{number}" for number in range(size)),
        feature_means=column(NUMBERS),
        feature_scales=column(SCALES),
        weights=column(NUMBERS),
        bias=draw(NUMBERS),
        label_mean=draw(NUMBERS),
        label_scale=draw(SCALES),
    )


@given(linear_models())
def test_packing_then_unpacking_is_identity_and_packing_is_deterministic(
    model: LinearModel,
) -> None:
    packed = pack_model(model)
    assert unpack_model(packed) == model
    assert pack_model(unpack_model(packed)) == packed


@given(linear_models(), st.data())
def test_a_row_scores_the_same_bits_in_every_batch(model: LinearModel, data: st.DataObject) -> None:
    n_rows = data.draw(st.integers(1, 20))
    rows = data.draw(arrays(np.float64, (n_rows, len(model.weights)), elements=NUMBERS))
    cut = data.draw(st.integers(0, n_rows))
    parts = [model.score(rows[:cut]), model.score(rows[cut:])]
    assert np.array_equal(model.score(rows), np.concatenate(parts), equal_nan=True)
