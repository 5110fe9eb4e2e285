"""History: the counts and residuals of one series as they stood at a step, and the rows they make.

Takes what the store holds of a series up to a step and the revisions that follow, gives feature
rows: those of a revision see the counts announced up to its own step and nothing later, so that
neither lag nor the size of a batch shows.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.domain.count import CompletedWindow, Quality
from tidegauge.domain.features import FEATURE_NAMES, feature_matrix, history_windows


class CountHistory(msgspec.Struct, frozen=True):
    """Announced revisions, oldest first by generation, step, window and revision.

    Attributes:
        window_start_ms: (n,) int64.
        count: (n,) float64, NaN where the count is not to be trusted.
    """

    window_start_ms: NDArray[np.int64]
    count: NDArray[np.float64]


class ResidualHistory(msgspec.Struct, frozen=True):
    """Judged revisions, oldest first by generation, step, window and revision.

    Attributes:
        window_start_ms: (n,) int64.
        step_ms: (n,) int64.
        actual: (n,) float64, NaN where count or prediction are not usable.
        expected: (n,) float64, NaN likewise.
        anomalous: (n,) int8: 1 anomalous, 0 not, -1 where nothing was found either way.
    """

    window_start_ms: NDArray[np.int64]
    step_ms: NDArray[np.int64]
    actual: NDArray[np.float64]
    expected: NDArray[np.float64]
    anomalous: NDArray[np.int8]


class FeatureRows(NamedTuple):
    """Feature rows (n_items, 31), and how many counts each could look back on (n_items,)."""

    rows: NDArray[np.float64]
    known: NDArray[np.int64]


def trusted_count(window: CompletedWindow) -> float:
    """Return a count to learn from; NaN where it is known or suspected to be wrong."""
    return float(window.count) if window.quality is Quality.COMPLETE else float("nan")


def feature_rows(
    history: CountHistory, items: Sequence[CompletedWindow], *, size_ms: int
) -> FeatureRows:
    """Return the feature rows of revisions, each as of its own step.

    Args:
        history: What was announced before the first item's step.
        items: Revisions in the order of judging, whole steps.
        size_ms: Window length.
    """
    return _RowBuilder(history, items, size_ms).build()


class _RowBuilder:
    """Fills the counts in the order of announcement; takes rows before anything they saw changes.

    Windows that follow each other make one call; a correction of the past ends such a run.
    """

    def __init__(
        self, history: CountHistory, items: Sequence[CompletedWindow], size_ms: int
    ) -> None:
        self._items = items
        self._size_ms = size_ms
        self._look_back = history_windows(size_ms)
        starts = [item.window_start_ms for item in items]
        # One event of the year 1000, counted before the stream was watched, must not ask for memory
        # for all windows since: before the first trusted count there is nothing to look back on.
        first_ms = max(min(starts), min(_first_trusted_ms(history, items), max(starts)))
        self._base_ms = first_ms - self._look_back * size_ms
        n_windows = (max(starts) - self._base_ms) // size_ms + 1
        self._counts = np.full(n_windows, np.nan)
        index = (history.window_start_ms - self._base_ms) // size_ms
        inside = (index >= 0) & (index < n_windows)
        # Of several revisions of one window the last one assigned stays.
        self._counts[index[inside]] = history.count[inside]
        self._rows = np.zeros((len(items), len(FEATURE_NAMES)))
        self._known = np.zeros(len(items), dtype=np.int64)

    def build(self) -> FeatureRows:
        run_from = 0
        for position, item in enumerate(self._items):
            if position > run_from and not self._follows(position):
                self._take(run_from, position)
                run_from = position
            if self._index(item) >= self._look_back:
                self._counts[self._index(item)] = trusted_count(item)
        self._take(run_from, len(self._items))
        return FeatureRows(self._rows, self._known)

    def _follows(self, position: int) -> bool:
        before, item = self._items[position - 1], self._items[position]
        return item.window_start_ms == before.window_start_ms + self._size_ms

    def _index(self, item: CompletedWindow) -> int:
        return (item.window_start_ms - self._base_ms) // self._size_ms

    def _take(self, first: int, until: int) -> None:
        """Take the rows of items whose windows follow each other; none sees its own count."""
        # Those before the first trusted count know nothing, and their rows stay zero.
        first += max(0, self._look_back - self._index(self._items[first]))
        if first >= until:
            return
        from_index = self._index(self._items[first])
        until_index = from_index + until - first
        self._rows[first:until] = feature_matrix(
            self._counts[:until_index],
            first_window_ms=self._base_ms,
            size_ms=self._size_ms,
            first_row=from_index,
        )
        oldest = from_index - self._look_back
        known = np.isfinite(self._counts[oldest:until_index])
        total = np.concatenate(([0], np.cumsum(known)))
        self._known[first:until] = (total[self._look_back :] - total[: -self._look_back])[:-1]


def _first_trusted_ms(history: CountHistory, items: Sequence[CompletedWindow]) -> int:
    """Return the start of the first window whose count some row may learn from."""
    learned = history.window_start_ms[np.isfinite(history.count)]
    trusted = [item.window_start_ms for item in items if item.quality is Quality.COMPLETE]
    first_learned = [int(learned.min())] if len(learned) else []
    return min((*first_learned, *trusted), default=max(item.window_start_ms for item in items))
