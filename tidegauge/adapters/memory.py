"""The store of counts in memory: for offline replay, for tests, and as the plain form of the rules.

Holds what its MySQL sibling holds; one contract suite runs on both. Transactions are taken one at a
time and write at their end, so an exception leaves nothing behind.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, contextmanager
from itertools import islice, takewhile

from msgspec.structs import replace

from tidegauge.adapters.memory_state import HeldGeneration, HeldShard
from tidegauge.adapters.shard_lines import times_of
from tidegauge.domain.close import Closing, SeriesState, StepCount
from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.evidence import Evidence
from tidegauge.domain.fold import BatchCount, Gap, Quarantined, ShardState
from tidegauge.domain.lineage import registered
from tidegauge.ports import (
    CloseTransaction,
    CollectTransaction,
    Destination,
    EndedGeneration,
    Frontier,
    OutboxMessage,
    ShardListing,
    ShardTimes,
    StoredMessage,
    StreamIdentity,
    WaitingShard,
)


class MemoryCountStore:
    """Implements `ports.CountStore` and `ports.Outbox` in one process.

    Args:
        size_ms: Window length.
        max_event_age_ms: Ledgers are kept until a window's end lies so far behind the first open
            window.
        keeps_evidence: Whether evidence is kept, as long as the ledgers; no replay asks for it.
    """

    def __init__(
        self,
        *,
        size_ms: int = 300_000,
        max_event_age_ms: int = 86_400_000,
        keeps_evidence: bool = True,
    ) -> None:
        self._size_ms = size_ms
        self._keeps_evidence = keeps_evidence
        self._max_event_age_ms = max_event_age_ms
        self._identities: dict[StreamIdentity, int] = {}
        self._generations: dict[int, HeldGeneration] = {}
        self._outbox: dict[int, OutboxMessage] = {}
        self._last_message = 0
        self._taken: set[int] = set()

    def generation(self, identity: StreamIdentity) -> int:
        """Return the number of a stream generation, a new one for a stream not seen before."""
        number = self._identities.setdefault(identity, len(self._identities) + 1)
        self._generations.setdefault(number, HeldGeneration())
        return number

    def superseded(self, generation: int) -> list[int]:
        """Return the older generations of the same stream, by creation time, that are not ended."""
        names = {number: identity for identity, number in self._identities.items()}
        this = names[generation]
        older = [
            (identity.created_ms, number)
            for number, identity in names.items()
            if identity.arn == this.arn
            and identity.created_ms < this.created_ms
            and not self._generations[number].frontier.ended
        ]
        return [number for _, number in sorted(older)]

    def register_shards(
        self, generation: int, listing: Sequence[ShardListing], gone: Set[str] = frozenset()
    ) -> None:
        """Register one whole listing; shards that are known stay as they are, unless gone."""
        held = self._generations[generation]
        listed = {shard.shard_id: shard.parent_ids for shard in listing}
        held.change(registered(held.lines(), listed, gone))
        held.end_listing()

    def collecting(
        self, generation: int, shard_id: str
    ) -> AbstractContextManager[CollectTransaction]:
        """Open a transaction on one shard."""
        return self._collecting(generation, shard_id)

    @contextmanager
    def _collecting(self, generation: int, shard_id: str) -> Iterator[CollectTransaction]:
        held = self._generations[generation]
        shard = held.shard(shard_id)
        if held.frontier.ended:
            msg = f"generation {generation} has ended, the stream was made anew"
            raise EndedGeneration(msg)
        if held.is_waiting(shard):
            msg = f"{shard_id} waits for its parents to be drained"
            raise WaitingShard(msg)
        transaction = _Collecting(held, shard, shard_id, keeps_evidence=self._keeps_evidence)
        yield transaction
        transaction.commit()

    def closing(self, generation: int) -> AbstractContextManager[CloseTransaction]:
        """Open a transaction on the frontier."""
        return self._closing(generation)

    @contextmanager
    def _closing(self, generation: int) -> Iterator[CloseTransaction]:
        held = self._generations[generation]
        transaction = _Closing(held)
        yield transaction
        written = transaction.written
        if written is None:
            return
        closing, frontier, messages, gaps = written
        for row in closing.rows:
            windows = held.completed.setdefault(row.series, {})
            windows.setdefault(row.window_start_ms, []).append(row)
        held.series.update(closing.series)
        held.frontier = frontier
        held.add_gaps("", gaps)
        for step_ms in [s for s in held.counts if s < closing.next_window_ms]:
            del held.counts[step_ms]  # announced, and never asked for again
        self._put(messages)
        age_ms = self._max_event_age_ms
        held.purge(held.last_past_ms(size_ms=self._size_ms, max_event_age_ms=age_ms))

    # --- outbox

    def _put(self, messages: Sequence[OutboxMessage]) -> None:
        for message in messages:
            self._last_message += 1
            self._outbox[self._last_message] = message

    def take(self, destination: Destination, limit: int) -> list[StoredMessage]:
        """Take up to `limit` unsent messages, oldest first, none behind one that is taken."""
        waiting = (
            StoredMessage(number, message)
            for number, message in self._outbox.items()
            if message.destination is destination
        )
        free = takewhile(lambda stored: stored.number not in self._taken, waiting)
        found = list(islice(free, limit))
        self._taken.update(stored.number for stored in found)
        return found

    def release(self, numbers: Sequence[int]) -> None:
        """Give back messages that could not be sent."""
        self._taken.difference_update(numbers)

    def mark_sent(self, numbers: Sequence[int]) -> None:
        """Forget messages that were sent."""
        for number in numbers:
            self._outbox.pop(number, None)
        self.release(numbers)

    def put_messages(self, messages: Sequence[OutboxMessage]) -> None:
        """Add messages that another store's transaction has decided to send."""
        self._put(messages)

    # --- readers

    def completed(self, generation: int) -> Mapping[str, Mapping[int, Sequence[CompletedWindow]]]:
        """Return every announced revision, by series and window start, oldest revision first."""
        return self._generations[generation].completed

    def forget_completed(self, generation: int, before_ms: int) -> None:
        """Drop completed windows that start before a time and that nobody will ask for again."""
        for windows in self._generations[generation].completed.values():
            for window_ms in [w for w in windows if w < before_ms]:
                del windows[window_ms]

    def quarantine(self, generation: int) -> Sequence[tuple[str, Quarantined]]:
        """Return what was set aside, with the shard it came from, in the order it came."""
        return self._generations[generation].quarantine

    def evidence(self, generation: int) -> dict[tuple[str, int, str], Evidence]:
        """Return what is held of where counts come from, by shard, window start and series."""
        return {
            (shard_id, window_ms, series): one
            for shard_id, shard in self._generations[generation].shards.items()
            for window_ms, of_window in shard.evidence.items()
            for series, one in of_window.items()
        }

    def take_quarantine(self, generation: int) -> list[tuple[str, Quarantined]]:
        """Return what was set aside since the last call, and forget it."""
        held = self._generations[generation]
        taken, held.quarantine = held.quarantine, []
        return taken

    def watermark_ms(self, generation: int) -> int | None:
        """Return the stream's watermark; None while some active shard has no stream time."""
        times = [t.stream_time_ms for t in shard_times(self._generations[generation]) if t.active]
        known = [time_ms for time_ms in times if time_ms is not None]
        return min(known) if known and len(known) == len(times) else None

    def held(self, generation: int) -> HeldGeneration:
        """Return what is held of a generation, for what else works on the same state."""
        return self._generations[generation]

    def generations(self) -> Sequence[HeldGeneration]:
        """Return what is held of all generations."""
        return list(self._generations.values())

    def generations_of(self, stream_name: str) -> list[int]:
        """Return the generations of all streams of a name, in the order they came to be known."""
        names = ((identity.arn, number) for identity, number in self._identities.items())
        return [number for arn, number in names if arn.rpartition("/")[2] == stream_name]


