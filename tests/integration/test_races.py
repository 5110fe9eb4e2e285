"""Everything at once on a real server: what is counted, announced, judged and sent stays exact."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.support.count_stores import EVIDENCE, summed
from tests.support.judged_worlds import YOUNG
from tests.support.lineage_oracle import recount_lineage
from tests.support.live_world import Clock
from tests.support.oracle import LATENESS, SIZE
from tests.support.races import (
    AGE_WINDOWS,
    N_WINDOWS,
    PARENTS,
    RACE_CLOSE_RULES,
    RACE_RULES,
    Crew,
    Sink,
    Smooth,
    Stream,
    connection_to,
    race_logs,
)
from tests.support.worlds import BASE, as_tuples, records
from tidegauge.adapters.clock import SystemClock
from tidegauge.adapters.memory_judging import MemoryJudgingStore
from tidegauge.adapters.mysql import connection
from tidegauge.adapters.mysql.closing import completed_window
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.counting import MysqlCountStore
from tidegauge.adapters.mysql.judging import MysqlJudgingStore
from tidegauge.adapters.mysql.migrate import migrate
from tidegauge.adapters.mysql.outbox import MysqlOutbox
from tidegauge.adapters.mysql.queries import query
from tidegauge.adapters.mysql.sweeping import MysqlSweepStore
from tidegauge.adapters.mysql.times import to_sql
from tidegauge.domain.announcement import read_announcement
from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.decode import SeriesBy
from tidegauge.domain.errors import BrokenInvariant, Transient
from tidegauge.domain.event import Event
from tidegauge.domain.event_time import parse_time_ms
from tidegauge.domain.record import DecodedRecord
from tidegauge.ports import Destination, OutboxMessage, UnknownShard
from tidegauge.steps.close import close_once
from tidegauge.steps.collect import collect
from tidegauge.steps.lineage import Lineage
from tidegauge.steps.predict import PredictStep, read_doorbell
from tidegauge.steps.publish import publish_outbox
from tidegauge.steps.sweep import Sweep

pytestmark = pytest.mark.database


def rows_of(database: Database, sql: str) -> list[tuple[object, ...]]:
    with database.transaction() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


class Race:
    """One race: who takes part, and what came of it."""

    def __init__(self, url: str, seed: int, *, sink_fails: float) -> None:
        self.url = url
        self.chance = random.Random(seed)  # noqa: S311
        self.logs = race_logs(seed)
        self.crew = Crew(url)
        self.bells = Sink(self.chance)
        self.alerts = Sink(self.chance, fails=sink_fails)
        self.sinks = {Destination.WINDOWS: self.bells, Destination.ALERTS: self.alerts}
        self.stream = Stream({name: len(log) for name, log in self.logs.items()})
        with connection_to(url) as database:
            migrate(database)
            store = MysqlCountStore(database)
            self.generation = store.generation(self.stream.identity())
            store.register_shards(self.generation, self.stream.shards())

    # --- who takes part

    def mapping(self, shard_id: str) -> threading.Thread:
        """Deliver a shard's log in order; now and then to two at once, or from further back."""
        log = records(shard_id, self.logs[shard_id])
        chance = random.Random(shard_id)  # noqa: S311

        def deliver(database: Database) -> None:
            store = MysqlCountStore(database)
            position = 0
            while position < len(log):
                start = max(0, position - chance.choice((0, 0, 0, 5, 60)))
                position = min(len(log), position + chance.randrange(1, 60))
                if position > len(log) // 2:
                    self.stream.reshard_behind(shard_id)
                batch = log[start:position]
                if chance.random() < 0.3:
                    self.crew.start(self.zombie(shard_id, batch))
                self.crew.again(lambda b=batch: self.count(store, shard_id, b))  # type: ignore[misc]

        return self.crew.start(deliver)

    def zombie(self, shard_id: str, batch: list[DecodedRecord]) -> Callable[[Database], None]:
        """Count a batch that somebody else counts too, and give up at any trouble."""

        def run(database: Database) -> None:
            try:
                self.count(MysqlCountStore(database), shard_id, batch)
            except Transient:
                self.crew.retried += 1

        return run

    def count(self, store: MysqlCountStore, shard_id: str, batch: list[DecodedRecord]) -> None:
        try:
            collect(store, self.generation, shard_id, batch, RACE_RULES)
        except UnknownShard:
            store.register_shards(self.generation, self.stream.shards())
            msg = "it may be listed by now"
            raise Transient(msg) from None

    def closer(self, database: Database) -> Callable[[], None]:
        store = MysqlCountStore(database)
        return lambda: void(close_once(store, self.generation, RACE_CLOSE_RULES))

    def publisher(self, database: Database) -> Callable[[], None]:
        outbox = MysqlOutbox(database)
        return lambda: void(publish_outbox(outbox, self.sinks, limit=100))

    def judge(self, database: Database) -> Callable[[], None]:
        """Ring for announcements that lie anywhere, twice, in any order; lose some."""
        step = self.step(database)
        chance = random.Random(id(database))  # noqa: S311

        def ring() -> None:
            heard = self.bells.sent[-40:]
            if heard:
                some = [chance.choice(heard) for _ in range(8)]
                step.ring([read_doorbell(message.payload) for message in some])

        return ring

    def step(self, database: Database) -> PredictStep:
        store = MysqlJudgingStore(database, interval_level=0.95)
        return PredictStep(store, Smooth(), YOUNG, max_steps=30)

    def sweeper(self, database: Database, *, patience_seconds: int = 300) -> Callable[[], None]:
        lock = Database(database._locate, needs_tls=lambda _: False)  # noqa: SLF001
        step = Sweep(
            store=MysqlCountStore(database),
            sweeps=MysqlSweepStore(database, lock, size_ms=SIZE, patience_seconds=patience_seconds),
            outbox=MysqlOutbox(database),
            sinks=self.sinks,
            stream=self.stream,
            clock=Clock(),
            clock_source=None,
            close_rules=RACE_CLOSE_RULES,
            series_by=SeriesBy(),
        )

        def once() -> None:
            try:
                for failure in step.run().failures:
                    raise failure
            finally:
                lock.close()

        return once

    def lineage(self, database: Database) -> Callable[[], None]:
        """List, drain and purge beside the sweep, whose lock nobody here asks for."""
        store = MysqlCountStore(database)
        sweeps = MysqlSweepStore(database, database, size_ms=SIZE)
        lineage = Lineage(self.stream, store, sweeps, self.stream.identity(), self.generation)

        def look() -> None:
            lineage.drain(lineage.shards(), SystemClock())
            sweeps.purge(self.generation, RACE_CLOSE_RULES)
            sweeps.backlog(self.generation)

        return look

    def failures(self, database: Database) -> Callable[[], None]:
        """Note batches as given up that are counted: they lost nothing."""
        sweeps = MysqlSweepStore(database, database, size_ms=SIZE)
        chance = random.Random(id(database))  # noqa: S311

        def note() -> None:
            shards = [shard for shard in sweeps.shards(self.generation) if not shard.drained]
            shard = chance.choice(shards)
            counted = records(shard.shard_id, self.logs[shard.shard_id][: max(shard.fence, 0)])
            events = [r.items[0] for r in counted[-20:] if isinstance(r.items[0], Event)]
            lost = sweeps.note_failure(
                self.generation, shard.shard_id, f"{chance.random()}", events, RACE_CLOSE_RULES
            )
            assert lost == 0

        return note

    def killer(self, database: Database) -> Callable[[], None]:
        """Kill anybody's connection, whatever it is at."""

        def kill() -> None:
            others = rows_of(
                database,
                "SELECT id FROM information_schema.processlist"
                " WHERE db = DATABASE() AND id <> CONNECTION_ID()",
            )
            if others and self.chance.random() < 0.5:
                (victim,) = self.chance.choice(others)
                with suppress(BrokenInvariant):  # it has just gone by itself
                    rows_of(database, f"KILL {victim}")

        return kill

    def run(self, *, faults: bool) -> None:
        """Race until every shard is counted, then let everything come to its end."""
        for part in (self.closer, self.closer, self.publisher, self.publisher, self.publisher):
            self.crew.loop(part)
        for part in (self.judge, self.judge, self.sweeper, self.sweeper):
            self.crew.loop(part)
        for part in (self.lineage, self.lineage, self.failures):
            self.crew.loop(part)
        if faults:
            self.crew.loop(self.killer)
        # all at once: children are asked for before anybody has listed them, and refused
        for mapping in [self.mapping(shard_id) for shard_id in PARENTS]:
            mapping.join(120)
        self.crew.finish(timeout_s=60)

    def come_to_an_end(self) -> None:
        """Close and publish the rest, as the next sweep would."""
        with connection_to(self.url) as database:
            with database.transaction() as cursor:  # the minute of whoever took and died is over
                cursor.execute("UPDATE outbox SET taken_until = NULL WHERE sent_at IS NULL")
            self.alerts._fails = 0.0  # noqa: SLF001
            self.crew.again(self.sweeper(database))

    # --- what came of it

    def completed(self, database: Database) -> list[CompletedWindow]:
        rows = rows_of(
            database,
            "SELECT series, window_start, revision, step, count, late, quality"
            " FROM completed_window ORDER BY step, window_start, series, revision",
        )
        return [completed_window(self.generation, row) for row in rows]

    def judge_the_rest(self) -> None:
        """Ring for whatever still waits, by a sweep whose patience is at its end."""
        with connection_to(self.url) as database:
            step = self.step(database)
            for _ in range(3):
                with database.transaction() as cursor:
                    cursor.execute("UPDATE ringing SET ring_at = '1970-01-01'")
                heard = len(self.bells.sent)
                self.crew.again(self.sweeper(database, patience_seconds=0))
                rung = [read_doorbell(m.payload) for m in self.bells.sent[heard:]]
                self.crew.again(lambda r=rung: void(step.ring(r)))  # type: ignore[misc]
                self.crew.again(self.sweeper(database))


