"""What deploy's function makes of events, of its time, and of what came of a run."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from retrain.deploy import app
from retrain.deploy.app import Deployer
from tests.support.deploy_world import MINUTE, DeployWorld
from tests.unit.test_app_contract import CONTEXT
from tidegauge.domain.errors import InvalidInput, Transient
from tidegauge.ports import OutboxMessage, StoredMessage

SCHEDULE = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}


class Outbox:
    """The world's messages, taken in order."""

    def __init__(self, world: DeployWorld) -> None:
        self._world = world
        self._sent = 0

    def take(self, _: object, limit: int) -> list[StoredMessage]:
        left = self._world.ledger.messages[self._sent :][:limit]
        return [StoredMessage(self._sent + place, one) for place, one in enumerate(left)]

    def release(self, _: object) -> None:
        """Nothing was taken away."""

    def mark_sent(self, numbers: list[int]) -> None:
        self._sent += len(numbers)


class Topic:
    """What people received."""

    def __init__(self) -> None:
        self.received: list[OutboxMessage] = []
        self.error: Exception | None = None

    def send(self, messages: list[OutboxMessage]) -> None:
        if self.error:
            raise self.error
        self.received += messages


@pytest.fixture
def world() -> DeployWorld:
    return DeployWorld()


@pytest.fixture
def topic(world: DeployWorld, monkeypatch: pytest.MonkeyPatch) -> Topic:
    topic: Any = Topic()
    outbox: Any = Outbox(world)
    built = Deployer(world.step(), world.clock, outbox, topic)
    monkeypatch.setattr(app, "deployer", lambda: built)
    made: Topic = topic
    return made


def context(minutes: float) -> Any:
    left = {"get_remaining_time_in_millis": lambda: round(minutes * MINUTE)}
    return SimpleNamespace(**vars(CONTEXT), **left)


def stored(*keys: str) -> dict[str, Any]:
    return {
        "Records": [
            {
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "s3": {"bucket": {"name": "models"}, "object": {"key": key, "eTag": "e"}},
            }
            for key in keys
        ]
    }


def metrics(capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    blob = json.loads(capsys.readouterr().out)
    (told,) = blob["_aws"]["CloudWatchMetrics"]
    return {each["Name"]: sum(blob[each["Name"]]) for each in told["Metrics"]}


def test_an_artifact_that_was_stored_rings_for_its_job() -> None:
    key = "training/linear-learner-1/output/model.tar.gz"
    assert app.jobs_of(stored(key, key)) == ["linear-learner-1"] * 2


@pytest.mark.parametrize(
    "key",
    [
        "deployed/v/0a/model.tar.gz",
        "training/a/b/output/model.tar.gz",
        "training/a/output/output.tar.gz",
        "x/training/a/output/model.tar.gz",
    ],
)
def test_other_objects_ring_for_nothing(key: str) -> None:
    assert app.jobs_of(stored(key)) == []


def test_the_schedule_names_no_job_and_other_services_are_refused() -> None:
    assert app.jobs_of(SCHEDULE) == []
    with pytest.raises(InvalidInput):
        app.jobs_of({"source": "aws.sqs"})


def test_a_deployed_model_is_told_to_people_and_counted(
    world: DeployWorld, topic: Topic, capsys: pytest.CaptureFixture[str]
) -> None:
    world.train("job-1")
    event = stored("training/job-1/output/model.tar.gz")
    assert app.handler(event, context(15)) == {"deployed": ["job-1"], "waiting": []}
    assert [message.message_key for message in topic.received] == [world.told()[0]["id"]]
    told = metrics(capsys)
    assert (told["ModelsDeployed"], told["ModelsRefused"], told["AlertsSent"]) == (1, 0, 1)


@pytest.mark.usefixtures("topic")
def test_a_run_ends_before_its_time(world: DeployWorld) -> None:
    world.train("job-1")
    began_ms = world.clock.now_ms()
    assert app.handler(SCHEDULE, context(3)) == {"deployed": [], "waiting": ["job-1"]}
    assert world.clock.now_ms() - began_ms <= 2 * MINUTE
    assert app.handler(SCHEDULE, context(15)) == {"deployed": ["job-1"], "waiting": []}


def test_a_notice_that_cannot_be_sent_is_left_to_the_sweep(
    world: DeployWorld, topic: Topic, capsys: pytest.CaptureFixture[str]
) -> None:
    world.train("job-1", 2.0)
    topic.error = Transient("throttled")
    app.handler(SCHEDULE, context(15))
    told = metrics(capsys)
    assert (told["ModelsRefused"], told["LeftToSweep"], told["AlertsSent"]) == (1, 1, 0)
