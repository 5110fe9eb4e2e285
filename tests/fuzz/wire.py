"""Fuzz targets of what other services hand over: envelopes, Lambda's events, announcements."""

import json
from contextlib import suppress
from typing import Any

from tests.fuzz.decoding import SERIES_BY
from tidegauge.adapters.eventbridge import DeliveredEvent, scheduled_ms
from tidegauge.adapters.failed_batches import failed_batch_in
from tidegauge.adapters.lambda_event import ShardBatch, kinesis_batches
from tidegauge.domain.announcement import SERIES_PER_RECORD
from tidegauge.domain.decode import decode
from tidegauge.domain.errors import InvalidInput, Rejected
from tidegauge.domain.event_time import EARLIEST_TIME_MS, LATEST_TIME_MS
from tidegauge.steps.predict import read_doorbell


def _as_lambda_reads(data: bytes | str) -> Any:
    """Return what Lambda's runtime makes of a payload; None where it would refuse it."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def fuzz_envelope(data: bytes) -> None:
    """Hand over an envelope: it is refused in a sentence, or goes onto the stream as one part."""
    envelope = _as_lambda_reads(data)
    if not isinstance(envelope, dict):
        return
    with suppress(InvalidInput):
        scheduled_ms(envelope)
    try:
        source = DeliveredEvent(envelope)
    except InvalidInput:
        return
    (entry,) = source.poll(source.position()).entries
    for series_by in SERIES_BY:
        assert len(decode(entry.data, series_by)) == 1
    if b"NaN" not in data and b"Infinity" not in data and b"e" not in data.lower():
        assert json.loads(entry.data) == envelope, "it is put as it came"


def fuzz_lambda_event(data: bytes) -> None:
    """Hand over Lambda's event, or keep it where a mapping keeps the batches it gave up on."""
    payload = data.decode(errors="replace")
    event = _as_lambda_reads(payload)
    batches = _batches_of(event)
    if batches:
        assert sum(len(batch.records) for batch in batches) == len(event["Records"])
    failed_batch_in(data)
    kept = {
        "KinesisBatchInfo": {"shardId": batches[0].shard_id if batches else "", "streamArn": "a"},
        "payload": payload,
    }
    failed = failed_batch_in(json.dumps(kept).encode())
    if failed is not None:
        assert batches
        assert failed.shard_id == batches[0].shard_id


def _batches_of(event: Any) -> list[ShardBatch]:
    try:
        batches = kinesis_batches(event)
    except InvalidInput:
        return []
    for batch in batches:
        for record in batch.records:
            assert record.sequence_number >= 0
            assert record.arrival_time_ms is not None
            assert EARLIEST_TIME_MS <= record.arrival_time_ms < LATEST_TIME_MS
            assert isinstance(record.partition_key, str)
            assert isinstance(record.data, bytes)
    return batches


def fuzz_doorbell(data: bytes) -> None:
    """Ring with any bytes: the step may ask the database for what comes out."""
    try:
        doorbell = read_doorbell(data)
    except Rejected:
        return
    assert len(doorbell.series) <= max(SERIES_PER_RECORD, len(data) // 50)
    for series in doorbell.series:
        series.encode()
