"""`tidegauge chaos`: verdicts for people and programs, and what is asked wrongly."""

import json

import pytest

from tests.support.command import Command


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def test_seeds_that_hold_are_told_fault_by_fault(command: Command) -> None:
    ran = command("chaos", "--seeds", 3, "--first-seed", 5)
    assert ran.code == 0
    assert "✓ all 3 seeds hold" in ran.out
    assert "✓ holds" in ran.out
    assert "zombie overlaps its retry" in ran.out
    assert "Playing seeds" in ran.err


def test_json_is_all_of_standard_output(command: Command) -> None:
    ran = command("chaos", "--seeds", 2, "--jobs", 2, "--json")
    told = ran.told
    assert ran.code == 0
    assert (told["seeds"], told["first_seed"], told["holds"], told["failed"]) == (2, 1, True, [])
    assert told["windows"] >= 48
    assert {"fault", "seeds", "times", "failed"} == told["faults"][0].keys()
    assert ran.err == ""


def test_a_seed_that_fails_is_named_and_told(command: Command) -> None:
    ran = command("chaos", "--seeds", 2, "--first-seed", 1, "--mutant", "no-ids")
    assert ran.code == 1
    assert "✗ " in ran.out
    assert "seed 1" in ran.out
    assert "counts: " in ran.out
    assert "again: tidegauge chaos --seeds 1 --first-seed 1 --mutant no-ids" in ran.out
    told = command("chaos", "--seeds", 1, "--mutant", "no-ids", "--json").told
    assert told["holds"] is False
    assert told["failed"][0]["seed"] == 1
    assert told["failed"][0]["findings"][0].keys() == {"check", "says"}


def test_the_rules_that_can_be_broken_are_listed(command: Command) -> None:
    assert "first statement of a batch" in command("chaos", "--mutant", "list").out
    listed = json.loads(command("chaos", "--mutant", "list", "--json").out)
    assert "plain-read-first" in {one["name"] for one in listed}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--seeds", "0"], "--seeds"),
        (["--seeds", "x"], "--seeds"),
        (["--first-seed", "-1"], "--first-seed"),
        (["--jobs", "0"], "--jobs"),
        (["--mutant", "no-such"], "--mutant list"),
    ],
)
def test_what_is_asked_wrongly_is_misuse(command: Command, arguments: list[str], says: str) -> None:
    ran = command("chaos", *arguments)
    assert ran.code == 2
    assert says in ran.err
    assert ran.out == ""