def shard_times(held: HeldGeneration) -> list[ShardTimes]:
    """Return the stream times of all shards of a generation."""
    return times_of(held.lines(), {n: shard.first_ms for n, shard in held.shards.items()})


class _Collecting:
    def __init__(
        self, held: HeldGeneration, shard: HeldShard, shard_id: str, *, keeps_evidence: bool
    ) -> None:
        self._keeps_evidence = keeps_evidence
        self._held = held
        self._shard = shard
        self._shard_id = shard_id
        self._batch: BatchCount | None = None

    @property
    def state(self) -> ShardState:
        return self._shard.line.state

    @property
    def drained(self) -> bool:
        return self._shard.line.drained

    def known(self, windows: Set[int]) -> Mapping[int, Set[int]]:
        return self._held.known(self._shard_id, windows)

    def write(self, batch: BatchCount) -> None:
        self._batch = batch

    def commit(self) -> None:
        batch = self._batch
        if batch is None:
            return
        held, shard = self._held, self._shard
        for partial, count in batch.partials.items():
            held.add_count(partial.step_ms, partial.window_start_ms, partial.series, count)
        for window_ms, keys in batch.keys.items():
            shard.ledger.setdefault(window_ms, set()).update(keys)
        if self._keeps_evidence:
            held.add_evidence(self._shard_id, batch.evidence)
        held.quarantine.extend((self._shard_id, item) for item in batch.quarantined)
        held.add_gaps(self._shard_id, batch.gaps)
        shard.line = replace(shard.line, state=batch.state)
        if shard.first_ms is None:
            shard.first_ms = batch.first_stream_time_ms


