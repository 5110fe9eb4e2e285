"""The first model: a plain count, and a fit on what lies before a time."""

import json
from pathlib import Path

import numpy as np
import pytest

from sagemaker_standin.fit import SeriesCounts, count_windows, fit_counts, main
from tidegauge.adapters.model_file import read_model
from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.event_time import format_time
from tidegauge.domain.features import FEATURE_NAMES, expected_count, feature_matrix

SIZE_MS = 300_000
DAY_MS = 86_400_000


def event(number: int, at_ms: int, series: str = "a") -> str:
    return json.dumps(
        {
            "specversion": "1.0",
            "id": str(number),
            "source": "/s",
            "type": series,
            "time": format_time(at_ms),
        }
    )


def fixture(folder: Path, *lines: str) -> Path:
    path = folder / "events.jsonl"
    path.write_text("\n".join(lines))
    return path


def test_distinct_events_are_counted_from_each_series_first_window(tmp_path: Path) -> None:
    # windows:   0        1        2        3
    # a:         x x(dup)          x
    # b:                  x
    path = fixture(
        tmp_path,
        event(1, 0),
        event(1, 0),
        event(2, 2 * SIZE_MS),
        "not json",
        "",
        event(3, SIZE_MS, "b"),
        f"[{event(4, 0)}, {event(5, 1)}]",
    )
    counts = count_windows(path, until_ms=None, size_ms=SIZE_MS)
    assert {name: (c.first_window_ms, c.counts.tolist()) for name, c in counts.items()} == {
        "a": (0, [3.0, 0.0, 1.0]),
        "b": (SIZE_MS, [1.0, 0.0]),
    }


def test_windows_that_end_after_the_time_are_left_out(tmp_path: Path) -> None:
    path = fixture(tmp_path, event(1, 0), event(2, SIZE_MS), event(3, 2 * SIZE_MS - 1))
    counts = count_windows(path, until_ms=2 * SIZE_MS - 1, size_ms=SIZE_MS)
    assert counts["a"].counts.tolist() == [1.0]


def test_an_absurd_time_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = fixture(tmp_path, event(1, 0), event(2, 90 * 365 * DAY_MS))
    with pytest.raises(InvalidInput, match="is a time wrong"):
        count_windows(path, until_ms=None, size_ms=SIZE_MS)


def test_the_model_learns_the_day_and_has_a_name_of_its_own() -> None:
    windows = np.arange(21 * 288)
    counts = 20.0 + 15.0 * np.sin(2 * np.pi * windows / 288)
    series = {"a": SeriesCounts(0, np.rint(counts))}
    model = fit_counts(series, size_ms=SIZE_MS)
    assert model == fit_counts(series, size_ms=SIZE_MS)
    assert model.feature_names == FEATURE_NAMES
    assert model.model_version.startswith("fit-")
    rows = feature_matrix(
        series["a"].counts, first_window_ms=0, size_ms=SIZE_MS, first_row=14 * 288
    )
    expected = [expected_count(score) for score in model.score(rows).tolist()]
    assert np.abs(np.array(expected) - counts[14 * 288 :]).max() < 1.0


def test_a_week_or_less_is_too_little() -> None:
    with pytest.raises(InvalidInput, match="more than a week"):
        fit_counts({"a": SeriesCounts(0, np.ones(7 * 288))}, size_ms=SIZE_MS)


@pytest.mark.parametrize(
    ("lines", "more", "words"),
    [
        ((event(1, 0),), ("--until", "yesterday"), "--until takes a time"),
        ((event(1, 0),), (), "more than a week"),
        ((), (), "holds no lines"),
        ((event(1, 0),), ("--window-seconds", "0"), "above zero"),
    ],
)
def test_what_cannot_be_fitted_is_said_in_one_sentence(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    lines: tuple[str, ...],
    more: tuple[str, ...],
    words: str,
) -> None:
    out = tmp_path / "m.tar.gz"
    assert main([str(fixture(tmp_path, *lines)), "--out", str(out), *more]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not out.exists()


def test_the_written_model_is_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [event(n, n * SIZE_MS * 4) for n in range(9 * 72)]
    out = tmp_path / "gauge.tar.gz"
    assert main([str(fixture(tmp_path, *lines)), "--out", str(out)]) == 0
    assert read_model(out).model_version in capsys.readouterr().out
