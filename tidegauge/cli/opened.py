"""The database that a command reads, open for as long as it needs it."""

from collections.abc import Iterator
from contextlib import contextmanager

from tidegauge.adapters.mysql.connection import ANSWER_SECONDS, IDLE_SECONDS, Database
from tidegauge.adapters.secrets import secret_of
from tidegauge.settings import DatabaseSettings


@contextmanager
def opened(
    settings: DatabaseSettings,
    *,
    answer_seconds: float = ANSWER_SECONDS,
    idle_seconds: int = IDLE_SECONDS,
) -> Iterator[Database]:
    """Give the database that the settings name, by its address or its secret; close it behind.

    Args:
        settings: As the environment or a local stack tells them.
        answer_seconds: A server that says nothing for so long is lost.
        idle_seconds: The server may end it when it was silent for so long.
    """
    secret = secret_of(settings)
    database = Database.from_settings(
        settings,
        secret.locate if secret else None,
        answer_seconds=answer_seconds,
        idle_seconds=idle_seconds,
    )
    try:
        yield database
    finally:
        database.close()
