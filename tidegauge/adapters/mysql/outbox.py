"""The outbox on MySQL: messages written in the transactions that decided them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.queries import query
from tidegauge.ports import Destination, OutboxMessage, StoredMessage

if TYPE_CHECKING:
    from pymysql.cursors import Cursor


def add_messages(cursor: "Cursor", generation: int, messages: Sequence[OutboxMessage]) -> None:
    """Write messages in the caller's transaction."""
    rows = [
        {
            "generation": generation,
            "destination": message.destination.value,
            "message_key": message.message_key,
            "payload": message.payload,
        }
        for message in messages
    ]
    if rows:
        cursor.executemany(query("add_outbox"), rows)


class MysqlOutbox:
    """Implements `ports.Outbox`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pending(self, destination: Destination, limit: int) -> list[StoredMessage]:
        """Return up to `limit` unsent messages, oldest first."""
        with self._database.transaction() as cursor:
            names = {"destination": destination.value, "limit": limit}
            cursor.execute(query("pending_outbox"), names)
            return [
                StoredMessage(int(number), OutboxMessage(destination, key, payload))
                for number, key, payload in cursor.fetchall()
            ]

    def mark_sent(self, numbers: Sequence[int]) -> None:
        """Note that these were sent."""
        if not numbers:
            return
        with self._database.transaction() as cursor:
            cursor.execute(query("mark_outbox_sent"), {"numbers": list(numbers)})
