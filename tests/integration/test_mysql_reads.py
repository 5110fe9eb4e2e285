"""What the hot queries read and wait for: as much as they need, however much the tables hold."""

from collections.abc import Iterator

import pytest

from tests.support.closing import close_all
from tests.support.judged_worlds import BASE, SIZE, YOUNG, announced
from tests.support.judging_stores import MysqlWorld
from tests.support.oracle import Beat, Log
from tests.support.races import connection_to
from tests.support.worlds import BASE as STREAM_BASE
from tests.support.worlds import CLOSE_RULES, RULES, records, told
from tidegauge.adapters.mysql.closing import MysqlClosing
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.counting import MysqlCountStore
from tidegauge.adapters.mysql.migrate import _LOCK_NAME
from tidegauge.adapters.mysql.outbox import MysqlOutbox
from tidegauge.adapters.mysql.queries import query
from tidegauge.domain.judging import Answer, judge_series
from tidegauge.domain.prediction import PredictionStatus
from tidegauge.ports import Destination, ShardListing, SliceLimits, StreamIdentity
from tidegauge.steps.collect import collect

pytestmark = pytest.mark.database

N_SERIES, N_WINDOWS = 10, 1_000
NAMES = [f"series-{number}" for number in range(N_SERIES)]
STREAM = StreamIdentity("arn:aws:kinesis:eu-west-1:123456789012:stream/reads", 1)


@pytest.fixture
def world(fresh_database_url: str) -> Iterator[MysqlWorld]:
    """Ten series with a thousand windows each."""
    made = MysqlWorld(fresh_database_url)
    generation = made.generation(STREAM.arn, STREAM.created_ms)
    for name in NAMES:
        made.announce(announced([5] * N_WINDOWS, series=name, generation=generation))
    yield made
    made.database.close()


def rows_read(database: Database) -> int:
    """Rows that this session's statements have read so far."""
    with database.transaction() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return sum(
            int(value) for name, value in cursor.fetchall() if not str(name).endswith("deleted")
        )


def test_a_new_step_is_found_without_reading_what_was_judged_before(world: MysqlWorld) -> None:
    limits = SliceLimits(SIZE, 2_000, 14)
    answer = Answer(PredictionStatus.OK, 5.0, "v1")
    backlogs = world.store.backlog(1, NAMES, limits)
    world.store.write([judge_series(b, [answer] * len(b.items), YOUNG) for b in backlogs])
    for name in NAMES:
        world.announce(announced([5], first=N_WINDOWS, series=name, generation=1))
    world.store.backlog(1, NAMES, limits)  # reads the history once

    before = rows_read(world.database)
    assert len(world.store.backlog(1, NAMES, limits)) == N_SERIES
    assert rows_read(world.database) - before < 40 * N_SERIES


def test_many_late_places_read_their_own_windows_only(world: MysqlWorld) -> None:
    with world.database.transaction() as cursor:
        cursor.execute("ANALYZE TABLE completed_window")
        cursor.fetchall()
    places = {(BASE + window * SIZE, name) for window in range(130) for name in NAMES}
    before = rows_read(world.database)
    with world.database.transaction() as cursor:
        assert len(MysqlClosing(cursor, 1).latest(places)) == len(places)
    assert rows_read(world.database) - before < 3 * len(places)


def test_a_known_stream_and_its_shards_are_recognised_while_others_hold_their_rows(
    world: MysqlWorld, fresh_database_url: str
) -> None:
    store = MysqlCountStore(world.database)
    listing = [ShardListing("shard-0", (), 0, 0, closed=False)]
    store.register_shards(1, listing)
    with connection_to(fresh_database_url) as other, other.transaction() as cursor:
        cursor.execute(query("lock_frontier"), {"generation": 1})
        cursor.execute(query("lock_shard"), {"generation": 1, "shard_id": "shard-0"})
        assert store.generation(STREAM) == 1
        store.register_shards(1, listing)


def test_messages_are_taken_while_a_closing_writes_others(
    world: MysqlWorld, fresh_database_url: str
) -> None:
    store = MysqlCountStore(world.database)
    generation = store.generation(StreamIdentity("arn", 2))
    store.register_shards(generation, [ShardListing("shard-0", (), 0, 0, closed=False)])
    log: Log = [
        Beat(STREAM_BASE),
        told(1, "a", 1),
        Beat(STREAM_BASE + 2 * SIZE + 60_000),
    ]
    collect(store, generation, "shard-0", records("shard-0", log), RULES)
    close_all(store, generation, CLOSE_RULES)
    with connection_to(fresh_database_url) as other, other.transaction() as cursor:
        cursor.execute(
            query("add_outbox"),
            {
                "generation": generation,
                "destination": "windows",
                "message_key": "k",
                "payload": b"{}",
                "created_at": "2026-01-01",
            },
        )
        assert len(MysqlOutbox(world.database).take(Destination.WINDOWS, 100)) == 2


@pytest.mark.parametrize(
    "lock",
    [query("try_lock").replace("GET_LOCK", "CONCAT"), f"SELECT CONCAT({_LOCK_NAME}, '0')"],
    ids=["sweep", "migrate"],
)
def test_a_lock_of_a_database_with_a_long_name_fits_what_mysql_allows(
    lock: str, fresh_database_url: str
) -> None:
    long_name = "d" * 64
    with connection_to(fresh_database_url) as database, database.transaction() as cursor:
        cursor.execute(lock.replace("DATABASE()", f"'{long_name}'"), {"name": "tidegauge.sweep"})
        row = cursor.fetchone()
        assert row is not None
        assert len(row[0]) - 1 <= 64  # with the 0 of the timeout
