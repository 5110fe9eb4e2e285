"""`tidegauge simulate --to` on a real stream: every event once, spread over shards, in order."""

import json
import signal
import subprocess
import sys
from collections import defaultdict
from typing import Any

import pytest

from embedded.engine import EngineAddress, LocalSession
from tidegauge.adapters.clock import SystemClock
from tidegauge.adapters.kinesis import KinesisStream
from tidegauge.cli import main
from tidegauge.domain.event_time import format_time, parse_time_ms
from tidegauge.simulator_settings import SimulatorSettings

pytestmark = pytest.mark.engine


@pytest.fixture
def aws(engine: EngineAddress, monkeypatch: pytest.MonkeyPatch) -> LocalSession:
    for name, value in engine.environment.items():
        monkeypatch.setenv(name, value)
    for name in ("SEED", "TYPES", "RATE", "SEASON", "TICK_SECONDS", "FAULTS"):
        monkeypatch.delenv(f"SIMULATOR_{name}", raising=False)
    return engine.session()


@pytest.fixture
def stream_name(aws: LocalSession, request: pytest.FixtureRequest) -> str:
    name: str = request.node.name
    aws.kinesis.create_stream(StreamName=name, ShardCount=3)
    aws.kinesis.get_waiter("stream_exists").wait(
        StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    return name


def records_of(aws: LocalSession, stream_name: str) -> dict[str, list[dict[str, Any]]]:
    """Return the records of each shard in order."""
    found: dict[str, list[dict[str, Any]]] = {}
    for shard in KinesisStream(stream_name).shards():
        records = found[shard.shard_id] = []
        iterator = aws.kinesis.get_shard_iterator(
            StreamName=stream_name, ShardId=shard.shard_id, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while True:
            answer = aws.kinesis.get_records(ShardIterator=iterator, Limit=10_000)
            records += [dict(record) for record in answer["Records"]]
            if not answer["Records"]:
                break
            iterator = answer["NextShardIterator"]
    return found


def test_a_span_is_put_once_spread_over_the_shards_and_in_order_per_key(
    aws: LocalSession,
    stream_name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    until_ms = SystemClock().now_ms()
    until_ms -= until_ms % 1000
    span = ["--from", format_time(until_ms - 60_000), "--until", format_time(until_ms)]
    asked = ["--types", "a:6000,b:600", "--season", "0", "--seed", "11", "--json"]
    monkeypatch.setattr(sys, "argv", ["tidegauge", "simulate", "--to", stream_name, *span, *asked])
    main_exit(0)
    told = json.loads(capsys.readouterr().out)
    shards = records_of(aws, stream_name)
    settings = SimulatorSettings(
        stream_name, simulator_seed=11, simulator_types="a:6000,b:600", simulator_season=0.0
    )
    expected = [e.data for e in settings.simulation().events_between(until_ms - 60_000, until_ms)]
    stored = [record["Data"] for records in shards.values() for record in records]
    assert sorted(stored) == sorted(expected)
    assert (told["events"], told["refused"]) == (len(expected), 0)
    assert told["position"] == format_time(until_ms)
    assert min(map(len, shards.values())) > len(expected) / 5
    by_key = defaultdict(list)
    for records in shards.values():
        for record in records:
            time = parse_time_ms(json.loads(record["Data"])["time"])
            by_key[record["PartitionKey"]].append(time)
    assert max(map(len, by_key.values())) > 3
    assert all(times == sorted(times) for times in by_key.values())


def test_ctrl_c_ends_it_with_its_sums_and_what_it_put_is_whole_up_to_there(
    aws: LocalSession, stream_name: str
) -> None:
    command = [sys.executable, "-m", "tidegauge.cli", "simulate", "--to", stream_name]
    began_ms = SystemClock().now_ms()
    running = subprocess.Popen(  # noqa: S603 - our own command
        [*command, "--rate", "20", "--seed", "5", "--season", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while sum(map(len, records_of(aws, stream_name).values())) < 40:
            assert running.poll() is None
            assert SystemClock().now_ms() < began_ms + 60_000
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    finally:
        running.kill()
    assert (running.returncode, err) == (130, "")
    told = json.loads(out)
    settings = SimulatorSettings("s", simulator_seed=5, simulator_rate=20.0, simulator_season=0.0)
    start_ms, end_ms = parse_time_ms(told["from"]), parse_time_ms(told["position"])
    assert began_ms <= start_ms < end_ms <= SystemClock().now_ms()
    expected = [e.data for e in settings.simulation().events_between(start_ms, end_ms)]
    assert told["events"] == len(expected)
    stored = {r["Data"] for records in records_of(aws, stream_name).values() for r in records}
    assert stored >= set(expected)


def test_an_unknown_stream_is_answered_in_a_sentence(
    aws: LocalSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aws is not None
    monkeypatch.setattr(
        sys, "argv", ["tidegauge", "simulate", "--to", "no-such-stream", "--rate", "100"]
    )
    main_exit(2)
    assert "no-such-stream" in capsys.readouterr().err


def main_exit(code: int) -> None:
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code or 0) == code
