"""The MySQL store on a real server: migrations, connections, ringing again."""

import threading
from collections.abc import Iterator

import pytest

from tests.support.closing import close_all
from tests.support.oracle import SIZE, Beat, Log
from tests.support.worlds import BASE, CLOSE_RULES, RULES, records, told
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.counting import MysqlCountStore
from tidegauge.adapters.mysql.migrate import migrate, pending_migrations
from tidegauge.adapters.mysql.outbox import MysqlOutbox
from tidegauge.adapters.mysql.sweeping import MysqlSweepStore
from tidegauge.domain.announcement import read_announcement
from tidegauge.domain.errors import BrokenInvariant, Misconfigured, Transient
from tidegauge.domain.event import Rejection, RejectReason
from tidegauge.domain.fold import count_batch
from tidegauge.domain.record import DecodedRecord
from tidegauge.ports import Destination, ShardListing, StreamIdentity
from tidegauge.settings import DatabaseAddress, DatabaseSettings
from tidegauge.steps.collect import collect

pytestmark = pytest.mark.database


def database_at(url: str) -> Database:
    return Database.from_settings(DatabaseSettings(database_url=url))


@pytest.fixture
def database(fresh_database_url: str) -> Iterator[Database]:
    """A connection to an empty database."""
    database = database_at(fresh_database_url)
    yield database
    database.close()


def one(database: Database, sql: str) -> object:
    with database.transaction() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone()
        assert row is not None
        return row[0]


def counted(database: Database) -> int:
    """Count two windows of one series on one shard, close them, return the generation."""
    store = MysqlCountStore(database)
    generation = store.generation(StreamIdentity("arn", 0))
    store.register_shards(generation, [ShardListing("shard-0", (), 0, 0, closed=False)])
    log: Log = [Beat(BASE), told(1, "a", 1), Beat(BASE + 2 * SIZE + 60_000)]
    collect(store, generation, "shard-0", records("shard-0", log), RULES)
    close_all(store, generation, CLOSE_RULES)
    return generation


def test_migrating_twice_changes_nothing_the_second_time(database: Database) -> None:
    names = pending_migrations(database)
    assert migrate(database) == names
    assert names[0] == "0001_counting"
    assert migrate(database) == []
    assert pending_migrations(database) == []


def test_two_migrations_at_once_end_with_one_schema(fresh_database_url: str) -> None:
    done: list[str] = []
    failures: list[BaseException] = []

    def run() -> None:
        database = database_at(fresh_database_url)
        try:
            done.extend(migrate(database))
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert failures == []
    assert sorted(done) == sorted(set(done))
    assert done[0] == "0001_counting"


def test_a_migration_that_broke_off_goes_on_where_it_stopped(database: Database) -> None:
    migrate(database)
    with database.transaction() as cursor:
        cursor.execute("DROP TABLE outbox")
        cursor.execute(
            "UPDATE schema_migration SET finished_at = NULL, statements_done = statements_done - 1"
            " WHERE number = 1"
        )
    assert migrate(database) == ["0001_counting"]
    assert one(database, "SELECT COUNT(*) FROM outbox") == 0


def test_a_statement_that_was_done_but_not_noted_is_not_done_again(database: Database) -> None:
    migrate(database)
    with database.transaction() as cursor:
        cursor.execute(
            "UPDATE schema_migration SET finished_at = NULL, statements_done = 2 WHERE number = 5"
        )
    assert migrate(database) == ["0005_certificates"]
    assert one(database, "SELECT COUNT(state) FROM quarantine") == 0


def test_a_column_that_stands_in_the_way_of_a_new_migration_is_told(database: Database) -> None:
    migrate(database)
    with database.transaction() as cursor:
        cursor.execute("DELETE FROM schema_migration WHERE number = 5")
    with pytest.raises(BrokenInvariant, match="1060"):
        migrate(database)


def test_times_in_the_tables_can_be_read_by_people(database: Database) -> None:
    migrate(database)
    counted(database)
    sql = "SELECT CAST(MIN(window_start) AS CHAR) FROM completed_window"
    assert one(database, sql) == "1970-01-07 22:40:00.000"


def test_a_store_without_a_schema_says_migrate(database: Database) -> None:
    with pytest.raises(Misconfigured, match="tidegauge migrate"):
        MysqlCountStore(database).generation(StreamIdentity("arn", 0))


def test_a_wrong_password_is_asked_for_again_once_and_then_told(fresh_database_url: str) -> None:
    right = DatabaseAddress.from_url(fresh_database_url)
    wrong = DatabaseAddress(right.host, right.port, right.user, "stale", right.database)
    asked: list[bool] = []

    def rotated(refused: bool) -> DatabaseAddress:
        asked.append(refused)
        return right if refused else wrong

    database = Database(rotated, needs_tls=lambda _: False)
    assert one(database, "SELECT 1") == 1
    assert asked == [False, True]
    database.close()
    with pytest.raises(Misconfigured, match="refuses this account"):
        one(Database(lambda _: wrong, needs_tls=lambda _: False), "SELECT 1")


def test_a_server_that_does_not_listen_is_transient() -> None:
    nowhere = DatabaseAddress("127.0.0.1", 1, "u", "p", "d")
    with pytest.raises(Transient, match="cannot be reached"):
        one(Database(lambda _: nowhere, needs_tls=lambda _: False), "SELECT 1")


def kill(database: Database, connection_id: object) -> None:
    other = Database(database._locate, needs_tls=lambda _: False)  # noqa: SLF001
    with other.transaction() as cursor:
        cursor.execute("KILL %s", (connection_id,))
    other.close()


