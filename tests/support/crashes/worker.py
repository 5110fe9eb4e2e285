"""What every worker process works with: a wire to the test, a database, and never giving up."""

import random
import re
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tests.support.crashes.fates import Fate, Fortune, Word
from tests.support.crashes.world import FolderStream, load
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.counting import MysqlCountStore
from tidegauge.domain.errors import Transient
from tidegauge.ports import UnknownShard
from tidegauge.settings import DatabaseSettings
from tidegauge.steps.collect import Collected, collect

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

FIRST_SECONDS = 0.05
MOST_SECONDS = 0.4


class Over(Exception):
    """The test has said that it is over."""


class Worker:
    """A worker process.

    It hears from the test `fate …`, `go`, `finish`, or what a hand has to do, and tells each step.

    Args:
        folder: Where its world lies.
        url: Its database.
        wire: To the test.
        chance: What it leaves to chance.
        shard_id: A writer's shard.
        position: Up to where a writer's batches are acknowledged.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        wire: "Connection[bytes, bytes]",
        chance: random.Random,
        shard_id: str,
        position: int,
    ) -> None:
        self.chance = chance
        self.shard_id = shard_id
        self.position = position
        self.world = load(folder)
        self.stream = FolderStream(self.world, folder)
        self.fortune = Fortune(self.tell, self._wait_for_go, self._server_pid)
        self._folder = folder
        self._url = url
        self._wire = wire
        self._tasks: deque[str] = deque()
        self.database = self.connection()
        self.counts = MysqlCountStore(self.database)

    def tell(self, word: Word) -> None:
        """Tell the test a word, at once: the process may be dead with the next statement."""
        self._wire.send_bytes(msgspec.json.encode(word))

    def _hear(self, seconds: float | None) -> str | None:
        """Return the next line; None if none comes in time."""
        return self._wire.recv_bytes().decode() if self._wire.poll(seconds) else None

    def connection(self) -> Database:
        """Return a database with a connection of its own."""
        return Database.from_settings(DatabaseSettings(database_url=self._url))

    def generation(self) -> int:
        """Return the generation of the stream, as at a cold start."""
        found: list[int] = []
        self.again(lambda: found.append(self.counts.generation(self.stream.identity())))
        return found[0]

    def count(self, generation: int, shard_id: str, start: int, end: int) -> Collected:
        """Count one batch, once."""
        batch = self.world.decoded(shard_id, start, end)
        try:
            return collect(self.counts, generation, shard_id, batch, self.world.count_rules)
        except UnknownShard:
            self.counts.register_shards(generation, self.stream.shards())
            msg = "it may be listed by now"
            raise Transient(msg) from None

    def again(self, work: Callable[[], object]) -> None:
        """Do some work until it is not asked for again, as an event source mapping does."""
        seconds = FIRST_SECONDS
        while not self.once(work):
            self.pause(seconds)
            seconds = min(MOST_SECONDS, 2 * seconds)

    def once(self, work: Callable[[], object]) -> bool:
        """Do some work; return whether it was done, tell the test where it was refused."""
        try:
            work()
        except Transient as error:
            code = re.search(r"\((\d+)\)", str(error))
            what = code[1] if code else type(error).__name__
            self.tell(Word("refused", what=what, table=self.fortune.table, shard=self.shard_id))
            return False
        return True

    def loop(self, work: Callable[[], object], *, seconds: float) -> None:
        """Do some work again and again, with pauses, until the test says that it is over."""
        while True:
            self.once(work)
            self.pause(seconds)

    def pause(self, seconds: float | None) -> None:
        """Let others work; hear whether the test has a new fate for us. Raises Over."""
        line = self._hear(seconds)
        if line is not None and not self._obey(line):
            self._tasks.append(line)

    def task(self) -> str:
        """Return the next thing that a hand is to do. Raises Over."""
        while not self._tasks:
            self.pause(None)
        return self._tasks.popleft()

    def _obey(self, line: str) -> bool:
        name, _, rest = line.partition(" ")
        if name == "finish":
            raise Over
        if name == "fate":
            self.fortune.await_fate(msgspec.json.decode(rest, type=Fate))
        return name == "fate"

    def _wait_for_go(self) -> None:
        line = self._hear(None)
        assert line == "go", line

    def _server_pid(self) -> int:
        record = msgspec.json.decode((self._folder / "server.json").read_bytes(), type=dict)
        return int(record["pid"])
