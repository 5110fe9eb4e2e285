"""Looks at a database for a diagnosis: its server, its schema, how far a stream is counted."""

from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.migrate import pending_migrations, unknown_migrations
from tidegauge.adapters.mysql.queries import query
from tidegauge.adapters.mysql.status import MysqlSnapshots
from tidegauge.adapters.mysql.times import from_sql
from tidegauge.domain.errors import Transient
from tidegauge.domain.model_record import ModelState
from tidegauge.ports import Clock
from tidegauge.ports.diagnosis import ModelStanding, SchemaFacts, ServerFacts


class MysqlLook(MysqlSnapshots):
    """Implements `ports.diagnosis.DatabaseLook`.

    Args:
        database: Where counts live.
        stream_name: Name of the events stream.
        with_earlier: As for `MysqlSnapshots`.
        clock: This machine's.
    """

    def __init__(
        self, database: Database, stream_name: str, *, with_earlier: bool, clock: Clock
    ) -> None:
        super().__init__(database, stream_name, with_earlier=with_earlier)
        self._clock = clock

    def server(self) -> ServerFacts:
        """Return the server's facts."""
        with self._database.transaction() as cursor:
            asked_ms = self._clock.now_ms()
            cursor.execute(query("status_server"))
            row = cursor.fetchone()
            answered_ms = self._clock.now_ms()
            cursor.execute(query("status_cipher"))
            cipher = cursor.fetchone()
        if row is None:
            msg = "the database gave no answer to what time it is"
            raise Transient(msg)
        now, version = row
        return ServerFacts(
            version=str(version),
            encrypted=bool(cipher and cipher[1]),
            clock_ahead_ms=(asked_ms + answered_ms) // 2 - from_sql(now),
        )

    def schema(self) -> SchemaFacts:
        """Return how far the schema is."""
        return SchemaFacts(pending_migrations(self._database), unknown_migrations(self._database))

    def models(self, endpoint: str) -> list[ModelStanding]:
        """Return every model that was meant for an endpoint, latest first."""
        with self._database.transaction() as cursor:
            cursor.execute(query("model_standings"), {"endpoint": endpoint})
            rows = cursor.fetchall()
        return [ModelStanding(version, ModelState(state)) for version, state in rows]
