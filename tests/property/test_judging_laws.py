"""Laws of judging: no batch, doubling or order of doorbells shows in what is judged."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.judged_worlds import BASE, SIZE, announced, seasonal_counts
from tidegauge.adapters.memory_judging import MemoryJudgingStore
from tidegauge.adapters.seasonal import SeasonalPredictor
from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.features import feature_matrix, history_windows
from tidegauge.domain.history import CountHistory, feature_rows, trusted_count
from tidegauge.domain.incident import Incident
from tidegauge.domain.judging import JudgingRules
from tidegauge.domain.prediction import Prediction
from tidegauge.ports import OutboxMessage
from tidegauge.steps.predict import PredictStep

# A loud dial: many verdicts of each kind, so that a difference has somewhere to show.
RULES = JudgingRules(enough_windows=12, false_alerts_per_week=200.0, clear_windows=3)
N_WINDOWS = 330

# (step, window before it): what late events make of a window.
_corrections = st.dictionaries(
    st.tuples(st.integers(1, N_WINDOWS - 1), st.integers(1, 40)).map(
        lambda drawn: (drawn[0], max(0, drawn[0] - drawn[1]))
    ),
    st.integers(0, 90),
    max_size=8,
)
_outages = st.integers(150, N_WINDOWS - 10)

Judged = tuple[list[Prediction], list[Incident], list[OutboxMessage]]


def world(corrections: dict[tuple[int, int], int], outage: int) -> list[CompletedWindow]:
    """A series with an outage and late events."""
    counts = seasonal_counts(N_WINDOWS, mean=8.0)
    counts[outage : outage + 8] = [0] * 8
    return announced(counts, corrections=corrections)


def judge_in(parts: Sequence[Sequence[CompletedWindow]], *, max_steps: int, rings: int) -> Judged:
    """Announce part after part, ring `rings` times after each."""
    messages: list[OutboxMessage] = []
    store = MemoryJudgingStore(messages.extend)
    step = PredictStep(store, SeasonalPredictor(), RULES, max_steps=max_steps)
    for part in parts:
        store.announce(part)
        for _ in range(rings):
            step.run({1: {"a"}})
    step.run({1: {"a"}})
    return list(store.predictions(1)["a"]), list(store.incidents(1)["a"]), messages


@settings(max_examples=25, deadline=None)
@given(
    corrections=_corrections,
    outage=_outages,
    cuts=st.lists(st.integers(1, N_WINDOWS), max_size=6),
    max_steps=st.sampled_from([1, 7, 72, 100, 2000]),
    rings=st.integers(0, 2),
)
def test_no_batch_shows_in_what_is_judged(
    corrections: dict[tuple[int, int], int],
    outage: int,
    cuts: list[int],
    max_steps: int,
    rings: int,
) -> None:
    rows = world(corrections, outage)
    whole = judge_in([rows], max_steps=2000, rings=1)
    edges = [0, *sorted(set(cuts)), N_WINDOWS]
    parts = [
        [row for row in rows if BASE + lo * SIZE <= row.step_ms < BASE + hi * SIZE]
        for lo, hi in pairwise(edges)
    ]
    assert judge_in(parts, max_steps=max_steps, rings=rings) == whole
    assert [p.window for p in whole[0]] == rows


@settings(max_examples=25, deadline=None)
@given(corrections=_corrections, first=st.integers(0, N_WINDOWS - 20))
def test_a_row_sees_the_counts_announced_up_to_its_own_step(
    corrections: dict[tuple[int, int], int], first: int
) -> None:
    rows = world(corrections, 200)
    before = [row for row in rows if row.step_ms < BASE + first * SIZE]
    items = [row for row in rows if BASE + first * SIZE <= row.step_ms][:30]
    history = CountHistory(
        np.array([row.window_start_ms for row in before], dtype=np.int64),
        np.array([trusted_count(row) for row in before], dtype=np.float64),
    )
    found = feature_rows(history, items, size_ms=SIZE)
    for item, row, known in zip(items, found.rows, found.known, strict=True):
        latest: dict[int, float] = {}
        for past in rows:
            if past.step_ms <= item.step_ms and past.window_start_ms < item.window_start_ms:
                latest[past.window_start_ms] = float(past.count)
        oldest_ms = item.window_start_ms - history_windows(SIZE) * SIZE
        starts = range(oldest_ms, item.window_start_ms + SIZE, SIZE)
        counts = np.array([latest.get(start, np.nan) for start in starts])
        plain = feature_matrix(
            counts, first_window_ms=oldest_ms, size_ms=SIZE, first_row=len(counts) - 1
        )
        assert row.tolist() == plain[0].tolist()
        assert known == len(latest)


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(
        st.one_of(st.integers(0, 10**12).map(float), st.just(float("nan"))), min_size=1, max_size=80
    ),
    size_s=st.sampled_from([1, 20, 60, 300, 900, 3600, 86_400, 604_800]),
    cut=st.integers(0, 80),
)
def test_a_feature_row_does_not_know_its_batch(counts: list[float], size_s: int, cut: int) -> None:
    values = np.array(counts)
    size_ms = size_s * 1000
    cut = min(cut, len(counts))
    whole = feature_matrix(values, first_window_ms=0, size_ms=size_ms, first_row=0)
    head = feature_matrix(values[:cut], first_window_ms=0, size_ms=size_ms, first_row=0)
    tail = feature_matrix(values, first_window_ms=0, size_ms=size_ms, first_row=cut)
    assert np.isfinite(whole).all()
    assert np.vstack((head, tail)).tobytes() == whole.tobytes()
