"""What each function promises its caller: nothing at import, all faults at once, never a part."""

import json
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from consumers.collect import app as collect_app
from consumers.predict import app as predict_app
from consumers.sweep import app as sweep_app
from retrain.deploy import app as deploy_app
from retrain.export import app as export_app
from retrain.train import app as train_app
from tidegauge.domain.errors import InvalidInput, Misconfigured
from tidegauge.settings import variable_names
from tidegauge.signals import Metric
from tidegauge.steps.doctor_settings import PARTS, RETRAINING

APPS = [collect_app, predict_app, sweep_app, export_app, train_app, deploy_app]
VARIABLES = {
    name
    for kinds in (PARTS | RETRAINING).values()
    for kind in kinds
    for name in variable_names(kind)
}
pytestmark = pytest.mark.filterwarnings("ignore:No application metrics to publish")
CONTEXT: Any = SimpleNamespace(
    function_name="f", memory_limit_in_mb=1, invoked_function_arn="arn", aws_request_id="r"
)


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "POWERTOOLS_METRICS_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)


def event_of(app: ModuleType) -> dict[str, Any]:
    text = (Path(str(app.__file__)).parent / "event.json").read_text(encoding="utf-8")
    event: dict[str, Any] = json.loads(text)
    return event


@pytest.mark.parametrize("app", APPS)
def test_missing_settings_are_raised_together_each_time(app: ModuleType) -> None:
    for _ in range(2):  # nothing half-built is kept
        with pytest.raises(Misconfigured) as raised:
            app.handler(event_of(app), CONTEXT)
        assert len(raised.value.problems) >= 2


@pytest.mark.parametrize("app", [collect_app, predict_app])
@pytest.mark.parametrize("event", [{}, {"Records": [{"body": "from a queue"}]}])
def test_an_event_of_another_service_is_raised(app: ModuleType, event: dict[str, Any]) -> None:
    with pytest.raises((InvalidInput, Misconfigured)):
        app.handler(event, CONTEXT)


@pytest.mark.parametrize("app", APPS)
def test_metrics_are_written_whatever_the_environment_lacks(
    app: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    app.metrics.add_metric(Metric.REJECTS.metric_name, Metric.REJECTS.unit, 1)
    app.metrics.flush_metrics()
    written = json.loads(capsys.readouterr().out)
    assert written["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Tidegauge"
