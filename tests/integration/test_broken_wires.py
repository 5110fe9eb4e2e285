"""The wire to the database breaks at every statement in turn: the next try makes it whole."""

import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import msgspec
import pytest

from tests.support.closing import close_all
from tests.support.count_stores import EVIDENCE, summed
from tests.support.cutting_proxy import CuttingProxy, cutting_proxy
from tests.support.judged_worlds import YOUNG, announced, seasonal_counts
from tests.support.judging_stores import MysqlWorld
from tests.support.oracle import SIZE, Beat, Log, recount
from tests.support.races import Crew, connection_to
from tests.support.worlds import BASE, CLOSE_RULES, RULES, as_tuples, records, told
from tidegauge.adapters.memory import MemoryCountStore
from tidegauge.adapters.memory_sweeping import MemorySweepStore
from tidegauge.adapters.mysql.closing import completed_window
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.counting import MysqlCountStore
from tidegauge.adapters.mysql.judging import MysqlJudgingStore
from tidegauge.adapters.mysql.migrate import migrate
from tidegauge.adapters.mysql.outbox import MysqlOutbox
from tidegauge.adapters.mysql.sweeping import MysqlSweepStore
from tidegauge.adapters.mysql.times import from_sql
from tidegauge.adapters.seasonal import SeasonalPredictor
from tidegauge.domain.errors import Transient
from tidegauge.domain.event import Event
from tidegauge.domain.evidence import Evidence
from tidegauge.ports import (
    CountStore,
    Destination,
    OutboxMessage,
    ShardListing,
    ShardProgress,
    StreamIdentity,
    SweepStore,
)
from tidegauge.settings import DatabaseAddress
from tidegauge.steps.collect import collect
from tidegauge.steps.predict import PredictStep
from tidegauge.steps.publish import publish_outbox

pytestmark = pytest.mark.database

LOG: Log = [
    Beat(BASE),
    told(1, "a", 1),
    told(2, "b", 2),
    Beat(BASE + 2 * SIZE + 60_000),
    told(SIZE + 3, "a", 3),  # late
    told(2 * SIZE + 4, "b", 4),
    Beat(BASE + 4 * SIZE),
]


@pytest.fixture
def proxy(fresh_database_url: str) -> Iterator[CuttingProxy]:
    """A wire to an empty database with a schema."""
    with connection_to(fresh_database_url) as database:
        migrate(database)
    with cutting_proxy(DatabaseAddress.from_url(fresh_database_url)) as made:
        yield made


@pytest.fixture
def through(proxy: CuttingProxy, fresh_database_url: str) -> Iterator[Database]:
    """A database behind that wire."""
    address = replace(DatabaseAddress.from_url(fresh_database_url), port=proxy.port)
    database = Database(lambda _: address, needs_tls=lambda _: False)
    yield database
    database.close()


def cuts(work: Callable[[], object], proxy: CuttingProxy, start: Callable[[], None]) -> int:
    """Do some work once for each statement of it and each way to lose that; return how many."""
    number = 0
    for after in (False, True):
        for statement in range(200):
            start()
            before = len(proxy.cut)
            proxy.arm(statement, after=after)
            try:
                work()
            except Transient:
                work()
            proxy.arm(10**9, after=False)
            if len(proxy.cut) == before:
                break
            number += 1
    return number


def test_a_batch_and_a_closing_are_exact_wherever_the_wire_breaks(
    proxy: CuttingProxy, through: Database
) -> None:
    truth = recount({"shard-0": LOG}).rows
    generations: list[int] = []
    store = MysqlCountStore(through)

    def start() -> None:
        if generations:
            check()
        generations.append(store.generation(StreamIdentity("arn", len(generations))))
        store.register_shards(generations[-1], [ShardListing("shard-0", (), 0, 0, closed=False)])

    def work() -> None:
        for first, until in ((0, 4), (4, 7)):
            collect(store, generations[-1], "shard-0", records("shard-0", LOG)[first:until], RULES)
            close_all(store, generations[-1], CLOSE_RULES)

    def check() -> None:
        with through.transaction() as cursor:
            cursor.execute(
                "SELECT series, window_start, revision, step, count, late, quality"
                " FROM completed_window WHERE generation = %s",
                (generations[-1],),
            )
            rows = [completed_window(generations[-1], row) for row in cursor.fetchall()]
            cursor.execute(EVIDENCE, {"generation": generations[-1]})
            evidence = {
                (name.decode(), from_sql(start) - BASE): one
                for (_, start, name), one in summed(cursor.fetchall()).items()
            }
        assert as_tuples(rows) == truth
        assert evidence == {
            ("a", 0): Evidence(2, 2, on_time=1),
            ("b", 0): Evidence(3, 3, on_time=1),
            ("a", SIZE): Evidence(5, 5, late=1),
            ("b", 2 * SIZE): Evidence(6, 6, on_time=1),
        }

    assert cuts(work, proxy, start) > 40
    check()
    assert any(statement.startswith(b"COMMIT") for statement in proxy.cut)


