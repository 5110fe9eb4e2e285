"""Counting anew beside everybody else on a real server: no event is lost, none counts twice."""

import random
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest

from tests.support.count_stores import MysqlStores
from tests.support.events import event_json
from tests.support.lineage_worlds import WIDE
from tests.support.oracle import SIZE, Beat, Told
from tests.support.quarantined import (
    BY_TYPE,
    STREAM_NAME,
    Aside,
    AsideLine,
    MixedLog,
    aside,
    mixed_records,
)
from tests.support.races import (
    END,
    PARENTS,
    RACE_CLOSE_RULES,
    RACE_RULES,
    Crew,
    Stream,
    connection_to,
    race_logs,
)
from tests.support.retried_worlds import (
    RetriedCounting,
    event_of,
    last_counts,
    retried_world,
)
from tests.support.shard_line import beat
from tests.support.worlds import BASE, told
from tidegauge.adapters.clock import SystemClock
from tidegauge.adapters.mysql import connection
from tidegauge.adapters.mysql.closing import completed_window
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.counting import MysqlCountStore
from tidegauge.adapters.mysql.migrate import migrate
from tidegauge.adapters.mysql.quarantine_store import MysqlQuarantine
from tidegauge.adapters.mysql.queries import query
from tidegauge.adapters.mysql.sweeping import MysqlSweepStore
from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.decode import decode
from tidegauge.domain.errors import BrokenInvariant, Transient
from tidegauge.domain.event import Event
from tidegauge.domain.record import DecodedRecord
from tidegauge.domain.retry import ItemState, Refusal, count_again
from tidegauge.ports import UnknownShard
from tidegauge.ports.quarantine import ItemFilter
from tidegauge.steps.close import close_once
from tidegauge.steps.collect import collect
from tidegauge.steps.lineage import Lineage
from tidegauge.steps.quarantine import Outcome, held, retry

pytestmark = pytest.mark.database

Logs = dict[str, Sequence[Told | Beat | Aside]]


def set_aside(logs: dict[str, list[Told | Beat]], chance: random.Random) -> Logs:
    """Return logs of which a fifth of the events are set aside.

    What comes to both children of a split is left as it is: nobody promises to know that one of
    them has it, where their parent does not count it first.
    """
    shards = defaultdict(set)
    for name, log in logs.items():
        for item in log:
            if isinstance(item, Told):
                shards[item].add(name)
    mixed: Logs = {}
    for name, log in logs.items():
        made: list[Told | Beat | Aside] = []
        for item in log:
            aside_too = isinstance(item, Told) and not shards[item] >= {"left", "right"}
            if isinstance(item, Told) and aside_too and chance.random() < 0.2:
                data = event_json(item.id, item.time, series=item.series, source="/s")
                made.append(Aside(data))
            else:
                made.append(item)
        mixed[name] = made
    return mixed