def void(_: object) -> None:
    """Drop a result."""


def told_places(messages: list[OutboxMessage]) -> list[tuple[str, int, int, int]]:
    """Return series, step, window and revision of all that messages announce, in their order."""
    windows = [read_announcement(message.payload) for message in messages]
    return [
        (one.series, parse_time_ms(window.step), parse_time_ms(window.window_start), one.revision)
        for window in windows
        for one in window.series
    ]


@pytest.mark.parametrize("faults", [False, True], ids=["calm", "connections killed"])
def test_everybody_at_once_counts_announces_judges_and_sends_exactly_once(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch, *, faults: bool
) -> None:
    if faults:
        monkeypatch.setattr(connection, "_LOCK_WAIT_SECONDS", 1)
    race = Race(fresh_database_url, 7 + faults, sink_fails=0.2)
    race.run(faults=faults)
    assert race.crew.failures == []
    race.come_to_an_end()

    truth = recount_lineage(race.logs, PARENTS, size=SIZE, lateness=LATENESS)
    with connection_to(fresh_database_url) as database:
        rows = race.completed(database)
        assert as_tuples(rows) == truth
        assert sum(row.late > 0 for row in rows) > 50
        assert rows_of(database, "SELECT * FROM gap") == []
        drained = rows_of(database, "SELECT shard_id FROM shard WHERE drained ORDER BY shard_id")
        assert drained == [("left",), ("parent",), ("right",)]
        oldest = rows_of(
            database,
            "SELECT MIN(window_start) FROM ledger UNION ALL"
            " SELECT MIN(window_start) FROM partial_count",
        )
        assert oldest == [(to_sql(BASE + (N_WINDOWS - AGE_WINDOWS) * SIZE),)] * 2
        with database.transaction() as cursor:
            span = {"generation": race.generation, "from": "1000-01-01", "until": "9999-01-01"}
            cursor.execute(query("suspect_windows"), span)
            assert cursor.fetchall() == ()  # partial counts equal ledger keys
        counts = {(row.series.encode(), to_sql(row.window_start_ms)): row.count for row in rows}
        given: dict[tuple[object, object], int] = {}
        with database.transaction() as cursor:
            cursor.execute(EVIDENCE, {"generation": race.generation})
            for (_, start, name), one in summed(cursor.fetchall()).items():
                given[name, start] = given.get((name, start), 0) + one.counted
        assert {place: n for place, n in given.items() if n} == {
            place: n for place, n in counts.items() if n
        }
        written = rows_of(database, "SELECT payload FROM outbox WHERE destination = 'windows'")
    sent = Counter(message.payload for message in race.bells.sent)
    assert sent == Counter(payload for (payload,) in written)

    places = told_places(race.bells.sent)
    assert sorted(places) == sorted(
        (row.series, row.step_ms, row.window_start_ms, row.revision) for row in rows
    )
    check_judgements(race, rows)


def check_judgements(race: Race, rows: list[CompletedWindow]) -> None:
    """Hold verdicts and alerts against those of one thread that judges everything in order."""
    race.judge_the_rest()
    told: list[OutboxMessage] = []
    plain = MemoryJudgingStore(told.extend)
    plain.announce(rows)
    names = {row.series for row in rows}
    PredictStep(plain, Smooth(), YOUNG).run({race.generation: names})
    expected = sorted(
        (series, one.window.step_ms, one.window.window_start_ms, one.window.revision, one.verdict)
        for series, judged in plain.predictions(race.generation).items()
        for one in judged
    )
    with connection_to(race.url) as database:
        found = rows_of(
            database,
            "SELECT series, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', step) DIV 1000,"
            " TIMESTAMPDIFF(MICROSECOND, '1970-01-01', window_start) DIV 1000, revision, verdict"
            " FROM prediction",
        )
    assert sorted((row[0].decode(), *row[1:]) for row in found) == expected  # type: ignore[attr-defined]
    assert told
    sent = [message.message_key for message in race.alerts.sent]
    assert sorted(sent) == sorted(message.message_key for message in told)
