"""The books that MySQL gives to an audit: all that counts, as of one moment, and cheaply."""

import random
from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from pymysql.cursors import Cursor

from tests.support.audited import StoreBooks
from tests.support.count_stores import MysqlStores
from tests.support.lineage_worlds import WIDE, Counting, resharded
from tests.support.oracle import SIZE, Beat, Log
from tests.support.races import connection_to
from tests.support.rows_read import rows_read
from tests.support.worlds import BASE, CLOSE_RULES, records, told
from tidegauge.adapters.mysql.audit import MysqlBooks
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.gaps import add_gaps
from tidegauge.adapters.mysql.queries import query
from tidegauge.adapters.mysql.times import to_sql
from tidegauge.domain.audit import Books
from tidegauge.domain.count import Quality
from tidegauge.domain.event import RejectReason
from tidegauge.domain.fold import Gap, GapReason
from tidegauge.domain.recount import Span
from tidegauge.domain.retry import ItemState
from tidegauge.ports import ShardListing, StreamIdentity
from tidegauge.steps.close import close_once
from tidegauge.steps.collect import collect

pytestmark = pytest.mark.database

SPAN = Span.between(BASE - 4 * SIZE, BASE + 20 * SIZE, size_ms=SIZE)
ARN = "arn:aws:kinesis:eu-west-1:1:stream/events"


@pytest.fixture
def stores(fresh_database_url: str) -> Iterator[MysqlStores]:
    """Stores on a database of this test alone."""
    made = MysqlStores(fresh_database_url)
    yield made
    made.close()


@pytest.fixture
def database(fresh_database_url: str) -> Iterator[Database]:
    """A connection of the audit's own."""
    with connection_to(fresh_database_url) as opened:
        yield opened


def counted(stores: MysqlStores, created_ms: int = 0, minutes: int = 21) -> int:
    """Count two series on one shard of `events`; return the generation."""
    generation = stores.counts.generation(StreamIdentity(ARN, created_ms))
    stores.counts.register_shards(generation, [ShardListing("s0", (), 0, 0, closed=False)])
    log: Log = [
        Beat(BASE), *(told(at * 60_000, "ab"[at % 2], at) for at in range(minutes)),
        Beat(BASE + 3 * SIZE + 60_000),
        told(SIZE, "late", 99), told(0, "a", 100), told(99 * SIZE, "ahead", 101),
    ]  # fmt: skip
    collect(stores.counts, generation, "s0", records("s0", log), WIDE)
    while not close_once(stores.counts, generation, CLOSE_RULES).finished:
        pass
    return generation


def books(database: Database, generation: int | None = None) -> Books:
    found = MysqlBooks(database, "events").books(SPAN, generation)
    assert found is not None
    return found


def test_they_are_what_the_steps_would_see_of_any_resharded_stream(
    stores: MysqlStores, database: Database
) -> None:
    for seed in range(12):
        world = resharded(random.Random(seed))  # noqa: S311
        counting = Counting(stores.counts, stores.sweeps, world, name=f"arn:x/s{seed}")
        counting.run(random.Random(seed))  # noqa: S311
        found = MysqlBooks(database, f"s{seed}").books(SPAN, None)
        seen = StoreBooks(stores.counts, stores.sweeps, counting.generation, arn=f"arn:x/s{seed}")
        assert found == seen.books(SPAN, None)


def test_late_events_that_no_revision_tells_yet_are_counted(
    stores: MysqlStores, database: Database
) -> None:
    counted(stores)
    found = books(database)
    assert found.next_window_ms == BASE + 3 * SIZE
    assert found.announced.counts[BASE] == {"a": 4, "b": 2}
    assert found.announced.counts[BASE + SIZE] == {"a": 2, "b": 3, "late": 1}
    assert found.announced.late == {BASE: 1, BASE + SIZE: 1}
    assert max(found.announced.counts) == BASE + 2 * SIZE  # what is open is not told


def test_what_was_set_aside_is_told_with_what_became_of_it(
    stores: MysqlStores, database: Database
) -> None:
    generation = counted(stores)
    assert books(database).rulings == []  # 99 windows ahead: of no window that is closed
    with database.transaction() as cursor:
        cursor.execute("UPDATE quarantine SET event_time = %s", (to_sql(BASE + 5),))
    (row,) = books(database).rulings
    assert (row.shard_id, row.sequence_number, row.sub_index) == ("s0", 26, 0)
    assert (row.reason, row.state) == (RejectReason.TOO_FAR_AHEAD, ItemState.HELD)
    with database.transaction() as cursor:
        cursor.execute("UPDATE quarantine SET event_time = NULL, state = 'known'")
    assert [row.state for row in books(database, generation).rulings] == [ItemState.KNOWN]
    with database.transaction() as cursor:
        cursor.execute("UPDATE quarantine SET reason = 'not_an_event', state = 'held'")
    assert books(database).rulings == []


