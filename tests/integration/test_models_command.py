"""`tidegauge models` and `tidegauge rollback`, as a person uses them."""

import json
import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from embedded.engine import LocalSession
from embedded.processes import free_port
from tests.support.command import Command, name_stream
from tests.support.real_deployment import RealDeployment
from tests.support.standin import put_fault
from tidegauge.domain.model_record import ModelState, Parameter
from tidegauge.ports import ModelChange

pytestmark = [pytest.mark.database, pytest.mark.engine]


@pytest.fixture
def command(
    there: RealDeployment,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Command:
    """The commands, with everything in their environment and no local stack."""
    variables = dict(there.variables)
    database, stream = variables.pop("DATABASE_URL"), variables.pop("EVENTS_STREAM")
    name_stream(monkeypatch, tmp_path, database=database, stream=stream, **variables)
    return Command(monkeypatch, capsys)


@pytest.fixture
def three(there: RealDeployment) -> list[str]:
    """The first two models went live one after the other, the third one is no good."""
    versions = [there.train(1), "", ""]
    there.ring(versions[0])
    versions[1] = there.train(2, 0.45)
    there.ring(versions[1])
    versions[2] = there.train(3, 3.0)
    there.ring(versions[2])
    record = there.record(versions[1])
    parameter = Parameter("HyperParameters.loss", "squared_loss", versions[0])
    with_lineage = replace(record, predecessor=versions[0], parameters=(parameter,))
    assert there.ledger.write([ModelChange(with_lineage, ModelState.LIVE)])
    return versions


def test_nothing_is_there_before_the_first_training(
    there: RealDeployment, command: Command
) -> None:
    ran = command("models")
    assert ran.code == 0
    assert f"Endpoint {there.endpoint} does not exist." in ran.out
    assert "`tidegauge retrain` makes the first one" in ran.out
    assert command("models", "--json").told["models"] == []
    ran = command("models", "nobody")
    assert (ran.code, ran.out) == (2, "")
    assert "there is no model 'nobody'" in ran.err


def test_all_models_are_told_and_one_in_full_and_an_earlier_one_is_brought_back(
    there: RealDeployment, three: list[str], command: Command
) -> None:
    first, second, third = three
    ran = command("models")
    assert (ran.code, ran.err) == (0, "")
    head, _, *lines = ran.out.splitlines()
    assert head == f"Endpoint {there.endpoint} is InService and serves {second}"
    assert [re.split(r" {2,}", line)[:2] for line in lines] == [
        [third, "refused"],
        [second, "live"],
        [first, "retired"],
    ]
    assert "is not below the seasonal baseline" in lines[0]

    told = command("models", "--json").told
    assert told["warning"] == ""
    assert [one["version"] for one in told["models"]] == [third, second, first]
    assert [one["serves"] for one in told["models"]] == [False, True, False]

    ran = command("models", second)
    assert ran.code == 0
    for words in (
        r"State +live, since",
        rf"Before +0\.4\S* of {first}",
        r"1 series, 200 rows to train on",
        rf"Artifact +s3://deploy-models/deployed/{second}/\w+/model\.tar\.gz",
        rf"Lineage +{first} \(retired\)",
        rf"HyperParameters\.loss +squared_loss +{first}",
    ):
        assert re.search(words, ran.out), words
    told = command("models", second, "--json").told
    assert told["lineage"] == [{"version": first, "state": "retired"}]
    assert told["manifest"]["train"]["rows"] == 200

    ran = command("rollback", first, "--yes")
    assert (ran.code, ran.out.splitlines()[0]) == (
        0,
        f"Model {first} is live; {second} was before.",
    )
    assert "ALERTS_TOPIC_ARN" in ran.out  # nobody to send to here: the sweep does
    assert there.answering() == first
    ran = command("rollback", first, "--yes")
    assert (ran.code, ran.err) == (2, f"tidegauge: model {first} is live already\n")
    ran = command("rollback", third, "--yes", "--json")
    assert (ran.code, ran.out) == (2, "")
    assert "is refused: only one that was live" in ran.err


def test_nobody_is_taken_by_surprise(there: RealDeployment, command: Command) -> None:
    ran = command("rollback", "any")
    assert (ran.code, ran.out) == (2, "")
    assert "say --yes" in ran.err
    assert there.ledger.all() == []


def test_an_endpoint_that_serves_something_else_is_told(
    there: RealDeployment, command: Command
) -> None:
    first = there.train(1)
    there.ring(first)
    there.host.delete_endpoint(there.endpoint)
    ran = command("models")
    assert f"Warning: the endpoint serves nothing, but {first} is live" in ran.out
    assert "live, not serving" in ran.out
    # and the way out
    assert command("rollback", first, "--yes").code == 0
    assert there.answering() == first
    assert "Warning" not in command("models").out


def test_models_are_told_though_the_endpoint_cannot_be_asked(
    there: RealDeployment, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = there.train(1)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", f"http://127.0.0.1:{free_port()}")
    ran = command("models")
    assert ran.code == 0
    assert f"Endpoint {there.endpoint} could not be asked" in ran.out
    assert first in ran.out
    assert command("models", "--json").told["endpoint"]["unknown"]


def test_one_that_answers_no_longer_does_not_become_live_and_people_hear_of_it(
    there: RealDeployment, command: Command, aws: LocalSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = aws.sns.create_topic(Name=there.endpoint)["TopicArn"]
    queue = aws.sqs.create_queue(QueueName=there.endpoint)["QueueUrl"]
    arn = aws.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    aws.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["Attributes"]["QueueArn"])
    monkeypatch.setenv("ALERTS_TOPIC_ARN", topic)
    first = there.train(1)
    there.ring(first)
    second = there.train(2)
    there.ring(second)
    put_fault(there.address, model=first, fault="nan")
    ran = command("rollback", first, "--yes", "--json")
    assert ran.code == 1
    assert ran.told["model"]["state"] == "rolled_back"
    assert ran.told["notices_left"] == ""
    assert there.answering() == second
    messages = aws.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    told = [json.loads(json.loads(one["Body"])["Message"]) for one in messages]
    assert [(one["kind"], one["model"]) for one in told] == [
        ("model_deployed", first),
        ("model_deployed", second),
        ("model_rolled_back", first),
    ]
    ran = command("rollback", first, "--yes")
    assert (ran.code, ran.out) == (2, "")
    assert f"model {first} is rolled back: only one that was live" in ran.err


def test_a_copy_that_was_tampered_with_does_not_become_live(
    there: RealDeployment, command: Command
) -> None:
    first = there.train(1)
    there.ring(first)
    second = there.train(2)
    there.ring(second)
    record = there.record(first)
    there.objects.put(record.artifact_uri, b"evil", content_type="application/gzip")
    ran = command("rollback", first, "--yes")
    assert (ran.code, ran.out) == (2, "")
    assert "was tampered with" in ran.err
    assert there.answering() == second
