"""The doctor, status and a test alert on the deployed stack: all of it is sound."""

import pytest

from embedded.local import Running
from tests.support.command import Command
from tidegauge.cli.reached import reached_in

pytestmark = [pytest.mark.stack, pytest.mark.engine, pytest.mark.database]


@pytest.fixture
def command(
    stack: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    for name, value in reached_in("the stack under test", stack).variables.items():
        monkeypatch.setenv(name, value)
    return Command(monkeypatch, capsys)


def test_what_is_deployed_by_the_template_is_sound(command: Command, stack: Running) -> None:
    ran = command("doctor", "--json")
    wrong = {finding["what"] for finding in ran.told["findings"] if finding["level"] == "wrong"}
    # how counting stands is left to whoever uses this stack beside us
    assert wrong <= {"counting", "one clock"}
    assert ran.code == bool(wrong)
    assert stack.database.password not in ran.out
    # the roles of the template allow what the functions do, as the engine's simulator judges
    roles = [finding["level"] for finding in ran.told["findings"] if finding["what"] == "roles"]
    assert roles == ["ok"] * 3


def test_a_test_alert_goes_through_the_stacks_topic(command: Command, stack: Running) -> None:
    ran = command("alert", "test", "--json")
    assert ran.code == 0
    assert ran.told["topic"] == stack.outputs.alerts_topic_arn
    assert ran.told["message_id"]
