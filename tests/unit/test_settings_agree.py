"""The template, the READMEs and the settings name the same variables, with the same defaults."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cloudformation import CloudFormation
from tidegauge.settings import (
    AlertSettings,
    DatabaseSettings,
    JudgingSettings,
    Settings,
    StreamSettings,
    WindowSettings,
    variable_names,
)
from tidegauge.signals import Metric
from tidegauge.simulator_settings import SimulatorSettings
from tidegauge.source_settings import SourceSettings

ROOT = Path(__file__).parents[2]
KINDS: dict[str, tuple[type[Settings], ...]] = {
    "collect": (WindowSettings, StreamSettings, DatabaseSettings),
    "predict": (WindowSettings, JudgingSettings, AlertSettings, DatabaseSettings),
    "sweep": (WindowSettings, StreamSettings, AlertSettings, DatabaseSettings),
    # its page tells of the database source too
    "listener_sim": (SimulatorSettings, SourceSettings),
}
FOLDERS = {name: "producers" if name == "listener_sim" else "consumers" for name in KINDS}
ALL = {name for kinds in KINDS.values() for kind in kinds for name in variable_names(kind)}
SOURCE = set(variable_names(SourceSettings))


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    """The template as plain data."""
    loaded = yaml.load((ROOT / "template.yaml").read_text(), CloudFormation)  # noqa: S506
    assert isinstance(loaded, dict)
    return loaded


def variables(template: dict[str, Any], function: str) -> set[str]:
    shared = template["Globals"]["Function"]["Environment"]["Variables"]
    resource = template["Resources"][f"{function.title().replace('_', '')}Function"]["Properties"]
    return {*shared, *resource["Environment"]["Variables"]}


@pytest.mark.parametrize("function", KINDS)
def test_a_function_is_given_no_variable_that_no_setting_knows(
    template: dict[str, Any], function: str
) -> None:
    given = {name for name in variables(template, function) if not name.startswith("POWERTOOLS_")}
    assert given <= ALL - SOURCE
    required = {"DATABASE_SECRET_ARN", "EVENTS_STREAM", "WINDOWS_STREAM", "WINDOW_SECONDS"}
    assert required <= given


def test_the_template_and_the_settings_have_the_same_defaults(template: dict[str, Any]) -> None:
    parameters = template["Parameters"]
    settings = (WindowSettings(), JudgingSettings(), StreamSettings("", ""), SimulatorSettings(""))
    compared = 0
    for name, parameter in parameters.items():
        field = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
        for setting in settings:
            if hasattr(setting, field) and "Default" in parameter:
                assert str(parameter["Default"]) == str(getattr(setting, field)), name
                compared += 1
    assert compared >= 8


@pytest.mark.parametrize("function", KINDS)
def test_a_functions_page_names_its_variables_and_metrics_and_no_others(
    template: dict[str, Any], function: str
) -> None:
    page = (ROOT / FOLDERS[function] / function / "README.md").read_text()
    code = (ROOT / FOLDERS[function] / function / "app.py").read_text()
    read = {
        name for kind in KINDS[function] if kind.__name__ in code for name in variable_names(kind)
    }
    named = set(re.findall(r"`([A-Z][A-Z_]{5,})`", page))
    assert named >= variables(template, function) & read - {"SERIES_BY"}
    assert {name for name in named if name.endswith(("_SECONDS", "_STREAM", "_ARN", "_URL"))} <= ALL
    used = {Metric[name].metric_name for name in re.findall(r"Metric\.([A-Z_]+)", code)}
    assert used == {m.metric_name for m in Metric if f"`{m.metric_name}`" in page}
