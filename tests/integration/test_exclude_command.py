"""`tidegauge exclude` on the database of the environment: words, JSON, exit codes."""

import re
from pathlib import Path

import pytest

from embedded.processes import free_port
from tests.support.command import Command, name_stream
from tests.support.dataset_stores import STREAM_NAME, MysqlDatasetWorld, completed

pytestmark = pytest.mark.database

DAY = ("2013-02-08", "2013-02-09T12:30Z")


@pytest.fixture
def world(fresh_database_url: str) -> MysqlDatasetWorld:
    """A stream with one series."""
    made = MysqlDatasetWorld(fresh_database_url)
    made.announce([completed(made.generation(), "order.placed", 0, 1)])
    return made


@pytest.fixture
def command(
    world: MysqlDatasetWorld,  # noqa: ARG001 - has made the tables
    fresh_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Command:
    """The command, with that stream in its environment and no local stack."""
    name_stream(monkeypatch, tmp_path, database=fresh_database_url, stream=STREAM_NAME)
    return Command(monkeypatch, capsys)


def test_a_period_is_noted_listed_and_taken_back(command: Command) -> None:
    ran = command("exclude", *DAY, "--why", " a storm ")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        "Excluded as 1: 2013-02-08T00:00:00Z to 2013-02-09T12:30:00Z of all series."
        " The next dataset leaves it out.\n"
    )
    ran = command("exclude", *DAY, "--series", "order.placed", "--why", "load\ttest")
    assert (ran.code, ran.err) == (0, "")
    listed = command("exclude", "--list")
    assert listed.code == 0
    assert [re.split(r" {2,}", line) for line in listed.out.splitlines()] == [
        ["id", "from (UTC)", "until (UTC)", "series", "why"],
        ["1", "2013-02-08T00:00:00Z", "2013-02-09T12:30:00Z", "all", "a storm"],
        ["2", "2013-02-08T00:00:00Z", "2013-02-09T12:30:00Z", "'order.placed'", "load\\ttest"],
    ]
    ran = command("exclude", "--remove", 1)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Taken back 1: 2013-02-08T00:00:00Z to ")
    assert "a storm" not in command("exclude", "--list").out


def test_json_is_all_of_standard_output(command: Command) -> None:
    assert command("exclude", "--list", "--json").told == {"exclusions": []}
    told = command("exclude", *DAY, "--why", "☃", "--series", "order.placed", "--json").told
    assert told["warning"] == ""
    assert told["excluded"] == {
        "id": 1,
        "series": "order.placed",
        "from": "2013-02-08T00:00:00Z",
        "until": "2013-02-09T12:30:00Z",
        "why": "☃",
        "noted": told["excluded"]["noted"],
    }
    assert command("exclude", "--list", "--json").told == {"exclusions": [told["excluded"]]}
    assert command("exclude", "--remove", 1, "--json").told == {"removed": told["excluded"]}


def test_a_series_that_nobody_has_seen_is_noted_with_a_warning(
    command: Command, world: MysqlDatasetWorld
) -> None:
    ran = command("exclude", *DAY, "--series", "order.plased", "--why", "typo")
    assert ran.code == 0
    assert ran.err == "Warning: nobody has seen a series 'order.plased' yet; it is noted\n"
    told = command("exclude", *DAY, "--series", "later", "--why", "soon", "--json").told
    assert "nobody has seen" in told["warning"]
    assert [one.series for one in world.store.exclusions()] == ["order.plased", "later"]


def test_nothing_excluded_is_said_so(command: Command) -> None:
    assert command("exclude", "--list").out == "Nothing is excluded.\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "one of the three"),
        (["--list", "--remove", "1"], "one of the three"),
        ([*DAY, "--list"], "one of the three"),
        (["--list", "--why", "x"], "one of the three"),
        (["--series", "a", "--why", "x"], "one of the three"),
        ([DAY[0], "--why", "x"], "TO is missing"),
        ([*DAY], "--why must say why in 1 to 255 characters, not 0"),
        ([*DAY, "--why", "  "], "--why must say why"),
        ([*DAY, "--why", "x" * 256], "not 256"),
        ([*DAY, "--why", "\udc80"], "--why must be text"),
        ([*DAY, "--why", "x", "--series", ""], "a series' name has 1 to "),
        ([*DAY, "--why", "x", "--series", "ä" * 200], "--series has 400 bytes"),
        ([*DAY, "--why", "x", "--series", "\udc80"], "--series must be text"),
        (["yesterday", DAY[1], "--why", "x"], "FROM is no time: 'yesterday'"),
        ([DAY[1], DAY[0], "--why", "x"], "FROM must lie before TO"),
        ([DAY[0], DAY[0], "--why", "x"], "FROM must lie before TO"),
        (["--remove", "7"], "there is no exclusion 7: `tidegauge exclude --list` shows all"),
        ([*DAY, "--why", "x", "--live"], "the live stack is not up"),
    ],
)
def test_misuse_is_said_in_a_sentence_and_changes_nothing(
    command: Command, world: MysqlDatasetWorld, arguments: list[str], says: str
) -> None:
    ran = command("exclude", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert ran.err.count("\n") == 1
    assert world.store.exclusions() == []


def test_a_database_that_is_not_there_is_said_in_a_sentence(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"mysql://tide:s3cret@127.0.0.1:{free_port()}/gauge")
    for arguments in (["--list"], ["--remove", "1"], [*DAY, "--why", "x"]):
        ran = command("exclude", *arguments, "--json")
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
        assert "cannot be reached" in ran.err
        assert "s3cret" not in ran.err