class _Closing:
    def __init__(self, held: HeldGeneration) -> None:
        self._held = held
        self.written: tuple[Closing, Frontier, Sequence[OutboxMessage], Sequence[Gap]] | None = None

    @property
    def frontier(self) -> Frontier:
        return self._held.frontier

    def shard_times(self) -> list[ShardTimes]:
        return shard_times(self._held)

    def last_step_ms(self) -> int | None:
        return max(self._held.counts, default=None)

    def next_step_ms(self, from_ms: int) -> int | None:
        return min((step_ms for step_ms in self._held.counts if step_ms >= from_ms), default=None)

    def counts(self, first_ms: int | None, until_ms: int) -> list[StepCount]:
        return [
            StepCount(step_ms, window_ms, series, count)
            for step_ms, counts in self._held.counts.items()
            if step_ms < until_ms and (first_ms is None or step_ms >= first_ms)
            for (window_ms, series), count in counts.items()
        ]

    def latest(self, places: Set[tuple[int, str]]) -> dict[tuple[int, str], CompletedWindow]:
        found: dict[tuple[int, str], CompletedWindow] = {}
        for window_ms, series in places:
            revisions = self._held.completed.get(series, {}).get(window_ms)
            if revisions:
                found[(window_ms, series)] = revisions[-1]
        return found

    def series(self) -> dict[str, SeriesState]:
        return self._held.series

    def gaps(self, from_ms: int, until_ms: int) -> list[tuple[int, int]]:
        spans = ((gap.from_ms, gap.until_ms) for gap in self._held.gaps.values())
        return [span for span in spans if span[0] < until_ms and from_ms < span[1]]

    def suspect(self, from_ms: int, until_ms: int) -> set[int]:
        held = self._held
        keys: dict[int, int] = {}
        for shard in held.shards.values():
            for window_ms, ledger in shard.ledger.items():
                if from_ms <= window_ms < until_ms:
                    keys[window_ms] = keys.get(window_ms, 0) + len(ledger)
        counted = {w: n for w, n in held.in_window.items() if from_ms <= w < until_ms}
        return {w for w in keys.keys() | counted.keys() if keys.get(w, 0) != counted.get(w, 0)}

    def write(
        self,
        closing: Closing,
        frontier: Frontier,
        messages: Sequence[OutboxMessage],
        gaps: Sequence[Gap] = (),
    ) -> None:
        self.written = (closing, frontier, messages, gaps)
