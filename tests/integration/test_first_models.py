"""The model that a live stack begins with: fitted for real, which takes seconds."""

from pathlib import Path

import numpy as np
import pytest

from sagemaker_standin.fit_young import fit_young, main
from tidegauge.adapters.model_file import read_model
from tidegauge.domain.features import FEATURE_NAMES, expected_count, feature_matrix


@pytest.mark.parametrize("size_ms", [20_000, 300_000])
def test_a_model_for_young_series_expects_what_it_has_seen(size_ms: int) -> None:
    model = fit_young(size_ms=size_ms)
    for level in (5.0, 300.0):
        counts = np.random.default_rng(1).poisson(level, 60).astype(np.float64)
        rows = feature_matrix(counts, first_window_ms=0, size_ms=size_ms, first_row=6)
        expected = np.array([expected_count(score) for score in model.score(rows).tolist()])
        # A mean of six is off by 0.4 standard deviations, a mean of forty by less.
        assert abs(expected[0] - level) < 2.0 * level**0.5
        assert np.abs(expected[20:] - level).max() < 1.2 * level**0.5


def test_a_model_for_young_series_is_written_as_a_file(tmp_path: Path) -> None:
    out = tmp_path / "young.tar.gz"
    assert main(["--out", str(out), "--window-seconds", "20"]) == 0
    assert read_model(out).feature_names == FEATURE_NAMES
    assert main(["--out", str(out / "below-a-file.tar.gz"), "--window-seconds", "20"]) == 2
