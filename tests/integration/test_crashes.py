"""Processes that die, freeze and lose their server in the middle of it all, and nothing is wrong.

Writers, zombies, closers, predictors, publishers, sweepers and purgers work on one real database, a
process each. What befalls them befalls them at a statement, not at a moment.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.crashes.crash_race import FELLS, CrashRace
from tests.support.crashes.fallible_server import FallibleServer, fallible_server
from tests.support.crashes.records import Junk, duplicates
from tests.support.crashes.roles import name_of
from tests.support.crashes.stage import rows_of
from tests.support.embedded import empty_database
from tests.support.judged_worlds import YOUNG
from tests.support.lineage_oracle import recount_lineage
from tests.support.oracle import LATENESS, SIZE, Beat
from tests.support.races import AGE_WINDOWS, N_WINDOWS, PARENTS, Smooth, connection_to
from tests.support.worlds import BASE, as_tuples
from tidegauge.adapters.memory_judging import MemoryJudgingStore
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.queries import query
from tidegauge.adapters.mysql.times import to_sql
from tidegauge.domain.announcement import read_announcement
from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.event_time import parse_time_ms
from tidegauge.ports import Destination, OutboxMessage
from tidegauge.steps.predict import PredictStep

pytestmark = pytest.mark.database

SEEDS = range(8)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FallibleServer]:
    """A server that the races of this module kill."""
    with fallible_server(tmp_path_factory.mktemp("fallible")) as made:
        yield made


@pytest.mark.parametrize("seed", SEEDS)
def test_whoever_dies_freezes_or_loses_the_server_nothing_is_counted_or_told_wrongly(
    seed: int, server: FallibleServer, tmp_path: Path
) -> None:
    with empty_database(server.address) as url:
        race = CrashRace(tmp_path, url, seed, server)
        race.crew.run()
        print(f"seed {seed}: {race.crew.tally.line()}")  # noqa: T201 - shown by pytest -rA
        check_faults(race)
        race.come_to_an_end()
        with connection_to(url) as database:
            rows = check_counts(race, database)
            written = race.written(database)
            check_announcements(race, rows, written)
            check_judgements(race, rows, written, database)


def check_faults(race: CrashRace) -> None:
    """Every kind of fault has happened."""
    tally = race.crew.tally
    assert set(tally.deaths) == {
        f"{moment} {what}" for moment in ("before", "sent") for what in ("COMMIT", "statement")
    }
    for held in ("shard, others refused", "shard, session ended"):
        assert tally.freezes[held] > 0
    for held in ("frontier, others refused", "frontier, session ended"):
        assert tally.freezes[held] > 0
    assert any(held.startswith("judging") for held in tally.freezes)
    assert tally.fells.total() == FELLS
    assert tally.refusals["1205"] > 0
    assert tally.refusals["2013"] + tally.refusals["2006"] > 0


def check_counts(race: CrashRace, database: Database) -> list[CompletedWindow]:
    """What is counted is what the logs hold, and nothing is lost."""
    rows = race.completed(database)
    assert as_tuples(rows) == recount_lineage(race.logs, PARENTS, size=SIZE, lateness=LATENESS)
    assert sum(row.late > 0 for row in rows) > 50
    assert rows_of(database, "SELECT * FROM gap") == []

    last = {(row.series, row.window_start_ms): row for row in rows}
    on_time = sum(row.count - row.late for row in last.values())
    late = sum(row.late for row in last.values())
    quarantined = [
        Junk(str(shard_id), int(str(number)), str(reason))
        for shard_id, number, reason in rows_of(
            database, "SELECT shard_id, sequence_number, reason FROM quarantine"
        )
    ]
    assert sorted(quarantined) == sorted(race.junk)
    doubled = duplicates(race.logs, PARENTS, size=SIZE)
    beats = sum(isinstance(item, Beat) for log in race.logs.values() for item in log)
    assert on_time + late + doubled + len(quarantined) + beats == race.accepted

    with database.transaction() as cursor:
        span = {"generation": race.generation, "from": "1000-01-01", "until": "9999-01-01"}
        cursor.execute(query("suspect_windows"), span)
        assert cursor.fetchall() == ()  # partial counts equal ledger keys
    oldest = rows_of(
        database,
        "SELECT MIN(window_start) FROM ledger"
        " UNION ALL SELECT MIN(window_start) FROM partial_count",
    )
    assert oldest == [(to_sql(BASE + (N_WINDOWS - AGE_WINDOWS) * SIZE),)] * 2
    return rows


def check_announcements(
    race: CrashRace, rows: list[CompletedWindow], written: list[OutboxMessage]
) -> None:
    """Each revision is announced once, in order, none early; each message was sent."""
    places = [
        (one.series, parse_time_ms(window.step), parse_time_ms(window.window_start), one.revision)
        for message in written
        if message.destination is Destination.WINDOWS
        for window in [read_announcement(message.payload)]
        for one in window.series
    ]
    steps = [step for _, step, _, _ in places]
    assert steps == sorted(steps)
    assert sorted(places) == sorted(
        (row.series, row.step_ms, row.window_start_ms, row.revision) for row in rows
    )
    first = {(r.series, r.window_start_ms): r.count for r in rows if r.revision == 1}
    final = {(row.series, row.window_start_ms): row.count - row.late for row in rows}
    assert all(first[place] >= on_time for place, on_time in final.items())
    # whoever died between sending and noting it has others send it again
    assert set(race.crew.sent) == set(map(name_of, written))


def check_judgements(
    race: CrashRace,
    rows: list[CompletedWindow],
    written: list[OutboxMessage],
    database: Database,
) -> None:
    """Verdicts and alerts are those of one thread that judges everything in order."""
    told: list[OutboxMessage] = []
    plain = MemoryJudgingStore(told.extend)
    plain.announce(rows)
    PredictStep(plain, Smooth(), YOUNG).run({race.generation: {row.series for row in rows}})
    expected = sorted(
        (series, one.window.step_ms, one.window.window_start_ms, one.window.revision, one.verdict)
        for series, judged in plain.predictions(race.generation).items()
        for one in judged
    )
    found = rows_of(
        database,
        "SELECT CONVERT(series USING utf8mb4),"
        " TIMESTAMPDIFF(MICROSECOND, '1970-01-01', step) DIV 1000,"
        " TIMESTAMPDIFF(MICROSECOND, '1970-01-01', window_start) DIV 1000, revision, verdict"
        " FROM prediction",
    )
    assert sorted(found) == expected
    alerts = [message for message in written if message.destination is Destination.ALERTS]
    assert told
    assert Counter(alert.message_key for alert in alerts) == Counter(m.message_key for m in told)
