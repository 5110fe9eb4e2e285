"""A stage for schedules: a world of a few records, a database with it, and what came of it."""

from pathlib import Path

from tests.support.crashes.fates import Word
from tests.support.crashes.records import stream_records
from tests.support.crashes.world import FolderStream, World
from tests.support.lineage_oracle import Row, recount_lineage
from tests.support.oracle import LATENESS, SIZE, Log
from tests.support.races import connection_to
from tests.support.worlds import CLOSE_RULES, RULES, as_tuples
from tidegauge.adapters.mysql.closing import completed_window
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.counting import MysqlCountStore
from tidegauge.adapters.mysql.migrate import migrate
from tidegauge.domain.count import CompletedWindow


def rows_of(database: Database, sql: str, *values: object) -> list[tuple[object, ...]]:
    """Return what a query gives, in a transaction of its own."""
    with database.transaction() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())


def completed(database: Database, generation: int) -> list[CompletedWindow]:
    """Return all that was announced, in the order of announcement."""
    rows = rows_of(
        database,
        "SELECT series, window_start, revision, step, count, late, quality"
        " FROM completed_window ORDER BY step, window_start, series, revision",
    )
    return [completed_window(generation, row) for row in rows]


def prepare(database: Database, stream: FolderStream) -> int:
    """Make the schema and register the shards that are there; return the generation."""
    migrate(database)
    store = MysqlCountStore(database)
    generation = store.generation(stream.identity())
    store.register_shards(generation, stream.shards())
    return generation


class Stage:
    """One schedule's world on a database of its own.

    Args:
        folder: For the workers.
        url: The database, still empty.
        logs: What each shard holds.
        parents: The parents of those shards that have some.
    """

    def __init__(
        self, folder: Path, url: str, logs: dict[str, Log], parents: dict[str, tuple[str, ...]]
    ) -> None:
        self._url = url
        self._logs = logs
        self._parents = {name: parents.get(name, ()) for name in logs}
        world = World(stream_records(logs), self._parents, RULES, CLOSE_RULES)
        world.save(folder)
        self.stream = FolderStream(world, folder)
        with connection_to(url) as database:
            self._generation = prepare(database, self.stream)

    def execute(self, statement: str) -> None:
        """Execute a statement."""
        with connection_to(self._url) as database:
            rows_of(database, statement)

    def end_session(self, waiting: Word) -> None:
        """Let the server end a session; return once it has rolled back."""
        with connection_to(self._url) as database:
            rows_of(database, "KILL %s", waiting.connection)
            assert any(not is_open(database, waiting.connection) for _ in range(10_000))

    def truth(self) -> list[Row]:
        """Return what has to be announced."""
        return recount_lineage(self._logs, self._parents, size=SIZE, lateness=LATENESS)

    def announced(self) -> list[Row]:
        """Return what is announced."""
        with connection_to(self._url) as database:
            return as_tuples(completed(database, self._generation))


def is_open(database: Database, session: int) -> bool:
    """Return whether the server still has a session."""
    listed = "SELECT 1 FROM information_schema.processlist WHERE id = %s"
    return bool(rows_of(database, listed, session))