def begin(counts: CountStore, created_ms: int) -> int:
    """Count two shards whose child is listed, one of them with a heartbeat that nobody read."""
    generation = counts.generation(StreamIdentity("arn", created_ms))
    listing = [ShardListing(name, (), 0, 0, closed=True) for name in ("p", "q")]
    listing.append(ShardListing("c", ("p", "q"), 0, 0, closed=True))
    counts.register_shards(generation, listing)
    for name in ("p", "q"):
        collect(counts, generation, name, records(name, LOG[:4]), RULES)
    return generation


def live_on(counts: CountStore, sweeps: SweepStore, generation: int) -> list[ShardProgress]:
    """Drain, expire, note, count, close, purge; return the shards as they stand then."""
    old = msgspec.structs.replace(CLOSE_RULES, max_event_age_ms=2 * SIZE)
    sweeps.note_beats(generation, {"p": 9})
    sweeps.note_unread(generation, "q", 2)
    sweeps.drain(generation, "p", 4)
    sweeps.drain(generation, "q", 4)
    counts.register_shards(generation, [ShardListing("g", ("c",), 0, 0, closed=False)], {"c"})
    lost = Event(99, "a", BASE + 5 * SIZE)
    sweeps.note_failure(generation, "g", f"batch of {generation}", [lost], CLOSE_RULES)
    collect(counts, generation, "g", records("g", [Beat(BASE + 6 * SIZE + 60_000)]), RULES)
    close_all(counts, generation, CLOSE_RULES)
    sweeps.purge(generation, old)
    return sweeps.shards(generation)


def test_lineage_is_moved_on_once_and_whole_wherever_the_wire_breaks(
    proxy: CuttingProxy, through: Database, fresh_database_url: str
) -> None:
    plain = MemoryCountStore()
    plain_sweeps = MemorySweepStore(plain)
    generation = begin(plain, 0)
    truth = live_on(plain, plain_sweeps, generation)
    series = plain.completed(generation).values()
    rows = [row for windows in series for revisions in windows.values() for row in revisions]
    n_gaps = plain_sweeps.backlog(generation).gaps
    assert {row.quality.value for row in rows} == {"complete", "gap"}

    generations: list[int] = []
    store = MysqlCountStore(through)
    sweeps = MysqlSweepStore(through, through, size_ms=SIZE)

    def start() -> None:
        if generations:
            check()
        with connection_to(fresh_database_url) as calm:
            generations.append(begin(MysqlCountStore(calm), len(generations)))

    def check() -> None:
        assert sweeps.shards(generations[-1]) == truth
        assert sweeps.backlog(generations[-1]).gaps == n_gaps
        with through.transaction() as cursor:
            cursor.execute(
                "SELECT series, window_start, revision, step, count, late, quality"
                " FROM completed_window WHERE generation = %s",
                (generations[-1],),
            )
            told = [completed_window(generations[-1], row) for row in cursor.fetchall()]
            assert as_tuples(told) == as_tuples(rows)
            cursor.execute(
                "SELECT generation FROM ledger WHERE generation = %(generation)s UNION"
                " SELECT generation FROM partial_count WHERE generation = %(generation)s",
                {"generation": generations[-1]},
            )
            assert cursor.fetchall() == ()  # purged

    assert cuts(lambda: live_on(store, sweeps, generations[-1]), proxy, start) > 60
    check()


