"""`tidegauge simulate`: fixtures with the same bytes each time, bad input in a sentence, ticks."""

import gzip
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.events import NOON_MS
from tests.support.sources import WaitedClock
from tidegauge.adapters.fixtures import open_fixture
from tidegauge.cli import main
from tidegauge.cli.app import app
from tidegauge.cli.simulate_onto import moments

NOON = "2013-02-08T12:00:00Z"


class Command:
    """Runs a command in this process; gives exit code, standard output and error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        self._monkeypatch.setattr(sys, "argv", ["tidegauge", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = self._capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    for name in ("SEED", "TYPES", "RATE", "SEASON", "TICK_SECONDS", "FAULTS"):
        monkeypatch.delenv(f"SIMULATOR_{name}", raising=False)
    for name in ("DATABASE_URL", "DATABASE_SECRET_ARN", "SOURCE_NAME", "SOURCE_QUERY"):
        monkeypatch.delenv(name, raising=False)
    return Command(monkeypatch, capsys)


def events_in(path: Path) -> list[dict[str, Any]]:
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("name", ["f.jsonl", "f.jsonl.gz"])
def test_a_fixture_has_the_same_bytes_each_time_and_a_manifest_that_fits(
    run: Command, tmp_path: Path, name: str
) -> None:
    written = []
    for folder in ("a", "b"):
        path = tmp_path / folder / name
        path.parent.mkdir()
        code, out, err = run(
            "simulate", "--out", path, "--from", NOON, "--for", "1h", "--seed", 3, "--json"
        )
        assert (code, err) == (0, "")
        told = json.loads(out)
        fixture = open_fixture(path)  # verifies the checksum
        assert fixture.manifest.counts == {"lines": told["events"], "events": told["events"]}
        assert told["sha256"] == fixture.manifest.sha256
        assert sorted(p.name for p in path.parent.iterdir()) == [name, f"{name}.manifest.json"]
        written.append(path.read_bytes())
    assert written[0] == written[1]
    events = events_in(tmp_path / "a" / name)
    assert Counter(event["type"] for event in events) == told["types"]
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)
    assert {event["source"] for event in events} == {"/tidegauge/simulator/3"}


def test_a_longer_fixture_holds_the_shorter_one(run: Command, tmp_path: Path) -> None:
    short, long = tmp_path / "s.jsonl", tmp_path / "l.jsonl"
    run("simulate", "--out", short, "--from", NOON, "--for", "10m")
    run("simulate", "--out", long, "--from", "2013-02-08T11:59:00Z", "--for", "20m")
    assert short.read_bytes() in long.read_bytes()


def test_an_injected_silence_is_a_window_of_nothing_in_the_replay(
    run: Command, tmp_path: Path
) -> None:
    path, out = tmp_path / "f.jsonl.gz", tmp_path / "w.csv"
    code, *_ = run(
        "simulate", "--out", path, "--from", NOON, "--until", "2013-02-08T12:30:00Z",
        "--types", "a:60,b:60", "--inject", "silence:a@+600+5m",
        "--inject", f"spike:bx4@{NOON}+5m", "--season", "0",
    )  # fmt: skip
    assert code == 0
    assert run("replay", path, "--no-predict", "--windows-out", out)[0] == 0
    rows = [line.split(",") for line in out.read_text().splitlines()[1:]]
    counts = {(row[0], row[1][11:16]): int(row[3]) for row in rows}
    assert counts["a", "12:10"] == 0
    assert min(n for (name, at), n in counts.items() if (name, at) != ("a", "12:10")) > 200
    assert counts["b", "12:00"] > 3 * counts["b", "12:05"]
    assert {row[6] for row in rows} == {"complete"}


def test_the_environment_says_what_no_option_does(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMULATOR_TYPES", "x:600")
    monkeypatch.setenv("SIMULATOR_SEED", "9")
    monkeypatch.setenv("SIMULATOR_FAULTS", f"silence:x@{NOON}+30s")
    path = tmp_path / "f.jsonl"
    told = json.loads(run("simulate", "--out", path, "--from", NOON, "--for", "60", "--json")[1])
    assert (told["seed"], list(told["types"])) == (9, ["x"])
    assert min(event["time"] for event in events_in(path)) >= "2013-02-08T12:00:30"
    told = json.loads(
        run(
            "simulate", "--out", path, "--from", NOON, "--for", "60", "--json", "--seed", "4",
            "--inject", "silence:x@+0+1h",
        )[1]
    )  # fmt: skip
    assert (told["seed"], told["events"]) == (4, 0)


SPAN = ("--from", NOON, "--for", "60")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "either --to STREAM or --out FILE.jsonl"),
        (("--to", "s", "--out", "f.jsonl"), "either --to STREAM or --out"),
        (("--out", "f.jsonl"), "--out needs --from TIME"),
        (("--out", "f.jsonl", "--from", NOON), "--until TIME or --for SECONDS"),
        (("--out", "f.csv", *SPAN), "must end in .jsonl"),
        (("--out", "f.jsonl.zst", *SPAN), "must end in .jsonl"),
        (("--out", "no/f.jsonl", *SPAN), "no/f.jsonl cannot be written"),
        (("--out", "f.jsonl", "--from", "noon", "--for", "60"), "--from needs a time in RFC 3339"),
        (("--out", "f.jsonl", "--from", NOON, "--until", "x"), "--until needs a time"),
        (("--out", "f.jsonl", "--from", NOON, "--until", NOON), "--until must lie behind"),
        (("--out", "f.jsonl", "--from", NOON, "--for", "x"), "--for needs a duration"),
        (("--out", "f.jsonl", *SPAN, "--until", NOON), "give --until or --for"),
        (("--out", "f.jsonl", *SPAN, "--tick", "5"), "--tick is for --to"),
        (("--out", "f.jsonl", *SPAN, "--source", "database"), "--source is for --to"),
        (("--out", "f.jsonl", *SPAN, "--types", "a:x"), "--types must name event types"),
        (("--out", "f.jsonl", *SPAN, "--types", " "), "--types is empty"),
        (("--out", "f.jsonl", *SPAN, "--rate", "1e9"), "--rate must lie between"),
        (("--out", "f.jsonl", *SPAN, "--season", "2"), "--season must lie between"),
        (("--out", "f.jsonl", *SPAN, "--inject", "x"), "--inject must have the form"),
        (
            ("--out", "f.jsonl", *SPAN, "--inject", "drop:order.placed@+60+9"),
            "would change nothing",
        ),
        (("--to", "s", "--inject", f"drop:order.placed@{NOON}+9"), "would change nothing"),
        (("--to", "no/stream"), "--to must be the name of a Kinesis stream"),
        (("--to", "s", "--tick", "0"), "--tick must lie between 1 and 60"),
        (("--to", "s", "--for", "0"), "--for needs a duration"),
        (("--to", "s", "--until", NOON), "--until must lie behind --from"),
        (("--to", "s", "--source", "database"), "SOURCE_NAME is not set"),
        (("--to", "s", "--source", "database", "--rate", "2"), "--rate is for simulated events"),
    ],
)
def test_bad_input_is_told_in_a_sentence_and_writes_nothing(
    run: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run("simulate", *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_setting_of_the_environment_is_named_as_such_and_all_faults_are_told(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMULATOR_RATE", "fast")
    code, _, err = run("simulate", "--out", tmp_path / "f.jsonl", *SPAN, "--seed", "x")
    assert code == 2
    assert err.splitlines() == [
        "tidegauge: --seed must be a whole number, not 'x'",
        "tidegauge: SIMULATOR_RATE must be a number, not 'fast'",
    ]


def test_the_database_source_reports_all_its_settings_and_repeats_no_address(
    run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for query, said in (
        ("DELETE FROM t", "must be one SELECT"),
        ("SELECT 1; DROP TABLE t", "must be one SELECT"),
        ("SELECT 1 FROM t", "lacks %(after)s and %(limit)s"),
        ("SELECT 1 FROM t WHERE a > %(after)s LIMIT %(limit)s AND %(x)s", "parameter 'x'"),
        ("SELECT '%' FROM t WHERE a > %(after)s LIMIT %(limit)s", "double it"),
    ):
        monkeypatch.setenv("SOURCE_QUERY", query)
        monkeypatch.setenv("SOURCE_DATABASE_URL", "postgres://me:hush@host/db")
        code, _, err = run("simulate", "--to", "s", "--source", "database")
        assert code == 2
        assert f"SOURCE_QUERY {said}" in err or said in err
        assert "SOURCE_NAME is not set" in err
        assert "SOURCE_DATABASE_URL must look like" in err
        assert "hush" not in err


def test_moments_are_a_tick_apart_and_end_with_the_end() -> None:
    clock = WaitedClock(NOON_MS)
    found = list(moments(clock, tick_ms=1000, end_ms=NOON_MS + 2_500))
    assert [moment - NOON_MS for moment in found] == [0, 1000, 2000, 2500]
    assert list(moments(clock, tick_ms=1000, end_ms=NOON_MS - 5)) == [NOON_MS - 5]


def test_ticks_that_have_passed_are_not_made_up_for_one_by_one() -> None:
    clock = WaitedClock(NOON_MS)
    ticks = moments(clock, tick_ms=1000, end_ms=None)
    assert [next(ticks), next(ticks)] == [NOON_MS, NOON_MS + 1000]
    clock.advance(8 * 3_600_000)  # the laptop slept
    assert next(ticks) == NOON_MS + 8 * 3_600_000
    assert next(ticks) == NOON_MS + 8 * 3_600_000 + 1000


def test_a_terminated_command_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text("what was there")
    command = [sys.executable, "-m", "tidegauge.cli", "simulate", "--out", str(path)]
    with subprocess.Popen(  # noqa: S603 - our own command
        [*command, "--from", NOON, "--for", "999d"], stderr=subprocess.PIPE
    ) as process:
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob(".f.jsonl.*")) and time.monotonic() < deadline:
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (143, b"")
    assert [there.name for there in tmp_path.iterdir()] == ["f.jsonl"]
    assert path.read_text() == "what was there"


def test_a_paragraph_of_a_help_is_one_line_for_the_terminal_to_break(run: Command) -> None:
    said = " ".join(run("status", "--help")[1].split())
    assert "and at the stream of the environment: EVENTS_STREAM with DATABASE_URL" in said
    groups = [group.typer_instance for group in app.registered_groups]
    commands = [c for one in (app, *groups) if one is not None for c in one.registered_commands]
    assert len(commands) > 8
    for command in commands:
        assert command.help
        assert "\n" not in command.help.replace("\n\n", "")


def test_whatever_is_said_a_full_standard_output_is_told_in_a_sentence() -> None:
    shell = ["sh", "-c", 'exec "$@" >/dev/full', "sh", sys.executable, "-m", "tidegauge.cli"]
    ended = subprocess.run(  # noqa: S603 - our own command
        [*shell, "--help"], check=False, capture_output=True, timeout=60
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith(b"tidegauge: standard output")
    assert ended.stderr.count(b"\n") == 1
