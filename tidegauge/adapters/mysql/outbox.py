"""The outbox on MySQL: messages written in the transactions that decided them."""

import secrets
from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.queries import query
from tidegauge.domain.errors import Transient
from tidegauge.ports import Destination, OutboxMessage, StoredMessage

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

NOTE_ATTEMPTS = 5


def add_messages(cursor: "Cursor", generation: int, messages: Sequence[OutboxMessage]) -> None:
    """Write messages in the caller's transaction."""
    if not messages:
        return
    cursor.execute(query("outbox_time"))
    now = cursor.fetchone()
    rows = [
        {
            "created_at": now[0] if now else None,
            "generation": generation,
            "destination": message.destination.value,
            "message_key": message.message_key,
            "payload": message.payload,
        }
        for message in messages
    ]
    # One statement for many rows: the driver can do that only where all values are parameters.
    cursor.executemany(query("add_outbox"), rows)


class MysqlOutbox:
    """Implements `ports.Outbox`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._taker = ""

    def take(self, destination: Destination, limit: int) -> list[StoredMessage]:
        """Take up to `limit` unsent messages, oldest first, none behind one that another has taken.

        They are ours for a minute; after a crash somebody else takes them again. The plain read
        waits for nobody, such as a closing that is writing its messages just now.
        """
        self._taker = secrets.token_hex(16)
        with self._database.transaction() as cursor:
            names = {"destination": destination.value, "limit": limit}
            cursor.execute(query("waiting_outbox"), names)
            free = takewhile(lambda row: not row[1], cursor.fetchall())
            taking = {"numbers": [number for number, _ in free], "taker": self._taker}
            if not taking["numbers"]:
                return []
            if cursor.execute(query("take_outbox"), taking) < len(taking["numbers"]):
                # somebody took the first of them meanwhile, and goes on to the others
                cursor.execute(query("release_outbox"), taking)
                return []
            cursor.execute(query("taken_outbox"), taking)
            return [
                StoredMessage(int(number), OutboxMessage(destination, key, payload))
                for number, key, payload in cursor.fetchall()
            ]

    def release(self, numbers: Sequence[int]) -> None:
        """Give back messages that were taken by the last `take` and could not be sent."""
        self._note("release_outbox", {"numbers": list(numbers), "taker": self._taker})

    def mark_sent(self, numbers: Sequence[int]) -> None:
        """Note that these were sent."""
        self._note("mark_outbox_sent", {"numbers": list(numbers)})

    def _note(self, name: str, names: dict[str, object]) -> None:
        """Note it, again where the database asks for that: else people would hear twice."""
        for attempt in range(1, NOTE_ATTEMPTS + 1):
            try:
                with self._database.transaction() as cursor:
                    if names["numbers"]:
                        cursor.execute(query(name), names)
            except Transient:
                if attempt == NOTE_ATTEMPTS:
                    raise
            else:
                return
