"""Locks by name: one holder at a time in a database, for as long as its connection lives."""

from collections.abc import Iterator
from contextlib import contextmanager

from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.queries import query


@contextmanager
def named_lock(connection: Database, what: str) -> Iterator[bool]:
    """Give True to the one holder of a lock, False to any other meanwhile.

    Args:
        connection: Holds the lock, and nothing else meanwhile; the server must let it be idle for
            that long.
        what: The lock's name.
    """
    names = {"name": f"tidegauge.{what}"}
    with connection.transaction() as cursor:
        cursor.execute(query("try_lock"), names)
        row = cursor.fetchone()
        locked = row is not None and row[0] == 1
        try:
            yield locked
        finally:
            if locked:
                cursor.execute(query("unlock"), names)
