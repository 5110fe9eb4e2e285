"""One race of processes: who takes part, what befalls them, and what came of it."""

import random
from collections import deque
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

from tests.support.closing import close_all
from tests.support.crashes.crew import Crew, Post
from tests.support.crashes.fallible_server import FallibleServer
from tests.support.crashes.fates import ANY, COMMIT, LOCKS, Deed, Fate, Moment
from tests.support.crashes.records import with_junk
from tests.support.crashes.roles import name_of
from tests.support.crashes.stage import completed, prepare, rows_of
from tests.support.crashes.world import FolderStream, World
from tests.support.judged_worlds import YOUNG
from tests.support.oracle import SIZE
from tests.support.races import (
    PARENTS,
    RACE_CLOSE_RULES,
    RACE_RULES,
    Smooth,
    connection_to,
    race_logs,
)
from tidegauge.adapters.clock import SystemClock
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.counting import MysqlCountStore
from tidegauge.adapters.mysql.judging import MysqlJudgingStore
from tidegauge.adapters.mysql.outbox import MysqlOutbox
from tidegauge.adapters.mysql.sweeping import MysqlSweepStore
from tidegauge.domain.count import CompletedWindow
from tidegauge.ports import Destination, OutboxMessage
from tidegauge.steps.lineage import Lineage
from tidegauge.steps.predict import PredictStep
from tidegauge.steps.publish import publish_outbox

FELLS = 3
OTHERS = ("sweeper", "sweeper", "lineage", "purger", "hand")
COMMITTERS = ("closer", "predictor", "publisher")


class CrashRace:
    """A race on a database of its own.

    Args:
        folder: For the workers.
        url: The database, still empty.
        seed: Decides the logs, and what befalls whom and when.
        server: Where the database lies.
    """

    def __init__(self, folder: Path, url: str, seed: int, server: FallibleServer) -> None:
        self._url = url
        self._chance = random.Random(seed)  # noqa: S311
        self.logs = race_logs(seed)
        records, self.junk = with_junk(self.logs, self._chance)
        self.accepted = sum(map(len, records.values()))
        self._world = World(records, PARENTS, RACE_RULES, RACE_CLOSE_RULES)
        self._world.save(folder)
        (folder / "server.json").symlink_to(server.record)
        self._stream = FolderStream(self._world, folder)
        with connection_to(url) as database:
            self.generation = prepare(database, self._stream)
        posts = self._posts()
        self.crew = Crew(
            folder,
            url,
            posts,
            fells=[("writer", self._fell()), *self._fells()],
            restart=server.restart,
            doubled=lambda: self._chance.random() < 0.3,
        )

    def _fell(self) -> Fate:
        return Fate(Deed.FELL, Moment.SENT, COMMIT, self._chance.randrange(1, 6))

    def _fells(self) -> list[tuple[str, Fate]]:
        return [(role, self._fell()) for role in self._chance.sample(COMMITTERS, FELLS - 1)]

    def _posts(self) -> list[Post]:
        """Everybody dies; some freeze before, each lock in somebody's hands and to both ends."""
        kinds = [
            (moment, what) for moment in (Moment.BEFORE, Moment.SENT) for what in (ANY, COMMIT)
        ]
        self._chance.shuffle(kinds)
        deaths = (
            Fate(Deed.DIE, moment, what, self._chance.randrange(1, 8 if what == COMMIT else 60))
            for moment, what in cycle(kinds)
        )

        def freeze(lock: str, *, ends: bool) -> Fate:
            # the frontier a little later, so that there are verdicts to give before
            number = self._chance.randrange(5, 15) if lock == "frontier" else 1
            return Fate(Deed.FREEZE, Moment.ANSWERED, LOCKS[lock], number, ends=ends)

        first, second = self._chance.sample(("alone", "parent"), 2)
        frozen = {
            first: [freeze("shard", ends=False)],
            second: [freeze("shard", ends=True)],
        }
        writers = [
            Post("writer", deque([*frozen.get(name, []), next(deaths)]), shard_id=name)
            for name in PARENTS
        ]
        verdicts_end = self._chance.random() < 0.5
        before_death: dict[str, list[Fate | None]] = {
            "closer": [freeze("frontier", ends=False), freeze("frontier", ends=True)],
            "predictor": [freeze("judging", ends=verdicts_end), None],
            "publisher": [None, None],
        }
        pairs = [
            Post(role, deque([*([fate] if fate else []), next(deaths)]))
            for role, fates in before_death.items()
            for fate in fates
        ]
        singles = [Post(role, deque([next(deaths)])) for role in OTHERS]
        return [*writers, *pairs, *singles]

    # --- to its end

    def come_to_an_end(self) -> None:
        """Drain, close, judge, send and purge the rest, as the next minutes would."""
        with connection_to(self._url) as database:
            counts = MysqlCountStore(database)
            sweeps = MysqlSweepStore(database, database, size_ms=SIZE)
            identity = self._stream.identity()
            lineage = Lineage(self._stream, counts, sweeps, identity, self.generation)
            lineage.drain(lineage.shards(), SystemClock())
            close_all(counts, self.generation, RACE_CLOSE_RULES)
            judging = MysqlJudgingStore(database, interval_level=0.95)
            names = {row.series for row in self.completed(database)}
            PredictStep(judging, Smooth(), YOUNG).run({self.generation: names})
            with database.transaction() as cursor:  # the minute of whoever took and died is over
                cursor.execute("UPDATE outbox SET taken_until = NULL WHERE sent_at IS NULL")
            sinks = dict.fromkeys(Destination, self)
            publish_outbox(MysqlOutbox(database), sinks, limit=100_000)
            while not sweeps.purge(self.generation, RACE_CLOSE_RULES).finished:
                pass

    def send(self, messages: Sequence[OutboxMessage]) -> None:
        """Note messages as the publishers do: a sink for what they have left."""
        self.crew.sent.extend(map(name_of, messages))

    def completed(self, database: Database) -> list[CompletedWindow]:
        """Return all that was announced, in the order of announcement."""
        return completed(database, self.generation)

    def written(self, database: Database) -> list[OutboxMessage]:
        """Return what stands in the outbox, in order of writing."""
        rows = rows_of(database, "SELECT destination, message_key, payload FROM outbox ORDER BY id")
        return [
            OutboxMessage(Destination(str(destination)), str(key), payload)  # type: ignore[arg-type]
            for destination, key, payload in rows
        ]
