"""A Kinesis stream: its identity, shards and their ends, and records put on it.

Takes entries, gives positions; implements `ports.StreamLister`, `ports.StreamWriter` and
`ports.ShardProber`. The sink of the windows stream stands here too. The client takes its address
from the environment, like every AWS client of ours, and is made on first use.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from tidegauge.adapters.aws_client import client_config
from tidegauge.adapters.aws_errors import aws_call
from tidegauge.adapters.clock import Backoff
from tidegauge.adapters.kinesis_probe import EndProbe
from tidegauge.domain.errors import Rejected, Transient
from tidegauge.domain.event import RejectReason
from tidegauge.ports import (
    OutboxMessage,
    PutPosition,
    ShardEnd,
    ShardListing,
    StreamEntry,
    StreamIdentity,
    StreamWriter,
)

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_kinesis.type_defs import (
        ListShardsInputTypeDef,
        PutRecordsRequestEntryTypeDef,
        PutRecordsResultEntryTypeDef,
        ShardTypeDef,
    )

# Limits of PutRecords; both sizes count the partition key's UTF-8 bytes as well. AWS now takes
# 10 MiB, but older engines do not.
MAX_CALL_RECORDS = 500
MAX_CALL_BYTES = 5 * 1024 * 1024
MAX_RECORD_BYTES = 1024 * 1024


class KinesisStream:
    """One stream, by name.

    Args:
        name: The stream's name.
        client: For tests; None makes one from the environment on first use.
        backoff: How to wait between attempts to store what was refused.
    """

    def __init__(
        self, name: str, *, client: "KinesisClient | None" = None, backoff: Backoff | None = None
    ) -> None:
        self._name = name
        self._given_client = client
        self._backoff = backoff or Backoff()
        self._ends = EndProbe(lambda: self._client, name)
        self._identity: StreamIdentity | None = None

    @cached_property
    def _client(self) -> "KinesisClient":
        if self._given_client is not None:
            return self._given_client
        import boto3

        with aws_call("making a Kinesis client"):
            return boto3.client("kinesis", config=client_config())

    def identity(self) -> StreamIdentity:
        """Return the stream's ARN and creation time, ms since the epoch.

        Raises:
            Transient: Kinesis cannot answer now.
            Misconfigured: There is no such stream, or it may not be read.
        """
        client = self._client
        with aws_call(f"describing stream {self._name}"):
            answer = client.describe_stream_summary(StreamName=self._name)
        summary = answer["StreamDescriptionSummary"]
        identity = StreamIdentity(
            arn=summary["StreamARN"],
            # A float of seconds holds today's milliseconds exactly only after rounding.
            created_ms=round(summary["StreamCreationTimestamp"].timestamp() * 1000),
        )
        if identity != self._identity:
            self._identity = identity
            self._ends.forget()
        return identity

    def shards(self) -> list[ShardListing]:
        """Return all shards, open and closed, that the stream still knows.

        Raises:
            Transient: Kinesis cannot answer now; half a listing is never returned.
            Misconfigured: There is no such stream, or it may not be read.
        """
        client = self._client
        shards: list[ShardListing] = []
        request: ListShardsInputTypeDef = {"StreamName": self._name}
        while True:
            with aws_call(f"listing the shards of stream {self._name}"):
                answer = client.list_shards(**request)
            shards.extend(_listing_of(shard) for shard in answer["Shards"])
            token = answer.get("NextToken")
            if not token:
                return shards
            # The name may not be given together with a token.
            request = {"NextToken": token}

    def probe(self, shard_id: str, fence: int) -> ShardEnd:
        """Read on from behind a position of a closed shard until a record, its end, or enough.

        Raises:
            Transient: Kinesis cannot answer now, or has the shard no more.
            Misconfigured: The shard may not be read.
        """
        return self._ends.probe(shard_id, fence)

    def put(self, entries: Sequence[StreamEntry]) -> list[PutPosition]:
        """Put all entries and return where each landed, in the order of `entries`.

        What a call refuses is sent again, and alone, before anything behind that call: a later
        call never overtakes an earlier one. Within one call of up to 500 records Kinesis may
        refuse an entry and take the one behind it; whoever needs an order there must put twice,
        as a heartbeat does. A call without an answer is repeated whole, so an entry may be stored
        twice.

        Raises:
            Transient: Some entry was still refused at the last attempt.
            Rejected: An entry is larger than a record may be; none was put.
            Misconfigured: The stream is missing or may not be written.
        """
        for entry in entries:
            if _size_bytes(entry) > MAX_RECORD_BYTES:
                raise Rejected(RejectReason.TOO_LARGE)
        return [position for call in calls_of(entries) for position in self._put_until_stored(call)]

    def _put_until_stored(self, entries: Sequence[StreamEntry]) -> list[PutPosition]:
        stored: dict[int, PutPosition] = {}
        waiting = list(range(len(entries)))
        problem: Transient | None = None
        refusal = ""
        for _ in self._backoff.attempts():
            try:
                results = self._put_once([entries[index] for index in waiting])
            except Transient as error:
                problem = error
                continue
            problem = None
            refused = []
            for index, result in zip(waiting, results, strict=True):
                if result.get("ErrorCode"):
                    refused.append(index)
                    refusal = f"{result.get('ErrorCode')}: {result.get('ErrorMessage')}"
                else:
                    stored[index] = _position_of(result)
            if not refused:
                return [stored[index] for index in range(len(entries))]
            waiting = refused
        msg = (
            f"stream {self._name} did not take {len(waiting)} of {len(entries)} records: "
            f"{problem or refusal}"
        )
        raise Transient(msg) from problem

    def _put_once(self, entries: Sequence[StreamEntry]) -> list["PutRecordsResultEntryTypeDef"]:
        client = self._client
        with aws_call(f"putting records on stream {self._name}"):
            answer = client.put_records(
                StreamName=self._name, Records=[_request_of(entry) for entry in entries]
            )
        results = answer["Records"]
        if len(results) != len(entries):
            msg = f"stream {self._name} answered {len(results)} results for {len(entries)} records"
            raise Transient(msg)
        return results


class WindowsSink:
    """Puts announcements from the outbox on the windows stream; implements `ports.MessageSink`."""

    def __init__(self, stream: StreamWriter) -> None:
        self._stream = stream

    def send(self, messages: Sequence[OutboxMessage]) -> None:
        """Put each message as one record, keyed by its message key.

        Raises:
            Transient: Some message was not stored.
            Misconfigured: The stream is missing or may not be written.
        """
        self._stream.put(
            [
                StreamEntry(data=message.payload, partition_key=message.message_key)
                for message in messages
            ]
        )


def calls_of(entries: Sequence[StreamEntry]) -> Iterator[list[StreamEntry]]:
    """Split entries, in order, into runs that one PutRecords call may hold."""
    call: list[StreamEntry] = []
    call_bytes = 0
    for entry in entries:
        size_bytes = _size_bytes(entry)
        if call and (len(call) == MAX_CALL_RECORDS or call_bytes + size_bytes > MAX_CALL_BYTES):
            yield call
            call, call_bytes = [], 0
        call.append(entry)
        call_bytes += size_bytes
    if call:
        yield call


def _size_bytes(entry: StreamEntry) -> int:
    return len(entry.data) + len(entry.partition_key.encode())


def _request_of(entry: StreamEntry) -> "PutRecordsRequestEntryTypeDef":
    request: PutRecordsRequestEntryTypeDef = {
        "Data": entry.data,
        "PartitionKey": entry.partition_key,
    }
    if entry.hash_key is not None:
        request["ExplicitHashKey"] = str(entry.hash_key)
    return request


def _position_of(result: "PutRecordsResultEntryTypeDef") -> PutPosition:
    return PutPosition(shard_id=result["ShardId"], sequence_number=int(result["SequenceNumber"]))


def _listing_of(shard: "ShardTypeDef") -> ShardListing:
    parents = (shard.get("ParentShardId"), shard.get("AdjacentParentShardId"))
    return ShardListing(
        shard_id=shard["ShardId"],
        parent_ids=tuple(parent for parent in parents if parent),
        first_hash_key=int(shard["HashKeyRange"]["StartingHashKey"]),
        last_hash_key=int(shard["HashKeyRange"]["EndingHashKey"]),
        closed="EndingSequenceNumber" in shard["SequenceNumberRange"],
    )
