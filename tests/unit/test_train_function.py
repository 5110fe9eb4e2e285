"""What train's function tells of a manifest: every parameter with its origin, and its metrics."""

import json
from typing import Any

import pytest

from retrain.train import app
from tests.support.datasets import EXPORTS, MANIFEST_URI
from tests.support.training import ENDPOINT, RULES, TrainingWorld
from tests.unit.test_app_contract import CONTEXT
from tidegauge.domain.errors import InvalidInput, Misconfigured, Transient
from tidegauge.settings import ModelSettings, TrainingSettings
from tidegauge.steps.train import TrainStep


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> TrainingWorld:
    world = TrainingWorld()

    def step() -> TrainStep:
        return world.step

    monkeypatch.setattr(app, "train_step", step)
    return world


def event(*uris: str) -> dict[str, Any]:
    """Return S3's notification of some objects."""
    keys = [uri.removeprefix(f"s3://{EXPORTS}/") for uri in uris]
    return {
        "Records": [
            {
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "s3": {
                    "bucket": {"name": EXPORTS},
                    "object": {"key": key, "eTag": "e", "sequencer": "0055AE"},
                },
            }
            for key in keys
        ]
    }


def metrics(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    blob = json.loads(capsys.readouterr().out)
    (told,) = blob["_aws"]["CloudWatchMetrics"]
    return {each["Name"]: sum(blob[each["Name"]]) for each in told["Metrics"]}


def logged(caplog: pytest.LogCaptureFixture, message: str) -> dict[str, Any]:
    """Return what the one line with a message holds."""
    (record,) = (one for one in caplog.records if one.getMessage() == message)
    return vars(record)


def test_a_started_job_is_told_with_the_origin_of_every_parameter(
    world: TrainingWorld,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    world.completed("linear-learner-other", hyperparameters={})
    world.store()
    assert app.handler(event(MANIFEST_URI), CONTEXT) == {"started": 1}
    told = logged(caplog, "training parameters")
    record = world.record(told["job"])
    assert {(one["name"], one["value"], one["origin"]) for one in told["parameters"]} == {
        (one.name, one.value, one.origin) for one in record.parameters
    }
    assert logged(caplog, "no predecessor")["job"] == "linear-learner-other"
    done = logged(caplog, "started")
    assert (done["job"], done["levelname"]) == (told["job"], "INFO")
    assert metrics(capsys) == {"TrainingsStarted": 1, "DatasetsRefused": 0}


def test_a_refused_dataset_is_an_error_in_the_log_and_none_of_the_function(
    world: TrainingWorld,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    world.objects.put(MANIFEST_URI, b"no manifest", content_type="application/json")
    assert app.handler(event(MANIFEST_URI), CONTEXT) == {"started": 0}
    refused = logged(caplog, "refused")
    assert refused["levelname"] == "ERROR"
    assert refused["reason"].startswith("this is no manifest of a dataset")
    assert metrics(capsys) == {"TrainingsStarted": 0, "DatasetsRefused": 1}


def test_an_event_that_comes_twice_starts_one_job(world: TrainingWorld) -> None:
    world.store()
    assert app.handler(event(MANIFEST_URI, MANIFEST_URI), CONTEXT) == {"started": 1}
    assert app.handler(event(MANIFEST_URI), CONTEXT) == {"started": 0}
    assert len(world.started()) == 1


@pytest.mark.usefixtures("world")
@pytest.mark.filterwarnings("ignore:No application metrics to publish")
def test_the_notification_that_tries_the_wiring_starts_nothing() -> None:
    assert app.handler({"Event": "s3:TestEvent"}, CONTEXT) == {"started": 0}


@pytest.mark.usefixtures("world")
@pytest.mark.filterwarnings("ignore:No application metrics to publish")
@pytest.mark.parametrize("wrong", [{}, {"Records": [{"body": "from a queue"}]}])
def test_an_event_of_another_service_is_raised(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="let a bucket invoke the function"):
        app.handler(wrong, CONTEXT)


@pytest.mark.filterwarnings("ignore:No application metrics to publish")
@pytest.mark.parametrize("failure", [Transient("throttled"), Misconfigured(["no such role"])])
def test_a_job_that_cannot_be_started_is_raised_and_comes_again(
    world: TrainingWorld, failure: Exception
) -> None:
    world.store()
    world.jobs.failures = [failure]  # type: ignore[list-item] # both are ours
    with pytest.raises(type(failure)):
        app.handler(event(MANIFEST_URI), CONTEXT)
    assert app.handler(event(MANIFEST_URI), CONTEXT) == {"started": 1}


def test_the_settings_make_the_rules() -> None:
    training = TrainingSettings(
        models_bucket="models",
        training_image=RULES.image,
        training_role_arn=RULES.role_arn,
    )
    assert training.training_rules(job_prefix=ModelSettings(ENDPOINT).training_job_prefix) == RULES
