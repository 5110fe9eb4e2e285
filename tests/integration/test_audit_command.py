"""`tidegauge audit`: real events, counted into a real database and recounted from their source."""

import base64
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from embedded.engine import EngineAddress
from tests.support.closing import close_all
from tests.support.command import Command, name_stream
from tests.support.count_stores import MysqlStores
from tests.support.events import MINUTE_MS, NOON_MS, event_json
from tests.support.races import connection_to
from tests.support.worlds import CLOSE_RULES
from tidegauge.adapters.kinesis import KinesisStream
from tidegauge.adapters.kinesis_pages import KinesisPages
from tidegauge.domain.decode import SeriesBy
from tidegauge.domain.fold import CountRules
from tidegauge.domain.heartbeat import heartbeat_record
from tidegauge.domain.offered import Offered, offered_in
from tidegauge.domain.record import Record
from tidegauge.ports import ShardListing, StreamIdentity
from tidegauge.steps.collect import collect, decode_records
from tidegauge.steps.replay_clock import Beat, with_beats

pytestmark = pytest.mark.database

STORM = Path(__file__).parents[1] / "fixtures" / "departures-2013-storm.jsonl.gz"
ARN = "arn:aws:kinesis:eu-west-1:1:stream/events"
RULES = CountRules()
Edit = Callable[..., None]


@pytest.fixture
def stores(fresh_database_url: str) -> Iterator[MysqlStores]:
    """Stores on a database of this test alone."""
    made = MysqlStores(fresh_database_url)
    yield made
    made.close()


