"""The store of counts in memory: for offline replay, for tests, and as the plain form of the rules.

Holds what its MySQL sibling holds; one contract suite runs on both. Transactions are taken one at a
time and write at their end, so an exception leaves nothing behind.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, contextmanager
from itertools import islice, takewhile

from tidegauge.domain.close import Closing, SeriesState, StepCount
from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.fold import BatchCount, Gap, Quarantined, ShardState
from tidegauge.ports import (
    CloseTransaction,
    CollectTransaction,
    Destination,
    Frontier,
    OutboxMessage,
    ShardListing,
    ShardTimes,
    StoredMessage,
    StreamIdentity,
    UnknownShard,
)


class _Shard:
    def __init__(self, parent_ids: tuple[str, ...]) -> None:
        self.parent_ids = parent_ids
        self.state = ShardState()
        self.first_stream_time_ms: int | None = None
        self.ledger: dict[int, set[int]] = {}


class _Generation:
    def __init__(self) -> None:
        self.shards: dict[str, _Shard] = {}
        self.frontier = Frontier(None, None, listed=False)
        self.counts: dict[int, dict[tuple[int, str], int]] = {}  # by step
        self.in_window: dict[int, int] = {}  # all partial counts of a window
        self.series: dict[str, SeriesState] = {}
        self.gaps: list[Gap] = []
        self.quarantine: list[tuple[str, Quarantined]] = []
        self.completed: dict[str, dict[int, list[CompletedWindow]]] = {}


class MemoryCountStore:
    """Implements `ports.CountStore` and `ports.Outbox` in one process.

    Args:
        size_ms: Window length.
        max_event_age_ms: Ledgers are kept until a window's end is this far behind the watermark.
    """

    def __init__(self, *, size_ms: int = 300_000, max_event_age_ms: int = 86_400_000) -> None:
        self._size_ms = size_ms
        self._max_event_age_ms = max_event_age_ms
        self._identities: dict[StreamIdentity, int] = {}
        self._generations: dict[int, _Generation] = {}
        self._outbox: dict[int, OutboxMessage] = {}
        self._last_message = 0
        self._taken: set[int] = set()

    def generation(self, identity: StreamIdentity) -> int:
        """Return the number of a stream generation, a new one for a stream not seen before."""
        number = self._identities.setdefault(identity, len(self._identities) + 1)
        self._generations.setdefault(number, _Generation())
        return number

    def register_shards(self, generation: int, listing: Sequence[ShardListing]) -> None:
        """Register one whole listing; shards that are known stay as they are."""
        held = self._generations[generation]
        for shard in listing:
            held.shards.setdefault(shard.shard_id, _Shard(shard.parent_ids))
        frontier = held.frontier
        held.frontier = Frontier(frontier.next_window_ms, frontier.observed_from_ms, listed=True)

    def collecting(
        self, generation: int, shard_id: str
    ) -> AbstractContextManager[CollectTransaction]:
        """Open a transaction on one shard."""
        return self._collecting(generation, shard_id)

    @contextmanager
    def _collecting(self, generation: int, shard_id: str) -> Iterator[CollectTransaction]:
        held = self._generations[generation]
        shard = held.shards.get(shard_id)
        if shard is None:
            raise UnknownShard(shard_id)
        transaction = _Collecting(held, shard, shard_id)
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
        closing, frontier, messages = written
        for row in closing.rows:
            windows = held.completed.setdefault(row.series, {})
            windows.setdefault(row.window_start_ms, []).append(row)
        held.series.update(closing.series)
        held.frontier = frontier
        for step_ms in [s for s in held.counts if s < closing.next_window_ms]:
            del held.counts[step_ms]  # announced, and never asked for again
        self._put(messages)
        self._purge(held)

    def _purge(self, held: _Generation) -> None:
        times = [shard.state.stream_time_ms for shard in held.shards.values()]
        watermark_ms = min(time for time in times if time is not None)
        past_ms = watermark_ms - self._max_event_age_ms - self._size_ms
        for shard in held.shards.values():
            for window_ms in [w for w in shard.ledger if w < past_ms]:
                del shard.ledger[window_ms]
        for window_ms in [w for w in held.in_window if w < past_ms]:
            del held.in_window[window_ms]

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

    def take_quarantine(self, generation: int) -> list[tuple[str, Quarantined]]:
        """Return what was set aside since the last call, and forget it."""
        held = self._generations[generation]
        taken, held.quarantine = held.quarantine, []
        return taken

    def watermark_ms(self, generation: int) -> int | None:
        """Return the stream's watermark; None while some shard has no stream time."""
        shards = self._generations[generation].shards.values()
        times = [s.state.stream_time_ms for s in shards if s.state.stream_time_ms is not None]
        return min(times) if times and len(times) == len(shards) else None


class _Collecting:
    def __init__(self, held: _Generation, shard: _Shard, shard_id: str) -> None:
        self._held = held
        self._shard = shard
        self._shard_id = shard_id
        self._batch: BatchCount | None = None

    @property
    def state(self) -> ShardState:
        return self._shard.state

    def known(self, windows: Set[int]) -> Mapping[int, Set[int]]:
        line = self._lineage()
        if len(line) == 1:
            return self._shard.ledger
        return {
            window: set().union(*(shard.ledger.get(window, ()) for shard in line))
            for window in windows
        }

    def _lineage(self) -> list[_Shard]:
        line: list[_Shard] = []
        waiting = [self._shard]
        while waiting:
            shard = waiting.pop()
            line.append(shard)
            parents = (self._held.shards.get(parent) for parent in shard.parent_ids)
            waiting.extend(parent for parent in parents if parent and parent not in line)
        return line

    def write(self, batch: BatchCount) -> None:
        self._batch = batch

    def commit(self) -> None:
        batch = self._batch
        if batch is None:
            return
        held, shard = self._held, self._shard
        for partial, count in batch.partials.items():
            counts = held.counts.setdefault(partial.step_ms, {})
            place = (partial.window_start_ms, partial.series)
            counts[place] = counts.get(place, 0) + count
            window_ms = partial.window_start_ms
            held.in_window[window_ms] = held.in_window.get(window_ms, 0) + count
        for window_ms, keys in batch.keys.items():
            shard.ledger.setdefault(window_ms, set()).update(keys)
        held.quarantine.extend((self._shard_id, item) for item in batch.quarantined)
        held.gaps.extend(batch.gaps)
        shard.state = batch.state
        if shard.first_stream_time_ms is None:
            shard.first_stream_time_ms = batch.first_stream_time_ms


class _Closing:
    def __init__(self, held: _Generation) -> None:
        self._held = held
        self.written: tuple[Closing, Frontier, Sequence[OutboxMessage]] | None = None

    @property
    def frontier(self) -> Frontier:
        return self._held.frontier

    def shard_times(self) -> list[ShardTimes]:
        return [
            ShardTimes(
                shard_id,
                shard.first_stream_time_ms,
                shard.state.stream_time_ms,
                root=not any(parent in self._held.shards for parent in shard.parent_ids),
            )
            for shard_id, shard in sorted(self._held.shards.items())
        ]

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
        spans = ((gap.from_ms, gap.until_ms) for gap in self._held.gaps)
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
        self, closing: Closing, frontier: Frontier, messages: Sequence[OutboxMessage]
    ) -> None:
        self.written = (closing, frontier, messages)
