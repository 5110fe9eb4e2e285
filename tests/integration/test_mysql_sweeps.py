"""What a sweep reads of a full database, waits for and removes there."""

from collections.abc import Iterator

import pytest

from tests.support.count_stores import MysqlStores
from tests.support.oracle import SIZE, Beat
from tests.support.races import connection_to
from tests.support.shard_line import Line, beat
from tests.support.worlds import BASE, CLOSE_RULES, told
from tidegauge.adapters.mysql import connection, purge
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.lineage import family, lock_frontier, lock_shard, shard_rows
from tidegauge.adapters.mysql.sweeping import MysqlSweepStore
from tidegauge.adapters.mysql.times import to_sql
from tidegauge.domain.errors import Transient
from tidegauge.domain.lineage import drained
from tidegauge.ports import Destination, Purged

pytestmark = pytest.mark.database

N_SERIES, N_WINDOWS = 10, 400


@pytest.fixture
def stores(fresh_database_url: str) -> Iterator[MysqlStores]:
    """An empty database with a schema."""
    made = MysqlStores(fresh_database_url)
    yield made
    made.close()


@pytest.fixture
def database(fresh_database_url: str, stores: MysqlStores) -> Iterator[Database]:
    """A connection of the test's own."""
    assert stores
    with connection_to(fresh_database_url) as made:
        yield made


@pytest.fixture
def full(stores: MysqlStores, database: Database) -> Line:
    """Ten series with counts in 400 windows, each told at its own step and the one after."""
    line = Line(stores).listing("p")
    with database.transaction() as cursor:
        cursor.executemany(
            "INSERT INTO partial_count (generation, step, window_start, series, shard_id, events)"
            " VALUES (%s, %s, %s, %s, 'p', 1)",
            [
                (
                    line.generation,
                    to_sql(BASE + (window + late) * SIZE),
                    to_sql(BASE + window * SIZE),
                    b"series-%d" % series,
                )
                for window in range(N_WINDOWS)
                for late in (0, 1)
                for series in range(N_SERIES)
            ],
        )
        cursor.executemany(
            "INSERT INTO ledger (generation, shard_id, window_start, first_sequence, event_keys)"
            " VALUES (%s, 'p', %s, %s, 'k')",
            [
                (line.generation, to_sql(BASE + window * SIZE), str(batch))
                for window in range(N_WINDOWS)
                for batch in range(10)
            ],
        )
    return line


def move_frontier(database: Database, windows: int) -> None:
    with database.transaction() as cursor:
        moved = (to_sql(BASE + windows * SIZE),)
        cursor.execute("UPDATE frontier SET next_window = %s", moved)


def reads(database: Database) -> int:
    """Rows that this session's statements have read so far."""
    with database.transaction() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return sum(int(n) for name, n in cursor.fetchall() if not str(name).endswith("deleted"))


def counted(database: Database, table: str) -> tuple[int, object]:
    with database.transaction() as cursor:
        cursor.execute(f"SELECT COUNT(*), MIN(window_start) FROM {table}")  # noqa: S608
        row = cursor.fetchone()
        assert row is not None
        return int(row[0]), row[1]


def sweeps_on(database: Database) -> MysqlSweepStore:
    return MysqlSweepStore(database, database, size_ms=SIZE)


def test_the_backlog_reads_an_entry_for_each_open_window(full: Line, database: Database) -> None:
    move_frontier(database, N_WINDOWS - 2)
    sweeps = sweeps_on(database)
    before = reads(database)
    # those that start at the last two steps or after, and the one before, which is told of late
    assert sweeps.backlog(full.generation).open_windows == 3
    assert reads(database) - before < 100
    move_frontier(database, 0)
    before = reads(database)
    assert sweeps.backlog(full.generation).open_windows == N_WINDOWS
    assert reads(database) - before < 6 * N_WINDOWS


