"""The collect step: count one batch of one shard in one transaction, then close what it closed.

Takes records in the order of their shard, gives what was counted. Decoding happens before the
shard's lock is taken; nothing but the database is spoken to while it is held.
"""

from collections.abc import Sequence

import msgspec

from tidegauge.domain.decode import SeriesBy, decode
from tidegauge.domain.fold import BatchCount, CountRules, ShardState, count_batch, windows_touched
from tidegauge.domain.record import DecodedRecord, Record
from tidegauge.domain.window import first_open_window_ms
from tidegauge.ports import CountStore


class Collected(msgspec.Struct, frozen=True):
    """What one batch came to.

    Attributes:
        batch: What was counted and written.
        skipped: Whether every record lay at or before the fence.
        closes: Whether the shard's stream time passed a closing time.
    """

    batch: BatchCount
    skipped: bool
    closes: bool


def decode_records(records: Sequence[Record], series_by: SeriesBy) -> list[DecodedRecord]:
    """Decode a batch; no record fails it."""
    return [
        DecodedRecord(
            record.sequence_number,
            record.arrival_time_ms,
            decode(record.data, series_by),
            record.data,
        )
        for record in records
    ]


def collect(
    store: CountStore,
    generation: int,
    shard_id: str,
    records: Sequence[DecodedRecord],
    rules: CountRules,
) -> Collected:
    """Count a batch of one shard, exactly once however often it is delivered.

    Raises:
        UnknownShard: the shard is not registered: list the shards, register, try again.
        Transient: nothing was written, or nobody knows: deliver the whole batch again.
    """
    windows = windows_touched(records, size_ms=rules.size_ms)
    with store.collecting(generation, shard_id) as transaction:
        before = transaction.state
        if transaction.drained:
            # somebody fetched these before they expired, or goes on after a batch was given up: its
            # children have started, and what is counted now nobody would ever be told of
            records, windows = (), set()
        known = transaction.known(windows)
        batch = count_batch(before, records, known, rules, shard_id=shard_id)
        if batch.first_sequence_number is not None:
            transaction.write(batch)
    return Collected(
        batch=batch,
        skipped=batch.first_sequence_number is None,
        closes=_passed_closing_time(before, batch.state, rules),
    )


def _passed_closing_time(before: ShardState, after: ShardState, rules: CountRules) -> bool:
    if after.stream_time_ms is None or after.stream_time_ms == before.stream_time_ms:
        return False
    if before.stream_time_ms is None:
        return True
    return first_open_window_ms(
        before.stream_time_ms, size_ms=rules.size_ms, lateness_ms=rules.lateness_ms
    ) != first_open_window_ms(
        after.stream_time_ms, size_ms=rules.size_ms, lateness_ms=rules.lateness_ms
    )
