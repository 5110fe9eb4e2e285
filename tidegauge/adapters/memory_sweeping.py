"""What the sweep asks of the memory store: for tests, and as the plain form of the rules.

Nothing is judged here and no wall clock is read: nobody is rung for again, and no message has an
age.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from msgspec.structs import replace

from tidegauge.adapters.memory import MemoryCountStore
from tidegauge.adapters.shard_lines import progress_of
from tidegauge.domain.close import CloseRules
from tidegauge.domain.event import Event
from tidegauge.domain.event_time import LATEST_TIME_MS
from tidegauge.domain.fold import NO_FENCE
from tidegauge.domain.lineage import drained
from tidegauge.domain.skipped_batch import skipped_batch, windows_of
from tidegauge.ports import Backlog, Purged, ShardProgress


class MemorySweepStore:
    """Implements `ports.SweepStore` on the state of a `MemoryCountStore`."""

    def __init__(self, store: MemoryCountStore) -> None:
        self._store = store
        self._swept = False
        self._failures: set[str] = set()

    @contextmanager
    def only_one(self) -> Iterator[bool]:
        """Give True to the one sweep of this store, False to any other meanwhile."""
        if self._swept:
            yield False
            return
        self._swept = True
        try:
            yield True
        finally:
            self._swept = False

    def shards(self, generation: int) -> list[ShardProgress]:
        """Return all registered shards in order of their names."""
        return progress_of(self._store.held(generation).lines())

    def note_beats(self, generation: int, beats: Mapping[str, int]) -> None:
        """Note the sequence number of the heartbeat that was put on each shard."""
        for shard_id, beat in beats.items():
            shard = self._store.held(generation).shard(shard_id)
            shard.line = replace(shard.line, beat=beat)

    def note_unread(self, generation: int, shard_id: str, sequence_number: int) -> None:
        """Note that a record was seen behind the fence: should it expire, the loss is proven."""
        shard = self._store.held(generation).shard(shard_id)
        shard.line = replace(shard.line, unread=sequence_number)

    def note_skipped(self, generation: int, shard_id: str, sequence_number: int) -> None:
        """Note how far the stream's reader has gone on without a batch: nobody will read it."""
        shard = self._store.held(generation).shard(shard_id)
        skipped = max(sequence_number, shard.line.skipped or NO_FENCE)
        shard.line = replace(shard.line, skipped=skipped)

    def drain(self, generation: int, shard_id: str, fence: int) -> bool:
        """Mark a closed shard drained, and start each child whose parents now all are."""
        held = self._store.held(generation)
        held.shard(shard_id)
        changes = drained(held.lines(), shard_id, fence)
        held.change(changes)
        return bool(changes)

    def noted_failures(self, names: Sequence[str]) -> set[str]:
        """Return those of the failed batches' names that were noted before."""
        return self._failures.intersection(names)

    def note_failure(
        self, generation: int, shard_id: str, name: str, events: Sequence[Event], rules: CloseRules
    ) -> int:
        """Note a batch that the stream's reader gave up on, once by its name."""
        held = self._store.held(generation)
        held.shard(shard_id)
        if name in self._failures:
            return 0
        self._failures.add(name)
        known = held.known(shard_id, windows_of(events, size_ms=rules.size_ms))
        skipped = skipped_batch(name, events, known, size_ms=rules.size_ms)
        held.add_gaps(shard_id, skipped.gaps)
        next_ms = held.frontier.next_window_ms
        for window_ms, series in skipped.places:
            if next_ms is not None and window_ms < next_ms:
                held.add_count(next_ms, window_ms, series, 0)
        return skipped.lost

    def purge(self, generation: int, rules: CloseRules) -> Purged:
        """Remove what nobody will compare or send again; sent messages are forgotten at once."""
        windows = 0
        for ended in self._store.generations():
            if ended.frontier.ended:
                windows += ended.purge(LATEST_TIME_MS)
                ended.counts.clear()
        held = self._store.held(generation)
        age_ms = rules.max_event_age_ms
        windows += held.purge(held.last_past_ms(size_ms=rules.size_ms, max_event_age_ms=age_ms))
        return Purged(windows=windows, messages=0, finished=True)

    def backlog(self, generation: int) -> Backlog:
        """Return what waits; messages have no age here, and nothing waits for a verdict."""
        held = self._store.held(generation)
        next_ms = held.frontier.next_window_ms
        open_windows = {
            window_ms
            for step_ms, counts in held.counts.items()
            if next_ms is None or step_ms >= next_ms
            for window_ms, _ in counts
        }
        return Backlog(len(open_windows), len(held.gaps), outbox_age_ms=0, unjudged_series=0)

    def ring_again(self, limit: int) -> int:
        """Ring for nobody: nothing is judged here."""
        del limit
        return 0
