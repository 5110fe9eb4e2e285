"""Reads a stream's shards once more from their beginnings, as a guest of those that count it.

Takes a shard and how far to read, gives pages of records; implements `ports.audit.RereadStream`.
All readers of a shard share five readings a second, so that this one leaves most of them alone.
What the stream forgets while it is read is told by pages that are not whole.
"""

import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from tidegauge.adapters.aws_client import client_config
from tidegauge.adapters.aws_errors import aws_call, code_of
from tidegauge.adapters.clock import Backoff, SystemClock
from tidegauge.adapters.kinesis import KinesisStream
from tidegauge.domain.errors import Misconfigured, Transient
from tidegauge.domain.fold import NO_FENCE
from tidegauge.domain.record import Record
from tidegauge.ports import Clock, StreamIdentity
from tidegauge.ports.audit import Page

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_kinesis.type_defs import GetRecordsOutputTypeDef, RecordTypeDef

PAGE_RECORDS = 10_000
# Two of the five readings a second that a shard allows.
PAUSE_S = 0.5
# A page may take 10 MB at 2 MB a second.
READ_TIMEOUT_S = 30.0
# A reading so near to what is forgotten may be overtaken by it.
NEAR_MS = 10 * 60_000

_HOUR_MS = 3_600_000
_GONE = "ResourceNotFoundException"
_BAD_POSITION = "InvalidArgumentException"
_STALE = {"ExpiredIteratorException", _BAD_POSITION}


class KinesisPages:
    """One stream, by name.

    Args:
        name: The stream's name.
        client: For tests; None makes one from the environment on first use.
        clock: Tells how near a record is to being forgotten.
        backoff: How to wait between attempts at a page.
        seconds: A clock that never goes back.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        name: str,
        *,
        client: "KinesisClient | None" = None,
        clock: Clock | None = None,
        backoff: Backoff | None = None,
        seconds: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._name = name
        self._given_client = client
        self._clock = clock or SystemClock()
        self._backoff = backoff or Backoff(cap_s=10.0)
        self._seconds = seconds
        self._sleep = sleep
        self._retention_ms = 24 * _HOUR_MS

    @cached_property
    def _client(self) -> "KinesisClient":
        if self._given_client is not None:
            return self._given_client
        import boto3

        with aws_call("making a Kinesis client"):
            return boto3.client("kinesis", config=client_config(read_timeout_s=READ_TIMEOUT_S))

    def identity(self) -> StreamIdentity:
        """Return the stream's ARN and creation time, ms since the epoch.

        Raises:
            Transient: Kinesis cannot answer now.
            Misconfigured: there is no such stream, or it may not be read.
        """
        client = self._client
        with aws_call(f"describing stream {self._name}"):
            answer = client.describe_stream_summary(StreamName=self._name)
        self._retention_ms = answer["StreamDescriptionSummary"]["RetentionPeriodHours"] * _HOUR_MS
        return KinesisStream(self._name, client=client).identity()

    def pages(self, shard_id: str, until: int) -> Iterator[Page]:
        """Yield what is left of a shard, up to and with a sequence number.

        Raises:
            Transient: Kinesis did not answer, however often it was asked.
            Misconfigured: the shard may not be read.
        """
        place = _Place(shard_id)
        whole = False
        while place.last < until:
            began_s = self._seconds()
            answer = self._next(place)
            if answer is None:
                return
            records = [
                record
                for one in answer["Records"]
                if place.last < (record := _record_of(shard_id, one)).sequence_number <= until
            ]
            behind = any(int(one["SequenceNumber"]) > until for one in answer["Records"])
            if records:
                yield Page(records, whole=whole and not place.lost and self._is_far(records[0]))
                whole, place.lost = True, False
                place.last = records[-1].sequence_number
            place.iterator = answer.get("NextShardIterator") or None
            at_the_tip = not answer["Records"] and not answer.get("MillisBehindLatest")
            if behind or at_the_tip or place.iterator is None:
                return
            left_s = began_s + PAUSE_S - self._seconds()
            if left_s > 0 and place.last < until:
                self._sleep(left_s)

    def _is_far(self, record: Record) -> bool:
        """Return whether a record is not about to be forgotten."""
        arrival_ms = record.arrival_time_ms or 0
        return arrival_ms > self._clock.now_ms() - self._retention_ms + NEAR_MS

    def _next(self, place: "_Place") -> "GetRecordsOutputTypeDef | None":
        """Return the next answer, however often it has to be asked for; None: the shard is gone."""
        client = self._client
        problem: Transient | Misconfigured | None = None
        for _ in self._backoff.attempts():
            try:
                iterator = place.iterator or self._iterator(place)
                with aws_call(f"reading {place.shard_id} of stream {self._name}"):
                    return client.get_records(ShardIterator=iterator, Limit=PAGE_RECORDS)
            except (Transient, Misconfigured) as error:
                code = code_of(error)
                if code == _GONE:
                    return None
                if isinstance(error, Misconfigured) and code not in _STALE:
                    raise
                if code in _STALE:
                    place.iterator = None
                problem = error
        msg = f"{place.shard_id} of stream {self._name} was not read to its end: {problem}"
        raise Transient(msg) from problem

    def _iterator(self, place: "_Place") -> str:
        client = self._client
        if place.last != NO_FENCE:
            try:
                with aws_call(f"reading on in {place.shard_id} of stream {self._name}"):
                    answer = client.get_shard_iterator(
                        StreamName=self._name,
                        ShardId=place.shard_id,
                        ShardIteratorType="AFTER_SEQUENCE_NUMBER",
                        StartingSequenceNumber=str(place.last),
                    )
            except Misconfigured as error:
                if code_of(error) != _BAD_POSITION:
                    raise
                place.lost = True  # forgotten meanwhile, and perhaps more than that
            else:
                place.iterator = answer["ShardIterator"]
                return place.iterator
        with aws_call(f"reading {place.shard_id} of stream {self._name}"):
            answer = client.get_shard_iterator(
                StreamName=self._name, ShardId=place.shard_id, ShardIteratorType="TRIM_HORIZON"
            )
        place.iterator = answer["ShardIterator"]
        return place.iterator


class _Place:
    """How far one shard is read.

    Attributes:
        shard_id: The shard.
        last: The last sequence number that was given out.
        iterator: Where Kinesis goes on; None where it has to be asked.
        lost: Whether the position could not be found again.
    """

    def __init__(self, shard_id: str) -> None:
        self.shard_id = shard_id
        self.last = NO_FENCE
        self.iterator: str | None = None
        self.lost = False


def _record_of(shard_id: str, record: "RecordTypeDef") -> Record:
    # A float of seconds holds today's milliseconds exactly only after rounding.
    arrival_ms = round(record["ApproximateArrivalTimestamp"].timestamp() * 1000)
    return Record(
        shard_id, int(record["SequenceNumber"]), arrival_ms, record["PartitionKey"], record["Data"]
    )
