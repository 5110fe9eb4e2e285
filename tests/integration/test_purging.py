"""Purging is bounded, and safe at any moment: cut, killed, raced, beside those who count."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.closing import close_all
from tests.support.cutting_proxy import cutting_proxy
from tests.support.oracle import SIZE, recount
from tests.support.purged import (
    N_PURGED,
    N_SERIES,
    N_WINDOWS,
    OLD,
    PURGED_CLOSE_RULES,
    PURGED_RULES,
    PurgedWorld,
    evidence,
    one,
    run,
    until,
)
from tests.support.races import Crew, connection_to
from tests.support.rows_read import rows_read
from tests.support.worlds import BASE, RULES, as_tuples, records, told
from tidegauge.adapters.mysql import purge
from tidegauge.adapters.mysql.closing import completed_window
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.counting import MysqlCountStore
from tidegauge.adapters.mysql.migrate import migrate
from tidegauge.adapters.mysql.queries import query
from tidegauge.adapters.mysql.times import to_sql
from tidegauge.domain.errors import Transient
from tidegauge.domain.evidence import KEPT_DAYS, Evidence
from tidegauge.settings import DatabaseAddress
from tidegauge.steps.close import close_once
from tidegauge.steps.collect import collect

if TYPE_CHECKING:
    from tidegauge.ports import Purged

pytestmark = pytest.mark.database


@pytest.fixture
def database(fresh_database_url: str) -> Iterator[Database]:
    """A connection to an empty database with a schema."""
    with connection_to(fresh_database_url) as made:
        migrate(made)
        yield made


@pytest.fixture
def world(fresh_database_url: str) -> PurgedWorld:
    return PurgedWorld(fresh_database_url)


def test_evidence_goes_two_weeks_after_it_was_noted_however_old_its_window_is(
    world: PurgedWorld, database: Database
) -> None:
    generation = world.begin(database)
    world.count(database, generation)
    n_again = 2 * (N_WINDOWS - N_PURGED)  # of the windows that stay, those with a duplicate
    n_rows = 2 * N_PURGED * N_SERIES + n_again
    run(database, OLD)
    with database.transaction() as cursor:
        cursor.execute("DELETE FROM evidence WHERE window_start < %s", (to_sql(BASE + SIZE),))
    purged = world.purge(database, generation)
    # duplicates noted long ago are kept with the counts that came to them just now
    assert (purged.windows, purged.evidence, purged.finished) == (N_PURGED, n_again, True)
    n_rows -= n_again
    assert one(database, "SELECT COUNT(*) FROM evidence") == n_rows
    edge = "UPDATE evidence SET noted_at = UTC_TIMESTAMP(3) - INTERVAL %d HOUR WHERE series = '%s'"
    run(database, edge % (24 * KEPT_DAYS - 1, "s0"))
    run(database, edge % (24 * KEPT_DAYS + 1, "s1"))
    assert world.purge(database, generation).evidence == 2 * N_PURGED
    assert one(database, "SELECT COUNT(*) FROM evidence WHERE series = 's1'") == 0
    assert one(database, "SELECT COUNT(*) FROM evidence") == n_rows - 2 * N_PURGED


def test_what_a_window_is_told_from_is_the_same_before_and_after_its_purge(
    world: PurgedWorld, database: Database
) -> None:
    generation = world.begin(database)
    world.count(database, generation)
    before = evidence(database, generation)
    assert sum(found.late for found in before.values()) == 2 * (N_WINDOWS - 1)
    assert sum(found.duplicates for found in before.values()) == 2 * N_WINDOWS
    world.purge(database, generation)
    assert evidence(database, generation) == before
    end_all(database)
    assert world.purge(database, generation).windows == N_WINDOWS - N_PURGED
    assert evidence(database, generation) == before
    assert one(database, "SELECT COUNT(*) FROM partial_count") == 0


def test_what_is_counted_and_known_again_after_a_purge_adds_up(
    world: PurgedWorld, database: Database
) -> None:
    generation = world.begin(database)
    world.count(database, generation)
    before = evidence(database, generation)
    world.purge(database, generation)
    # the greatest age was raised: what ledgers have forgotten counts again, beside what was moved
    store = MysqlCountStore(database)
    log = world.logs["shard-0"]
    again = [told(3, "s3", 7_001), told(4, "s3", 7_001), told(5, "s3", 7_002)]
    batch = records("shard-0", [*log, *again])[len(log) :]
    collect(store, generation, "shard-0", batch, RULES)
    place = ("shard-0", to_sql(BASE), b"s3")
    last = batch[-1].sequence_number
    more = Evidence(batch[0].sequence_number, last, late=2, duplicates=1)
    expected = {**before, place: before[place] + more}
    assert evidence(database, generation) == expected
    end_all(database)
    world.purge(database, generation)
    assert evidence(database, generation) == expected


def end_all(database: Database) -> None:
    """End all generations, as when the stream is made anew."""
    run(database, "UPDATE frontier SET ended = TRUE")


def test_a_purge_of_evidence_stops_at_its_limit_reads_what_it_removes_and_goes_on(
    world: PurgedWorld, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge, "MAX_EVIDENCE_ROWS", 60)
    monkeypatch.setattr(purge, "ROWS_PER_DELETE", 30)
    generation = world.begin(database)
    with database.transaction() as cursor:
        cursor.executemany(
            "INSERT INTO evidence (generation, series, window_start, shard_id, noted_at) VALUES"
            " (1, %s, '2020-01-01', 'p', UTC_TIMESTAMP(3) - INTERVAL %s DAY)",
            [(b"series-%d" % series, days) for series in range(1000) for days in (series % 28,)],
        )
    purged: list[Purged] = []
    while not purged or not purged[-1].finished:
        before = rows_read(database)
        purged.append(world.purge(database, generation))
        assert rows_read(database) - before < 6 * 60 + 50
    n_old = sum(series % 28 >= KEPT_DAYS for series in range(1000))
    assert [one.evidence for one in purged] == [60] * (n_old // 60) + [n_old % 60]
    assert one(database, "SELECT COUNT(*) FROM evidence") == 1000 - n_old


def test_wherever_the_wire_breaks_no_window_looks_suspect_and_nothing_counts_twice(
    world: PurgedWorld, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # many statements a window, so that there is much to cut between them
    monkeypatch.setattr(purge, "ROWS_PER_DELETE", 5)
    address = DatabaseAddress.from_url(world.url)
    n_cut = 0
    old = OLD + " WHERE generation < %d"
    with cutting_proxy(address) as proxy:
        through = Database(lambda _: replace(address, port=proxy.port), needs_tls=lambda _: False)
        for after in (False, True):
            for statement in range(0, 400, 13):  # every kind of statement, at another window
                generation = world.begin(database, 2 * statement + after)
                world.count(database, generation)
                truth = evidence(database, generation)
                run(database, old % generation)
                before = len(proxy.cut)
                proxy.arm(statement, after=after)
                try:
                    world.purge(through, generation)
                except Transient:
                    assert world.suspect(database, generation) == set()
                    assert evidence(database, generation) == truth
                    world.purge(through, generation)
                proxy.arm(10**9, after=False)
                if len(proxy.cut) == before:
                    break
                n_cut += 1
                assert world.suspect(database, generation) == set()
                assert evidence(database, generation) == truth
                assert one(database, "SELECT MIN(generation) FROM evidence") == generation
                resent = world.resend(database, generation)
                assert resent.distinct == 0
                assert resent.duplicates + len(resent.quarantined) == 9 * N_WINDOWS - 1
        through.close()
    assert n_cut > 12
    assert {statement.split(None, 3)[2] for statement in proxy.cut if b"DELETE" in statement} >= {
        b"partial_count",
        b"evidence",
    }
    assert any(statement.startswith(b"COMMIT") for statement in proxy.cut)


def test_a_purge_that_is_cut_between_the_move_and_the_deletion_has_moved_nothing(
    world: PurgedWorld, database: Database
) -> None:
    address = DatabaseAddress.from_url(world.url)
    with cutting_proxy(address) as proxy:
        through = Database(lambda _: replace(address, port=proxy.port), needs_tls=lambda _: False)
        cut = b""
        while not cut.startswith(b"DELETE FROM partial_count"):
            generation = world.begin(database, len(proxy.cut))
            world.count(database, generation)
            truth = evidence(database, generation)
            proxy.arm(len(proxy.cut), after=False)
            with suppress(Transient):
                world.purge(through, generation)
            assert evidence(database, generation) == truth
            cut = proxy.cut[-1]
            through.close()
    assert proxy.cut[-2].startswith(b"INSERT INTO evidence")
    with database.transaction() as cursor:
        moved = "SELECT SUM(on_time + late) FROM evidence WHERE generation = %s"
        cursor.execute(moved, (generation,))
        assert cursor.fetchone() == (0,)
    assert world.purge(database, generation).windows == N_PURGED
    assert evidence(database, generation) == truth


def test_a_purge_that_is_killed_within_a_window_is_gone_on_with(
    world: PurgedWorld, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge, "ROWS_PER_DELETE", 5)
    generation = world.begin(database)
    world.count(database, generation)
    truth = evidence(database, generation)
    counts = "SELECT COUNT(*) FROM partial_count"
    n_counts = one(database, counts)
    crew = Crew(world.url)
    outcome: list[BaseException] = []

    def be_killed(mine: Database) -> None:
        try:
            world.purge(mine, generation)
        except Transient as lost:
            outcome.append(lost)

    with connection_to(world.url) as rival, rival.transaction() as cursor:
        # the first window's ledgers are deleted by then, and perhaps some of its counts moved
        cursor.execute("SELECT * FROM partial_count WHERE series = 's6' FOR UPDATE")
        purging = crew.start(be_killed)
        waiting = (
            "SELECT id FROM information_schema.processlist"
            " WHERE db = DATABASE() AND info LIKE 'INSERT INTO evidence%'"
        )
        run(database, f"KILL {until(database, waiting)}")
        purging.join(30)
    assert crew.failures == []
    assert len(outcome) == 1
    assert 0 < one(database, counts) <= n_counts  # type: ignore[operator]
    assert world.suspect(database, generation) == set()
    assert evidence(database, generation) == truth
    assert world.purge(database, generation).windows == N_PURGED
    assert evidence(database, generation) == truth
    assert world.suspect(database, generation) == set()
    assert world.resend(database, generation).distinct == 0


def test_a_window_of_more_rows_than_a_sweep_has_time_for_goes_over_several_sweeps(
    world: PurgedWorld, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge, "MAX_ROWS", 7)
    monkeypatch.setattr(purge, "ROWS_PER_DELETE", 5)
    generation = world.begin(database)
    world.count(database, generation)
    truth = evidence(database, generation)
    left = [int(str(one(database, "SELECT COUNT(*) FROM partial_count")))]
    finished = False
    while not finished:
        finished = world.purge(database, generation).finished
        left.append(int(str(one(database, "SELECT COUNT(*) FROM partial_count"))))
        assert left[-2] - left[-1] <= 7 + 5
        assert evidence(database, generation) == truth
    assert len(left) > 2 * N_PURGED
    assert world.resend(database, generation).distinct == 0


def test_two_purges_are_never_at_the_same_counts(world: PurgedWorld, database: Database) -> None:
    generation = world.begin(database)
    world.count(database, generation)
    truth = evidence(database, generation)
    names = {
        "generation": generation,
        "window_start": to_sql(BASE),
        "before_step": to_sql(BASE + 99 * SIZE),
        "limit": 5,
    }
    with connection_to(world.url) as rival, database.transaction() as cursor:
        run(rival, "SET SESSION innodb_lock_wait_timeout = 1")
        cursor.execute(query("move_to_evidence"), names)
        with pytest.raises(Transient, match="1205"), rival.transaction() as other:
            other.execute(query("move_to_evidence"), names)
        cursor.execute(query("purge_partial_counts"), names)
    assert evidence(database, generation) == truth


def test_two_purges_beside_counting_and_closing_leave_every_count_exact(
    world: PurgedWorld, database: Database
) -> None:
    generation = world.begin(database)
    crew = Crew(world.url)
    truth = recount(world.logs).rows

    def deliver(name: str) -> threading.Thread:
        batches = records(name, world.logs[name])

        def work(mine: Database) -> None:
            store = MysqlCountStore(mine)
            for start in range(0, len(batches), 3):
                batch = batches[max(0, start - 2) : start + 3]
                crew.again(
                    lambda b=batch: void(  # type: ignore[misc]
                        collect(store, generation, name, b, PURGED_RULES)
                    )
                )

        return crew.start(work)

    def close(mine: Database) -> None:
        void(close_once(MysqlCountStore(mine), generation, PURGED_CLOSE_RULES))

    # duplicates of windows that are still counted are old at once: purges meet batches in their
    # rows
    crew.loop(lambda mine: lambda: run(mine, f"{OLD} WHERE on_time + late = 0"))
    for _ in range(2):
        crew.loop(lambda mine: lambda: void(world.purge(mine, generation)))
    crew.loop(lambda mine: lambda: close(mine))
    deliveries = [deliver(name) for name in world.logs]
    for delivery in deliveries:
        delivery.join(60)
    crew.finish(timeout_s=30)
    assert crew.failures == []
    close_all(MysqlCountStore(database), generation, PURGED_CLOSE_RULES)
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT series, window_start, revision, step, count, late, quality"
            " FROM completed_window"
        )
        rows = [completed_window(generation, row) for row in cursor.fetchall()]
    assert as_tuples(rows) == truth
    assert world.suspect(database, generation) == set()
    world.purge(database, generation)
    given: dict[tuple[object, object], int] = {}
    for (_, window, series), found in evidence(database, generation).items():
        given[window, series] = given.get((window, series), 0) + found.counted
    counts = {(to_sql(row.window_start_ms), row.series.encode()): row.count for row in rows}
    assert {place: n for place, n in given.items() if n} == {
        place: n for place, n in counts.items() if n
    }


def void(_: object) -> None:
    """Let a function be called for what it does."""
