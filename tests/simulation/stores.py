"""What a simulated process holds of the stores: the memory store, with a database's faults.

The order of things is that of the MySQL adapter: lock, read, write, COMMIT, and only then are the
warm ledgers added to; on any error they are dropped.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, contextmanager

from tests.simulation.database import FRONTIER, Committed, Lock, Point, Process
from tidegauge.domain.close import CloseRules, Closing, SeriesState, StepCount
from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.event import Event
from tidegauge.domain.fold import BatchCount, Gap, ShardState
from tidegauge.ports import (
    Backlog,
    CloseTransaction,
    CollectTransaction,
    Destination,
    Frontier,
    OutboxMessage,
    Purged,
    ShardListing,
    ShardProgress,
    ShardTimes,
    StoredMessage,
    StreamIdentity,
)


class ProcessStore:
    """Implements `ports.CountStore` and `ports.Outbox` for one process.

    Args:
        process: Whose connection this is.
        steady: No fault strikes a listing or a question for the generation: a sweep that puts
            heartbeats must write the same history whoever reads it.
    """

    def __init__(self, process: Process, *, steady: bool) -> None:
        self._process = process
        self._server = process.server
        self._counts = process.server.counts
        self._steady = steady

    def _ask(self, what: str) -> None:
        if self._steady:
            self._process.ask()
        else:
            self._process.at(Point.LOCK, what)

    def generation(self, identity: StreamIdentity) -> int:
        """Return the number of a stream generation."""
        self._ask("generation")
        return self._counts.generation(identity)

    def superseded(self, generation: int) -> list[int]:
        """Return the older generations of the same stream that are not ended."""
        self._process.at(Point.LOCK, "superseded")
        return self._counts.superseded(generation)

    def register_shards(
        self, generation: int, listing: Sequence[ShardListing], gone: Set[str] = frozenset()
    ) -> None:
        """Register one whole listing."""
        self._ask("register")
        locks = [(generation, shard_id) for shard_id in gone]
        with self._server.locked((generation, FRONTIER), *locks):
            self._counts.register_shards(generation, listing, gone)

    def collecting(
        self, generation: int, shard_id: str
    ) -> AbstractContextManager[CollectTransaction]:
        """Lock a shard for one batch."""
        return self._collecting(generation, shard_id)

    @contextmanager
    def _collecting(self, generation: int, shard_id: str) -> Iterator[CollectTransaction]:
        shard = (generation, shard_id)
        try:
            with self._process.transaction("collect", shard):
                with self._counts.collecting(generation, shard_id) as inner:
                    batch = Collecting(inner, self._process, shard)
                    yield batch
                    self._process.at(Point.COMMIT, "collect")
                batch.commit()
        except BaseException:
            self._process.roll_back(shard)
            raise
        batch.keep_warm()

    def closing(self, generation: int) -> AbstractContextManager[CloseTransaction]:
        """Lock the frontier for one closing."""
        return self._closing(generation)

    @contextmanager
    def _closing(self, generation: int) -> Iterator[CloseTransaction]:
        with (
            self._process.transaction("close", (generation, FRONTIER)),
            self._counts.closing(generation) as inner,
        ):
            yield ReadingClose(inner, self._process, generation)
            self._process.at(Point.COMMIT, "close")

    # --- outbox

    def take(self, destination: Destination, limit: int) -> list[StoredMessage]:
        """Take unsent messages; they are ours for a minute."""
        self._process.at(Point.LOCK, "take")
        self._server.take_back()
        taken = self._counts.take(destination, limit)
        self._server.note_taken([stored.number for stored in taken])
        return taken

    def release(self, numbers: Sequence[int]) -> None:
        """Give back messages that could not be sent."""
        self._process.at(Point.LOCK, "release")
        self._counts.release(numbers)
        self._server.note_free(list(numbers))

    def mark_sent(self, numbers: Sequence[int]) -> None:
        """Note messages as sent."""
        self._process.at(Point.LOCK, "mark sent")
        self._counts.mark_sent(numbers)
        self._server.note_free(list(numbers))


class Collecting:
    """One batch under its shard's lock, with what its process keeps warm."""

    def __init__(self, inner: CollectTransaction, process: Process, shard: Lock) -> None:
        self._inner = inner
        self._process = process
        self._shard = shard
        self._numbers = process.server.ledger_numbers
        self._before = inner.state
        self._known: dict[int, Set[int]] = {}
        self._batch: BatchCount | None = None

    @property
    def state(self) -> ShardState:
        return self._before

    @property
    def drained(self) -> bool:
        return self._inner.drained

    def known(self, windows: Set[int]) -> Mapping[int, Set[int]]:
        self._process.at(Point.READ, "collect")
        number = self._numbers.get(self._shard, 0)
        kept = self._process.warm.trusted(
            self._shard, fence=self._before.fence, ledger_number=number
        )
        self._known = {window: kept[window] for window in windows if window in kept}
        missing = windows - self._known.keys()
        if missing:
            found = self._inner.known(missing)
            self._known.update({window: set(found.get(window, ())) for window in missing})
        return self._known

    def write(self, batch: BatchCount) -> None:
        self._process.at(Point.READ, "collect")
        self._inner.write(batch)
        self._batch = batch

    def commit(self) -> None:
        """Note what stands in the database now, whatever its answer."""
        if self._batch is not None:
            number = self._numbers.get(self._shard, 0)
            self._numbers[self._shard] = number + len(self._batch.keys)
            server = self._process.server
            server.commits.append(Committed(*self._shard, self._before, self._batch))
            first, last = self._before.fence, self._batch.state.fence
            server.read.setdefault(self._shard, []).extend(
                record for record in self._process.batch if first < record.sequence_number <= last
            )

    def keep_warm(self) -> None:
        """Keep the sets of what was written; the COMMIT has answered."""
        if self._batch is not None:
            self._process.keep(self._shard)
            self._process.warm.committed(
                self._shard,
                self._known,
                self._batch.keys,
                fence=self._batch.state.fence,
                ledger_number=self._numbers[self._shard],
            )


