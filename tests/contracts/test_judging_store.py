"""The contract of `ports.JudgingStore`, on memory and on a real database."""

import secrets
from collections.abc import Iterator
from typing import Any, cast

import msgspec
import numpy as np
import pytest
from pymysql.cursors import Cursor

from tests.support.judged_worlds import BASE, SIZE, YOUNG, announced, seasonal_counts, window
from tests.support.judging_stores import MemoryWorld, MysqlWorld, World
from tidegauge.adapters.mysql.judging import MysqlJudgingStore
from tidegauge.adapters.seasonal import SeasonalPredictor
from tidegauge.domain.count import CompletedWindow, Quality
from tidegauge.domain.incident import IncidentStatus
from tidegauge.domain.judging import Answer, JudgedSeries, SeriesBacklog, judge_series
from tidegauge.domain.prediction import Position, PredictionStatus, position_of
from tidegauge.ports import Destination, SliceLimits
from tidegauge.steps.predict import PredictStep

LIMITS = SliceLimits(SIZE, 1000, 14)
EXPECTING_TEN = Answer(PredictionStatus.OK, 10.0, "model-1")


@pytest.fixture(params=["memory", pytest.param("mysql", marks=pytest.mark.database)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each implementation in turn, empty."""
    if request.param == "memory":
        yield MemoryWorld()
        return
    made = MysqlWorld(cast("str", request.getfixturevalue("fresh_database_url")))
    yield made
    made.database.close()


@pytest.fixture
def stream() -> str:
    """A stream that no other test has used."""
    return f"arn:aws:kinesis:eu-west-1:123456789012:stream/{secrets.token_hex(6)}"


def judged(backlog: SeriesBacklog, answer: Answer = EXPECTING_TEN) -> JudgedSeries:
    """Judge all items of a backlog by one and the same answer."""
    return judge_series(backlog, [answer] * len(backlog.items), YOUNG)


def only(backlogs: list[SeriesBacklog]) -> SeriesBacklog:
    """Return the one backlog."""
    (backlog,) = backlogs
    return backlog


def test_a_series_without_windows_has_no_backlog(world: World, stream: str) -> None:
    generation = world.generation(stream, 1)
    assert world.store.backlog(generation, ["nobody"], LIMITS) == []
    assert world.store.backlog(generation, [], LIMITS) == []
    assert world.store.write([]) == []


def test_a_backlog_holds_whole_steps_in_order_up_to_the_limit(world: World, stream: str) -> None:
    generation = world.generation(stream, 1)
    corrections = {(2, 0): 5, (2, 1): 6}
    rows = announced([1, 2, 3, 4], generation=generation, corrections=corrections)
    world.announce(rows)
    backlog = only(world.store.backlog(generation, ["a"], SliceLimits(SIZE, 3, 14)))
    assert backlog.items == tuple(rows[:5])
    assert [item.window_start_ms for item in backlog.items] == [
        BASE + index * SIZE for index in (0, 1, 0, 1, 2)
    ]
    assert backlog.cursor is None
    assert backlog.incident is None
    assert len(backlog.counts.count) == 0


def test_a_series_that_retired_and_came_back_goes_on_after_the_hole(
    world: World, stream: str
) -> None:
    generation = world.generation(stream, 1)
    for name in ("a", "b"):
        world.announce(announced([1, 2], series=name, generation=generation))
    world.store.write([judged(one) for one in world.store.backlog(generation, ["a", "b"], LIMITS)])
    world.announce(announced([3], first=50, generation=generation))
    backlog = only(world.store.backlog(generation, ["a", "b"], LIMITS))
    assert [(item.series, item.count) for item in backlog.items] == [("a", 3)]


def test_backlogs_come_in_order_of_the_series_bytes(world: World, stream: str) -> None:
    generation = world.generation(stream, 1)
    names = ["é", "b", "Z", "\U0001f6eb", "a "]
    for name in names:
        world.announce([window(0, 1, series=name, generation=generation)])
    found = world.store.backlog(generation, [*names, "b"], LIMITS)
    assert [one.series for one in found] == sorted(names, key=str.encode)


def test_what_is_written_is_not_judged_again_and_becomes_history(world: World, stream: str) -> None:
    generation = world.generation(stream, 1)
    world.announce(announced([7, 8], generation=generation))
    first = judged(only(world.store.backlog(generation, ["a"], LIMITS)))
    assert world.store.write([first]) == ["a"]
    assert world.store.backlog(generation, ["a"], LIMITS) == []

    world.announce(announced([9], generation=generation, first=2, corrections={(2, 1): 80}))
    backlog = only(world.store.backlog(generation, ["a"], LIMITS))
    assert [position_of(item)[1:] for item in backlog.items] == [
        (BASE + SIZE, 2),
        (BASE + 2 * SIZE, 1),
    ]
    assert backlog.cursor == Position(BASE + SIZE, BASE + SIZE, 1)
    assert backlog.counts.window_start_ms.tolist() == [BASE, BASE + SIZE]
    assert backlog.counts.count.tolist() == [7.0, 8.0]
    assert backlog.residuals.step_ms.tolist() == [BASE, BASE + SIZE]
    assert backlog.residuals.actual.tolist() == [7.0, 8.0]
    assert backlog.residuals.expected.tolist() == [10.0, 10.0]
    assert backlog.residuals.anomalous.tolist() == [-1, -1]


def test_only_one_of_two_that_judged_the_same_is_written(world: World, stream: str) -> None:
    generation = world.generation(stream, 1)
    world.announce(announced([7, 8], generation=generation))
    world.announce(announced([1], series="b", generation=generation))
    here = world.store.backlog(generation, ["a", "b"], LIMITS)
    there = world.store.backlog(generation, ["a"], LIMITS)
    assert world.store.write([judged(one) for one in there]) == ["a"]
    other = Answer(PredictionStatus.OK, 99.0, "model-2")
    assert world.store.write([judged(one, other) for one in here]) == ["b"]
    versions = {row[0]: row[5] for row in world.verdicts(generation)}
    assert versions == {"a": "model-1", "b": "model-2"}


def test_counts_that_are_not_to_be_trusted_are_missing_from_history(
    world: World, stream: str
) -> None:
    generation = world.generation(stream, 1)
    qualities = [Quality.PARTIAL, Quality.GAP, Quality.SUSPECT, Quality.COMPLETE]
    rows = [
        window(index, 4, generation=generation, quality=quality)
        for index, quality in enumerate(qualities)
    ]
    world.announce(rows)
    world.store.write([judged(only(world.store.backlog(generation, ["a"], LIMITS)))])
    world.announce([window(4, 4, generation=generation)])
    backlog = only(world.store.backlog(generation, ["a"], LIMITS))
    assert np.isnan(backlog.counts.count).tolist() == [True, True, True, False]
    assert np.isnan(backlog.residuals.actual).tolist() == [True, True, True, False]
    assert np.isnan(backlog.residuals.expected).tolist() == [True, True, True, False]


def test_a_later_generation_reads_what_came_before_its_first_step(
    world: World, stream: str
) -> None:
    before = world.generation(stream, 1)
    world.announce(announced([1, 2, 3, 4], generation=before))
    world.store.write([judged(only(world.store.backlog(before, ["a"], LIMITS)))])
    after = world.generation(stream, 2)
    world.announce(announced([50, 60], generation=after, first=2))
    backlog = only(world.store.backlog(after, ["a"], LIMITS))
    assert backlog.counts.count.tolist() == [1.0, 2.0]
    assert backlog.residuals.actual.tolist() == [1.0, 2.0]
    assert [item.count for item in backlog.items] == [50, 60]
    world.store.write([judged(backlog)])
    world.announce(announced([70], generation=after, first=4))
    backlog = only(world.store.backlog(after, ["a"], LIMITS))
    assert backlog.counts.count.tolist() == [1.0, 2.0, 50.0, 60.0]


def outage(generation: int) -> list[CompletedWindow]:
    """Return a day of noise, an outage of an hour, three hours of noise and a late event."""
    counts = seasonal_counts(330)
    counts[270:282] = [0] * 12
    return announced(counts, generation=generation, corrections={(325, 320): counts[320] + 1})


def test_an_outage_is_one_incident_and_its_alerts_wait_in_the_outbox(
    world: World, stream: str
) -> None:
    generation = world.generation(stream, 1)
    world.announce(outage(generation))
    step = PredictStep(world.store, SeasonalPredictor(), YOUNG, max_steps=100)
    outcome = step.run({generation: {"a"}})
    assert (outcome.windows, outcome.slices) == (331, 4)
    alerts = world.outbox.take(Destination.ALERTS, 10)
    bodies: list[dict[str, Any]] = [msgspec.json.decode(alert.message.payload) for alert in alerts]
    assert [body["attributes"]["kind"] for body in bodies] == ["opened", "cleared"]
    assert [alert.message.message_key for alert in alerts] == [body["id"] for body in bodies]
    assert bodies[0]["attributes"] == {
        "series": "a",
        "direction": "low",
        "severity": "critical",
        "kind": "opened",
    }
    world.announce(announced([30], generation=generation, first=330))
    incident = only(world.store.backlog(generation, ["a"], LIMITS)).incident
    assert incident is not None
    assert incident.status is IncidentStatus.CLEARED
    assert incident.incident_id == bodies[0]["json"]["incident"]
    assert incident.first_window_ms == BASE + 270 * SIZE


def test_every_store_judges_as_memory_does_in_one_slice(world: World, stream: str) -> None:
    plain = MemoryWorld()
    number = plain.generation(stream, 1)
    plain.announce(outage(number))
    PredictStep(plain.store, SeasonalPredictor(), YOUNG).run({number: {"a"}})

    generation = world.generation(stream, 1)
    rows = outage(generation)
    step = PredictStep(world.store, SeasonalPredictor(), YOUNG, max_steps=31)
    for start in (0, 100, 230, 300):
        until = {0: 100, 100: 230, 230: 300, 300: 1000}[start]
        world.announce(
            [row for row in rows if BASE + start * SIZE <= row.step_ms < BASE + until * SIZE]
        )
        step.run({generation: {"a"}})
    assert world.verdicts(generation) == plain.verdicts(number)
    here = [stored.message for stored in world.outbox.take(Destination.ALERTS, 10)]
    there = [stored.message for stored in plain.outbox.take(Destination.ALERTS, 10)]
    assert here == there


@pytest.mark.database
def test_another_streams_series_of_the_same_name_is_no_history(
    fresh_database_url: str, stream: str
) -> None:
    world = MysqlWorld(fresh_database_url)
    other = world.generation(f"{stream}-other", 1)
    world.announce(announced([1, 2], generation=other))
    generation = world.generation(stream, 1)
    world.announce(announced([50], generation=generation, first=2))
    assert len(only(world.store.backlog(generation, ["a"], LIMITS)).counts.count) == 0
    world.database.close()


@pytest.mark.database
def test_the_number_of_statements_does_not_grow_with_the_series(
    fresh_database_url: str, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = MysqlWorld(fresh_database_url)
    generation = world.generation(stream, 1)
    names = [f"series-{number}" for number in range(60)]
    for name in names:
        world.announce(announced([5, 6], series=name, generation=generation))
    statements: list[object] = []
    send = Cursor.execute

    def counted(self: Cursor, statement: str, args: object = None) -> int:
        statements.append(statement)
        return send(self, statement, args)

    monkeypatch.setattr(Cursor, "execute", counted)

    def statements_for(series: set[str]) -> int:
        statements.clear()
        PredictStep(world.store, None, YOUNG).run({generation: series})
        return len(statements)

    few = statements_for(set(names[:2]))
    assert statements_for(set(names[2:])) == few
    assert len(world.verdicts(generation)) == 120
    world.database.close()


def test_a_backlog_of_many_series_with_a_long_break_is_judged_whole(
    world: World, stream: str
) -> None:
    generation = world.generation(stream, 1)
    names = [f"s{number}" for number in range(5)]
    for name in names:
        for first in (0, 9000):
            world.announce(announced([3] * 12, series=name, generation=generation, first=first))
    outcome = PredictStep(world.store, None, YOUNG, max_steps=5).run({generation: set(names)})
    assert outcome.windows == len(world.verdicts(generation)) == 5 * 24
    assert world.store.backlog(generation, names, LIMITS) == []


@pytest.mark.database
def test_a_warm_process_has_the_same_history_as_a_cold_one(
    fresh_database_url: str, stream: str
) -> None:
    world = MysqlWorld(fresh_database_url)
    generation = world.generation(stream, 1)
    counts = seasonal_counts(400)
    late = {(index, index - 100): 7 for index in range(250, 400, 10)}
    rows = announced(counts, generation=generation, corrections=late)
    warm = world.store
    for start in range(0, 400, 25):
        first, until = BASE + start * SIZE, BASE + (start + 25) * SIZE
        world.announce([row for row in rows if first <= row.step_ms < until])
        (here,) = warm.backlog(generation, ["a"], LIMITS)
        cold = MysqlJudgingStore(world.database, interval_level=0.95)
        (there,) = cold.backlog(generation, ["a"], LIMITS)
        assert here.items == there.items
        assert here.counts.window_start_ms.tolist() == there.counts.window_start_ms.tolist()
        assert here.counts.count.tolist() == there.counts.count.tolist()
        assert here.residuals.step_ms.tolist() == there.residuals.step_ms.tolist()
        assert here.residuals.actual.tolist() == there.residuals.actual.tolist()
        assert here.residuals.anomalous.tolist() == there.residuals.anomalous.tolist()
        assert warm.write([judged(here)]) == ["a"]
    world.database.close()