def test_judgements_are_written_once_wherever_the_wire_breaks(
    proxy: CuttingProxy, through: Database, fresh_database_url: str
) -> None:
    world = MysqlWorld(fresh_database_url)
    store = MysqlJudgingStore(through, interval_level=0.95)
    generations: list[int] = []
    told_before: list[list[str]] = []

    def start() -> None:
        # each of its own stream, so that none looks back on another
        generations.append(world.generation(f"arn-{len(generations)}", 0))
        world.announce(announced([*seasonal_counts(280), *[0] * 6], generation=generations[-1]))

    def work() -> None:
        PredictStep(store, SeasonalPredictor(), YOUNG).run({generations[-1]: {"a"}})

    assert cuts(work, proxy, start) > 15
    with world.database.transaction() as cursor:
        for generation in generations:
            cursor.execute(
                "SELECT window_start, revision, verdict FROM prediction WHERE generation = %s"
                " ORDER BY window_start",
                (generation,),
            )
            verdicts = [str(row) for row in cursor.fetchall()]
            cursor.execute(
                "SELECT message_key FROM outbox WHERE generation = %s ORDER BY id", (generation,)
            )
            told_before.append([*verdicts, *(row[0] for row in cursor.fetchall())])
    world.database.close()
    assert len(told_before[0]) > 286
    assert all(told == told_before[0] for told in told_before)


def test_a_message_is_sent_once_wherever_the_wire_breaks_once_it_is_sent(
    proxy: CuttingProxy, through: Database
) -> None:
    sent: list[str] = []
    outbox = MysqlOutbox(through)

    class Sink:
        def send(self, messages: Sequence[OutboxMessage]) -> None:
            sent.extend(message.message_key for message in messages)
            proxy.arm(statement, after=after)

    for statement in range(3):  # BEGIN, UPDATE, COMMIT
        for after in (False, True):
            key = f"{statement}-{after}"
            with through.transaction() as cursor:
                cursor.execute(
                    "INSERT INTO outbox (generation, destination, message_key, payload, created_at)"
                    " VALUES (1, 'alerts', %s, '{}', UTC_TIMESTAMP(3))",
                    (key,),
                )
            publish_outbox(outbox, {Destination.ALERTS: Sink()}, limit=10)
            publish_outbox(outbox, {Destination.ALERTS: Sink()}, limit=10)
            assert sent.count(key) == 1
    assert len(proxy.cut) >= 5


def test_the_victim_of_a_deadlock_is_asked_for_again_and_counts_once(
    fresh_database_url: str,
) -> None:
    crew = Crew(fresh_database_url)
    with connection_to(fresh_database_url) as database, connection_to(fresh_database_url) as rival:
        migrate(database)
        store = MysqlCountStore(database)
        generation = store.generation(StreamIdentity("arn", 0))
        store.register_shards(generation, [ShardListing("shard-0", (), 0, 0, closed=False)])
        log = records("shard-0", LOG)
        collect(store, generation, "shard-0", log[:2], RULES)
        with rival.transaction() as cursor:
            # heavier than a batch, so that the server chooses the batch
            cursor.executemany(
                "INSERT INTO outbox (generation, destination, message_key, payload, created_at)"
                " VALUES (%s, 'alerts', 'k', '{}', UTC_TIMESTAMP(3))",
                [(1,)] * 300,
            )
            cursor.execute("SELECT * FROM partial_count FOR UPDATE")

            def count(mine: Database) -> None:
                mine_store = MysqlCountStore(mine)
                batch = records("shard-0", [*LOG[:2], told(5, "a", 9)])[2:]
                crew.again(lambda: void(collect(mine_store, generation, "shard-0", batch, RULES)))

            batch = crew.start(count)
            waiting = (
                "SELECT COUNT(*) FROM information_schema.processlist"
                " WHERE db = DATABASE() AND info LIKE 'INSERT INTO partial_count%'"
            )
            until(lambda: one(database, waiting) == 1)
            cursor.execute("SELECT * FROM shard FOR UPDATE")  # the circle closes
        batch.join(30)
        assert crew.failures == []
        assert crew.retried == 1
        assert one(database, "SELECT SUM(events) FROM partial_count") == 2


def test_a_server_that_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = DatabaseAddress("127.0.0.1", silent.getsockname()[1], "u", "p", "d")
        database = Database(lambda _: address, needs_tls=lambda _: False, answer_seconds=0.2)
        with pytest.raises(Transient):
            one(database, "SELECT 1")


def one(database: Database, sql: str) -> object:
    with database.transaction() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone()
        assert row is not None
        return row[0]


def until(holds: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if holds():
            return
    pytest.fail("never came to be")


def void(_: object) -> None:
    """Drop a result."""