def test_a_connection_that_the_server_ended_while_it_was_idle_is_replaced(
    database: Database,
) -> None:
    migrate(database)
    generation = counted(database)
    kill(database, one(database, "SELECT CONNECTION_ID()"))
    batch = records("shard-0", [Beat(BASE)] * 3 + [told(2 * SIZE, "a", 5)])
    store = MysqlCountStore(database)
    assert collect(store, generation, "shard-0", batch, RULES).batch.distinct == 1


def test_a_connection_that_dies_in_the_middle_asks_for_the_batch_again(database: Database) -> None:
    migrate(database)
    store = MysqlCountStore(database)
    generation = counted(database)
    batch = records("shard-0", [Beat(BASE)] * 3 + [told(2 * SIZE, "a", 5)])
    mine = one(database, "SELECT CONNECTION_ID()")

    def count_and_die_before_commit() -> None:
        with store.collecting(generation, "shard-0") as transaction:
            counts = count_batch(transaction.state, batch, {}, RULES, shard_id="shard-0")
            transaction.write(counts)
            kill(database, mine)

    with pytest.raises(Transient):
        count_and_die_before_commit()
    assert collect(store, generation, "shard-0", batch, RULES).batch.distinct == 1
    assert collect(store, generation, "shard-0", batch, RULES).skipped


def test_a_shard_that_somebody_holds_is_transient_and_left_as_it_was(
    database: Database, fresh_database_url: str
) -> None:
    migrate(database)
    generation = counted(database)
    holder = database_at(fresh_database_url)
    with holder.transaction() as cursor:
        cursor.execute("SELECT * FROM shard FOR UPDATE")
        batch = records("shard-0", [Beat(BASE)] * 3 + [told(2 * SIZE, "a", 5)])
        with pytest.raises(Transient, match="lock"):
            collect(MysqlCountStore(database), generation, "shard-0", batch, RULES)
    holder.close()
    assert collect(MysqlCountStore(database), generation, "shard-0", batch, RULES).batch.distinct


def test_quarantine_beyond_its_limit_keeps_position_reason_and_hash(database: Database) -> None:
    migrate(database)
    store = MysqlCountStore(database, quarantine_max_bytes=10)
    generation = store.generation(StreamIdentity("arn", 0))
    store.register_shards(generation, [ShardListing("shard-0", (), 0, 0, closed=False)])
    for number, data in enumerate([b"12345", b"6789a", b"b"], start=1):
        rejection = Rejection(RejectReason.BAD_TIME, data)
        record = DecodedRecord(number, None, (rejection,), data)
        collect(store, generation, "shard-0", [record], RULES)
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT data, reason, sha256 = UNHEX(SHA2('b', 256)) FROM quarantine"
            " ORDER BY CAST(sequence_number AS UNSIGNED)"
        )
        rows = cursor.fetchall()
    assert [row[0] for row in rows] == [b"12345", b"6789a", None]
    assert rows[2][1:] == ("bad_time", 1)


def test_a_huge_record_is_kept_byte_for_byte(database: Database) -> None:
    migrate(database)
    store = MysqlCountStore(database)
    generation = store.generation(StreamIdentity("arn", 0))
    store.register_shards(generation, [ShardListing("shard-0", (), 0, 0, closed=False)])
    data = b"'\\\x00\xff" * (9 * 1024 * 1024 // 4)
    record = DecodedRecord(1, None, (Rejection(RejectReason.NOT_UTF8, data),), data)
    collect(store, generation, "shard-0", [record], RULES)
    assert one(database, "SELECT data FROM quarantine") == data


def sweeps(database: Database, *, patience_seconds: int) -> MysqlSweepStore:
    lock = Database(database._locate, needs_tls=lambda _: False)  # noqa: SLF001
    return MysqlSweepStore(database, lock, size_ms=SIZE, patience_seconds=patience_seconds)


def test_one_sweep_runs_at_a_time(database: Database) -> None:
    migrate(database)
    one_sweep, another = (sweeps(database, patience_seconds=300) for _ in range(2))
    with one_sweep.only_one() as first, another.only_one() as second:
        assert (first, second) == (True, False)
    with sweeps(database, patience_seconds=300).only_one() as third:
        assert third


def test_a_series_that_waits_for_a_verdict_is_rung_for_again_with_growing_patience(
    database: Database,
) -> None:
    migrate(database)
    generation = counted(database)
    outbox = MysqlOutbox(database)
    outbox.mark_sent([m.number for m in outbox.take(Destination.WINDOWS, 100)])
    assert sweeps(database, patience_seconds=300).ring_again(10) == 0  # it has just begun to wait
    with database.transaction() as cursor:
        cursor.execute("UPDATE ringing SET ring_at = UTC_TIMESTAMP(3) - INTERVAL 1 SECOND")
    assert sweeps(database, patience_seconds=300).ring_again(10) == 1
    (bell,) = outbox.take(Destination.WINDOWS, 10)
    window = read_announcement(bell.message.payload)
    assert (window.generation, [s.series for s in window.series]) == (generation, ["a"])
    assert sweeps(database, patience_seconds=300).ring_again(10) == 0
    sql = "SELECT TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(3), ring_at) FROM ringing"
    wait_s = one(database, sql)
    assert isinstance(wait_s, int)
    assert 500 < wait_s <= 600


def test_a_series_that_is_judged_is_not_rung_for(database: Database) -> None:
    migrate(database)
    generation = counted(database)
    assert sweeps(database, patience_seconds=0).ring_again(10) == 1
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO judging (generation, series, step, window_start, revision)"
            " SELECT generation, series, MAX(step), MAX(window_start), 1 FROM completed_window"
            " WHERE generation = %s GROUP BY generation, series",
            (generation,),
        )
    assert sweeps(database, patience_seconds=0).ring_again(10) == 0
    assert one(database, "SELECT COUNT(*) FROM ringing") == 0
