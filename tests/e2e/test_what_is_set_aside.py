"""What the deployed functions set aside, as the commands of the quarantine find it there."""

from collections.abc import Callable
from typing import Any

import pytest

from embedded.local import Running
from tests.support.command import Command
from tests.support.live import until
from tidegauge.cli.reached import reached_in

pytestmark = [pytest.mark.stack, pytest.mark.engine, pytest.mark.database]


@pytest.fixture
def command(
    stack: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    for name, value in reached_in("the stack under test", stack).variables.items():
        monkeypatch.setenv(name, value)
    return Command(monkeypatch, capsys)


def listed(command: Command) -> Callable[[], list[dict[str, Any]]]:
    def once() -> list[dict[str, Any]]:
        ran = command("quarantine", "list", "--reason", "malformed_json", "--json")
        items: list[dict[str, Any]] = ran.told["items"]
        return items

    return once


def test_a_record_that_is_no_event_is_found_looked_at_tried_again_and_given_up(
    command: Command, stack: Running
) -> None:
    stack.engine.session().kinesis.put_record(
        StreamName=stack.outputs.events_stream_name, Data=b'{"id": \x1b[31m', PartitionKey="p"
    )
    (item,) = until(listed(command), seconds=60, what="a record that is set aside")
    number = item["id"]
    assert item["arrived"]
    assert '{"id": \\x1b[31m' in command("quarantine", "show", number).out
    # by the rules of the functions, which the stack tells
    tried = command("quarantine", "retry", number)
    assert tried.code == 1
    assert tried.out.startswith(f"{number}: not counted: it is no JSON")
    assert command("quarantine", "discard", number, "--why", "a trial").code == 0
    assert listed(command)() == []
    assert "a trial" in command("quarantine", "show", number).out
