"""When a dataset is due, which span it covers, where a series' rows begin."""

import pytest

from tidegauge.domain.data_card import LeftOut
from tidegauge.domain.dataset import (
    Cause,
    Dataset,
    Kind,
    SeriesSpan,
    history_until_ms,
    span_of,
    warm_up_until_ms,
    why_not_due,
    why_not_enough,
)
from tidegauge.domain.features import DAY_MS
from tidegauge.domain.model_record import ModelState

SIZE = 300_000


@pytest.mark.parametrize(
    ("next_window_ms", "size_ms", "until_ms"),
    [
        (3 * DAY_MS, SIZE, 3 * DAY_MS),
        (3 * DAY_MS - SIZE, SIZE, 2 * DAY_MS),
        (3 * DAY_MS, DAY_MS, 3 * DAY_MS),
        (6 * DAY_MS, 2 * DAY_MS, 6 * DAY_MS),
        (14 * DAY_MS, 7 * DAY_MS, 14 * DAY_MS),
    ],
)
def test_a_dataset_ends_with_the_last_whole_day_or_window(
    next_window_ms: int, size_ms: int, until_ms: int
) -> None:
    assert history_until_ms(next_window_ms, size_ms=size_ms) == until_ms


@pytest.mark.parametrize(
    ("days", "validation_days"),
    [(2.0, 1.0), (4.0, 1.0), (10.0, 2.0), (20.0, 4.0), (35.0, 7.0), (365.0, 7.0)],
)
def test_the_last_fifth_validates_a_day_at_least_and_a_week_at_most(
    days: float, validation_days: float
) -> None:
    until_ms = 400 * DAY_MS
    span = span_of(until_ms - round(days * DAY_MS), until_ms, size_ms=SIZE)
    assert until_ms - span.split_ms == validation_days * DAY_MS


def test_the_split_lies_between_windows() -> None:
    span = span_of(DAY_MS + SIZE, 12 * DAY_MS, size_ms=SIZE)
    assert span.split_ms % SIZE == 0
    assert span_of(0, 20 * 7 * DAY_MS, size_ms=7 * DAY_MS).split_ms == 19 * 7 * DAY_MS
    # The fifth of ten days is one window of two days.
    assert span_of(0, 12 * DAY_MS, size_ms=2 * DAY_MS).split_ms == 10 * DAY_MS


@pytest.mark.parametrize(
    ("first_day", "last_day", "trusted_day", "from_day"),
    [
        (0, 100, 0, 7),  # a week
        (0, 100, 50, 57),  # from where counts can be trusted
        (85, 100, 85, 89),  # half of what there is before the split
        (95, 100, 95, 97.5),  # younger than the split: half of what there is
        (10, 20, 10, 15),  # it ended long ago
        (0, 100, None, 100),  # nothing to learn from
    ],
)
def test_the_rows_of_a_series_begin_when_it_is_known(
    first_day: int, last_day: int, trusted_day: int | None, from_day: float
) -> None:
    span = span_of(0, 100 * DAY_MS, size_ms=SIZE)
    trusted_ms = None if trusted_day is None else trusted_day * DAY_MS
    series = SeriesSpan("a", (1,), first_day * DAY_MS, last_day * DAY_MS - SIZE, trusted_ms)
    assert warm_up_until_ms(series, span) == from_day * DAY_MS


def test_two_days_are_enough_history() -> None:
    until_ms = 10 * DAY_MS
    assert why_not_enough(span_of(8 * DAY_MS, until_ms, size_ms=SIZE)) is None
    assert why_not_enough(span_of(8 * DAY_MS + SIZE, until_ms, size_ms=SIZE)) is not None


@pytest.mark.parametrize(
    ("history_days", "days_since", "model", "due"),
    [
        (13, 1, ModelState.LIVE, True),
        (13, 0, ModelState.LIVE, False),
        (13, -1, None, False),  # the stream was made anew
        (14, 1, ModelState.LIVE, False),
        (14, 6, ModelState.LIVE, False),
        (14, 7, ModelState.LIVE, True),
        (14, 1, ModelState.TRAINING, False),
        (14, 1, ModelState.REFUSED, False),
        (14, 1, ModelState.FAILED, True),
        (14, 0, ModelState.FAILED, False),
        (14, 1, None, True),
    ],
)
def test_a_dataset_is_due_daily_at_first_and_weekly_then(
    history_days: int, days_since: int, model: ModelState | None, due: bool
) -> None:
    until_ms = 100 * DAY_MS
    span = span_of(until_ms - history_days * DAY_MS, until_ms, size_ms=SIZE)
    latest = Dataset("s3://e/m", "arn", 0, until_ms - days_since * DAY_MS)
    assert (why_not_due(span, latest, model) is None) is due


def test_the_first_dataset_is_always_due() -> None:
    assert why_not_due(span_of(0, 99 * DAY_MS, size_ms=SIZE), None, None) is None


def test_what_all_series_of_the_time_lost_is_told_once() -> None:
    spans = [
        SeriesSpan("a", (1,), 0, 9 * SIZE, 0),
        SeriesSpan("b", (1,), 0, 9 * SIZE, 0),
        SeriesSpan("later", (1,), 5 * SIZE, 9 * SIZE, 5 * SIZE),
    ]
    early = Cause(Kind.GAP, None, SIZE, 3 * SIZE, "lost")
    late = Cause(Kind.GAP, None, 6 * SIZE, 7 * SIZE, "lost")
    own = Cause(Kind.OUTAGE, "a", 6 * SIZE, 8 * SIZE, "incident")
    left_out = LeftOut()
    left_out.add("b", [(early, 2), (late, 1)])
    left_out.add("a", [(early, 2), (late, 1), (own, 1)])
    told = [(one.series, one.kind, one.windows) for one in left_out.periods(spans)]
    assert told == [
        (None, Kind.GAP, 4),
        ("a", Kind.GAP, 1),
        ("b", Kind.GAP, 1),
        ("a", Kind.OUTAGE, 1),
    ]
