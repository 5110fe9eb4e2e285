"""The outbox on MySQL: messages written in the transactions that decided them."""

import secrets
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

    def take(self, destination: Destination, limit: int) -> list[StoredMessage]:
        """Take up to `limit` unsent messages, oldest first, that nobody else has taken.

        They are ours for a minute; after a crash somebody else takes them again.
        """
        names = {"destination": destination.value, "limit": limit, "taker": secrets.token_hex(16)}
        with self._database.transaction() as cursor:
            cursor.execute(query("take_outbox"), names)
            if cursor.rowcount == 0:
                return []
            cursor.execute(query("taken_outbox"), names)
            return [
                StoredMessage(int(number), OutboxMessage(destination, key, payload))
                for number, key, payload in cursor.fetchall()
            ]

    def release(self, numbers: Sequence[int]) -> None:
        """Give back messages that were taken and could not be sent."""
        self._note("release_outbox", numbers)

    def mark_sent(self, numbers: Sequence[int]) -> None:
        """Note that these were sent."""
        self._note("mark_outbox_sent", numbers)

    def _note(self, name: str, numbers: Sequence[int]) -> None:
        if numbers:
            with self._database.transaction() as cursor:
                cursor.execute(query(name), {"numbers": list(numbers)})
