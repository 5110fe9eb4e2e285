"""The template, the READMEs and the settings name the same variables, with the same defaults."""

import re
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cloudformation import CloudFormation
from tidegauge.settings import (
    DeploySettings,
    JudgingSettings,
    Settings,
    variable_names,
)
from tidegauge.signals import Metric
from tidegauge.simulator_settings import SimulatorSettings
from tidegauge.source_settings import SourceSettings
from tidegauge.steps.doctor_settings import PARTS, RETRAINING

ROOT = Path(__file__).parents[2]
KINDS: dict[str, tuple[type[Settings], ...]] = {
    **PARTS,
    **RETRAINING,
    # its page tells of the database source too
    "listener_sim": (SimulatorSettings, SourceSettings),
}
FOLDERS = {
    **dict.fromkeys(PARTS, "consumers"),
    **dict.fromkeys(RETRAINING, "retrain"),
    "listener_sim": "producers",
}
# What a concern brings along, all functions are given, and these make no use of.
UNUSED = {"predict": {"SERIES_BY"}, "sweep": {"SERIES_BY"}}
UNUSED |= {"export": {"SERIES_BY", "HEARTBEATS", "CLOCK_SOURCE"}}
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


def code_of(function: str) -> str:
    return (ROOT / FOLDERS[function] / function / "app.py").read_text()


def read_by(function: str) -> list[type[Settings]]:
    """Return the settings that a function's own code reads."""
    code = code_of(function)
    return [kind for kind in KINDS[function] if kind.__name__ in code]


def defaults_of(kind: type[Settings]) -> dict[str, object]:
    """Return a kind's fields with their defaults, `MISSING` for one that must be set."""
    assert is_dataclass(kind)
    return {each.name: each.default for each in fields(kind)}


@pytest.mark.parametrize("function", [*PARTS, *RETRAINING])
def test_the_doctor_knows_which_settings_a_function_reads(function: str) -> None:
    read = set(re.findall(r"\b([A-Z]\w+Settings)\b", code_of(function)))
    assert {kind.__name__ for kind in KINDS[function]} == read


@pytest.mark.parametrize("function", KINDS)
def test_a_function_is_given_no_variable_that_no_setting_knows(
    template: dict[str, Any], function: str
) -> None:
    given = {name for name in variables(template, function) if not name.startswith("POWERTOOLS_")}
    assert given <= ALL - SOURCE
    # Those of the whole stack, which tell whoever looks what belongs together, and its own.
    shared = {"DATABASE_SECRET_ARN", "EVENTS_STREAM", "WINDOWS_STREAM", "WINDOW_SECONDS"}
    own = {
        name.upper()
        for kind in read_by(function)
        for name, default in defaults_of(kind).items()
        if default is MISSING
    }
    assert shared | own <= given


def test_the_template_and_the_settings_have_the_same_defaults(template: dict[str, Any]) -> None:
    parameters = template["Parameters"]
    kinds = {kind for some in KINDS.values() for kind in some}
    defaults = [pair for kind in kinds for pair in defaults_of(kind).items()]
    compared = set()
    for name, parameter in parameters.items():
        field = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
        # A stack's endpoint is made with its first model; a laptop has none, and is judged offline.
        if "Default" not in parameter or name == "EndpointName":
            continue
        for setting, default in defaults:
            if setting == field and default is not MISSING:
                assert str(parameter["Default"]) == str(default), name
                compared.add(name)
    assert JudgingSettings().endpoint_name == ""
    assert {"WindowSeconds", "EnoughWindows", "TrainingJobPrefix", "SimulatorSeed"} <= compared
    of_deploy = defaults_of(DeploySettings).keys() - {"rollback_alarms"}
    assert {name.replace("_", "") for name in of_deploy} <= {name.lower() for name in compared}


@pytest.mark.parametrize("function", KINDS)
def test_a_functions_page_names_its_variables_and_metrics_and_no_others(
    template: dict[str, Any], function: str
) -> None:
    page = (ROOT / FOLDERS[function] / function / "README.md").read_text()
    code = code_of(function)
    read = {name for kind in read_by(function) for name in variable_names(kind)}
    named = set(re.findall(r"`([A-Z][A-Z_]{5,})`", page))
    assert named >= variables(template, function) & read - UNUSED.get(function, set())
    assert {name for name in named if name.endswith(("_SECONDS", "_STREAM", "_ARN", "_URL"))} <= ALL
    used = {Metric[name].metric_name for name in re.findall(r"Metric\.([A-Z_]+)", code)}
    assert used == {m.metric_name for m in Metric if f"`{m.metric_name}`" in page}
