"""The pytest plugin: the fixtures `tide` and `make_tide`, and what they tell of a failed test.

pytest loads it by its entry point, in every run of whoever has Tidegauge installed: it stands apart
from `tidegauge.testing`, so that nothing of that is imported before a test asks for a pipeline.
"""

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tidegauge.testing import Tide

    MakeTide = Callable[..., Tide]

_MADE = pytest.StashKey["list[Tide]"]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "tidegauge(**settings): settings of the pipeline that the fixture tide gives, such as "
        "window_seconds=60 or model=50",
    )


@pytest.fixture
def make_tide(request: pytest.FixtureRequest) -> "MakeTide":
    """Makes pipelines in memory: keywords are settings, before those of the marker."""
    from tidegauge.testing import Tide

    marked = _marked_settings(request.node)
    made = request.node.stash.setdefault(_MADE, [])

    def make(**settings: Any) -> Tide:
        tide = Tide(**{**marked, **settings})
        made.append(tide)
        return tide

    return make


@pytest.fixture
def tide(make_tide: "MakeTide") -> "Tide":
    """A pipeline in memory, with the settings of the marker `tidegauge`."""
    return make_tide()


def _marked_settings(node: pytest.Item) -> dict[str, Any]:
    """Return what all markers of a test say; the one that stands nearest to it wins."""
    settings: dict[str, Any] = {}
    for marker in reversed(list(node.iter_markers("tidegauge"))):
        if marker.args:
            msg = "the marker tidegauge takes settings as keywords, such as window_seconds=60"
            raise pytest.UsageError(msg)
        settings.update(marker.kwargs)
    return settings


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show where a failed test's pipelines stand."""
    report = yield
    if call.when == "call" and report.failed:
        for tide in item.stash.get(_MADE, ()):
            report.sections.append(("Tidegauge's pipeline", tide.told()))
    return report
