"""The pytest plugin, in fresh runs of pytest as a user's project would make them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "testing.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)

COUNTING = """
def test_counts(make_tide):
    from tidegauge.testing import event
    tide = make_tide(model=None)
    tide.feed(event("a", at="2026-02-02T12:00:00Z"))
    tide.advance(windows=2)
    assert [window.count for window in tide.windows("a")] == [1, 0]
"""


def ran(folder: Path, *programs: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run pytest on programs in a folder of their own, with nothing of this repository's."""
    for number, program in enumerate(programs):
        (folder / f"test_{number}.py").write_text(program)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers -p no:cacheprovider\n")
    main = f"import sys; {before}import pytest; sys.exit(pytest.main(['-q', '-W', 'error']))"
    return subprocess.run(  # noqa: S603 - our own interpreter and words
        [sys.executable, "-c", main], cwd=folder, capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip


def test_the_examples_of_the_page_pass(tmp_path: Path) -> None:
    done = ran(tmp_path, *EXAMPLES)
    n_tests = sum(example.count("\ndef test_") for example in EXAMPLES)
    assert n_tests >= 9
    assert done.returncode == 0, done.stdout
    assert f"{n_tests} passed" in done.stdout


def test_the_plugin_counts_without_numpy_and_says_what_judging_needs(tmp_path: Path) -> None:
    judging = "def test_judges(tide):\n    pass\n"
    done = ran(tmp_path, COUNTING, judging, before="sys.modules['numpy'] = None; ")
    assert "1 passed, 1 error" in done.stdout
    assert "judging needs numpy: install tidegauge[testing]" in done.stdout


def test_the_plugin_loads_nothing_heavy_before_a_test_asks_for_it(tmp_path: Path) -> None:
    program = """
import sys

def test_nothing_is_loaded():
    loaded = [name for name in sys.modules if name.startswith("tidegauge.")]
    assert loaded == ["tidegauge.pytest_plugin"]
"""
    done = ran(tmp_path, program)
    assert done.returncode == 0, done.stdout


def test_a_failed_test_tells_where_its_pipeline_stands(tmp_path: Path) -> None:
    program = """
from tidegauge.testing import event

def test_fails(make_tide):
    tide = make_tide(model=None)
    tide.feed(event("order.placed", at="2026-02-02T12:00:00Z"), b"{")
    tide.advance(windows=1)
    assert tide.windows("order.paid")[-1].count == 1
"""
    done = ran(tmp_path, program)
    assert "IndexError" in done.stdout
    told = done.stdout.split("Tidegauge's pipeline", 1)[1]
    assert "stream time 2026-02-02T12:06:00Z; 1 events counted" in told
    assert "2026-02-02T12:00:00Z: 1 NOT_JUDGED (no model)" in told
    assert "set aside: 1 malformed_json" in told


def test_settings_of_a_marker_hold_and_the_nearest_wins(tmp_path: Path) -> None:
    program = """
import pytest
from tidegauge.testing import event

pytestmark = pytest.mark.tidegauge(model=None, window_seconds=60, series_by="source")

@pytest.mark.tidegauge(window_seconds=20)
def test_counts(tide, make_tide):
    for one, seconds in ((tide, 20), (make_tide(window_seconds=30), 30)):
        one.feed(event("a", at="2026-02-02T12:00:00Z"))
        one.advance(windows=1)
        [window] = one.windows("/tests")
        assert (window.end - window.start).total_seconds() == seconds
"""
    done = ran(tmp_path, program)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("marker", "problems"),
    [
        (
            'window_second=60, shards=0, enough_windows=2, model=True, start="noon"',
            [
                "window_second is no setting of a pipeline in memory: did you mean window_seconds?",
                "SHARDS must lie between 1 and 100, not 0",
                "ENOUGH_WINDOWS must lie between 6 and 40320, not 2",
                "START: 'noon' is no time with an offset",
                'MODEL must be "seasonal", a model\'s file, a count to expect',
            ],
        ),
        ("60", ["the marker tidegauge takes settings as keywords"]),
    ],
)
def test_wrong_settings_of_a_marker_are_told_together(
    tmp_path: Path, marker: str, problems: list[str]
) -> None:
    mark = f"import pytest\n@pytest.mark.tidegauge({marker})\n"
    done = ran(tmp_path, f"{mark}def test_it(tide):\n    pass\n")
    assert "1 error" in done.stdout
    for problem in problems:
        assert problem in done.stdout
