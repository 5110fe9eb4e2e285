"""The rows of a dataset: from the windows of one series to labels, features and what is left out.

Takes a series' windows piece by piece, oldest first, and holds no more than its last 28 days; says
of each window why it is left out, and gives the rows of those that stay. A row's features are the
ones that judging asks the model with.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.domain.count import Quality
from tidegauge.domain.dataset import (
    UNTRUSTED_WORDS,
    Cause,
    Kind,
    SeriesSpan,
    Span,
    warm_up_until_ms,
)
from tidegauge.domain.features import features_at, history_windows, stabilise

QUALITIES: Final = tuple(Quality)
"""Columns hold a quality as its index here."""

_COMPLETE: Final = QUALITIES.index(Quality.COMPLETE)
_NO_CAUSE: Final = -1


class WindowColumns(msgspec.Struct, frozen=True):
    """Windows of one series as they stand at last, one each, oldest first; all (n,) int64.

    Attributes:
        window_start_ms: Start of the window.
        generation: Whose count it is.
        revision: The last one.
        count: Events.
        late: Those of them that came late.
        quality: Index in `QUALITIES`.
    """

    window_start_ms: NDArray[np.int64]
    generation: NDArray[np.int64]
    revision: NDArray[np.int64]
    count: NDArray[np.int64]
    late: NDArray[np.int64]
    quality: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.window_start_ms)


def last_revisions(rows: NDArray[np.int64]) -> WindowColumns:
    """Return what stands at last of announced revisions.

    Args:
        rows: The columns of `WindowColumns`, by generation, window and revision, (n, 6). Of a
            window in two generations the later one's stays, of its revisions the last.
    """
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    last = np.ones(len(rows), dtype=np.bool_)
    last[:-1] = rows[1:, 0] != rows[:-1, 0]
    return WindowColumns(*rows[last].T)


class Rows(NamedTuple):
    """Windows that give rows.

    Attributes:
        window_start_ms: Their starts, (n,) int64.
        position: Where they stand in `counts`, (n,) int64.
        counts: Counts of consecutive windows, NaN where none is to be trusted, (n_windows,).
        first_window_ms: Start of the first of those.
        size_ms: Window length.
    """

    window_start_ms: NDArray[np.int64]
    position: NDArray[np.int64]
    counts: NDArray[np.float64]
    first_window_ms: int
    size_ms: int

    def take(self, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return label and features of the chosen ones, (n_chosen, 32)."""
        position = self.position[chosen]
        features = features_at(
            position, self.counts, first_window_ms=self.first_window_ms, size_ms=self.size_ms
        )
        return np.column_stack((stabilise(self.counts[position]), features))


class Taken(NamedTuple):
    """What became of some windows: the kind each is left out for, None for none; and the rows."""

    left_out: list[Kind | None]
    rows: Rows


