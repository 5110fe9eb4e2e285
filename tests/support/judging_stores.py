"""The judging stores under test, each with what stands around it."""

from collections.abc import Sequence
from typing import Protocol

from tidegauge.adapters.memory import MemoryCountStore
from tidegauge.adapters.memory_judging import MemoryJudgingStore
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.counting import MysqlCountStore
from tidegauge.adapters.mysql.judging import MysqlJudgingStore
from tidegauge.adapters.mysql.migrate import migrate
from tidegauge.adapters.mysql.outbox import MysqlOutbox
from tidegauge.adapters.mysql.times import to_sql
from tidegauge.domain.count import CompletedWindow
from tidegauge.ports import JudgingStore, Outbox, StreamIdentity
from tidegauge.settings import DatabaseSettings


class World(Protocol):
    """One implementation under test, with what stands around it."""

    @property
    def store(self) -> JudgingStore:
        """The store under test."""
        ...

    @property
    def outbox(self) -> Outbox:
        """Where its alerts wait."""
        ...

    def generation(self, stream: str, created_ms: int) -> int:
        """Return a new generation's number."""
        ...

    def announce(self, rows: Sequence[CompletedWindow]) -> None:
        """Make windows completed, as the closing side does."""
        ...

    def verdicts(self, generation: int) -> list[tuple[str, int, int, str, float | None, str]]:
        """Return series, window, revision, verdict, expected and version, in that order."""
        ...


class MemoryWorld:
    """All in this process."""

    def __init__(self) -> None:
        self.outbox = MemoryCountStore()
        self.store = MemoryJudgingStore(self.outbox.put_messages)

    def generation(self, stream: str, created_ms: int) -> int:
        return self.outbox.generation(StreamIdentity(stream, created_ms))

    def announce(self, rows: Sequence[CompletedWindow]) -> None:
        self.store.announce(rows)

    def verdicts(self, generation: int) -> list[tuple[str, int, int, str, float | None, str]]:
        return sorted(
            (
                series,
                row.window.window_start_ms,
                row.window.revision,
                row.verdict.value,
                row.expected,
                row.model_version,
            )
            for series, rows in self.store.predictions(generation).items()
            for row in rows
        )


class MysqlWorld:
    """A database of our own."""

    def __init__(self, url: str) -> None:
        self.database = Database.from_settings(DatabaseSettings(database_url=url))
        migrate(self.database)
        self.outbox = MysqlOutbox(self.database)
        self.store = MysqlJudgingStore(self.database, interval_level=0.95)

    def generation(self, stream: str, created_ms: int) -> int:
        return MysqlCountStore(self.database).generation(StreamIdentity(stream, created_ms))

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

    def verdicts(self, generation: int) -> list[tuple[str, int, int, str, float | None, str]]:
        with self.database.transaction() as cursor:
            cursor.execute(
                "SELECT series, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', window_start) DIV 1000,"
                " revision, verdict, expected, model_version FROM prediction"
                " WHERE generation = %s ORDER BY series, window_start, revision",
                (generation,),
            )
            return [(row[0].decode(), *row[1:]) for row in cursor.fetchall()]
