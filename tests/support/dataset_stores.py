"""What datasets are read from, each implementation with what others write around it."""

from collections.abc import Sequence
from typing import Protocol

from tidegauge.adapters.clock import SystemClock
from tidegauge.adapters.memory_dataset import MemoryDatasetStore
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.counting import MysqlCountStore
from tidegauge.adapters.mysql.dataset import MysqlDatasetStore
from tidegauge.adapters.mysql.exclusions import MysqlExclusions
from tidegauge.adapters.mysql.migrate import migrate
from tidegauge.adapters.mysql.times import to_sql
from tidegauge.domain.count import CompletedWindow, Quality
from tidegauge.domain.dataset import SeriesIncident
from tidegauge.ports import StreamIdentity
from tidegauge.ports.dataset import DatasetStore, Exclusions
from tidegauge.settings import DatabaseSettings

STREAM_NAME = "events"
ARN = f"arn:aws:kinesis:us-east-1:000000000000:stream/{STREAM_NAME}"


class DatasetWorld(Protocol):
    """One implementation under test, with what stands around it."""

    @property
    def store(self) -> DatasetStore:
        """The store under test."""
        ...

    @property
    def exclusions(self) -> Exclusions:
        """Where people say what to leave out."""
        ...

    def generation(self) -> int:
        """Return a new generation's number; it has closed nothing yet."""
        ...

    def close(self, generation: int, next_window_ms: int) -> None:
        """Close the windows of a generation up to one."""
        ...

    def announce(self, rows: Sequence[CompletedWindow]) -> None:
        """Make windows completed, as the closing side does."""
        ...

    def add_incident(self, incident: SeriesIncident) -> None:
        """Note an incident, as the judging side does."""
        ...


class MemoryDatasetWorld:
    """All in this process."""

    def __init__(self) -> None:
        self.store = MemoryDatasetStore(ARN, SystemClock())
        self.exclusions = self.store
        self._last_generation = 0

    def generation(self) -> int:
        self._last_generation += 1
        self.store.close(self._last_generation, None)
        return self._last_generation

    def close(self, generation: int, next_window_ms: int) -> None:
        self.store.close(generation, next_window_ms)

    def announce(self, rows: Sequence[CompletedWindow]) -> None:
        self.store.announce(rows)

    def add_incident(self, incident: SeriesIncident) -> None:
        self.store.add_incident(incident)


class MysqlDatasetWorld:
    """A database of our own."""

    def __init__(self, url: str) -> None:
        self.database = Database.from_settings(DatabaseSettings(database_url=url))
        migrate(self.database)
        self.store = MysqlDatasetStore(self.database, STREAM_NAME)
        self.exclusions = MysqlExclusions(self.database)
        self._created_ms = 0

    def generation(self) -> int:
        self._created_ms += 1
        return MysqlCountStore(self.database).generation(StreamIdentity(ARN, self._created_ms))

    def close(self, generation: int, next_window_ms: int) -> None:
        with self.database.transaction() as cursor:
            cursor.execute(
                "INSERT INTO frontier (generation, next_window) VALUES (%s, %s)"
                " ON DUPLICATE KEY UPDATE next_window = VALUES(next_window)",
                (generation, to_sql(next_window_ms)),
            )

    def announce(self, rows: Sequence[CompletedWindow]) -> None:
        with self.database.transaction() as cursor:
            cursor.executemany(
                "INSERT INTO completed_window (generation, series, window_start, revision, step,"
                " count, late, quality) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    (
                        row.generation,
                        row.series.encode(),
                        to_sql(row.window_start_ms),
                        row.revision,
                        to_sql(row.step_ms),
                        row.count,
                        row.late,
                        row.quality.value,
                    )
                    for row in rows
                ],
            )
            cursor.executemany(
                "INSERT INTO series (generation, series, first_window, last_event_window, active)"
                " VALUES (%s, %s, %s, %s, TRUE)"
                " ON DUPLICATE KEY UPDATE last_event_window = VALUES(last_event_window)",
                [
                    (row.generation, row.series.encode(), *[to_sql(row.window_start_ms)] * 2)
                    for row in rows
                ],
            )

    def add_incident(self, incident: SeriesIncident) -> None:
        with self.database.transaction() as cursor:
            cursor.execute(
                "INSERT INTO incident (generation, incident_id, series, direction, severity,"
                " status, first_window, last_window, anomalous_windows, clear_run, closed_window)"
                " VALUES (%s, %s, %s, %s, 'warning', %s, %s, %s, 1, 0, %s)",
                (
                    incident.generation,
                    incident.incident_id,
                    incident.series.encode(),
                    incident.direction.value,
                    incident.status.value,
                    to_sql(incident.first_window_ms),
                    to_sql(incident.first_window_ms),
                    to_sql(incident.closed_window_ms),
                ),
            )


def completed(
    generation: int,
    series: str,
    window_start_ms: int,
    count: int,
    *,
    revision: int = 1,
    step_ms: int | None = None,
    late: int = 0,
    quality: Quality = Quality.COMPLETE,
) -> CompletedWindow:
    """Return a completed window, announced by its own step if no other is named."""
    step = window_start_ms if step_ms is None else step_ms
    return CompletedWindow(
        generation, series, window_start_ms, revision, step, count, late, quality
    )
