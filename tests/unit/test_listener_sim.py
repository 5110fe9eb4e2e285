"""listener_sim on Lambda: what it does with events of a schedule, of a rule, and others."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from producers.listener_sim import app
from tests.support.fake_kinesis import FakeKinesis
from tidegauge.domain.errors import InvalidInput, Misconfigured
from tidegauge.domain.event_time import parse_time_ms
from tidegauge.signals import Metric
from tidegauge.simulator_settings import SimulatorSettings
from tidegauge.testing import Tide

pytestmark = pytest.mark.filterwarnings("ignore:No application metrics to publish")
CONTEXT: Any = SimpleNamespace(
    function_name="f", memory_limit_in_mb=1, invoked_function_arn="arn", aws_request_id="r"
)
SCHEDULED = json.loads((Path(str(app.__file__)).parent / "event.json").read_text())
DELIVERED = {
    "id": "e-1", "detail-type": "order.paid", "source": "shop", "time": "2026-11-24T10:00:00Z",
    "detail": {"country": "NO"},
}  # fmt: skip


@pytest.fixture
def kinesis(monkeypatch: pytest.MonkeyPatch) -> FakeKinesis:
    client = FakeKinesis()
    monkeypatch.setattr(boto3, "client", lambda *_, **__: client)
    for name in ("SEED", "TYPES", "RATE", "SEASON", "TICK_SECONDS", "FAULTS"):
        monkeypatch.delenv(f"SIMULATOR_{name}", raising=False)
    monkeypatch.setenv("EVENTS_STREAM", "events")
    monkeypatch.delenv("POWERTOOLS_METRICS_NAMESPACE", raising=False)
    app.producers.cache_clear()
    return client


@pytest.fixture(autouse=True)
def _afterwards() -> Any:
    yield
    app.producers.cache_clear()


def metrics_in(out: str) -> dict[str, Any]:
    (line,) = [line for line in out.splitlines() if "_aws" in line]
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_schedule_fills_the_minute_it_was_due_for(
    kinesis: FakeKinesis, capsys: pytest.CaptureFixture[str]
) -> None:
    due_ms = parse_time_ms(SCHEDULED["time"])
    simulation = SimulatorSettings("events").simulation()
    expected = [event.data for event in simulation.events_between(due_ms - 60_000, due_ms)]
    assert app.handler(SCHEDULED, CONTEXT) == {"events": len(expected)}
    assert sorted(kinesis.stored) == sorted(expected)
    written = metrics_in(capsys.readouterr().out)
    assert written[Metric.EVENTS_PRODUCED.metric_name] == [len(expected)]
    assert written["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Tidegauge"


@pytest.mark.usefixtures("kinesis")
def test_a_minute_that_two_processes_fill_counts_once(
    tide: Tide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boto3, "client", lambda *_, **__: tide.kinesis)
    put = app.handler(SCHEDULED, CONTEXT)["events"]
    app.producers.cache_clear()  # what a process that has just started knows
    assert app.handler(SCHEDULED, CONTEXT) == {"events": put}
    tide.advance(windows=2)
    assert tide.quarantine == []
    assert (tide.sums.distinct, tide.sums.duplicates) == (put, put)
    assert sum(one.count for name in tide.series for one in tide.windows(name)) == put


def test_an_event_of_a_rule_goes_onto_the_stream_as_it_is(kinesis: FakeKinesis) -> None:
    assert app.handler(DELIVERED, CONTEXT) == {"events": 1}
    assert [json.loads(data) for data in kinesis.stored] == [DELIVERED]


@pytest.mark.parametrize(
    "event", [{}, {"Records": []}, {**DELIVERED, "id": ""}, {**SCHEDULED, "time": "9999"}]
)
def test_any_other_event_is_raised_and_nothing_put(
    kinesis: FakeKinesis, event: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput):
        app.handler(event, CONTEXT)
    assert kinesis.stored == []


def test_faulty_settings_are_raised_together_each_time(
    kinesis: FakeKinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EVENTS_STREAM")
    monkeypatch.setenv("SIMULATOR_TYPES", "a")
    for _ in range(2):  # nothing half-built is kept
        with pytest.raises(Misconfigured) as raised:
            app.handler(SCHEDULED, CONTEXT)
        assert len(raised.value.problems) == 2
    assert kinesis.calls == []
