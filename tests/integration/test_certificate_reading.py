"""What a certificate reads of a full database: its own window, all of it as of one moment."""

from collections.abc import Iterator

import pytest

from tests.support.explained import BASE, Explained, beat
from tests.support.oracle import SIZE, Beat, Log, Told
from tests.support.rows_read import rows_read
from tidegauge.adapters.mysql.certificate import MysqlCertificates
from tidegauge.adapters.mysql.certificate_rows import evidence_of_shards
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.times import to_sql
from tidegauge.domain.certificate import Certificate, Check, Sent, Standing
from tidegauge.settings import DatabaseSettings

pytestmark = pytest.mark.database

N_SERIES, N_WINDOWS = 300, 60


@pytest.fixture
def stream(fresh_database_url: str) -> Iterator[Explained]:
    """A stream of two shards on which one event is counted in the first window."""
    made = Explained(fresh_database_url)
    made.listing({"s0": (), "s1": ()})
    made.count({"s0": [Beat(BASE), Told("1", "busy", BASE + 1), beat(1)], "s1": [beat(1)]})
    made.close()
    yield made
    made.end()


@pytest.fixture
def reader(fresh_database_url: str) -> Iterator[Database]:
    """A connection that only reads certificates."""
    database = Database.from_settings(DatabaseSettings(database_url=fresh_database_url))
    yield database
    database.close()


def certificates(database: Database) -> MysqlCertificates:
    return MysqlCertificates(database, "events", size_ms=SIZE, lateness_ms=60_000)


def read(database: Database) -> Certificate:
    told = certificates(database).read("busy", BASE)
    assert told is not None
    return told


def statements(database: Database) -> int:
    with database.transaction() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Com_select'")
        row = cursor.fetchone()
        assert row is not None
        return int(row[1])


def fill(stream: Explained) -> None:
    """Put many series, windows, rejects and messages around the one window."""
    places = [
        (stream.generation, b"series-%d" % series, to_sql(BASE + window * SIZE))
        for series in range(N_SERIES)
        for window in range(N_WINDOWS)
    ]
    with stream.database.transaction() as cursor:
        for shard in ("s0", "s1"):
            cursor.executemany(
                "INSERT INTO evidence (generation, series, window_start, shard_id, first_sequence,"
                " last_sequence, on_time) VALUES (%s, %s, %s, %s, '2', '2', 1)",
                [(*place, shard) for place in places],
            )
        cursor.executemany(
            "INSERT INTO completed_window (generation, series, window_start, revision, step, count,"
            " late, quality) VALUES (%s, %s, %s, 1, window_start, 2, 0, 'complete')",
            places,
        )
        cursor.executemany(
            "INSERT INTO partial_count (generation, series, window_start, step, shard_id, events)"
            " VALUES (%s, %s, %s, window_start, 's0', 2)",
            places,
        )
        cursor.executemany(
            "INSERT INTO quarantine (generation, series, event_time, shard_id, sequence_number,"
            " sub_index, reason, size_bytes, sha256)"
            " VALUES (%s, %s, %s, 's0', %s, 0, 'too_old', 1, 'x')",
            [(*place, str(1_000 + n)) for n, place in enumerate(places)],
        )
        cursor.executemany(
            "INSERT INTO outbox"
            " (generation, destination, message_key, payload, created_at, sent_at)"
            " VALUES (%s, %s, 'k', '{}', '2020-01-01', '2020-01-01')",
            [(1, destination) for destination in ("windows", "alerts") for _ in range(3_000)],
        )
        for table in ("evidence", "completed_window", "partial_count", "quarantine", "outbox"):
            cursor.execute(f"ANALYZE TABLE {table}")
            cursor.fetchall()


def test_it_reads_its_own_window_in_as_many_statements_however_full_the_tables_are(
    stream: Explained, reader: Database
) -> None:
    before = statements(reader)
    alone = read(reader)
    n_statements = statements(reader) - before
    fill(stream)
    before, rows_before = statements(reader), rows_read(reader)
    full = read(reader)
    assert statements(reader) - before == n_statements < 20
    # two entries of the window for each series: where its records lie on each shard
    assert rows_read(reader) - rows_before < 2 * 2 * N_SERIES + 500
    assert (full.check, full.revisions) == (Check.ADDS_UP, alone.revisions)


def test_all_of_it_is_of_one_moment(
    stream: Explained, reader: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Certificate] = []
    fetch = "tidegauge.adapters.mysql.certificate.evidence_of_shards"

    def meanwhile(rows: object) -> object:
        # a batch and a closing commit once evidence was read and nothing else was
        late = Told("2", "busy", BASE + 2)
        log: Log = [Beat(BASE), Told("1", "busy", BASE + 1), beat(1), late, beat(2)]
        stream.count({"s0": log, "s1": [beat(1), beat(2)]})
        stream.close()
        return evidence_of_shards(rows)  # type: ignore[arg-type]

    monkeypatch.setattr(fetch, meanwhile)
    told.append(read(reader))
    monkeypatch.undo()
    told.append(read(reader))
    assert [one.check for one in told] == [Check.ADDS_UP, Check.ADDS_UP]
    assert [len(one.revisions) for one in told] == [1, 2]


def test_where_too_many_messages_wait_to_look_at_each_it_says_that_it_does_not_know(
    stream: Explained, reader: Database
) -> None:
    assert read(reader).revisions[0].announced is Sent.WAITING
    with stream.database.transaction() as cursor:
        cursor.execute("UPDATE outbox SET id = id + 5000")
        cursor.executemany(
            "INSERT INTO outbox (id, generation, destination, message_key, payload, created_at)"
            " VALUES (%s, 1, 'windows', 'k', '{}', '2020-01-01')",
            [(number,) for number in range(1, 1_001)],
        )
    assert read(reader).revisions[0].announced is Sent.UNKNOWN
    with stream.database.transaction() as cursor:
        cursor.execute("DELETE FROM outbox")  # as a week after they were sent
    assert read(reader).revisions[0].announced is Sent.SENT


def test_an_unknown_stream_or_generation_has_none(stream: Explained, reader: Database) -> None:
    assert MysqlCertificates(reader, "other", size_ms=SIZE, lateness_ms=1).read("a", BASE) is None
    assert certificates(reader).read("busy", BASE, generation=stream.generation + 1) is None
    unknown = certificates(reader).read("nobody", BASE)
    assert unknown is not None
    assert unknown.standing is Standing.UNKNOWN_SERIES
    assert certificates(reader).active_series(stream.generation, 10) == ["busy"]
