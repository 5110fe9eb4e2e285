"""What every worker process works with: its ears and mouth, its database, and never giving up."""

import os
import random
import re
import select
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tests.support.crashes.fates import Fate, Fortune, Word
from tests.support.crashes.world import FolderStream, World
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.counting import MysqlCountStore
from tidegauge.domain.errors import Transient
from tidegauge.ports import UnknownShard
from tidegauge.settings import DatabaseSettings
from tidegauge.steps.collect import Collected, collect

PACE_SECONDS = 0.05
MOST_SECONDS = 0.4


class Over(Exception):
    """The test has said that it is over."""


class Ears:
    """Standard input, line by line."""

    def __init__(self) -> None:
        self._buffer = b""

    def line(self, seconds: float | None) -> str | None:
        """Return the next line; None if none comes in time. Raises Over at the end."""
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([0], [], [], seconds)
            if not ready:
                return None
            more = os.read(0, 65_536)
            if not more:
                raise Over
            self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()


def tell(word: Word) -> None:
    """Tell the test a word, at once: the process may be dead with the next statement."""
    os.write(1, msgspec.json.encode(word) + b"\n")


@dataclass
class Worker:
    """What every role works with."""

    folder: Path
    chance: random.Random
    position: int
    shard_id: str
    world: World
    ears: Ears = field(default_factory=Ears)

    def __post_init__(self) -> None:
        self.fortune = Fortune(tell, self._wait_for_go, self._server_pid)
        self.stream = FolderStream(self.world, self.folder)
        self.database = self.connection()
        self.counts = MysqlCountStore(self.database)

    def connection(self) -> Database:
        """Return a database with a connection of its own."""
        return Database.from_settings(DatabaseSettings(database_url=os.environ["DATABASE_URL"]))

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
        seconds = PACE_SECONDS
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
            tell(Word("refused", what=what, table=self.fortune.table, shard=self.shard_id))
            return False
        return True

    def loop(self, work: Callable[[], object]) -> None:
        """Do some work again and again until the test says that it is over."""
        while True:
            self.once(work)
            self.pause(PACE_SECONDS)

    def pause(self, seconds: float) -> None:
        """Let others work; hear whether the test has a new fate for us. Raises Over."""
        line = self.ears.line(seconds)
        if line is not None:
            self.obey(line)

    def obey(self, line: str) -> None:
        """Do what any worker is told. Raises Over."""
        name, _, rest = line.partition(" ")
        if name == "finish":
            raise Over
        if name != "fate":
            msg = f"told {line}, and that is nothing to do"
            raise AssertionError(msg)
        self.fortune.await_fate(msgspec.json.decode(rest, type=Fate))

    def _wait_for_go(self) -> None:
        line = self.ears.line(None)
        assert line == "go", line

    def _server_pid(self) -> int:
        record = msgspec.json.decode((self.folder / "server.json").read_bytes(), type=dict)
        return int(record["pid"])