def test_no_more_open_windows_are_counted_than_anybody_wants_to_know(
    full: Line, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegauge.adapters.mysql.sweeping.MAX_OPEN_WINDOWS", 10)
    assert sweeps_on(database).backlog(full.generation).open_windows == 10


def test_a_purge_reads_what_it_removes(full: Line, database: Database) -> None:
    # a day is 288 windows: of 300 closed ones the first 12 are past
    move_frontier(database, 300)
    before = reads(database)
    assert sweeps_on(database).purge(full.generation, CLOSE_RULES) == Purged(12, 0, finished=True)
    assert reads(database) - before < 4 * 12 * (2 * N_SERIES + 10)
    first = to_sql(BASE + 12 * SIZE)
    assert counted(database, "partial_count") == ((N_WINDOWS - 12) * 2 * N_SERIES, first)
    assert counted(database, "ledger") == ((N_WINDOWS - 12) * 10, first)
    before = reads(database)
    assert sweeps_on(database).purge(full.generation, CLOSE_RULES).windows == 0
    assert reads(database) - before < 60


def test_a_purge_stops_where_its_time_is_over_and_goes_on_the_next_time(
    full: Line, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge, "MAX_WINDOWS", 5)
    monkeypatch.setattr(purge, "ROWS_PER_DELETE", 30)
    move_frontier(database, 300)
    purged = [sweeps_on(database).purge(full.generation, CLOSE_RULES) for _ in range(4)]
    assert [one.windows for one in purged] == [5, 5, 2, 0]
    assert [one.finished for one in purged] == [False, False, True, True]
    assert counted(database, "ledger")[0] == (N_WINDOWS - 12) * 10


def test_a_purge_waits_for_nobody_who_counts_or_closes(
    full: Line, database: Database, fresh_database_url: str
) -> None:
    move_frontier(database, 300)
    with connection_to(fresh_database_url) as other, other.transaction() as cursor:
        lock_frontier(cursor, full.generation)
        lock_shard(cursor, full.generation, "p")
        assert sweeps_on(database).purge(full.generation, CLOSE_RULES).windows == 12


def test_messages_go_a_week_after_they_were_sent(stores: MysqlStores, database: Database) -> None:
    line = Line(stores).listing("p")
    rows = [
        (line.generation, destination.value, days)
        for destination in Destination
        for days in (None, 6, 8)
    ]
    with database.transaction() as cursor:
        cursor.executemany(
            "INSERT INTO outbox"
            " (generation, destination, message_key, payload, created_at, sent_at)"
            " VALUES (%s, %s, 'k', '{}', '2020-01-01', UTC_TIMESTAMP(3) - INTERVAL %s DAY)",
            rows,
        )
    assert stores.sweeps.purge(line.generation, CLOSE_RULES) == Purged(0, 2, finished=True)
    assert stores.sweeps.purge(line.generation, CLOSE_RULES).messages == 0
    with database.transaction() as cursor:
        cursor.execute("SELECT COUNT(*) FROM outbox")
        assert cursor.fetchall() == ((4,),)


def test_the_backlog_tells_of_old_messages_and_of_series_without_a_verdict(
    stores: MysqlStores, database: Database
) -> None:
    line = Line(stores).listing("p")
    events = [told(1, series, n) for n, series in enumerate("abc")]
    line.count("p", [Beat(BASE), *events, beat(2)])
    line.close()
    assert stores.sweeps.backlog(line.generation).unjudged_series == 3
    with database.transaction() as cursor:
        cursor.execute("UPDATE outbox SET created_at = UTC_TIMESTAMP(3) - INTERVAL 90 SECOND")
        cursor.execute(
            "INSERT INTO judging (generation, series, step, window_start, revision) VALUES"
            " (%(generation)s, 'a', %(second)s, %(second)s, 1),"
            " (%(generation)s, 'b', %(first)s, %(first)s, 1)",
            {
                "generation": line.generation,
                "first": to_sql(BASE),
                "second": to_sql(BASE + SIZE),
            },
        )
    backlog = stores.sweeps.backlog(line.generation)
    assert backlog.unjudged_series == 2
    assert 90_000 <= backlog.outbox_age_ms < 120_000


def test_a_shard_that_a_batch_holds_keeps_no_other_from_its_heartbeats_note(
    stores: MysqlStores,
    database: Database,
    fresh_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = Line(stores).listing("p", "q", "r")
    monkeypatch.setattr(connection, "_LOCK_WAIT_SECONDS", 1)
    with connection_to(fresh_database_url) as other, other.transaction() as cursor:
        lock_shard(cursor, line.generation, "q")
        with pytest.raises(Transient, match="lock"):
            sweeps_on(database).note_beats(line.generation, {"r": 3, "q": 2, "p": 1})
    assert [shard.beat for shard in line.shards().values()] == [1, None, 3]


def test_a_shard_that_is_counted_just_now_is_not_drained(
    stores: MysqlStores,
    database: Database,
    fresh_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = Line(stores).listing("p", "c<p")
    line.count("p", [Beat(BASE), beat(1)])
    monkeypatch.setattr(connection, "_LOCK_WAIT_SECONDS", 1)
    with connection_to(fresh_database_url) as other, other.transaction() as cursor:
        lock_shard(cursor, line.generation, "p")
        with pytest.raises(Transient, match="lock"):
            sweeps_on(database).drain(line.generation, "p", 2)
    assert not line.shards()["p"].drained
    assert line.drain("p", 2)


def test_draining_reads_a_shards_own_family_and_decides_by_it_as_by_all(
    stores: MysqlStores, database: Database
) -> None:
    line = Line(stores).listing("p", "q", "r", "a<p", "b<p", "m<b,q", "n<a,unlisted", "x<m", "y<r")
    for shard_id, windows in (("p", 3), ("q", 1), ("r", 2)):
        line.count(shard_id, [Beat(BASE), beat(windows)])
    for drained_before in ((), ("p",), ("q", "b"), ("m",)):
        assert all(line.drain(shard_id) for shard_id in drained_before)
        with database.transaction() as cursor:
            everybody = {shard.shard_id: shard for shard, _ in shard_rows(cursor, line.generation)}
            for shard_id, shard in everybody.items():
                known = family(cursor, line.generation, shard_id)
                fence = shard.state.fence
                assert drained(known, shard_id, fence) == drained(everybody, shard_id, fence)
            assert set(family(cursor, line.generation, "b")) == {"b", "p", "m", "q"}


def test_a_listing_that_brings_nothing_new_waits_for_nobody(
    stores: MysqlStores, fresh_database_url: str
) -> None:
    line = Line(stores).listing("p", "c<p")
    line.count("p", [Beat(BASE), beat(1)])
    line.drain("p")
    with connection_to(fresh_database_url) as other, other.transaction() as cursor:
        lock_frontier(cursor, line.generation)
        lock_shard(cursor, line.generation, "c")
        line.listing("c<p", gone=["p"])