class Race:
    """One race: who takes part, and what came of it."""

    def __init__(self, url: str, seed: int) -> None:
        self.url = url
        self.chance = random.Random(seed)  # noqa: S311
        self.told = race_logs(seed)
        self.logs = set_aside(self.told, self.chance)
        self.crew = Crew(url)
        self.stream = Stream({name: len(log) for name, log in self.logs.items()})
        self.outcomes: list[Outcome] = []
        self.n_tried = 0
        with connection_to(url) as database:
            migrate(database)
            store = MysqlCountStore(database)
            self.generation = store.generation(self.stream.identity())
            store.register_shards(self.generation, self.stream.shards())

    def mapping(self, shard_id: str) -> threading.Thread:
        """Deliver a shard's log by a process that keeps keys; now and then from further back."""
        log = mixed_records(shard_id, self.logs[shard_id])
        chance = random.Random(shard_id)  # noqa: S311

        def deliver(database: Database) -> None:
            store = MysqlCountStore(database)
            position = 0
            while position < len(log):
                start = max(0, position - chance.choice((0, 0, 5)))
                position = min(len(log), position + chance.randrange(1, 30))
                if position > len(log) // 2:
                    self.stream.reshard_behind(shard_id)
                batch = log[start:position]
                goal = self.n_tried + 5
                while self.n_tried < goal and not self.crew.failures:
                    # else all is too old before anybody has tried it
                    self.crew.over.wait(0.005)
                self.crew.again(lambda b=batch: self.count(store, shard_id, b))  # type: ignore[misc]

        return self.crew.start(deliver)

    def count(self, store: MysqlCountStore, shard_id: str, batch: list[DecodedRecord]) -> None:
        try:
            collect(store, self.generation, shard_id, batch, RACE_RULES)
        except UnknownShard:
            store.register_shards(self.generation, self.stream.shards())
            msg = "it may be listed by now"
            raise Transient(msg) from None

    def closer(self, database: Database) -> Callable[[], None]:
        store = MysqlCountStore(database)

        def close() -> None:
            close_once(store, self.generation, RACE_CLOSE_RULES)

        return close

    def lineage(self, database: Database) -> Callable[[], None]:
        """List, drain and purge."""
        store = MysqlCountStore(database)
        sweeps = MysqlSweepStore(database, database, size_ms=SIZE)
        lineage = Lineage(self.stream, store, sweeps, self.stream.identity(), self.generation)

        def look() -> None:
            lineage.drain(lineage.shards(), SystemClock())
            sweeps.purge(self.generation, RACE_CLOSE_RULES)

        return look

    def retrier(self, database: Database) -> Callable[[], None]:
        """Count anything anew, new or old, settled or not."""
        quarantine = MysqlQuarantine(database, "race")
        chance = random.Random(id(database))  # noqa: S311

        def once() -> None:
            page = quarantine.page(ItemFilter(settled=chance.random() < 0.1), limit=40)
            self.n_tried += 1
            if page.items:
                item_id = chance.choice(page.items).item_id
                self.outcomes.append(retry(quarantine, item_id, BY_TYPE, RACE_RULES))

        return once

    def killer(self, database: Database) -> Callable[[], None]:
        """Kill anybody's connection, whatever it is at."""

        def kill() -> None:
            with database.transaction() as cursor:
                cursor.execute(
                    "SELECT id FROM information_schema.processlist"
                    " WHERE db = DATABASE() AND id <> CONNECTION_ID()"
                )
                others = [number for (number,) in cursor.fetchall()]
            if others and self.chance.random() < 0.3:
                with suppress(BrokenInvariant), database.transaction() as cursor:
                    cursor.execute(f"KILL {self.chance.choice(others)}")

        return kill

    def run(self, *, faults: bool) -> None:
        """Race until every shard is counted, then let everything come to its end."""
        for part in (self.closer, self.closer, self.lineage, *[self.retrier] * 3):
            self.crew.loop(part)
        if faults:
            self.crew.loop(self.killer)
        for mapping in [self.mapping(shard_id) for shard_id in PARENTS]:
            mapping.join(200)
        self.crew.finish(timeout_s=60)
        assert self.crew.failures == []
        with connection_to(self.url) as database:
            quarantine = MysqlQuarantine(database, "race")
            for some in held(quarantine, ItemFilter(), quarantine.last_id()):
                for item_id in some:
                    self.outcomes.append(retry(quarantine, item_id, BY_TYPE, RACE_RULES))
            for name in ("alone", "merged"):
                log = mixed_records(name, [*self.logs[name], Beat(END + 3 * SIZE)])
                collect(MysqlCountStore(database), self.generation, name, log, RACE_RULES)
            while not close_once(
                MysqlCountStore(database), self.generation, RACE_CLOSE_RULES
            ).finished:
                pass

    def completed(self, database: Database) -> list[CompletedWindow]:
        with database.transaction() as cursor:
            cursor.execute(
                "SELECT series, window_start, revision, step, count, late, quality"
                " FROM completed_window ORDER BY step, window_start, series, revision"
            )
            return [completed_window(self.generation, row) for row in cursor.fetchall()]

    def truth(self, database: Database) -> Counter[tuple[str, int]]:
        """Return how many events each series has in each window, by what came and was retried."""
        with database.transaction() as cursor:
            cursor.execute(
                "SELECT shard_id, sequence_number FROM quarantine"
                " WHERE state IN ('counted', 'known')"
            )
            counted = {(shard_id, int(number)) for shard_id, number in cursor.fetchall()}
        events = {
            event_of(item)
            for name, log in self.told.items()
            for number, item in enumerate(log, start=1)
            if isinstance(item, Told)
            and (isinstance(self.logs[name][number - 1], Told) or (name, number) in counted)
        }
        return Counter((series, window_ms) for series, window_ms, _ in events)