class SeriesRows:
    """Follows one series from its first window to its last.

    Args:
        series: The series.
        span: What the dataset covers.
        causes: What may leave windows of it out, most important first.
        enough_windows: Known counts that judging asks of a series before it asks a model.
    """

    def __init__(
        self, series: SeriesSpan, span: Span, causes: Sequence[Cause], *, enough_windows: int
    ) -> None:
        self._span = span
        self._causes = [
            cause
            for cause in causes
            if cause.series in (None, series.series)
            and cause.from_ms < span.until_ms
            and cause.until_ms > series.first_ms
        ]
        self._enough = enough_windows
        self._rows_from_ms = warm_up_until_ms(series, span)
        self._past: NDArray[np.float64] = np.full(history_windows(span.size_ms), np.nan)
        self._left_out: dict[Cause, int] = {}
        self._run: _Run | None = None
        self._runs: list[_Run] = []

    def take(self, columns: WindowColumns, *, from_ms: int, until_ms: int) -> Taken:
        """Take the windows of a span that begins where the last one ended.

        Args:
            columns: All windows of the span.
            from_ms: Its begin.
            until_ms: Its end.
        """
        size_ms = self._span.size_ms
        n_past = len(self._past)
        counts = np.full(n_past + (until_ms - from_ms) // size_ms, np.nan)
        counts[:n_past] = self._past
        position = n_past + (columns.window_start_ms - from_ms) // size_ms
        trusted = columns.quality == _COMPLETE
        counts[position[trusted]] = columns.count[trusted]
        self._past = counts[len(counts) - n_past :]

        cause = self._causes_of(columns)
        self._note_untrusted(columns, (cause == _NO_CAUSE) & ~trusted)
        known = np.concatenate(([0], np.cumsum(np.isfinite(counts))))
        gives_row = (
            trusted
            & (cause == _NO_CAUSE)
            & (known[position] - known[position - n_past] >= self._enough)
            & (columns.window_start_ms >= self._rows_from_ms)
        )
        rows = Rows(
            columns.window_start_ms[gives_row],
            position[gives_row],
            counts,
            from_ms - n_past * size_ms,
            size_ms,
        )
        return Taken(self._kinds(columns, cause), rows)

    def left_out(self) -> Iterator[tuple[Cause, int]]:
        """Yield what windows were left out for, and how many; after the last of them."""
        if self._run is not None:
            self._runs.append(self._run)
            self._run = None
        for cause in dict.fromkeys(self._causes):
            if cause in self._left_out:
                yield cause, self._left_out[cause]
        for run in self._runs:
            quality = QUALITIES[run.quality]
            kind = Kind.RETIRED if quality is Quality.RETIRED else Kind.GAP
            words = UNTRUSTED_WORDS[quality]
            yield Cause(kind, None, run.from_ms, run.until_ms, words), run.n_windows

    def _causes_of(self, columns: WindowColumns) -> NDArray[np.int64]:
        """Return the index of what each window is left out for, else `_NO_CAUSE`, (n,)."""
        found = np.full(len(columns), _NO_CAUSE, dtype=np.int64)
        starts = columns.window_start_ms
        for number, cause in enumerate(self._causes):
            # A window that a cause touches at all is left out.
            touched = (starts < cause.until_ms) & (starts + self._span.size_ms > cause.from_ms)
            if cause.generation is not None:
                touched &= columns.generation == cause.generation
            touched &= found == _NO_CAUSE
            found[touched] = number
            n_touched = int(np.count_nonzero(touched))
            if n_touched:
                self._left_out[cause] = self._left_out.get(cause, 0) + n_touched
        return found

    def _kinds(self, columns: WindowColumns, cause: NDArray[np.int64]) -> list[Kind | None]:
        untrusted: dict[int, Kind | None] = {
            number: Kind.RETIRED if quality is Quality.RETIRED else Kind.GAP
            for number, quality in enumerate(QUALITIES)
        }
        untrusted[_COMPLETE] = None
        return [
            untrusted[quality] if number == _NO_CAUSE else self._causes[number].kind
            for number, quality in zip(cause.tolist(), columns.quality.tolist(), strict=True)
        ]

    def _note_untrusted(self, columns: WindowColumns, chosen: NDArray[np.bool_]) -> None:
        """Join windows that follow each other and are untrusted for the same reason."""
        size_ms = self._span.size_ms
        starts, qualities = columns.window_start_ms[chosen], columns.quality[chosen]
        for start_ms, quality in zip(starts.tolist(), qualities.tolist(), strict=True):
            run = self._run
            if run is not None and (run.until_ms, run.quality) == (start_ms, quality):
                run.until_ms += size_ms
                run.n_windows += 1
                continue
            if run is not None:
                self._runs.append(run)
            self._run = _Run(start_ms, start_ms + size_ms, quality)


class _Run(msgspec.Struct):
    """Windows that follow each other and are untrusted for the same reason."""

    from_ms: int
    until_ms: int
    quality: int
    n_windows: int = 1
