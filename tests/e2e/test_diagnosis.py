"""The doctor, status and a test alert on the deployed stack: all of it is sound."""

from typing import Any

import pytest

from embedded.circle import ledger_on
from embedded.local import Running
from embedded.report import Report
from tests.support.command import Command, Ran
from tidegauge.cli.reached import reached_in
from tidegauge.domain.model_record import ModelState

pytestmark = [pytest.mark.stack, pytest.mark.engine, pytest.mark.database]


@pytest.fixture
def command(
    stack: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    for name, value in reached_in("the stack under test", stack).variables.items():
        monkeypatch.setenv(name, value)
    return Command(monkeypatch, capsys)


def about(ran: Ran, what: str) -> list[dict[str, Any]]:
    """Return the findings of one thing."""
    return [finding for finding in ran.told["findings"] if finding["what"] == what]


def test_what_is_deployed_by_the_template_is_sound(command: Command, stack: Running) -> None:
    ran = command("doctor", "--json")
    findings: list[dict[str, str]] = ran.told["findings"]
    wrong = {each["what"]: each["says"] for each in findings if each["level"] == "wrong"}
    # how counting stands is left to whoever uses this stack beside us
    assert wrong.keys() <= {"counting", "one clock"}, wrong
    assert ran.code == bool(wrong)
    assert stack.database.password not in ran.out
    assert [found["level"] for found in about(ran, "functions")] == ["ok"]


def test_the_roles_of_the_template_allow_what_the_functions_do(command: Command) -> None:
    # as the engine's simulator judges, which cannot judge what hangs on a condition
    roles = about(command("doctor", "--json"), "roles")
    assert [found["level"] for found in roles] == ["ok"] * 4 + ["not checked"] * 2
    for found, part in zip(roles[4:], ("train", "deploy"), strict=True):
        assert found["says"].startswith(f"role of {part}: ")
        assert found["says"].endswith("nobody knows if it may iam:PassRole")


def test_the_chain_from_a_dataset_to_the_endpoint_hangs_together(command: Command) -> None:
    chain = about(command("doctor", "--json"), "retraining")
    # in this stack datasets are asked for by hand; deploy's schedule and both buckets call
    assert [found["level"] for found in chain] == ["warning", "ok", "ok", "ok"]
    assert "is disabled: no dataset is exported by itself" in chain[0]["says"]


def test_an_endpoint_without_a_model_waits_for_its_first_one(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENDPOINT_NAME", "nobodys-yet")
    (found,) = about(command("doctor", "--json"), "endpoint")
    assert found["level"] == "warning"
    assert found["says"].startswith("nobodys-yet waits for its first model")
    assert "`tidegauge retrain`" in found["remedy"]


def test_an_endpoint_with_a_model_serves_the_one_that_is_live(
    command: Command, stack: Running, storm: Report
) -> None:
    assert storm.models
    database = stack.connect()
    try:
        (live,) = ledger_on(database, database).all(ModelState.LIVE)
    finally:
        database.close()
    (found,) = about(command("doctor", "--json"), "endpoint")
    assert found["level"] == "ok"
    assert found["says"].endswith(f"is in service, with {live.record.version}")


def test_a_test_alert_goes_through_the_stacks_topic(command: Command, stack: Running) -> None:
    ran = command("alert", "test", "--json")
    assert ran.code == 0
    assert ran.told["topic"] == stack.outputs.alerts_topic_arn
    assert ran.told["message_id"]
