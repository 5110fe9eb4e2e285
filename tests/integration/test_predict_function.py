"""The function of predict on a real database, as Lambda calls it."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.judged_worlds import window
from tests.support.judging_stores import MysqlWorld

pytestmark = pytest.mark.database

FOLDER = Path(__file__).parents[2] / "consumers" / "predict"
CONTEXT = SimpleNamespace(
    function_name="predict",
    memory_limit_in_mb=128,
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:predict",
    aws_request_id="1",
)


@pytest.fixture
def event() -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads((FOLDER / "event.json").read_text()))


@pytest.fixture
def world(fresh_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[MysqlWorld]:
    """A database with the series that the event names, and the function's environment."""
    settings = {
        "DATABASE_URL": fresh_database_url,
        "ALERTS_TOPIC_ARN": "arn:aws:sns:eu-west-1:123456789012:alerts",
        "ENDPOINT_NAME": "",
        "POWERTOOLS_SERVICE_NAME": "predict",
        "POWERTOOLS_METRICS_NAMESPACE": "Tidegauge",
        "POWERTOOLS_TRACE_DISABLED": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    made = MysqlWorld(fresh_database_url)
    yield made
    made.database.close()


@pytest.fixture
def app(world: MysqlWorld, monkeypatch: pytest.MonkeyPatch) -> ModuleType:  # noqa: ARG001
    """The function's module as a new process imports it, with its environment set."""
    monkeypatch.delitem(sys.modules, "consumers.predict.app", raising=False)
    return importlib.import_module("consumers.predict.app")


def test_the_event_of_the_folder_rings_for_its_series(
    world: MysqlWorld, app: ModuleType, event: dict[str, Any]
) -> None:
    generation = world.generation("arn:aws:kinesis:eu-west-1:123456789012:stream/events", 1)
    rows = [window(index, 5, series="flight.departed", generation=generation) for index in range(3)]
    world.announce(rows)
    assert app.handler(event, CONTEXT) == {"windows": 3, "alerts": 0}
    assert app.handler(event, CONTEXT) == {"windows": 0, "alerts": 0}
    assert [row[3] for row in world.verdicts(generation)] == ["NOT_JUDGED"] * 3


def test_a_record_that_is_no_announcement_does_not_hold_up_the_others(
    world: MysqlWorld, app: ModuleType, event: dict[str, Any]
) -> None:
    generation = world.generation("arn:aws:kinesis:eu-west-1:123456789012:stream/events", 1)
    world.announce([window(0, 5, series="flight.departed", generation=generation)])
    strange = json.loads(json.dumps(event["Records"][0]))
    strange["kinesis"]["data"] = "bm90IGpzb24="
    event["Records"].insert(0, strange)
    assert app.handler(event, CONTEXT)["windows"] == 1
