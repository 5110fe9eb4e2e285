"""`tidegauge replay` offline: outputs, sums, bad input, and the same bytes however it is run."""

import csv
import gzip
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command, Ran
from tests.support.events import MINUTE_MS, NOON_MS, event_json
from tidegauge.adapters.replay_output import csv_field
from tidegauge.domain.event_time import format_time
from tidegauge.domain.heartbeat import heartbeat_record

STORM = Path(__file__).parents[1] / "fixtures" / "departures-2013-storm.jsonl.gz"
HEADER = "series,window_start,window_end,count,revision,late,quality,expected,lower,upper,verdict"


Replay = Callable[..., Ran]


@pytest.fixture
def replay(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Replay:
    return partial(Command(monkeypatch, capsys), "replay")


def fixture_of(tmp_path: Path, *lines: bytes) -> Path:
    path = tmp_path / "f.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def event(event_id: str, minute: float, **more: str) -> bytes:
    return event_json(event_id, NOON_MS + round(minute * MINUTE_MS), **more)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_the_sums_have_exactly_the_promised_keys_and_standard_output_nothing_else(
    replay: Replay, tmp_path: Path
) -> None:
    ran = replay(fixture_of(tmp_path, event("1", 0)), "--no-predict", "--json")
    assert ran.code == 0
    assert list(ran.told) == [
        "events", "distinct", "duplicates", "quarantined", "late", "windows", "corrected",
        "alerts", "seconds",
    ]  # fmt: skip
    assert (ran.out.count("\n"), ran.err) == (1, "")


def test_the_counts_of_the_storm_equal_a_plain_recount(replay: Replay, tmp_path: Path) -> None:
    out = tmp_path / "w.csv"
    sums = replay(STORM, "--no-predict", "--json", "--windows-out", out).told
    assert (sums["events"], sums["distinct"], sums["quarantined"]) == (21_954, 21_954, 0)
    lines = gzip.decompress(STORM.read_bytes()).splitlines()
    times = [json.loads(line)["time"] for line in lines]
    plain = Counter(f"{t[:14]}{int(t[14:16]) // 5 * 5:02d}:00Z" for t in times)
    rows = rows_of(out)
    assert {row["window_start"]: int(row["count"]) for row in rows if row["count"] != "0"} == plain
    assert len(rows) == 27 * 288 == sums["windows"]


def test_late_and_duplicate_events_and_corrections_are_counted(
    replay: Replay, tmp_path: Path
) -> None:
    # the window of 12:00 closes at 12:06; the event of 12:01 comes after that, twice
    path = fixture_of(
        tmp_path,
        event("1", 0),
        event("2", 4),
        event("3", 6.5),
        *[event("4", 1)] * 2,
        event("5", 13),
    )
    out = tmp_path / "w.csv"
    sums = replay(path, "--no-predict", "--json", "--windows-out", out).told
    del sums["seconds"]
    assert sums == {
        "events": 6, "distinct": 5, "duplicates": 1, "quarantined": 0, "late": 1, "windows": 3,
        "corrected": 1, "alerts": 0,
    }  # fmt: skip
    assert out.read_text() == (
        f"{HEADER}\n"
        "order.placed,2013-02-08T12:00:00Z,2013-02-08T12:05:00Z,3,2,1,complete,,,,NOT_JUDGED\n"
        "order.placed,2013-02-08T12:05:00Z,2013-02-08T12:10:00Z,1,1,0,complete,,,,NOT_JUDGED\n"
        "order.placed,2013-02-08T12:10:00Z,2013-02-08T12:15:00Z,1,1,0,complete,,,,NOT_JUDGED\n"
    )


def test_envelopes_of_eventbridge_are_counted_as_cloud_events_are(
    replay: Replay, tmp_path: Path
) -> None:
    enveloped = []
    for number, data in enumerate([event(str(n), n, series="t") for n in range(12)]):
        said = json.loads(data)
        if number % 3:
            del said["specversion"]
            said["detail-type"], said["detail"] = said.pop("type"), {"country": "NO"}
        else:
            said["data"] = {"country": "NO"}
        enveloped.append(said)
    lines = [json.dumps(said).encode() for said in enveloped]
    path = fixture_of(tmp_path, lines[0], lines[1], json.dumps(enveloped[2:5]).encode(), *lines[5:])
    out = tmp_path / "w.csv"
    sums = replay(path, "--no-predict", "--json", "--windows-out", out).told
    assert (sums["events"], sums["distinct"], sums["quarantined"]) == (12, 12, 0)
    assert [(row["series"], row["count"]) for row in rows_of(out)] == [
        ("t", "5"),
        ("t", "5"),
        ("t", "2"),
    ]


def test_windows_are_sorted_by_time_then_series_and_odd_names_are_quoted(
    replay: Replay, tmp_path: Path
) -> None:
    names = ["b", "a,b", 'say "x"', "l\nm", "c\rd", "ä", " lead", "Z"]
    path = fixture_of(tmp_path, *(event(n, 0, series=n) for n in names), event("l", 6, series="b"))
    out = tmp_path / "w.csv"
    assert replay(path, "--no-predict", "--windows-out", out).code == 0
    found = [(row["window_start"], row["series"]) for row in rows_of(out)]
    assert found == sorted(found)
    assert {name for _, name in found} == set(names)
    assert csv_field("plain") == "plain"
    assert csv_field("") == '""'


def test_bad_lines_are_set_aside_with_line_and_reason(replay: Replay, tmp_path: Path) -> None:
    path = fixture_of(
        tmp_path,
        event("0", 60 * 24 * 4000),  # an absurd first event
        *(event(str(n), n / 100) for n in range(1, 12)),
        b"",
        b'{"id": ',
        b'{"specversion":"1.0","id":"1"}',
        b"\xff\xfe",
        b'["x", ' + event("b", 1) + b"]",
        event("old", -60 * 25),
        event("far", 60 * 24 * 4000),
        event("end", 2),
    )
    out = tmp_path / "q.jsonl"
    ran = replay(path, "--no-predict", "--json", "--quarantine-out", out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {(row["line"], row["reason"]) for row in rows} == {
        (1, "unconfirmed_time"), (14, "malformed_json"), (15, "missing_field"),
        (16, "not_utf8"), (17, "not_an_event"), (18, "too_old"), (19, "unconfirmed_time"),
    }  # fmt: skip
    assert next(row for row in rows if row["line"] == 16)["base64"] == "//4="
    assert (ran.told["quarantined"], ran.told["events"]) == (7, 13)
    table = replay(path, "--no-predict").out
    assert "malformed_json" in table
    assert "unconfirmed_time" in table


def test_an_overlong_line_is_set_aside(replay: Replay, tmp_path: Path) -> None:
    path = fixture_of(tmp_path, event("1", 0), b'{"id":"' + b"x" * 11_000_000, event("2", 1))
    out = tmp_path / "q.jsonl"
    sums = replay(path, "--no-predict", "--json", "--quarantine-out", out).told
    assert (sums["events"], sums["quarantined"]) == (2, 1)
    (row,) = [json.loads(line) for line in out.read_text().splitlines()]
    assert (row["line"], row["reason"]) == (2, "too_large")
    assert "11000007 bytes, sha256" in row["text"]


@pytest.mark.parametrize("extra", [(), ("--jobs", "2"), ("--jobs", "3")])
def test_every_way_to_run_it_gives_the_same_bytes(
    replay: Replay, tmp_path: Path, extra: tuple[str, ...]
) -> None:
    odd = [b"{", b'["x",' + event("b", 1) + b"]", b"x" * 10_500_000, b"", b"\xff"]
    path = tmp_path / "f.jsonl"
    many = [event(f"n{n}", n / 50, series=f"s{n % 3}") for n in range(9000)]
    beat = heartbeat_record(source="/x", event_time_ms=0, shard_id="s", previous=1 << 70)
    path.write_bytes(b"\n".join([*many[:4000], *odd, beat, *many[3990:], many[0]]))
    results: list[Any] = []
    for run, arguments in enumerate(((), extra)):
        outs = [tmp_path / f"{run}.csv", tmp_path / f"{run}.q"]
        ran = replay(
            path, "--no-predict", "--json", "--windows-out", outs[0], "--quarantine-out", outs[1],
            *arguments,
        )  # fmt: skip
        sums = ran.told
        del sums["seconds"]
        results.append((sums, *(out.read_bytes() for out in outs)))
    assert results[0] == results[1]
    assert results[0][0]["duplicates"] == 11


def test_two_judged_replays_give_the_same_bytes(replay: Replay, tmp_path: Path) -> None:
    results = []
    for run in range(2):
        outs = [tmp_path / f"{run}.csv", tmp_path / f"{run}.jsonl"]
        ran = replay(STORM, "--json", "--windows-out", outs[0], "--alerts-out", outs[1])
        assert ran.told["alerts"] == len(outs[1].read_text().splitlines())
        results.append([out.read_bytes() for out in outs])
    assert results[0] == results[1]
    judged = [row for row in rows_of(tmp_path / "0.csv") if row["verdict"] != "NOT_JUDGED"]
    assert judged
    assert all(float(r["lower"]) <= float(r["expected"]) <= float(r["upper"]) for r in judged)


# --- recordings


def recorded(number: int, data: bytes, shard: str = "s-0") -> bytes:
    fields = {"shard": shard, "sequence_number": str(number), "data": json.loads(data)}
    return json.dumps({**fields, "arrival_time": format_time(NOON_MS + number)}).encode()


def beat(minute: int, shard: str = "s-0") -> bytes:
    return heartbeat_record(
        source="/tidegauge/clock",
        event_time_ms=NOON_MS + minute * MINUTE_MS,
        shard_id=shard,
        previous=None,
    )


def test_a_recording_is_counted_by_its_own_heartbeats(
    replay: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEARTBEATS", "producer")
    path = fixture_of(
        tmp_path,
        recorded(1, beat(0)), recorded(1, beat(0, "s-1"), "s-1"),
        recorded(2, event("1", 1)), recorded(2, event("2", 1), "s-1"),
        recorded(3, beat(6)), recorded(4, event("3", 2)),
        b'{"shard": 5}',
        recorded(3, beat(12, "s-1"), "s-1"), recorded(2, event("1", 1)), recorded(5, beat(12)),
    )  # fmt: skip
    out = tmp_path / "w.csv"
    sums = replay(path, "--no-predict", "--json", "--windows-out", out).told
    assert (sums["events"], sums["late"], sums["quarantined"]) == (3, 1, 1)
    assert [(row["count"], row["revision"]) for row in rows_of(out)] == [("3", "2"), ("0", "1")]


def test_a_recording_without_heartbeats_is_refused(replay: Replay, tmp_path: Path) -> None:
    path = fixture_of(tmp_path, recorded(1, event("1", 1)))
    ran = replay(path, "--no-predict", "--windows-out", tmp_path / "w.csv")
    assert ran.code == 2
    assert "without any heartbeat" in ran.err
    assert not (tmp_path / "w.csv").exists()


# --- misuse


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--speed", "2"), "--to"),
        (("--shift-to-now",), "--to"),
        (("--to", "s", "--no-predict"), "offline"),
        (("--to", "s", "--speed", "0"), "--speed must be above zero"),
        (("--to", "s", "--speed", "nan"), "--speed must be above zero"),
        (("--model", "none.tar.gz"), "neither seasonal"),
        (("--model", "endpoint:"), "needs the name"),
        (("--model", "endpoint:-no-"), "ENDPOINT_NAME"),
        (("--jobs", "0"), "--jobs"),
        (("--nonsense",), "--nonsense"),
        (("--windows-out", "/proc/none/w.csv"), "cannot be written"),
        (("--windows-out", "/"), "cannot be written"),
    ],
)
def test_misuse_is_answered_in_a_sentence_and_with_exit_code_2(
    replay: Replay, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    ran = replay(fixture_of(tmp_path, event("1", 0)), *arguments)
    assert ran.code == 2
    assert said in ran.err
    assert "Traceback" not in ran.err
    assert ran.out == ""


def test_no_output_overwrites_an_input_or_another_output(replay: Replay, tmp_path: Path) -> None:
    path = fixture_of(tmp_path, event("1", 0))
    before = path.read_bytes()
    manifest = Path(f"{path}.manifest.json")
    out = tmp_path / "o"
    for arguments in (
        ("--windows-out", path),
        ("--alerts-out", manifest),
        ("--windows-out", out, "--alerts-out", out),
    ):
        ran = replay(path, "--no-predict", *arguments)
        assert (ran.code, "would overwrite" in ran.err) == (2, True)
    assert path.read_bytes() == before
    assert not out.exists()


def test_a_failed_replay_leaves_no_file_and_keeps_the_old_one(
    replay: Replay, tmp_path: Path
) -> None:
    short = tmp_path / "short.gz"
    short.write_bytes(STORM.read_bytes()[:200_000])
    out = tmp_path / "w.csv"
    out.write_text("old")
    ran = replay(short, "--no-predict", "--windows-out", out)
    assert (ran.code, "truncated" in ran.err) == (2, True)
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["short.gz", "w.csv"]


def test_settings_of_the_environment_count_and_all_their_faults_are_told(
    replay: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fixture_of(tmp_path, event("1", 0), event("2", 0.5), event("3", 1))
    monkeypatch.setenv("WINDOW_SECONDS", "60")
    assert replay(path, "--no-predict", "--json").told["windows"] == 2
    monkeypatch.setenv("WINDOW_SECONDS", "7")
    monkeypatch.setenv("CLEAR_WINDOWS", "few")
    ran = replay(path, "--json")
    assert ran.code == 2
    assert ran.err.count("\n") == 2


def test_ctrl_c_ends_it_with_130_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = fixture_of(tmp_path, *(event(str(n), n / 1000) for n in range(200_000)))
    out = tmp_path / "w.csv"
    command = [sys.executable, "-m", "tidegauge.cli", "replay", str(path), "--no-predict"]
    command += ["--jobs", "2", "--windows-out", str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:  # noqa: S603
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob(".w.csv.*")) and time.monotonic() < deadline:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["f.jsonl"]


def test_the_installed_command_and_the_replayer_module_run() -> None:
    for module, arguments in (
        ("tidegauge.cli", ["replay", str(STORM), "--no-predict", "--json"]),
        ("producers.replayer", ["--help"]),
    ):
        command = [sys.executable, "-m", module, *arguments]
        ended = subprocess.run(command, check=False, capture_output=True, timeout=60)  # noqa: S603
        assert ended.returncode == 0, ended.stderr


def test_the_command_line_starts_without_what_only_some_commands_need() -> None:
    program = (
        "import sys, tidegauge.cli.app\n"
        "heavy = {'boto3', 'numpy', 'pymysql', 'rich.progress', 'tidegauge.adapters.memory'}\n"
        "sys.exit(', '.join(heavy & sys.modules.keys()) or 0)"
    )
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, check=False, capture_output=True, timeout=60)  # noqa: S603
    assert ended.returncode == 0, ended.stderr
