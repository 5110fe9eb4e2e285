"""A database server of its own, which is killed in mid-commit and comes back with its data."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from embedded import processes
from embedded.database import Database
from embedded.places import Places
from tests.support.embedded import missing, places_in
from tidegauge.domain.errors import InvalidInput


class FallibleServer:
    """A durable server in a folder of its own.

    Args:
        places: Its folders.
    """

    def __init__(self, places: Places) -> None:
        self.record = places.state / "database.pid"
        self._database = Database(places, durable=True)
        self.address = self._database.up()

    def restart(self) -> None:
        """Start it again after somebody has killed it, on the same data and port."""
        killed = processes.read_record(self.record)
        assert killed is not None
        with suppress(ChildProcessError):
            os.waitpid(killed.pid, 0)
        assert self._database.up() == self.address

    def down(self) -> None:
        """Stop it for good."""
        self._database.down()


@contextmanager
def fallible_server(folder: Path) -> Iterator[FallibleServer]:
    """Give a server until the block ends."""
    try:
        server = FallibleServer(places_in(folder))
    except InvalidInput as error:
        missing(error)
    try:
        yield server
    finally:
        server.down()