@pytest.mark.parametrize("faults", [False, True], ids=["calm", "connections killed"])
def test_retries_beside_counting_closing_draining_and_purging(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch, *, faults: bool
) -> None:
    if faults:
        monkeypatch.setattr(connection, "_LOCK_WAIT_SECONDS", 1)
    race = Race(fresh_database_url, 11 + faults)
    race.run(faults=faults)
    changed = Counter(one.item_id for one in race.outcomes if one.changed)
    assert set(changed.values()) == {1}  # two at once count once
    refused = {one.refused.refusal for one in race.outcomes if one.refused is not None}
    assert refused <= {Refusal.TOO_OLD}
    states = Counter(one.state for one in race.outcomes if one.changed)
    assert states[ItemState.COUNTED] > 200
    assert states[ItemState.KNOWN] > 5
    with connection_to(fresh_database_url) as database:
        assert last_counts(race.completed(database)) == race.truth(database)
        with database.transaction() as cursor:
            span = {"generation": race.generation, "from": "1000-01-01", "until": "9999-01-01"}
            cursor.execute(query("suspect_windows"), span)
            assert cursor.fetchall() == ()  # partial counts equal ledger keys
            cursor.execute(
                "SELECT (SELECT SUM(quarantined_bytes) FROM shard),"
                " (SELECT COALESCE(SUM(OCTET_LENGTH(data)), 0) FROM quarantine)"
            )
            ((noted, kept),) = cursor.fetchall()
            assert noted == kept


@pytest.mark.parametrize("seed", range(8))
def test_any_moment_will_do_on_a_server_too(fresh_database_url: str, seed: int) -> None:
    world = retried_world(random.Random(seed))  # noqa: S311
    chance = random.Random(-seed)  # noqa: S311
    stores = MysqlStores(fresh_database_url)
    counting = RetriedCounting(stores, world, chance, name="s")
    assert last_counts(counting.finish(chance)) == counting.truth()
    stores.close()


# --- who waits for whom


def test_a_child_whose_keys_are_kept_waits_for_its_parents_item_and_knows_it_then(
    fresh_database_url: str,
) -> None:
    stores = MysqlStores(fresh_database_url)
    line = AsideLine(stores)
    line.listing("p", "c<p").counted("p", [Beat(BASE), aside(1, "a", 1), told(2, "a", 2)])
    line.drain("p")
    log: MixedLog = [told(3, "a", 3), told(1, "a", 1), beat(1)]
    line.counted("c", log[:1])  # this process keeps the keys of the window from now on
    crew = Crew(fresh_database_url)
    with connection_to(fresh_database_url) as database:
        quarantine = MysqlQuarantine(database, STREAM_NAME)
        with quarantine.retrying(1) as transaction:
            child = crew.start(lambda _: void(line.counted("c", log[:2])))
            until_waiting(fresh_database_url, "SELECT shard_id, parent_id%")
            events = transaction.known({BASE})
            assert len(events[BASE]) == 2
            (event,) = decode(aside(1, "a", 1).data, BY_TYPE)
            assert isinstance(event, Event)
            retried = count_again([event], events, transaction.standing, WIDE, sequence_number=2)
            transaction.write(retried)
        child.join(30)
    assert crew.failures == []
    line.counted("c", log)
    assert line.close() == [(0, 1, 3, "complete")]
    stores.close()


def test_a_closing_waits_for_an_item_that_is_counted(fresh_database_url: str) -> None:
    stores = MysqlStores(fresh_database_url)
    line = AsideLine(stores)
    line.listing("p").counted("p", [Beat(BASE), aside(1, "a", 1), beat(1)])
    crew = Crew(fresh_database_url)
    closed: list[list[tuple[int, int, int, str]]] = []
    with connection_to(fresh_database_url) as database:
        with MysqlQuarantine(database, STREAM_NAME).retrying(1):
            closing = crew.start(lambda _: closed.append(line.close()))
            until_waiting(fresh_database_url, "SELECT next_window%")
        closing.join(30)
    assert crew.failures == []
    assert closed == [[]]
    stores.close()


def void(_: object) -> None:
    """Drop a result."""


def until_waiting(url: str, statement: str) -> None:
    """Return once somebody waits for a lock with such a statement."""
    with connection_to(url) as database:
        for _ in range(2_000):
            with database.transaction() as cursor:
                cursor.execute(
                    "SELECT COUNT(*) FROM information_schema.processlist"
                    " WHERE db = DATABASE() AND info LIKE %s AND info LIKE '%%FOR UPDATE'",
                    (statement,),
                )
                (row,) = cursor.fetchall()
            if row[0]:
                return
    pytest.fail("nobody waits")
