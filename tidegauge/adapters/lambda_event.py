"""Lambda's Kinesis event: the service's shape becomes records of one shard."""

import base64
from collections.abc import Mapping
from typing import Any

import msgspec

from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.event_time import EARLIEST_TIME_MS, LATEST_TIME_MS
from tidegauge.domain.record import Record


class ShardBatch(msgspec.Struct, frozen=True):
    """The records of one invocation, in order of their shard."""

    shard_id: str
    records: list[Record]


def kinesis_batches(event: Mapping[str, Any]) -> list[ShardBatch]:
    """Return an invocation's records by shard; a mapping sends one shard at a time.

    Args:
        event: As the event source mapping for Kinesis sends it.

    Raises:
        InvalidInput: it is no such event: the function is wired to something else.
    """
    shards: dict[str, list[Record]] = {}
    try:
        for item in event["Records"]:
            shard_id, _, _ = item["eventID"].partition(":")
            kinesis = item["kinesis"]
            record = Record(
                shard_id=shard_id,
                sequence_number=_sequence_number_of(kinesis["sequenceNumber"]),
                arrival_time_ms=_arrival_time_of(kinesis["approximateArrivalTimestamp"]),
                partition_key=kinesis["partitionKey"],
                data=base64.b64decode(kinesis["data"]),
            )
            if not isinstance(record.partition_key, str):
                raise TypeError(record.partition_key)
            shards.setdefault(shard_id, []).append(record)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        msg = "this is no event of a Kinesis mapping; wire the function to a stream"
        raise InvalidInput(msg) from error
    return [ShardBatch(shard_id, records) for shard_id, records in shards.items()]


def _sequence_number_of(digits: str) -> int:
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(digits)
    return int(digits)


def _arrival_time_of(seconds: float) -> int:
    time_ms = round(seconds * 1000)
    if not EARLIEST_TIME_MS <= time_ms < LATEST_TIME_MS:  # what the database can hold
        raise ValueError(time_ms)
    return time_ms