@pytest.fixture
def command(
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
def edit(fresh_database_url: str) -> Edit:
    """Runs a statement on the database, which must change one row."""

    def run(statement: str, **values: object) -> None:
        with connection_to(fresh_database_url) as database, database.transaction() as cursor:
            assert cursor.execute(statement, values) == 1

    return run


def records_of(lines: list[bytes], shards: int) -> dict[str, list[Record]]:
    """Return what a replay of lines puts on the shards of a stream."""
    offered = (one for at, line in enumerate(lines) for one in offered_in(at, line, SeriesBy()))
    logs: dict[str, list[Record]] = {f"shardId-{n:012d}": [] for n in range(shards)}
    for told in with_beats(offered, RULES):
        if isinstance(told, Beat):
            for name, log in logs.items():
                data = heartbeat_record(
                    source=RULES.clock_source,
                    event_time_ms=told.time_ms,
                    shard_id=name,
                    previous=None,
                )
                log.append(Record(name, len(log) + 1, None, "", data))
        elif isinstance(told, Offered):
            name = list(logs)[sum(told.data) % shards]
            logs[name].append(Record(name, len(logs[name]) + 1, None, "", told.data))
    return logs


def counted(
    stores: MysqlStores, logs: dict[str, list[Record]], identity: StreamIdentity | None = None
) -> int:
    """Count logs, some records twice, and close what can be closed; return the generation."""
    generation = stores.counts.generation(identity or StreamIdentity(ARN, 0))
    listing = [ShardListing(name, (), 0, 0, closed=False) for name in logs]
    stores.counts.register_shards(generation, listing)
    for name, log in logs.items():
        for start in range(0, len(log), 400):
            batch = decode_records(log[max(0, start - 50) : start + 400], SeriesBy())
            collect(stores.counts, generation, name, batch, RULES)
    close_all(stores.counts, generation, CLOSE_RULES)
    return generation


def storm_lines() -> list[bytes]:
    """Return the days around the storm, with what producers do to such data."""
    lines = gzip.decompress(STORM.read_bytes()).splitlines()[-5200:-1800]
    odd = [b"{broken", b"[" + lines[505] + b"," + lines[507] + b"]", *lines[510:520]]
    odd += [event_json("old", NOON_MS - 60 * 86_400_000), event_json("mad", 2 * NOON_MS)]
    return [*lines[:900], *odd, *lines[900:]]


def recording(logs: dict[str, list[Record]], path: Path) -> Path:
    lines = [
        {
            "shard": record.shard_id,
            "sequence_number": str(record.sequence_number),
            "data": base64.b64encode(record.data).decode(),
        }
        for log in logs.values()
        for record in log
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    path.with_name(f"{path.name}.manifest.json").write_text('{"heartbeats": "producer"}')
    return path


def test_the_storm_as_it_was_counted_is_what_its_fixture_and_its_recording_hold(
    command: Command, stores: MysqlStores, edit: Edit, tmp_path: Path
) -> None:
    lines = storm_lines()
    fixture = tmp_path / "storm.jsonl"
    fixture.write_bytes(b"\n".join(lines))
    logs = records_of(lines, 2)
    counted(stores, logs)
    span = ("2013-02-05", "2013-02-12")
    ran = command("audit", *span, "--fixture", fixture, "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.told["equal"]
    assert ran.told["recounted"] == ran.told["counted"] > 3_000
    assert ran.told["duplicates"] == 12
    assert ran.told["no_events"] == {"malformed_json": 1}
    assert ran.told["windows"] + ran.told["windows_open"] == 7 * 288
    recorded = recording(logs, tmp_path / "recorded.jsonl")
    again = command("audit", *span, "--fixture", recorded, "--json")
    assert again.code == 0
    assert again.told["counted"] == again.told["recounted"] == ran.told["counted"]
    shown = command("audit", *span, "--fixture", fixture)
    assert (shown.code, shown.err) == (0, "")
    assert "✓ what was announced of" in shown.out.splitlines()[-1]
    edit(
        "UPDATE completed_window SET count = count + 3"
        " WHERE window_start = '2013-02-08 15:00:00' AND series = 'flight.departed'"
    )
    wrong = command("audit", *span, "--fixture", fixture, "--json")
    assert (wrong.code, wrong.told["equal"]) == (1, False)
    (difference,) = wrong.told["differences"]
    assert difference == {
        "window": "2013-02-08T15:00:00Z",
        "series": "flight.departed",
        "recounted": difference["recounted"],
        "counted": difference["recounted"] + 3,
        "difference": 3,
        "quality": "complete",
    }
    shown = command("audit", *span, "--fixture", recorded)
    assert shown.code == 1
    assert "2013-02-08T15:00:00Z  flight.departed" in shown.out
    assert "✗ 1 count in 1 of" in shown.out.splitlines()[-1]


def beat(number: int, time_ms: int) -> Record:
    data = heartbeat_record(
        source=RULES.clock_source, event_time_ms=time_ms, shard_id="s", previous=None
    )
    return Record("s", number, None, "", data)


def test_of_plain_events_quarantine_tells_what_was_set_aside(
    command: Command,
    stores: MysqlStores,
    edit: Edit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEARTBEATS", "sweep")  # producers of the user's own put the events
    lines = [event_json(f"e{n}", NOON_MS + n * MINUTE_MS) for n in range(8)]
    fixture = tmp_path / "events.jsonl"
    fixture.write_bytes(b"\n".join(lines))
    log = [beat(1, NOON_MS)]
    log += [Record("s", n + 1, None, "", line) for n, line in enumerate(lines) if n]
    log += [beat(10, NOON_MS + 25 * 60 * MINUTE_MS), Record("s", 11, None, "", lines[0])]
    counted(stores, {"s": log})
    asked = ("audit", "2013-02-08T12:00Z", "2013-02-08 13:00", "--fixture", fixture)
    ran = command(*asked, "--json")
    assert ran.code == 0
    assert ran.told["counted"] == ran.told["recounted"] == 5
    assert ran.told["quarantined"] == {"too_far_ahead": 2, "too_old": 1}
    shown = command(*asked)
    assert shown.out.split("quarantined", 1)[1].split()[:5] == [
        "3", "too_far_ahead", "2", "too_old", "1",
    ]  # fmt: skip
    edit("UPDATE quarantine SET state = 'counted' WHERE reason = 'too_old'")
    ran = command(*asked, "--json")
    assert [one["difference"] for one in ran.told["differences"]] == [-1]


def test_a_known_loss_is_told_apart_and_is_no_error(
    command: Command, stores: MysqlStores, edit: Edit, tmp_path: Path
) -> None:
    lines = [event_json(f"e{n}", NOON_MS + n * MINUTE_MS, series="a\x1b[2J") for n in range(30)]
    fixture = tmp_path / "events.jsonl"
    fixture.write_bytes(b"\n".join(lines))
    counted(stores, records_of([*lines[:12], *lines[14:]], 1))
    asked = ("audit", "2013-02-08T12:00Z", "2013-02-08T12:20Z", "--fixture", fixture)
    ran = command(*asked)
    assert ran.code == 1
    assert "a\\x1b[2J" in ran.out
    assert "\x1b" not in ran.out
    edit(
        "INSERT INTO gap VALUES (1, 's', '9', '2013-02-08 12:12', '2013-02-08 12:14', %(why)s)",
        why="batch_skipped",
    )
    ran = command(*asked, "--json")
    assert (ran.code, ran.told["equal"], ran.told["differences"]) == (0, True, [])
    assert [one["difference"] for one in ran.told["known_losses"]] == [-2]
    assert [gap["reason"] for gap in ran.told["gaps"]] == ["batch_skipped"]
    shown = command(*asked)
    assert "2013-02-08T12:12:00Z to 2013-02-08T12:14:00Z  batch_skipped on s" in shown.out
    assert "but for the losses that are known" in shown.out.splitlines()[-1]


def test_many_differences_are_counted_and_the_first_are_shown(
    command: Command, stores: MysqlStores, tmp_path: Path
) -> None:
    lines = [event_json(f"e{n}", NOON_MS + n * 5 * MINUTE_MS) for n in range(40)]
    fixture = tmp_path / "events.jsonl"
    fixture.write_bytes(b"\n".join(event_json("x", NOON_MS) for _ in lines))
    counted(stores, records_of(lines, 1))
    ran = command("audit", "2013-02-08", "2013-02-09", "--fixture", fixture)
    assert ran.code == 1
    assert "… and 19 more; --json tells all of them" in ran.out
    assert "✗ 39 counts in 39 of 184 windows are not what" in ran.out


def counted_noon(stores: MysqlStores, created_ms: int = 0) -> int:
    """Count one event a minute of the hour from noon on."""
    lines = [event_json(f"e{n}", NOON_MS + n * MINUTE_MS) for n in range(60)]
    return counted(stores, records_of(lines, 1), StreamIdentity(ARN, created_ms))


NOON = ("2013-02-08T12:00Z", "2013-02-08T13:00Z")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((*NOON,), "give --fixture FILE or --stream [NAME], to say what is recounted"),
        ((*NOON, "--fixture", "f", "--stream"), "give --fixture FILE or --stream [NAME], not both"),
        ((*NOON, "--fixture", "none.jsonl"), "none.jsonl does not exist"),
        (("noon", NOON[1], "--stream"), "FROM is no time: 'noon'; write it like"),
        ((NOON[0], "2013-02-30", "--stream"), "TO is no time: '2013-02-30'"),
        ((*reversed(NOON), "--stream"), "FROM must lie before TO"),
        ((NOON[0], NOON[0], "--stream"), "FROM must lie before TO"),
        ((*NOON, "--stream", "no/name"), "EVENTS_STREAM must be the name of a Kinesis stream"),
        (
            ("2013-02-08T12:01Z", "2013-02-08T12:04Z", "--fixture", STORM),
            "no window of 300 seconds",
        ),
        (("2013-02-08T13:00Z", "2013-02-09", "--fixture", STORM), "ask for an earlier FROM"),
        ((*NOON, "--fixture", STORM, "--generation", "9"), "counted as generation 9 in this"),
        ((*NOON, "--stream", "other"), "nothing of this stream was ever counted in this database"),
    ],
)
def test_what_cannot_be_audited_is_refused_in_a_sentence(
    command: Command, stores: MysqlStores, arguments: tuple[object, ...], says: str
) -> None:
    counted_noon(stores)
    ran = command("audit", *arguments, "--json")
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert ran.err.count("\n") == 1


def test_a_stream_that_is_named_needs_no_other_name(
    command: Command, stores: MysqlStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted_noon(stores)
    monkeypatch.delenv("EVENTS_STREAM")
    ran = command("audit", *NOON, "--stream", "other")
    assert ran.code == 2
    assert "nothing of this stream was ever counted" in ran.err
    ran = command("audit", *NOON, "--stream")
    assert ran.code == 2
    assert "no stream to look at: set EVENTS_STREAM" in ran.err


def test_before_any_window_is_closed_there_is_nothing_to_compare(
    command: Command, stores: MysqlStores
) -> None:
    counted(stores, {"s": [beat(1, NOON_MS)]})
    ran = command("audit", *NOON, "--fixture", STORM)
    assert ran.code == 2
    assert "no window of this stream is closed yet" in ran.err


def test_a_database_without_its_tables_is_told_to_be_migrated(command: Command) -> None:
    ran = command("audit", *NOON, "--fixture", STORM)
    assert ran.code == 2
    assert "tidegauge migrate" in ran.err


def test_an_older_generation_can_be_audited_too(
    command: Command, stores: MysqlStores, tmp_path: Path
) -> None:
    older = counted_noon(stores, created_ms=1000)
    newer = counted(stores, records_of([event_json("x", NOON_MS)], 1), StreamIdentity(ARN, 2000))
    fixture = tmp_path / "noon.jsonl"
    fixture.write_bytes(b"\n".join(event_json(f"e{n}", NOON_MS + n * MINUTE_MS) for n in range(60)))
    ran = command("audit", *NOON, "--fixture", fixture, "--generation", older, "--json")
    assert (ran.code, ran.told["counted"], ran.told["generation"]) == (0, 60, older)
    ran = command("audit", *NOON, "--fixture", fixture, "--json")
    assert (ran.code, ran.told["counted"], ran.told["generation"]) == (1, 1, newer)


@pytest.mark.engine
def test_a_replay_onto_a_stream_is_audited_against_that_stream(
    command: Command,
    stores: MysqlStores,
    edit: Edit,
    engine: EngineAddress,
    fresh_database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in engine.environment.items():
        monkeypatch.setenv(name, value)
    kinesis = engine.session().kinesis
    name = "audited-events"
    kinesis.create_stream(StreamName=name, ShardCount=3)
    kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
    fixture = tmp_path / "storm.jsonl"
    fixture.write_bytes(b"\n".join(storm_lines()))
    monkeypatch.delenv("DATABASE_URL")
    sent = command("replay", fixture, "--to", name, "--json")
    assert sent.code == 0
    stream = KinesisStream(name)
    pages = KinesisPages(name)
    logs = {
        shard.shard_id: [
            record for page in pages.pages(shard.shard_id, 1 << 400) for record in page.records
        ]
        for shard in stream.shards()
    }
    counted(stores, logs, stream.identity())
    monkeypatch.setenv("DATABASE_URL", fresh_database_url)
    asked = ("audit", "2013-02-05", "2013-02-12")
    by_name = command(*asked, "--stream", name, "--json")
    assert (by_name.code, by_name.err) == (0, "")
    assert by_name.told["source"] == by_name.told["stream"] == name
    assert by_name.told["recounted"] == by_name.told["counted"] > 3_000
    assert by_name.told["duplicates"] == 12
    monkeypatch.setenv("EVENTS_STREAM", name)
    assert command(*asked, "--stream", "--json").told == by_name.told
    assert (
        command(*asked, "--fixture", fixture, "--json").told["counted"] == by_name.told["counted"]
    )
    edit(
        "UPDATE completed_window SET count = count - 1"
        " WHERE window_start = '2013-02-08 15:00:00' AND series = 'flight.departed'"
    )
    shown = command(*asked, "--json", "--stream")
    assert shown.code == 1
    assert [one["difference"] for one in shown.told["differences"]] == [-1]
    kinesis.delete_stream(StreamName=name)
    kinesis.create_stream(StreamName=name, ShardCount=1)
    ran = command(*asked, "--stream")
    assert ran.code == 2
    assert "the stream that is there now was made at" in ran.err
    kinesis.delete_stream(StreamName=name)
    ran = command(*asked, "--stream")
    assert ran.code == 2
    assert name in ran.err
