"""Laws of the pipeline in memory: it tells what an offline replay tells, however it is fed."""

import json
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.events import NOON_MS
from tidegauge.adapters.memory import MemoryCountStore
from tidegauge.domain.close import CloseRules
from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.decode import SeriesBy, decode
from tidegauge.domain.event import RejectReason
from tidegauge.domain.event_time import format_time
from tidegauge.domain.fold import CountRules
from tidegauge.domain.offered import Offered
from tidegauge.domain.prediction import Prediction
from tidegauge.steps.replay import OfflineReplay
from tidegauge.steps.replay_clock import with_beats
from tidegauge.testing import Tide, event, usual_counts

SIZE_MS = 300_000
Row = tuple[str, int, int, int, int]  # series, window, count, late, revision

# Moments in order, some of them twice; ids that come again in a window or elsewhere.
_events = st.lists(
    st.tuples(st.integers(0, 3_000_000), st.sampled_from("ab"), st.integers(0, 30)),
    min_size=1,
    max_size=40,
).map(sorted)


def made(told: list[tuple[int, str, int]]) -> list[dict[str, Any]]:
    return [
        event(series, id=str(ident), at=format_time(NOON_MS + offset))
        for offset, series, ident in told
    ]


class _Rows:
    """Keeps the windows that a replay gives out."""

    def __init__(self) -> None:
        self.rows: set[Row] = set()

    def window(self, row: CompletedWindow, prediction: Prediction | None) -> None:
        assert prediction is None
        self.rows.add((row.series, row.window_start_ms, row.count, row.late, row.revision))

    def alert(self, payload: bytes) -> None:
        raise AssertionError(payload)

    def set_aside(
        self, line: int, shard: str, number: int | None, reason: RejectReason, data: bytes
    ) -> None:
        raise AssertionError(line, shard, number, reason, data)


def replayed(events: list[dict[str, Any]]) -> set[Row]:
    output = _Rows()
    rules = CountRules()
    lines = [json.dumps(one).encode() for one in events]
    offered = [Offered(n, decode(line, SeriesBy())[0], line) for n, line in enumerate(lines)]
    replay = OfflineReplay(MemoryCountStore(), rules, CloseRules(), judging=None, output=output)
    replay.run_bare(with_beats(offered, rules))
    return output.rows


def rows_of(tide: Tide) -> set[Row]:
    return {
        (name, int(one.start.timestamp()) * 1000, one.count, one.late, one.revision)
        for name in tide.series
        for one in tide.windows(name)
    }


def closed(tide: Tide, told: list[tuple[int, str, int]]) -> Tide:
    """Let time pass to where a replay ends: what closes the last event's window."""
    last_ms = NOON_MS + told[-1][0]
    tide.advance(format_time(last_ms - last_ms % SIZE_MS + SIZE_MS + 60_000))
    return tide


@settings(max_examples=60)
@given(told=_events)
def test_played_events_give_the_windows_of_an_offline_replay(
    told: list[tuple[int, str, int]],
) -> None:
    events = made(told)
    tide = Tide(model=None)
    tide.play(events)
    assert rows_of(closed(tide, told)) == replayed(events)


@settings(max_examples=60)
@given(told=_events, at_most=st.integers(1, 7), shards=st.integers(1, 4))
def test_neither_batches_nor_shards_show_in_what_is_counted(
    told: list[tuple[int, str, int]], at_most: int, shards: int
) -> None:
    events = made(told)
    whole, cut = Tide(model=None), Tide(model=None, shards=shards)
    whole.feed(events)
    cut.feed(events)
    cut.deliver(at_most=at_most)
    assert rows_of(closed(cut, told)) == rows_of(closed(whole, told))
    assert cut.sums == whole.sums


@settings(max_examples=15)
@given(
    counts=st.lists(st.integers(0, 20), min_size=14, max_size=30),
    shards=st.integers(1, 3),
    pieces=st.integers(1, 5),
)
def test_a_history_that_is_laid_is_judged_as_one_whose_events_were_fed(
    counts: list[int], shards: int, pieces: int
) -> None:
    counts = [1, *counts]  # a series begins with its first event
    laid, fed = (Tide(model=8, enough_windows=6, shards=n) for n in (shards, 1))
    for first in range(0, len(counts), pieces):
        start = format_time(NOON_MS + first * SIZE_MS)
        laid.fill({"a": counts[first : first + pieces]}, start=start)
    for n, count in enumerate(counts):
        fed.feed([event("a", at=format_time(NOON_MS + n * SIZE_MS)) for _ in range(count)])
        fed.advance(format_time(NOON_MS + (n + 1) * SIZE_MS))
    fed.advance(timedelta(minutes=1))
    assert laid.revisions("a") == fed.revisions("a")
    assert laid.alerts == fed.alerts
    assert (laid.now, laid.sums) == (fed.now, fed.sums)


@given(mean=st.floats(0, 2_000), seed=st.integers(0, 1000))
def test_usual_counts_lie_about_their_mean(mean: float, seed: int) -> None:
    drawn = usual_counts(mean, 50, seed=seed)
    # six standard deviations of the mean of fifty
    assert abs(sum(drawn) / 50 - mean) <= 6.0 * (mean / 50) ** 0.5 + 0.1
    assert drawn == usual_counts(mean, 50, seed=seed)
