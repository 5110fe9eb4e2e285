"""The recorded storm, audited as a person would: against its fixture, and against the stream."""

import pytest

from embedded.local import Running
from embedded.places import STORM, Places
from embedded.report import Report
from tests.support.command import Command
from tidegauge.cli.reached import reached_in

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

SPAN = ("2013-01-17", "2013-02-13")


@pytest.fixture
def command(
    stack: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """The command, reaching the stack as it reaches a local one."""
    for name, value in reached_in("the stack under test", stack).variables.items():
        monkeypatch.setenv(name, value)
    return Command(monkeypatch, capsys)


def test_what_was_announced_of_the_storm_is_what_its_fixture_holds(
    command: Command, places: Places, storm: Report
) -> None:
    ran = command("audit", *SPAN, "--fixture", places.repository / STORM, "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.told["recounted"] == ran.told["counted"] == storm.check.events == 21_954
    assert (ran.told["windows"], ran.told["windows_open"]) == (27 * 288, 0)


def test_and_what_the_stream_holds(command: Command, storm: Report) -> None:
    ran = command("audit", *SPAN, "--stream", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.told["recounted"] == ran.told["counted"] == storm.check.events
    assert ran.told["windows"] + ran.told["windows_not_covered"] == 27 * 288
    shown = command("audit", *SPAN, "--stream")
    assert shown.out.splitlines()[-1].startswith("✓ what was announced of 7,776 windows is what")
