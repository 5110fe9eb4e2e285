"""`tidegauge quarantine` on the stream and database of the environment: words, JSON, exit codes."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from embedded.processes import free_port
from tests.support.command import Command, name_stream
from tests.support.count_stores import MysqlStores
from tests.support.oracle import SIZE, Beat
from tests.support.quarantined import STREAM_NAME, Aside, AsideLine, MixedLog, aside
from tests.support.races import connection_to
from tests.support.shard_line import beat
from tests.support.worlds import BASE, told
from tidegauge.adapters.mysql import connection
from tidegauge.adapters.mysql.lineage import lock_frontier
from tidegauge.domain.event import RejectReason

pytestmark = pytest.mark.database

NASTY = "\x1b[31m[bold]red[/bold]\u202e\x00"
JSON = RejectReason.MALFORMED_JSON
HELD = {"not_utf8": 1, "series_too_long": 4}
LOG: MixedLog = [
    Beat(BASE),
    aside(1, "a", 1),
    Aside(b'{"id": "\x1b[31m[bold]'),
    Aside(b"\xff\x00binary", RejectReason.NOT_UTF8, BASE + 1),
    told(2, "a", 2),
    aside(2, "a", 2),
    aside(-2 * 86_400_000, NASTY, 3),
]


@pytest.fixture
def line(fresh_database_url: str) -> Iterator[AsideLine]:
    """A stream of which five records were set aside; 0 is closed."""
    stores = MysqlStores(fresh_database_url)
    made = AsideLine(stores)
    made.listing("shardId-000000000000").counted("shardId-000000000000", LOG)
    made.counted("shardId-000000000000", [*LOG, beat(1)])
    made.close()
    yield made
    stores.close()


@pytest.fixture
def command(
    line: AsideLine,
    fresh_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Callable[..., object]:
    """The command, with that stream in its environment and no local stack."""
    del line
    rules = {"HEARTBEATS": "producer", "WINDOW_SECONDS": "300", "SERIES_BY": "type"}
    name_stream(monkeypatch, tmp_path, database=fresh_database_url, stream=STREAM_NAME, **rules)
    return Command(monkeypatch, capsys)


# --- list


def test_a_list_is_a_table_with_sums(command: Command) -> None:
    ran = command("quarantine", "list")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == "lineage (environment): 5 held: not_utf8 1, series_too_long 4"
    assert lines[1].split() == [
        "id",
        "reason",
        "shard",
        "record",
        "arrived",
        "(UTC)",
        "bytes",
        "holds",
    ]
    assert [line.split()[0] for line in lines[2:]] == ["5", "4", "3", "2", "1"]
    assert "\\x1b[31m[bold]" in ran.out
    assert "\x1b" not in ran.out


def test_a_list_as_json_has_everything(command: Command, line: AsideLine) -> None:
    told_of = command("quarantine", "list", "--json", "--limit", 3).told
    assert told_of["held"] == HELD
    assert (told_of["held_complete"], told_of["next_before"]) == (True, 3)
    (newest, *_) = told_of["items"]
    assert newest == {
        "id": 5,
        "state": "held",
        "reason": "series_too_long",
        "generation": line.generation,
        "shard": "shardId-000000000000",
        "sequence_number": "7",
        "part": 0,
        "arrived": None,
        "set_aside": newest["set_aside"],
        "size_bytes": newest["size_bytes"],
        "sha256": newest["sha256"],
        "kept": True,
        "series": None,
        "event_time": None,
        "settled": None,
        "why": "",
        "begins": newest["begins"],
    }
    assert newest["set_aside"].endswith("Z")
    again = command("quarantine", "list", "--json", "--before", 3).told
    assert [item["id"] for item in again["items"]] == [2, 1]


def test_a_list_may_be_of_a_reason(command: Command) -> None:
    ran = command("quarantine", "list", "--reason", "not_utf8", "--reason", "too_old")
    assert [one.split()[0] for one in ran.out.splitlines()[2:]] == ["3"]
    ran = command("quarantine", "list", "--reason", "series_too_long", "--shard", "other")
    assert len(ran.out.splitlines()) == 1


# --- show


def test_an_item_is_shown_with_what_to_do(command: Command) -> None:
    ran = command("quarantine", "show", 2)
    assert ran.code == 0
    assert "Item       2, held: it is not counted" in ran.out
    assert "Reason     series_too_long: the name of its series is longer" in ran.out
    assert "Do         set SERIES_BY to fields that are short" in ran.out
    assert ran.out.endswith('\n\n{"id": "\\x1b[31m[bold]\n')


def test_bytes_that_are_no_text_are_shown_in_hex(command: Command) -> None:
    ran = command("quarantine", "show", 3)
    assert ran.out.splitlines()[-1].split() == [
        "00000000", "ff", "00", "62", "69", "6e", "61", "72", "79", "..binary",
    ]  # fmt: skip
    assert "Arrived    " in ran.out


def test_json_and_raw_have_the_very_bytes(command: Command) -> None:
    told_of = command("quarantine", "show", 3, "--json").told
    assert base64.b64decode(told_of["base64"]) == b"\xff\x00binary"
    assert told_of["cause"]
    raw = subprocess.run(
        [sys.executable, "-m", "tidegauge.cli", "quarantine", "show", "3", "--raw"],
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert raw.stdout == b"\xff\x00binary"


# --- retry


def test_a_retry_tells_each_item_and_leaves_with_1_where_one_is_refused(
    command: Command, line: AsideLine
) -> None:
    ran = command("quarantine", "retry", 1, 2, 4, 5)
    assert (ran.code, ran.err) == (1, "")
    first, second, third, fourth, last = ran.out.splitlines()
    assert first == "1: counted: 1 event, 1 late"
    assert second.startswith("2: not counted: it is no JSON by the present rules (malformed_json);")
    assert third == "4: known: its events were counted already; nothing is added"
    assert fourth.startswith("5: not counted: an event of ")
    assert "is too old" in fourth
    assert last == "What was counted is told with the next window that closes."
    line.counted("shardId-000000000000", [*LOG, beat(1), beat(2)])
    assert line.close() == [(0, 2, 2, "complete"), (1, 1, 0, "complete")]


def test_a_retry_as_json(command: Command) -> None:
    ran = command("quarantine", "retry", "1", "3", "--json")
    assert ran.code == 1
    assert ran.told["outcomes"] == {
        "counted": 1, "known": 0, "discarded": 0, "refused": 1, "settled_before": 0,
    }  # fmt: skip
    assert ran.told["events"] == {"on_time": 0, "late": 1, "duplicates": 0}
    assert ran.told["refused"] == {"not_utf8": 1}
    assert [item["outcome"] for item in ran.told["items"]] == ["counted", "refused"]
    again = command("quarantine", "retry", "1", "--json")
    assert again.code == 0
    assert again.told["outcomes"]["settled_before"] == 1
    assert again.told["items"][0]["state"] == "counted"


def test_all_of_a_reason_are_retried_and_given_up(command: Command) -> None:
    ran = command("quarantine", "retry", "--reason", "series_too_long", "--json")
    assert ran.code == 1
    assert ran.told["outcomes"]["counted"] == 1
    assert ran.told["outcomes"]["refused"] == 2
    ran = command("quarantine", "discard", "--reason", "series_too_long", "--why", "noise")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        f"{n}: discarded: its bytes are gone; position, reason and hash stay" for n in (2, 5)
    ]
    assert "1 held: not_utf8 1" in command("quarantine", "list").out
    ran = command("quarantine", "retry", "--reason", "series_too_long")
    assert (ran.code, ran.out) == (0, "Nothing is held for that reason.\n")
    shown = command("quarantine", "show", 2).out
    assert "discarded at 20" in shown
    assert ": noise" in shown
    assert command("quarantine", "show", 2, "--raw").code == 1


def test_of_many_there_are_sums(command: Command, line: AsideLine) -> None:
    shard = "shardId-000000000000"
    more = [aside(n, "a", 100 + n) for n in range(40)] + [Aside(b"{", JSON)] * 30
    line.counted(shard, [*LOG, beat(1), *more])
    ran = command("quarantine", "retry", "--reason", JSON, "--reason", "series_too_long")
    assert ran.code == 1
    lines = ran.out.splitlines()
    assert sum(": not counted" in one for one in lines) == 20
    assert "… and 12 more that were not counted" in lines
    assert ["counted", "41"] in [one.split() for one in lines]
    assert ["malformed_json", "31"] in [one.split() for one in lines]
    line.counted(shard, [*LOG, beat(1), *more, beat(2)])
    assert line.close() == [(0, 2, 42, "complete"), (1, 1, 0, "complete")]


def test_a_giving_up_of_what_was_counted_leaves_with_1(command: Command) -> None:
    command("quarantine", "retry", 1)
    ran = command("quarantine", "discard", 1, 2)
    assert ran.code == 1
    assert ran.out.startswith("1: was counted before; nothing changes\n2: discarded")


def test_what_was_given_up_leaves_a_retry_with_1(command: Command) -> None:
    command("quarantine", "discard", 1)
    ran = command("quarantine", "retry", 1)
    assert (ran.code, ran.out) == (1, "1: was discarded before; nothing changes\n")


# --- misuse


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["list", "--reason", "bad"], "there is no reason 'bad'; the reasons are bad_time, "),
        (["list", "--limit", "0"], "--limit must lie between 1 and 1000"),
        (["list", "--shard", "\u00e4"], "the id of a shard"),
        (["list", "--series", "\udc80"], "--series must be text"),
        (["list", "--live"], "the live stack is not up"),
        (["show", "99"], "has no item 99: `tidegauge quarantine list --all`"),
        (["show", "1", "--raw", "--json"], "do not go together"),
        (["retry"], "neither is given"),
        (["retry", "1", "--reason", "empty"], "not both"),
        (["retry", "1", "98", "99"], "has no item 98, 99"),
        (["discard"], "neither is given"),
        (["discard", "1", "99"], "has no item 99"),
        (["discard", "1", "--why", "x" * 256], "--why must have at most 255 characters"),
        (["discard", "1", "--why", "\udc80"], "--why must be text"),
    ],
)
def test_misuse_is_said_in_a_sentence_and_changes_nothing(
    command: Command, line: AsideLine, arguments: list[str], says: str
) -> None:
    ran = command("quarantine", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert ran.err.count("\n") == 1
    assert line.quarantine.totals().by_reason == HELD


@pytest.mark.parametrize("name", ["WINDOW_SECONDS", "SERIES_BY"])
def test_a_retry_takes_nothing_for_granted_that_decides_what_an_event_counts_as(
    command: Command, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv(name)
    ran = command("quarantine", "retry", 1)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"tidegauge: {name} is not set: set it as collect has it\n"
    assert command("quarantine", "discard", 1).code == 0


def test_a_setting_that_cannot_be_used_is_misuse(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_EVENT_AGE_HOURS", "soon")
    ran = command("quarantine", "retry", 1)
    assert ran.code == 2
    assert "MAX_EVENT_AGE_HOURS must be a whole number" in ran.err


def test_another_stream_has_a_quarantine_of_its_own(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTS_STREAM", "other")
    assert "nothing is held in quarantine" in command("quarantine", "list").out
    assert command("quarantine", "show", 1).code == 2


def test_a_series_by_that_has_changed_counts_what_was_too_long(
    command: Command, line: AsideLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = "shardId-000000000000"
    data = json.loads(aside(3, "x" * 300, 50).data)
    data["data"] = {"country": "DE"}
    more: MixedLog = [*LOG, beat(1), Aside(json.dumps(data).encode())]
    line.counted(shard, more)
    assert command("quarantine", "retry", 6).code == 1
    monkeypatch.setenv("SERIES_BY", "data.country")
    assert command("quarantine", "retry", 6).code == 0
    line.counted(shard, [*more, Beat(BASE + 2 * SIZE + 60_000)])
    assert (0, 1, 1, "complete") in line.close()


# --- a database that does not answer


def test_a_database_that_is_not_there_is_said_in_a_sentence(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"mysql://tide:s3cret@127.0.0.1:{free_port()}/gauge")
    for arguments in (["list"], ["show", "1"], ["retry", "1"], ["discard", "1"]):
        ran = command("quarantine", *arguments, "--json")
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
        assert "cannot be reached" in ran.err
        assert "s3cret" not in ran.err


@pytest.mark.parametrize("arguments", [["retry"], ["discard"]])
def test_what_was_done_before_an_end_that_came_early_is_told(
    command: Command,
    line: AsideLine,
    monkeypatch: pytest.MonkeyPatch,
    fresh_database_url: str,
    arguments: list[str],
) -> None:
    monkeypatch.setattr(connection, "_LOCK_WAIT_SECONDS", 1)
    before = line.quarantine.totals()
    with connection_to(fresh_database_url) as database, database.transaction() as cursor:
        lock_frontier(cursor, line.generation)
        ran = command("quarantine", *arguments, "1", "2", "--json")
        shown = command("quarantine", *arguments, "1", "2")
    assert (ran.code, shown.code, shown.out) == (1, 1, "")
    assert ran.told["stopped"] == "waited too long for a lock (1205)"
    assert ran.told["items"] == []
    assert shown.err.startswith("tidegauge: stopped after 0 items: waited too long for a lock")
    assert line.quarantine.totals() == before