def test_gaps_and_doubts_are_told_of_the_windows_that_they_touch(
    stores: MysqlStores, database: Database
) -> None:
    generation = stores.counts.generation(StreamIdentity(ARN, 0))
    stores.counts.register_shards(generation, [ShardListing("s0", (), 0, 0, closed=False)])
    first: Log = [Beat(BASE), told(0, "a", 1), told(SIZE, "a", 2)]
    collect(stores.counts, generation, "s0", records("s0", first), WIDE)
    gap = Gap(5, BASE + SIZE, BASE + 2 * SIZE, GapReason.BATCH_SKIPPED)
    with database.transaction() as cursor:
        add_gaps(cursor, generation, "s0", [gap])
        cursor.execute("UPDATE ledger SET event_keys = '' WHERE window_start = %s", (to_sql(BASE),))
    log: Log = [*first, Beat(BASE + 3 * SIZE + 60_000)]
    collect(stores.counts, generation, "s0", records("s0", log), WIDE)
    close_once(stores.counts, generation, CLOSE_RULES)
    found = books(database)
    assert found.announced.qualities == {BASE: {Quality.SUSPECT}, BASE + SIZE: {Quality.GAP}}
    (told_gap,) = found.gaps
    assert (told_gap.from_ms, told_gap.reason, told_gap.shard_id) == (
        BASE + SIZE, "batch_skipped", "s0",
    )  # fmt: skip


def test_of_two_generations_the_newest_is_told_or_the_one_that_is_named(
    stores: MysqlStores, database: Database
) -> None:
    newest = counted(stores, created_ms=10_000, minutes=3)
    oldest = counted(stores, created_ms=5_000, minutes=9)
    assert (books(database).generation, books(database).created_ms) == (newest, 10_000)
    assert books(database, oldest).announced.counts[BASE] == {"a": 4, "b": 2}
    assert MysqlBooks(database, "events").books(SPAN, newest + oldest) is None
    assert MysqlBooks(database, "other").books(SPAN, None) is None


def test_nothing_that_is_written_while_they_are_read_shows(
    stores: MysqlStores, database: Database
) -> None:
    generation = counted(stores)
    before = books(database)
    meddled: list[str] = []

    class Meddling(Cursor):
        """Lets the stream go on once the shards are read and the windows are not."""

        def execute(self, statement: str, values: object = None) -> int:
            if statement == query("audit_first_series") and not meddled:
                meddled.append(statement)
                more: Log = [Beat(BASE)] * 40
                more += [told(0, "a", 500), Beat(BASE + 6 * SIZE + 60_000)]
                collect(stores.counts, generation, "s0", records("s0", more), WIDE)
                close_once(stores.counts, generation, CLOSE_RULES)
            return super().execute(statement, values)

    with database.transaction() as cursor:
        cursor.connection.cursorclass = Meddling
    assert books(database) == before
    assert meddled
    after = books(database)
    assert (after.next_window_ms, after.announced.counts[BASE]) == (
        BASE + 6 * SIZE, {"a": 5, "b": 2},
    )  # fmt: skip


def test_a_span_reads_its_own_windows_however_many_there_are(
    stores: MysqlStores, database: Database
) -> None:
    generation = counted(stores)
    rows = [
        (generation, f"s{series:03d}", to_sql(BASE + at * SIZE), to_sql(BASE + at * SIZE))
        for series in range(450)
        for at in range(-60, -20)
    ]
    with database.transaction() as cursor:
        cursor.executemany(
            "INSERT INTO series (generation, series, first_window, last_event_window, active)"
            " VALUES (%s, %s, '2000-01-01', '2000-01-01', TRUE)",
            [(generation, f"s{series:03d}") for series in range(450)],
        )
        cursor.executemany(
            "INSERT INTO completed_window VALUES (%s, %s, %s, 1, %s, 3, 0, 'complete')", rows
        )
    span = Span.between(BASE - 40 * SIZE, BASE - 38 * SIZE, size_ms=SIZE)
    before = rows_read(database)
    found = MysqlBooks(database, "events").books(span, None)
    assert found is not None
    assert rows_read(database) - before < 5_000  # of 18,000 windows
    assert len(found.announced.counts[BASE - 40 * SIZE]) == 450
    assert {at: sum(of.values()) for at, of in found.announced.counts.items()} == {
        BASE - 40 * SIZE: 1350, BASE - 39 * SIZE: 1350,
    }  # fmt: skip


def test_hundreds_of_shards_are_told(stores: MysqlStores, database: Database) -> None:
    generation = counted(stores)
    children = [ShardListing(f"t{n:03d}", ("s0",), 0, 0, closed=False) for n in range(400)]
    stores.counts.register_shards(generation, children)
    found = books(database)
    assert [shard.shard_id for shard in found.shards][:2] == ["s0", "t000"]
    assert found.shards[-1] == replace(found.shards[1], shard_id="t399")
    assert found.shards[-1].parent_ids == ("s0",)
