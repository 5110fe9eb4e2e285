"""Laws of datasets: neither pieces nor order show, and an even part of the rows stays."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.domain.count import Quality
from tidegauge.domain.dataset import Cause, Kind, SeriesSpan, span_of
from tidegauge.domain.dataset_rows import QUALITIES, SeriesRows, WindowColumns
from tidegauge.domain.dataset_sample import Sample, row_hashes
from tidegauge.domain.features import DAY_MS, feature_matrix, features_at

HOUR = 3_600_000
N = 24 * 6
UNTIL = N * HOUR


def columns_of(draws: list[tuple[int, Quality, bool]]) -> WindowColumns:
    """Return windows of an hour, one a draw, without those that are not there."""
    table = [
        (number * HOUR, 1 + number // 100, 1, count, 0, QUALITIES.index(quality))
        for number, (count, quality, there) in enumerate(draws)
        if there
    ]
    return WindowColumns(*np.array(table, dtype=np.int64).reshape(-1, 6).T)


def part_of(columns: WindowColumns, from_ms: int, until_ms: int) -> WindowColumns:
    inside = (columns.window_start_ms >= from_ms) & (columns.window_start_ms < until_ms)
    return WindowColumns(
        *(getattr(columns, name)[inside] for name in WindowColumns.__struct_fields__)
    )


WINDOWS = st.lists(
    st.tuples(
        st.integers(0, 50),
        st.sampled_from([Quality.COMPLETE] * 6 + list(Quality)),
        st.sampled_from([True] * 9 + [False]),
    ),
    min_size=N,
    max_size=N,
)
CAUSES = st.lists(
    st.builds(
        lambda kind, start, length, generation: Cause(
            kind, None, start, start + length, kind.value, generation
        ),
        st.sampled_from([Kind.USER, Kind.OUTAGE, Kind.OPEN_INCIDENT]),
        st.integers(-HOUR, UNTIL),
        st.integers(1, 30 * HOUR),
        st.sampled_from([None, 1, 2]),
    ),
    max_size=4,
)


@given(WINDOWS, CAUSES, st.sets(st.integers(1, N - 1), max_size=6), st.integers(1, 30))
def test_any_split_into_pieces_gives_the_same_rows_and_leaves_out_the_same(
    draws: list[tuple[int, Quality, bool]], causes: list[Cause], cuts: set[int], enough: int
) -> None:
    columns = columns_of(draws)
    series = SeriesSpan("a", (1, 2), 0, UNTIL - HOUR, 0)
    span = span_of(0, UNTIL, size_ms=HOUR)

    def taken(edges: list[int]) -> tuple[object, ...]:
        fold = SeriesRows(series, span, causes, enough_windows=enough)
        kinds: list[Kind | None] = []
        rows: list[list[float]] = []
        for first, last in pairwise(edges):
            from_ms, until_ms = first * HOUR, last * HOUR
            part = fold.take(
                part_of(columns, from_ms, until_ms), from_ms=from_ms, until_ms=until_ms
            )
            kinds += part.left_out
            everything = np.ones(len(part.rows.position), dtype=np.bool_)
            rows += part.rows.take(everything).tolist()
        return kinds, rows, list(fold.left_out())

    whole = taken([0, N])
    assert taken([0, *sorted(cuts), N]) == whole
    kinds, _, left_out = whole
    assert isinstance(kinds, list)
    assert isinstance(left_out, list)
    assert sum(n_windows for _, n_windows in left_out) == sum(kind is not None for kind in kinds)


@given(
    st.lists(st.one_of(st.just(np.nan), st.integers(0, 1000)), min_size=1, max_size=200),
    st.data(),
)
def test_rows_alone_are_the_rows_of_all(counts: list[float], data: st.DataObject) -> None:
    values = np.array(counts, dtype=np.float64)
    chosen = data.draw(st.sets(st.integers(0, len(counts) - 1)))
    rows = np.array(sorted(chosen), dtype=np.int64)
    every = feature_matrix(values, first_window_ms=7 * DAY_MS, size_ms=HOUR, first_row=0)
    alone = features_at(rows, values, first_window_ms=7 * DAY_MS, size_ms=HOUR)
    assert np.array_equal(alone, every[rows])


@given(st.integers(1, 40), st.integers(0, 120), st.permutations(list(range(6))))
def test_a_sample_has_the_smallest_hashes_whatever_the_order(
    limit: int, n_rows: int, order: list[int]
) -> None:
    offered = [
        (f"series-{number % 6}", np.array([number * HOUR], dtype=np.int64))
        for number in range(n_rows)
    ]
    sample = Sample(limit)
    for name in order:
        for number, (series, start) in enumerate(offered):
            if series == f"series-{name}":
                hashes = row_hashes(series, start)
                if sample.may_stay(hashes)[0]:
                    sample.add(hashes, np.array([[number, name]]))
    by_hash = sorted(range(n_rows), key=lambda number: int(row_hashes(*offered[number])[0]))
    assert sample.chosen()[:, 0].tolist() == by_hash[:limit]
    assert sample.n_offered == n_rows


def test_a_sample_falls_on_all_series_and_times_alike() -> None:
    sample = Sample(4_000)
    starts = np.arange(20_000, dtype=np.int64) * 300_000
    for number in range(10):
        hashes = row_hashes(f"flight.{number}", starts)
        stay = sample.may_stay(hashes)
        places = np.column_stack((starts, np.full(len(starts), number)))
        sample.add(hashes[stay], places[stay])
    chosen = sample.chosen()
    by_series = np.bincount(chosen[:, 1])
    by_time = np.histogram(chosen[:, 0], bins=10)[0]
    by_hour = np.bincount(chosen[:, 0] // HOUR % 24)
    for found in (by_series, by_time, by_hour):
        mean = 4_000 / len(found)
        # Five standard deviations of a fair part.
        assert np.abs(found - mean).max() < 5 * mean**0.5
