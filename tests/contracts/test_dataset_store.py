"""What datasets are read from, on memory and on MySQL."""

from typing import cast

import pytest

from tests.support.dataset_stores import (
    ARN,
    DatasetWorld,
    MemoryDatasetWorld,
    MysqlDatasetWorld,
    completed,
)
from tidegauge.adapters.clock import SystemClock
from tidegauge.domain.count import Quality
from tidegauge.domain.dataset import Dataset, SeriesIncident, SeriesSpan, StreamHistory
from tidegauge.domain.dataset_rows import QUALITIES
from tidegauge.domain.incident import IncidentStatus
from tidegauge.domain.verdict import Verdict
from tidegauge.ports.dataset import StepSpan

SIZE = 300_000
ALL = StepSpan(0, 1000 * SIZE, 1000 * SIZE)


@pytest.fixture(params=["memory", pytest.param("mysql", marks=pytest.mark.database)])
def world(request: pytest.FixtureRequest) -> DatasetWorld:
    """Each implementation in turn, empty."""
    if request.param == "memory":
        return MemoryDatasetWorld()
    return MysqlDatasetWorld(cast("str", request.getfixturevalue("fresh_database_url")))


def table(world: DatasetWorld, series: SeriesSpan, span: StepSpan) -> list[tuple[int, ...]]:
    """Return the windows of a series: start, generation, revision, count, late, quality."""
    columns = world.store.windows(series, span)
    return list(
        zip(
            (columns.window_start_ms // SIZE).tolist(),
            columns.generation.tolist(),
            columns.revision.tolist(),
            columns.count.tolist(),
            columns.late.tolist(),
            columns.quality.tolist(),
            strict=True,
        )
    )


def test_a_stream_without_closed_windows_has_no_history(world: DatasetWorld) -> None:
    assert world.store.history() is None
    world.generation()
    assert world.store.history() is None


def test_the_newest_generation_that_has_closed_anything_says_how_far(world: DatasetWorld) -> None:
    first = world.generation()
    world.close(first, 10 * SIZE)
    second = world.generation()
    assert world.store.history() == StreamHistory(ARN, (first, second), 10 * SIZE)
    world.close(second, 7 * SIZE)
    assert world.store.history() == StreamHistory(ARN, (first, second), 7 * SIZE)


def test_series_are_told_with_the_windows_that_they_have_in_the_span(world: DatasetWorld) -> None:
    first, second = world.generation(), world.generation()
    partial = completed(first, "b", 1 * SIZE, 1, quality=Quality.PARTIAL)
    world.announce([partial, completed(first, "b", 2 * SIZE, 1)])
    world.announce([completed(second, "b", 5 * SIZE, 1), completed(second, "ä", 6 * SIZE, 1)])
    world.announce([completed(second, "Z", 6 * SIZE, 1, quality=Quality.GAP)])
    assert world.store.series((first, second), ALL) == [
        SeriesSpan("Z", (second,), 6 * SIZE, 6 * SIZE, None),
        SeriesSpan("b", (first, second), SIZE, 5 * SIZE, 2 * SIZE),
        SeriesSpan("ä", (second,), 6 * SIZE, 6 * SIZE, 6 * SIZE),
    ]
    span = StepSpan(2 * SIZE, 6 * SIZE, 6 * SIZE)
    assert world.store.series((first, second), span) == [
        SeriesSpan("b", (first, second), 2 * SIZE, 5 * SIZE, 2 * SIZE)
    ]
    assert world.store.series((first,), StepSpan(3 * SIZE, 9 * SIZE, 9 * SIZE)) == []


def test_of_several_revisions_the_last_stands(world: DatasetWorld) -> None:
    one = world.generation()
    world.announce(
        [
            completed(one, "a", SIZE, 4),
            completed(one, "a", 2 * SIZE, 7, quality=Quality.SUSPECT),
            completed(one, "a", SIZE, 6, revision=2, step_ms=2 * SIZE, late=2),
        ]
    )
    (series,) = world.store.series((one,), ALL)
    assert table(world, series, ALL) == [
        (1, one, 2, 6, 2, QUALITIES.index(Quality.COMPLETE)),
        (2, one, 1, 7, 0, QUALITIES.index(Quality.SUSPECT)),
    ]


def test_what_later_steps_announced_is_not_seen(world: DatasetWorld) -> None:
    one = world.generation()
    world.announce([completed(one, "a", SIZE, 4), completed(one, "a", 2 * SIZE, 5)])
    world.announce([completed(one, "a", SIZE, 6, revision=2, step_ms=3 * SIZE, late=2)])
    world.announce([completed(one, "new", SIZE, 6, step_ms=3 * SIZE, late=6)])
    before = StepSpan(0, 3 * SIZE, 3 * SIZE)
    (series,) = world.store.series((one,), before)
    assert [row[:4] for row in table(world, series, before)] == [(1, one, 1, 4), (2, one, 1, 5)]


def test_of_two_generations_the_later_one_counts(world: DatasetWorld) -> None:
    first, second = world.generation(), world.generation()
    world.announce([completed(second, "a", 2 * SIZE, 20), completed(second, "a", 3 * SIZE, 30)])
    world.announce([completed(first, "a", n * SIZE, n) for n in (1, 2)])
    world.announce([completed(first, "a", 2 * SIZE, 3, revision=2, step_ms=2 * SIZE, late=1)])
    (series,) = world.store.series((first, second), ALL)
    assert [row[:4] for row in table(world, series, ALL)] == [
        (1, first, 1, 1),
        (2, second, 1, 20),
        (3, second, 1, 30),
    ]


@pytest.mark.parametrize("quality", list(Quality))
def test_every_quality_is_read(world: DatasetWorld, quality: Quality) -> None:
    one = world.generation()
    world.announce([completed(one, "a", SIZE, 4, quality=quality)])
    (series,) = world.store.series((one,), ALL)
    ((*_, found),) = table(world, series, ALL)
    assert QUALITIES[found] is quality


def test_a_span_without_windows_is_empty(world: DatasetWorld) -> None:
    one = world.generation()
    world.announce([completed(one, "a", SIZE, 4)])
    (series,) = world.store.series((one,), ALL)
    assert table(world, series, StepSpan(2 * SIZE, 4 * SIZE, 4 * SIZE)) == []


def test_open_incidents_and_drops_that_ended_are_told(world: DatasetWorld) -> None:
    one, other = world.generation(), world.generation()

    def incident(
        number: int, direction: Verdict, status: IncidentStatus, generation: int = one
    ) -> SeriesIncident:
        closed_ms = None if status is IncidentStatus.OPEN else 9 * SIZE
        return SeriesIncident(
            generation, "a", f"{number:016x}", direction, status, number * SIZE, closed_ms
        )

    told = [
        incident(1, Verdict.TOO_LOW, IncidentStatus.CLEARED),
        incident(2, Verdict.TOO_HIGH, IncidentStatus.OPEN),
        incident(3, Verdict.TOO_LOW, IncidentStatus.EXPIRED),
    ]
    for each in (
        told[2],
        incident(4, Verdict.TOO_HIGH, IncidentStatus.CLEARED),
        incident(5, Verdict.TOO_LOW, IncidentStatus.RETRACTED),
        told[0],
        told[1],
        incident(6, Verdict.TOO_LOW, IncidentStatus.OPEN, other),
    ):
        world.add_incident(each)
    assert world.store.incidents((one,)) == told


def test_the_latest_dataset_ends_last(world: DatasetWorld) -> None:
    assert world.store.latest(ARN) is None
    for number, (arn, day) in enumerate([(ARN, 2), (ARN, 3), ("other", 9), (ARN, 1)]):
        world.store.note(Dataset(f"s3://e/{number}", arn, 0, day * 86_400_000))
    assert world.store.latest(ARN) == Dataset("s3://e/1", ARN, 0, 3 * 86_400_000)
    world.store.note(Dataset("s3://e/1", ARN, 0, 3 * 86_400_000))
    assert world.store.latest(ARN) == Dataset("s3://e/1", ARN, 0, 3 * 86_400_000)


def test_exclusions_are_noted_and_forgotten(world: DatasetWorld) -> None:
    first = world.exclusions.add(None, 1000, 2000, "holidays, ☃")
    second = world.exclusions.add("sérïes", 5, 6, "x" * 255)
    assert (first.series, first.from_ms, first.until_ms) == (None, 1000, 2000)
    assert first.why == "holidays, ☃"
    assert abs(first.noted_ms - SystemClock().now_ms()) < 60_000
    assert world.exclusions.exclusions() == world.store.exclusions() == [first, second]
    assert world.exclusions.remove(first.exclusion_id) == first
    assert world.exclusions.remove(first.exclusion_id) is None
    assert world.store.exclusions() == [second]


def test_a_series_is_known_once_it_was_counted(world: DatasetWorld) -> None:
    assert not world.exclusions.is_known("a")
    world.announce([completed(world.generation(), "a", SIZE, 4)])
    assert world.exclusions.is_known("a")
    assert not world.exclusions.is_known("A")
