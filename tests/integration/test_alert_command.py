"""`tidegauge alert test` through a topic of the embedded engine, as a subscriber receives it."""

import json
from pathlib import Path
from typing import Any

import pytest

from embedded.engine import EngineAddress, LocalSession
from tests.support.command import Command

pytestmark = pytest.mark.engine


@pytest.fixture
def aws(engine: EngineAddress, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LocalSession:
    """Point the command at the engine, and at no stack."""
    for name, value in engine.environment.items():
        monkeypatch.setenv(name, value)
    for name in ("ALERTS_TOPIC_ARN", "EVENTS_STREAM", "DATABASE_URL", "DATABASE_SECRET_ARN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TIDEGAUGE_STATE", str(tmp_path / "run"))
    monkeypatch.setenv("TIDEGAUGE_LIVE_STATE", str(tmp_path / "live"))
    return engine.session()


@pytest.fixture
def topic(aws: LocalSession, request: pytest.FixtureRequest) -> str:
    return aws.sns.create_topic(Name=f"{request.node.name[:60]}")["TopicArn"]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def subscribed(aws: LocalSession, topic: str, policy: dict[str, list[str]]) -> str:
    name = topic.rpartition(":")[2][-50:] + "-".join(policy)
    url = aws.sqs.create_queue(QueueName=name)["QueueUrl"]
    attributes = aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    aws.sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=attributes["Attributes"]["QueueArn"],
        Attributes={"FilterPolicy": json.dumps(policy)},
    )
    return url


def received(aws: LocalSession, url: str, wait_s: int = 10) -> list[dict[str, Any]]:
    answer = aws.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=wait_s)
    return [json.loads(message["Body"]) for message in answer.get("Messages", [])]


def test_it_reaches_those_whose_filters_want_it_and_says_that_it_is_a_test(
    aws: LocalSession, topic: str, command: Command
) -> None:
    wants = subscribed(aws, topic, {"series": ["order.placed"], "severity": ["critical"]})
    others = subscribed(aws, topic, {"direction": ["low"]})
    options = ("--series", "order.placed", "--severity", "critical", "--direction", "high")
    ran = command("alert", "test", "--topic", topic, "--json", *options)
    assert (ran.code, ran.err) == (0, "")
    assert (ran.told["confirmed"], ran.told["warning"]) == (2, "")
    (envelope,) = received(aws, wants)
    assert envelope["Subject"] == "TEST, nothing is wrong: order.placed"
    assert envelope["MessageId"] == ran.told["message_id"]
    body = json.loads(envelope["Message"])
    assert (body["id"], body["kind"]) == (ran.told["alert_id"], "test")
    attributes = {name: value["Value"] for name, value in envelope["MessageAttributes"].items()}
    assert attributes == ran.told["attributes"]
    assert received(aws, others, wait_s=0) == []


def test_two_sendings_are_told_apart(topic: str, command: Command) -> None:
    ids = {command("alert", "test", "--topic", topic, "--json").told["alert_id"] for _ in range(2)}
    assert len(ids) == 2


def test_a_topic_that_nobody_listens_to_is_a_warning(
    topic: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALERTS_TOPIC_ARN", topic)
    ran = command("alert", "test")
    assert ran.code == 0
    assert f"To       {topic} (environment)" in ran.out
    assert "Warning  nobody is subscribed" in ran.out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--topic", "arn:aws:sns:us-east-1:000000000000:nobody"], "does not exist"),
        (["--topic", "alerts"], "the ARN of an SNS topic"),
        ([], "no topic to send to"),
        (["--live"], "the live stack is not up"),
        (["--severity", "bad"], "warning or critical"),
        (["--direction", "up"], "low or high"),
        (["--series", " "], "must not be empty"),
    ],
)
@pytest.mark.usefixtures("aws")
def test_misuse_is_said_in_a_sentence(command: Command, options: list[str], says: str) -> None:
    ran = command("alert", "test", *options)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert ran.err.count("\n") == 1
