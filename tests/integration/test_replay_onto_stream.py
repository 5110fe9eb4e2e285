"""A replay onto a real stream counts the same, to the byte, as the replay of the file."""

import base64
import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from embedded.engine import EngineAddress, LocalSession
from tests.support.events import NOON_MS, event_json
from tidegauge.adapters.kinesis import KinesisStream
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.counting import MysqlCountStore
from tidegauge.adapters.mysql.migrate import migrate
from tidegauge.cli import main
from tidegauge.domain.event import Heartbeat
from tidegauge.domain.fold import CountRules
from tidegauge.domain.record import DecodedRecord
from tidegauge.settings import DatabaseSettings
from tidegauge.steps.collect import collect

pytestmark = pytest.mark.engine

STORM = Path(__file__).parents[1] / "fixtures" / "departures-2013-storm.jsonl.gz"


@pytest.fixture
def aws(engine: EngineAddress, monkeypatch: pytest.MonkeyPatch) -> LocalSession:
    for name, value in engine.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return engine.session()


@pytest.fixture
def stream_name(aws: LocalSession, request: pytest.FixtureRequest) -> str:
    return made(aws, request.node.name, shards=2)


def made(aws: LocalSession, name: str, *, shards: int) -> str:
    aws.kinesis.create_stream(StreamName=name, ShardCount=shards)
    aws.kinesis.get_waiter("stream_exists").wait(
        StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    return name


def replay(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["tidegauge", "replay", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def recording_of(aws: LocalSession, stream_name: str, path: Path) -> None:
    """Write all records of a stream as a recording, shard by shard."""
    lines: list[dict[str, Any]] = []
    for shard in KinesisStream(stream_name).shards():
        iterator = aws.kinesis.get_shard_iterator(
            StreamName=stream_name, ShardId=shard.shard_id, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while True:
            answer = aws.kinesis.get_records(ShardIterator=iterator, Limit=10_000)
            lines += (
                {
                    "shard": shard.shard_id,
                    "sequence_number": record["SequenceNumber"],
                    "partition_key": record["PartitionKey"],
                    "data": base64.b64encode(record["Data"]).decode(),
                }
                for record in answer["Records"]
            )
            if not answer["Records"]:
                break
            iterator = answer["NextShardIterator"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    path.with_name(f"{path.name}.manifest.json").write_text('{"heartbeats": "producer"}')


def merged(recording: Path, path: Path) -> Path:
    """Bring a recording into one order of arrival: sequence numbers rise over all shards here."""
    lines = [json.loads(line) for line in recording.read_text().splitlines()]
    lines.sort(key=lambda line: int(line["sequence_number"]))
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_the_stream_holds_what_the_file_says(
    aws: LocalSession,
    stream_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = gzip.decompress(STORM.read_bytes()).splitlines()
    day = whole[-3000:-1500]
    odd = [b"{broken", b"[1, " + day[5] + b"]", day[7], *day[:3]]
    path = tmp_path / "day.jsonl"
    path.write_bytes(b"\n".join([*day[:40], *odd, *day[40:]]))
    assert replay(monkeypatch, path, "--to", stream_name, "--json") == 0
    sent = json.loads(capsys.readouterr().out)
    assert (sent["events"], sent["rejects"], sent["unsent"]) == (1505, 2, 0)
    recording_of(aws, stream_name, tmp_path / "recording.jsonl")
    # and once more: the recording goes onto another stream, with one clock for all its shards
    again = made(aws, f"{stream_name}-again", shards=3)
    monkeypatch.setenv("HEARTBEATS", "producer")
    by_time = merged(tmp_path / "recording.jsonl", tmp_path / "merged.jsonl")
    assert replay(monkeypatch, by_time, "--to", again, "--json") == 0
    assert json.loads(capsys.readouterr().out)["events"] == 1505
    recording_of(aws, again, tmp_path / "again.jsonl")
    results = []
    for source in (path, tmp_path / "recording.jsonl", tmp_path / "again.jsonl"):
        out = tmp_path / f"{source.name}.csv"
        assert replay(monkeypatch, source, "--no-predict", "--json", "--windows-out", out) == 0
        sums = json.loads(capsys.readouterr().out)
        del sums["seconds"]
        results.append((sums, out.read_bytes()))
    assert results[0] == results[1] == results[2]
    assert results[0][0]["duplicates"] == 5


def test_an_unknown_stream_is_answered_in_a_sentence(
    aws: LocalSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert aws is not None
    path = tmp_path / "f.jsonl"
    path.write_bytes(event_json("1", NOON_MS))
    assert replay(monkeypatch, path, "--to", "no-such-stream") == 2
    assert "no-such-stream" in capsys.readouterr().err


@pytest.mark.database
def test_a_replay_behind_what_the_stream_has_counted_is_refused(
    aws: LocalSession,
    stream_name: str,
    fresh_database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert aws is not None
    stream = KinesisStream(stream_name)
    database = Database.from_settings(DatabaseSettings(database_url=fresh_database_url))
    migrate(database)
    store = MysqlCountStore(database)
    generation = store.generation(stream.identity())
    store.register_shards(generation, stream.shards())
    rules = CountRules()
    for shard in stream.shards():
        beat = Heartbeat(rules.clock_source, NOON_MS + 60_000, shard.shard_id, None)
        record = DecodedRecord(1, None, (beat,), b"")
        collect(store, generation, shard.shard_id, [record], rules)
    database.close()
    monkeypatch.setenv("DATABASE_URL", fresh_database_url)
    path = tmp_path / "f.jsonl"
    path.write_bytes(event_json("1", NOON_MS))
    assert replay(monkeypatch, path, "--to", stream_name) == 2
    assert "counted up to 2013-02-08T12:01:00Z already" in capsys.readouterr().err
    path.write_bytes(event_json("1", NOON_MS + 60_000))
    assert replay(monkeypatch, path, "--to", stream_name, "--json") == 0