class ReadingClose:
    """One closing under the frontier's lock; collect goes on while it reads."""

    def __init__(self, inner: CloseTransaction, process: Process, generation: int) -> None:
        self._inner = inner
        self._process = process
        self.generation = generation

    @property
    def frontier(self) -> Frontier:
        return self._inner.frontier

    def shard_times(self) -> list[ShardTimes]:
        times = self._inner.shard_times()
        self._process.at(Point.READ, "close")
        return times

    def last_step_ms(self) -> int | None:
        return self._inner.last_step_ms()

    def next_step_ms(self, from_ms: int) -> int | None:
        return self._inner.next_step_ms(from_ms)

    def counts(self, first_ms: int | None, until_ms: int) -> list[StepCount]:
        counts = self._inner.counts(first_ms, until_ms)
        self._process.at(Point.READ, "close")
        return counts

    def latest(self, places: Set[tuple[int, str]]) -> dict[tuple[int, str], CompletedWindow]:
        return self._inner.latest(places)

    def series(self) -> dict[str, SeriesState]:
        return self._inner.series()

    def gaps(self, from_ms: int, until_ms: int) -> list[tuple[int, int]]:
        return self._inner.gaps(from_ms, until_ms)

    def suspect(self, from_ms: int, until_ms: int) -> set[int]:
        return self._inner.suspect(from_ms, until_ms)

    def write(
        self,
        closing: Closing,
        frontier: Frontier,
        messages: Sequence[OutboxMessage],
        gaps: Sequence[Gap] = (),
    ) -> None:
        self._inner.write(closing, frontier, messages, gaps)
        self._process.at(Point.READ, "close")


class ProcessSweeps:
    """Implements `ports.SweepStore` for one process."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._server = process.server
        self._sweeps = process.server.sweeps

    def only_one(self) -> AbstractContextManager[bool]:
        """Give True to the one sweep of this database."""
        self._process.ask()
        return self._sweeps.only_one()

    def shards(self, generation: int) -> list[ShardProgress]:
        """Return all registered shards; asked before heartbeats are put, so nothing strikes."""
        self._process.ask()
        return self._sweeps.shards(generation)

    def note_beats(self, generation: int, beats: Mapping[str, int]) -> None:
        """Note the heartbeats that were put, one transaction a shard."""
        for shard_id, beat in beats.items():
            with self._process.transaction("note beat", (generation, shard_id)):
                self._sweeps.note_beats(generation, {shard_id: beat})

    def note_unread(self, generation: int, shard_id: str, sequence_number: int) -> None:
        """Note a record that was seen behind the fence."""
        with self._process.transaction("note unread", (generation, shard_id)):
            self._sweeps.note_unread(generation, shard_id, sequence_number)

    def note_skipped(self, generation: int, shard_id: str, sequence_number: int) -> None:
        """Note how far the stream's reader has gone on without a batch."""
        with self._process.transaction("note skipped", (generation, shard_id)):
            self._sweeps.note_skipped(generation, shard_id, sequence_number)

    def drain(self, generation: int, shard_id: str, fence: int) -> bool:
        """Mark a closed shard drained, and start each child whose parents now all are."""
        children = [
            (generation, shard.shard_id)
            for shard in self._sweeps.shards(generation)
            if shard_id in shard.parent_ids
        ]
        locks = [(generation, FRONTIER), (generation, shard_id), *children]
        with self._process.transaction("drain", *locks):
            return self._sweeps.drain(generation, shard_id, fence)

    def noted_failures(self, names: Sequence[str]) -> set[str]:
        """Return those of the failed batches' names that were noted before."""
        self._process.at(Point.LOCK, "noted failures")
        return self._sweeps.noted_failures(names)

    def note_failure(
        self, generation: int, shard_id: str, name: str, events: Sequence[Event], rules: CloseRules
    ) -> int:
        """Note a batch that the stream's reader gave up on, once by its name."""
        locks = [(generation, FRONTIER), (generation, shard_id)]
        with self._process.transaction("note failure", *locks):
            return self._sweeps.note_failure(generation, shard_id, name, events, rules)

    def purge(self, generation: int, rules: CloseRules) -> Purged:
        """Remove what nobody will compare or send again."""
        with self._process.transaction("purge"):
            return self._sweeps.purge(generation, rules)

    def backlog(self, generation: int) -> Backlog:
        """Return what waits."""
        self._process.at(Point.LOCK, "backlog")
        return self._sweeps.backlog(generation)

    def ring_again(self, limit: int) -> int:
        """Ring for nobody: nothing is judged here."""
        self._process.at(Point.LOCK, "ring again")
        return self._sweeps.ring_again(limit)
