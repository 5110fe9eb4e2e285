"""`tidegauge status` of the stream and database in the environment: exit code, words and JSON."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from embedded.processes import ProcessRecord, free_port, start_identity
from tests.support.closing import close_all
from tests.support.command import Command, name_stream
from tests.support.count_stores import MysqlStores
from tests.support.oracle import SIZE, Beat, Log
from tests.support.worlds import BASE, CLOSE_RULES, RULES, records, told
from tidegauge.ports import ShardListing, StreamIdentity
from tidegauge.steps.collect import collect

pytestmark = pytest.mark.database

END = Beat(BASE + 3 * SIZE + 60_000)
BUSY: Log = [x for n in range(3) for x in (Beat(BASE + n * SIZE), told(n * SIZE, "a", n))] + [END]
Count = Callable[..., None]


@pytest.fixture
def status(
    fresh_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Command:
    """The command, with a stream and a database in its environment and no local stack."""
    name_stream(
        monkeypatch, tmp_path, database=fresh_database_url, stream="events", HEARTBEATS="producer"
    )
    return Command(monkeypatch, capsys)


@pytest.fixture
def count(fresh_database_url: str) -> Count:
    """Counts a log on each of two shards, and closes what can be closed."""

    def counted(log: Log, *, close: bool = True) -> None:
        stores = MysqlStores(fresh_database_url)
        identity = StreamIdentity("arn:aws:kinesis:eu-west-1:1:stream/events", 0)
        generation = stores.counts.generation(identity)
        listing = [ShardListing(f"s{n}", (), 0, 0, closed=False) for n in range(2)]
        stores.counts.register_shards(generation, listing)
        for shard in listing:
            collect(stores.counts, generation, shard.shard_id, records(shard.shard_id, log), RULES)
        if close:
            close_all(stores.counts, generation, CLOSE_RULES)
        stores.close()

    return counted


def test_a_stream_that_counts(status: Command, count: Count) -> None:
    count(BUSY)
    ran = status("status", "--json")
    assert (ran.code, ran.err) == (0, "")
    (counting,) = ran.told["counting"]
    assert (counting["name"], counting["state"], counting["fine"]) == (
        "environment", "counting", True,
    )  # fmt: skip
    assert counting["series"] == 1
    shown = status("status")
    assert shown.code == 0
    assert shown.out.startswith("environment: events\n  counting")


def test_a_silent_series_is_no_fault_of_ours(status: Command, count: Count) -> None:
    count([Beat(BASE), told(0, "quiet", 1), END])
    ran = status("status", "--json")
    assert ran.code == 0
    (counting,) = ran.told["counting"]
    assert counting["state"] == "silent"
    (silent,) = counting["silent"]
    assert (silent["series"], silent["windows"]) == ("quiet", 2)
    assert "→ look at the producers" in status("status").out


def test_a_stream_whose_windows_nobody_closes_is_stalled(status: Command, count: Count) -> None:
    count([Beat(BASE), told(0, "a", 1), END], close=False)
    ran = status("status", "--json")
    assert ran.code == 1
    (counting,) = ran.told["counting"]
    assert (counting["state"], counting["stalls"][0]["cause"]) == ("stalled", "closing")


def test_by_the_wall_clock_a_stream_of_years_ago_is_stalled(
    status: Command, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    count(BUSY)
    monkeypatch.setenv("HEARTBEATS", "sweep")
    ran = status("status")
    assert ran.code == 1
    assert "stalled" in ran.out
    assert "→ look at the sweep" in ran.out


def test_a_stream_that_was_never_counted_here_is_no_green(
    status: Command, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    count([Beat(BASE), END])
    monkeypatch.setenv("EVENTS_STREAM", "another")
    ran = status("status")
    assert ran.code == 1
    assert "nothing of stream another was ever counted" in " ".join(ran.out.split())


def test_a_database_that_does_not_answer_is_unknown_and_never_fine(
    status: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"mysql://tide:s3cret@127.0.0.1:{free_port()}/gauge")
    ran = status("status", "--json")
    assert ran.code == 1
    (counting,) = ran.told["counting"]
    assert (counting["state"], counting["fine"]) == ("unknown", False)
    assert "s3cret" not in ran.out


@pytest.mark.parametrize(
    ("name", "value"), [("WINDOW_SECONDS", "7"), ("DATABASE_URL", "mysql://s3cret@")]
)
def test_settings_that_cannot_be_used_are_misuse(
    status: Command, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    ran = status("status", "--json")
    assert (ran.code, ran.out) == (2, "")
    assert name in ran.err
    assert "s3cret" not in ran.err


def test_nothing_that_runs_and_nothing_that_is_named_is_down(
    status: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EVENTS_STREAM")
    monkeypatch.delenv("DATABASE_URL")
    ran = status("status")
    assert ran.code == 1
    assert "Start it with `make run`" in ran.out
    assert status("status", "--json").told == {
        "stacks": {
            "make run": {
                "up": False,
                "servers": {"engine": None, "database": None, "SageMaker stand-in": None},
            }
        },
        "counting": [],
    }


def test_an_engine_is_not_blamed_for_a_server_that_is_down(
    status: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.delenv("EVENTS_STREAM")
    own = ProcessRecord(os.getpid(), start_identity(os.getpid()) or "", free_port())
    for name in ("engine", "database", "sagemaker"):
        record = tmp_path / "run" / f"{name}.pid"
        record.parent.mkdir(exist_ok=True)
        record.write_bytes(msgspec.json.encode(own))
        (tmp_path / "run" / "database").mkdir(exist_ok=True)
        (tmp_path / "run" / "database" / "password").write_text("secret")
        ran = status("status")
        assert ran.code == 1
        assert ("hangs" in ran.out) is (name == "sagemaker"), ran.out


def test_a_stream_without_its_database_is_told_to_be_left_out(
    status: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    ran = status("status", "--json")
    assert (ran.code, ran.told["counting"]) == (1, [])
    assert ran.err.startswith("tidegauge: EVENTS_STREAM is set, DATABASE_URL")


def test_a_database_that_refuses_a_statement_is_unknown(
    status: Command, fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "DATABASE_URL", fresh_database_url.rpartition("/")[0] + "/information_schema"
    )
    ran = status("status", "--json")
    assert (ran.code, ran.err) == (1, "")
    assert [one["state"] for one in ran.told["counting"]] == ["unknown"]
