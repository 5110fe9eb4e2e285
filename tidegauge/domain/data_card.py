"""The data card of a dataset: what it is made of, what was left out and why, for people to read.

An export gives it. It holds no time of writing, so the same windows give the same bytes.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from tidegauge.domain.dataset import Cause, Kind, SeriesSpan
from tidegauge.domain.event_time import format_time

FORMAT: Final = "tidegauge-data-card/1"


class ExcludedPeriod(msgspec.Struct, frozen=True, rename={"start": "from"}):
    """A period whose windows give no rows. Every window is in one period at most.

    Attributes:
        series: The series; null for all that have windows then.
        start: Its begin, RFC 3339.
        until: Its end, which does not belong to it.
        kind: What it is.
        why: In words.
        windows: How many windows were left out for it, over all its series.
    """

    series: str | None
    start: str
    until: str
    kind: Kind
    why: str
    windows: int


class SeriesTotals(msgspec.Struct, frozen=True):
    """What a series gave.

    Attributes:
        series: The series.
        events: Over all its windows.
        windows: How many there are.
        first_window: Start of the first.
        last_window: Start of the last.
        rows: How many of its rows are in the dataset.
    """

    series: str
    events: int
    windows: int
    first_window: str
    last_window: str
    rows: int


class RowTotals(msgspec.Struct, frozen=True):
    """Rows that there were, and those that were kept: an even part where there were too many."""

    train: int
    train_kept: int
    validation: int
    validation_kept: int


class DataCard(msgspec.Struct, frozen=True, kw_only=True):
    """What a dataset is made of.

    Attributes:
        format: `FORMAT`.
        stream_arn: The stream whose windows these are.
        generations: Its generations that have any, ascending.
        window_seconds: Window length.
        start: Start of the first window.
        split: Start of the first window of the validation file.
        until: End of the last window.
        windows: How many windows all series have.
        events: How many events those hold.
        excluded_windows: How many of the windows were left out.
        rows: What the others gave.
        baseline: Version of the baseline.
        baseline_error: Its mean absolute error on the validation rows, on the label's scale.
        label: What the first column is.
        feature_names: What the others are.
        series: What each series gave.
        exclusions: What was left out and why.
    """

    format: str = FORMAT
    stream_arn: str
    generations: tuple[int, ...]
    window_seconds: int
    start: str
    split: str
    until: str
    windows: int
    events: int
    excluded_windows: int
    rows: RowTotals
    baseline: str
    baseline_error: float
    label: str = "2*sqrt(count+3/8)"
    feature_names: tuple[str, ...]
    series: tuple[SeriesTotals, ...]
    exclusions: tuple[ExcludedPeriod, ...]

    def to_json(self) -> bytes:
        """Return the card as JSON; the same card, the same bytes."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


class LeftOut:
    """Gathers what was left out of each series."""

    def __init__(self) -> None:
        self._windows: dict[Cause, dict[str, int]] = {}

    def add(self, series: str, left_out: Iterable[tuple[Cause, int]]) -> None:
        """Take what was left out of a series, each cause with its number of windows."""
        for cause, n_windows in left_out:
            self._windows.setdefault(cause, {})[series] = n_windows

    def periods(self, spans: Sequence[SeriesSpan]) -> list[ExcludedPeriod]:
        """Return the periods, oldest first.

        Args:
            spans: Of all series of the dataset.
        """
        found = sorted(self._periods(spans), key=lambda one: (one[0], one[1].series or ""))
        return [period for _, period in found]

    def _periods(
        self, spans: Sequence[SeriesSpan]
    ) -> Iterator[tuple[tuple[int, int, str], ExcludedPeriod]]:
        for cause, windows in self._windows.items():
            place = (cause.from_ms, cause.until_ms, cause.kind.value)
            whole = {None: sum(windows.values())} if _is_about_all(cause, windows, spans) else None
            for series, n_windows in (whole or windows).items():
                yield (
                    place,
                    ExcludedPeriod(
                        series,
                        format_time(cause.from_ms),
                        format_time(cause.until_ms),
                        cause.kind,
                        cause.why,
                        n_windows,
                    ),
                )


def _is_about_all(cause: Cause, windows: dict[str, int], spans: Sequence[SeriesSpan]) -> bool:
    """Tell whether every series that has windows then has lost some of them for this."""
    if cause.series is not None:
        return False
    if cause.kind is Kind.USER:
        return True
    if len(windows) == 1 < len(spans):
        return False
    there = sum(span.first_ms < cause.until_ms and span.last_ms >= cause.from_ms for span in spans)
    return there == len(windows)
