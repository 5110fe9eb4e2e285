"""Counting a live stream: collect on the stream's current generation, then close and publish.

Takes one shard's batch as it was delivered. The batch stands or falls with collect alone: closing
and publishing are done again by the sweep if they fail here.
"""

from collections.abc import Mapping, Sequence

import msgspec

from tidegauge.domain.close import CloseRules
from tidegauge.domain.decode import SeriesBy
from tidegauge.domain.errors import TidegaugeError, Transient
from tidegauge.domain.fold import CountRules
from tidegauge.domain.record import DecodedRecord, Record
from tidegauge.ports import (
    Clock,
    CountStore,
    Destination,
    EndedGeneration,
    MessageSink,
    Outbox,
    ShardListing,
    StreamLister,
    UnknownShard,
)
from tidegauge.steps.close import close_once
from tidegauge.steps.collect import Collected, collect, decode_records
from tidegauge.steps.publish import publish_outbox

QUIET_MS = 10_000
CLOSINGS_PER_BATCH = 10
MESSAGES_PER_BATCH = 5_000


class CountedBatch(msgspec.Struct, frozen=True):
    """What a delivered batch came to.

    Attributes:
        collected: What collect counted and wrote.
        completed: Completed windows announced, corrections included.
        iterator_age_ms: How old the batch's last record was when it was counted.
        left_to_sweep: What closing or publishing ran into; the batch is counted all the same.
    """

    collected: Collected
    completed: int = 0
    iterator_age_ms: int = 0
    left_to_sweep: TidegaugeError | None = None


class StreamCounter:
    """Counts the batches of one stream in one process.

    Args:
        store: Where counts live.
        outbox: Where announcements wait.
        sinks: Who sends them.
        stream: Tells the stream's identity and shards.
        clock: Measures how long the process was idle, nothing else.
        series_by: Names series.
        rules: What is counted where.
        close_rules: What is announced.
    """

    def __init__(
        self,
        *,
        store: CountStore,
        outbox: Outbox,
        sinks: Mapping[Destination, MessageSink],
        stream: StreamLister,
        clock: Clock,
        series_by: SeriesBy,
        rules: CountRules,
        close_rules: CloseRules,
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._sinks = sinks
        self._stream = stream
        self._clock = clock
        self._series_by = series_by
        self._rules = rules
        self._close_rules = close_rules
        self._generation: int | None = None
        self._last_batch_ms = 0

    def count(self, shard_id: str, records: Sequence[Record]) -> CountedBatch:
        """Count a batch of one shard; deliver it again on any error.

        Raises:
            Transient: nothing was counted, or nobody knows: deliver the whole batch again.
            Misconfigured: stream or database are not what the settings say.
        """
        decoded = decode_records(records, self._series_by)
        collected = self._collect(shard_id, decoded)
        self._last_batch_ms = self._clock.now_ms()
        completed, failure = self._close_and_publish() if collected.closes else (0, None)
        return CountedBatch(
            collected=collected,
            completed=completed,
            iterator_age_ms=self._age_ms(records),
            left_to_sweep=failure,
        )

    def _age_ms(self, records: Sequence[Record]) -> int:
        arrival_ms = records[-1].arrival_time_ms if records else None
        return 0 if arrival_ms is None else max(0, self._last_batch_ms - arrival_ms)

    def _collect(self, shard_id: str, records: Sequence[DecodedRecord]) -> Collected:
        # a stream that was recreated under its name looks like the old one until it is asked; a
        # clock that was set back tells nothing of how long it was quiet
        quiet = not 0 <= self._clock.now_ms() - self._last_batch_ms < QUIET_MS
        generation = self._generation
        if generation is None or quiet:
            generation = self._ask_generation()
        try:
            collected = self._collect_on(generation, shard_id, records)
        except EndedGeneration:  # never so quiet that it was asked for
            generation = self._ask_generation()
            collected = self._collect_on(generation, shard_id, records)
        if collected.skipped and records:
            current = self._ask_generation()
            if current != generation:
                collected = self._collect_on(current, shard_id, records)
        return collected

    def _ask_generation(self) -> int:
        self._generation = self._store.generation(self._stream.identity())
        return self._generation

    def _collect_on(
        self, generation: int, shard_id: str, records: Sequence[DecodedRecord]
    ) -> Collected:
        try:
            return collect(self._store, generation, shard_id, records, self._rules)
        except UnknownShard:
            listing, generation = self._listing_of(generation)
        self._store.register_shards(generation, listing)
        try:
            return collect(self._store, generation, shard_id, records, self._rules)
        except UnknownShard:
            # a listing may lag behind the records, or the stream was recreated just now
            self._generation = None
            msg = f"the stream does not list {shard_id} yet"
            raise Transient(msg) from None

    def _listing_of(self, generation: int) -> tuple[list[ShardListing], int]:
        """Return a listing and the generation that it is of: the same one before it and after."""
        while True:
            listing = self._stream.shards()
            current = self._ask_generation()
            if current == generation:
                return listing, generation
            generation = current

    def _close_and_publish(self) -> tuple[int, TidegaugeError | None]:
        generation = self._generation
        completed = 0
        try:
            if generation is not None:
                for _ in range(CLOSINGS_PER_BATCH):
                    outcome = close_once(self._store, generation, self._close_rules)
                    completed += len(outcome.rows)
                    if outcome.finished:
                        break
            publish_outbox(self._outbox, self._sinks, limit=MESSAGES_PER_BATCH)
        except TidegaugeError as error:
            return completed, error
        return completed, None
