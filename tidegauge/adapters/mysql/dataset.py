"""What datasets are made of, on MySQL: implements `ports.dataset.DatasetStore`.

Each reading is a short transaction of its own: what a step announced never changes, and only steps
before the dataset's end are read. So no purge waits for an export.
"""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np

from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.exclusions import all_exclusions
from tidegauge.adapters.mysql.queries import query
from tidegauge.adapters.mysql.times import from_sql, to_sql
from tidegauge.domain.dataset import (
    Dataset,
    Exclusion,
    SeriesIncident,
    SeriesSpan,
    StreamHistory,
)
from tidegauge.domain.dataset_rows import WindowColumns, last_revisions
from tidegauge.domain.incident import IncidentStatus
from tidegauge.domain.verdict import Verdict
from tidegauge.ports.dataset import StepSpan

_COLUMNS = 6


class MysqlDatasetStore:
    """Reads one stream and notes its datasets.

    Args:
        database: Where the windows are.
        stream_name: Name of the events stream.
    """

    def __init__(self, database: Database, stream_name: str) -> None:
        self._database = database
        self._stream_name = stream_name

    def history(self) -> StreamHistory | None:
        """Return how far the stream is closed; None if no window of it is."""
        rows = self._all("dataset_generations", stream=self._stream_name)
        closed = [next_ms for _, _, next_ms in rows if next_ms is not None]
        if not closed:
            return None
        generations = tuple(sorted(int(generation) for generation, _, _ in rows))
        return StreamHistory(rows[0][1], generations, int(closed[0]))

    def series(self, generations: Sequence[int], span: StepSpan) -> list[SeriesSpan]:
        """Return the series that have windows in a span, in order of their names' bytes."""
        rows = self._all("dataset_spans", generations=list(generations), **_values(span))
        found: list[SeriesSpan] = []
        for name, of_series in groupby(rows, key=itemgetter(1)):
            parts = [row for row in of_series if row[2] is not None]
            if not parts:
                continue
            trusted = [int(row[4]) for row in parts if row[4] is not None]
            found.append(
                SeriesSpan(
                    name.decode(),
                    tuple(int(row[0]) for row in parts),
                    min(int(row[2]) for row in parts),
                    max(int(row[3]) for row in parts),
                    min(trusted, default=None),
                )
            )
        return found

    def windows(self, series: SeriesSpan, span: StepSpan) -> WindowColumns:
        """Return the windows of a series in a span, as they stand at last."""
        rows = self._all(
            "dataset_windows",
            generations=list(series.generations),
            series=series.series.encode(),
            **_values(span),
        )
        text = " ".join([line for (line,) in rows])
        numbers = np.fromstring(text, dtype=np.int64, sep=" ")
        return last_revisions(numbers.reshape(len(rows), _COLUMNS))

    def incidents(self, generations: Sequence[int]) -> list[SeriesIncident]:
        """Return the incidents of some generations that may leave windows out."""
        return [
            SeriesIncident(
                int(generation),
                series.decode(),
                incident_id,
                Verdict(direction),
                IncidentStatus(status),
                from_sql(first),
                from_sql(closed),
            )
            for generation, series, incident_id, direction, status, first, closed in self._all(
                "dataset_incidents", generations=list(generations)
            )
        ]

    def exclusions(self) -> list[Exclusion]:
        """Return what people have excluded, in order of its numbers."""
        with self._database.transaction() as cursor:
            return all_exclusions(cursor)

    def latest(self, stream_arn: str) -> Dataset | None:
        """Return the dataset of a stream that ends last, of several the one noted last."""
        for uri, arn, starts_at, ends_at in self._all("latest_dataset", stream_arn=stream_arn):
            return Dataset(uri, arn, from_sql(starts_at), from_sql(ends_at))
        return None

    def note(self, dataset: Dataset) -> None:
        """Note a dataset; one that is noted already is noted anew."""
        names = {
            "manifest_uri": dataset.manifest_uri,
            "stream_arn": dataset.stream_arn,
            "starts_at": to_sql(dataset.start_ms),
            "ends_at": to_sql(dataset.until_ms),
        }
        with self._database.transaction() as cursor:
            cursor.execute(query("note_dataset"), names)

    def _all(self, name: str, **values: object) -> tuple[tuple[Any, ...], ...]:
        with self._database.transaction() as cursor:
            cursor.execute(query(name), values)
            return cursor.fetchall()


def _values(span: StepSpan) -> dict[str, object]:
    return {
        "from": to_sql(span.from_ms),
        "until": to_sql(span.until_ms),
        "step": to_sql(span.step_ms),
    }
