"""Making one dataset: reads all series of a stream once and writes the files into a folder.

Memory does not grow with the windows; with the series it grows by a line of the data card for each.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec

from tidegauge.domain.data_card import DataCard, LeftOut, RowTotals, SeriesTotals
from tidegauge.domain.dataset import (
    Cause,
    Kind,
    SeriesSpan,
    Span,
    StreamHistory,
    cause_of_exclusion,
    cause_of_incident,
)
from tidegauge.domain.dataset_rows import SeriesRows, WindowColumns
from tidegauge.domain.event_time import format_time
from tidegauge.domain.features import FEATURE_NAMES
from tidegauge.domain.manifest import FORMAT, DataFile, Manifest
from tidegauge.domain.prediction import SEASONAL_VERSION
from tidegauge.ports.dataset import DatasetStore, StepSpan
from tidegauge.steps.export_files import CountsFile, RowsFile, described, seasonal_error

_WINDOWS_AT_ONCE: Final = 16_384

Told = Callable[[int, int], None]
"""Is told how many series are done, and how many there are."""


class ExportRules(msgspec.Struct, frozen=True):
    """The settings of exports.

    Attributes:
        folder_uri: Datasets are folders below it, such as `s3://bucket/exports`.
        size_ms: Window length.
        enough_windows: Known counts that judging asks of a series before it asks a model.
        max_train_rows: Of more rows an even part is kept.
        max_validation_rows: Likewise.
    """

    folder_uri: str
    size_ms: int
    enough_windows: int
    max_train_rows: int = 200_000
    max_validation_rows: int = 20_000


class Exporting:
    """One export on its way: reads all series once, and writes the files into a folder."""

    def __init__(
        self,
        store: DatasetStore,
        rules: ExportRules,
        history: StreamHistory,
        series: Sequence[SeriesSpan],
        span: Span,
        folder: Path,
    ) -> None:
        self._store = store
        self._rules = rules
        self._history = history
        self._series = series
        self.span = span
        self.folder = folder
        self.first_ms = min(one.first_ms for one in series)
        self.n_excluded = 0
        self._causes = _causes_by_series(store, history, span)
        self._left_out = LeftOut()
        self._events: list[int] = []
        self._windows: list[int] = []

    def run(self, told: Told) -> Manifest | None:
        """Write all files and return the manifest; None where they would hold no rows."""
        train_path, validation_path = self.folder / "train.csv", self.folder / "validation.csv"
        with ExitStack() as stack:
            counts = stack.enter_context(
                CountsFile(self.folder / "counts.csv.gz", size_ms=self._rules.size_ms)
            )
            train, validation = (
                stack.enter_context(RowsFile(self.folder / name, limit=limit))
                for name, limit in (
                    ("train.spool", self._rules.max_train_rows),
                    ("validation.spool", self._rules.max_validation_rows),
                )
            )
            for number in range(len(self._series)):
                told(number, len(self._series))
                self._take(number, counts, train, validation)
            told(len(self._series), len(self._series))
            if not train.n_offered or not validation.n_offered:
                return None
            trained, validated = train.write(train_path), validation.write(validation_path)
        rows = RowTotals(train.n_offered, len(trained), validation.n_offered, len(validated))
        baseline_error = seasonal_error(validation_path)
        given = Counter(trained) + Counter(validated)
        card = self._card(rows, given, baseline_error)
        card_path = self.folder / "data_card.json"
        card_path.write_bytes(card.to_json())
        return self._manifest(
            card,
            n_series=len(given),
            files=(
                described(train_path, rows=len(trained)),
                described(validation_path, rows=len(validated)),
                described(self.folder / "counts.csv.gz", rows=counts.n_rows),
                described(card_path, rows=len(self._series)),
            ),
        )

    def _take(self, number: int, counts: CountsFile, train: RowsFile, validation: RowsFile) -> None:
        """Read one series from its first window to its last."""
        one = self._series[number]
        causes = [*self._causes.get(None, ()), *self._causes.get(one.series, ())]
        fold = SeriesRows(one, self.span, causes, enough_windows=self._rules.enough_windows)
        events = windows = 0
        for columns, from_ms, until_ms in self._read(one):
            taken = fold.take(columns, from_ms=from_ms, until_ms=until_ms)
            counts.write(one.series, columns, taken.left_out)
            validates = taken.rows.window_start_ms >= self.span.split_ms
            train.offer(number, one.series, taken.rows, ~validates)
            validation.offer(number, one.series, taken.rows, validates)
            events += int(columns.count.sum())
            windows += len(columns)
        left_out = list(fold.left_out())
        self._left_out.add(one.series, left_out)
        self.n_excluded += sum(n_windows for _, n_windows in left_out)
        self._events.append(events)
        self._windows.append(windows)

    def _read(self, one: SeriesSpan) -> Iterator[tuple[WindowColumns, int, int]]:
        size_ms = self._rules.size_ms
        from_ms = one.first_ms - one.first_ms % size_ms
        while from_ms <= one.last_ms:
            until_ms = min(from_ms + _WINDOWS_AT_ONCE * size_ms, one.last_ms + size_ms)
            until_ms += -until_ms % size_ms
            span = StepSpan(from_ms, until_ms, self.span.until_ms)
            yield self._store.windows(one, span), from_ms, until_ms
            from_ms = until_ms

    def _card(self, rows: RowTotals, given: Counter[int], baseline_error: float) -> DataCard:
        span = self.span
        return DataCard(
            stream_arn=self._history.stream_arn,
            generations=tuple(sorted({gen for one in self._series for gen in one.generations})),
            window_seconds=span.size_ms // 1000,
            start=format_time(self.first_ms),
            split=format_time(span.split_ms),
            until=format_time(span.until_ms),
            windows=sum(self._windows),
            events=sum(self._events),
            excluded_windows=self.n_excluded,
            rows=rows,
            baseline=SEASONAL_VERSION,
            baseline_error=baseline_error,
            feature_names=FEATURE_NAMES,
            series=tuple(
                SeriesTotals(
                    one.series,
                    self._events[number],
                    self._windows[number],
                    format_time(one.first_ms),
                    format_time(one.last_ms),
                    given[number],
                )
                for number, one in enumerate(self._series)
            ),
            exclusions=tuple(self._left_out.periods(self._series)),
        )

    def _manifest(
        self,
        card: DataCard,
        *,
        n_series: int,
        files: tuple[DataFile, DataFile, DataFile, DataFile],
    ) -> Manifest:
        train, validation, counts, data_card = files
        return Manifest(
            format=FORMAT,
            stream_arn=card.stream_arn,
            start=card.start,
            until=card.until,
            split=card.split,
            window_seconds=card.window_seconds,
            series=n_series,
            feature_names=card.feature_names,
            train=train,
            validation=validation,
            counts=counts,
            data_card=data_card,
            baseline=card.baseline,
            baseline_error=card.baseline_error,
        )


def _causes_by_series(
    store: DatasetStore, history: StreamHistory, span: Span
) -> dict[str | None, list[Cause]]:
    """Return what may leave windows out: of each series, and under None of all of them.

    What a person said comes first, then outages, then what is still open.
    """
    found: dict[str | None, list[Cause]] = {}
    incidents = [
        cause
        for incident in store.incidents(history.generations)
        if (cause := cause_of_incident(incident, span)) is not None
    ]
    incidents.sort(key=lambda cause: tuple(Kind).index(cause.kind))
    for cause in (*map(cause_of_exclusion, store.exclusions()), *incidents):
        found.setdefault(cause.series, []).append(cause)
    return found
