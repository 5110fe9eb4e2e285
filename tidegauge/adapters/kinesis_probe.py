"""Reads on behind a position of a closed shard: is anything left, or is this its end?

Takes a shard and a fence, gives a `ports.ShardEnd`; `KinesisStream.probe` is this. Kinesis may
answer a reading of a long silence with many empty pages before a record or the end comes up, and
allows all readers of a shard five readings a second together: one probe reads a few pages, and the
next one goes on where it stopped.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tidegauge.adapters.aws_errors import aws_call, code_of
from tidegauge.domain.errors import Misconfigured, Transient
from tidegauge.domain.fold import NO_FENCE
from tidegauge.ports import ShardEnd

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_kinesis.type_defs import GetRecordsOutputTypeDef

MAX_PAGES = 5
MAX_SECONDS = 5.0
# One record says that this is not the end; a few more pass by a fence that cannot be aimed at.
PAGE_RECORDS = 10

_GONE = "ResourceNotFoundException"
_BAD_POSITION = "InvalidArgumentException"
_EXPIRED = "ExpiredIteratorException"


class _StaleIterator(Transient):
    """Kinesis takes the iterator no more: they last five minutes."""


class EndProbe:
    """Looks for the ends of the closed shards of one stream.

    Args:
        client: Gives the client of Kinesis.
        name: The stream's name.
        seconds: A clock that never goes back; bounds one probe.
    """

    def __init__(
        self,
        client: "Callable[[], KinesisClient]",
        name: str,
        *,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._name = name
        self._seconds = seconds
        # Fence and iterator of each shard whose last probe came to no end.
        self._stopped: dict[str, tuple[int, str]] = {}

    def forget(self) -> None:
        """Begin every reading anew: another stream bears the name now."""
        self._stopped.clear()

    def probe(self, shard_id: str, fence: int) -> ShardEnd:
        """Read on from behind `fence`, as `ports.ShardProber` says.

        Raises:
            Transient: Kinesis cannot answer now, or has the shard no more.
            Misconfigured: The shard may not be read.
        """
        stopped = self._stopped.pop(shard_id, None)
        if stopped is not None and stopped[0] == fence:
            try:
                return self._read_on(shard_id, fence, stopped[1])
            except _StaleIterator:
                pass  # begin anew
        return self._read_on(shard_id, fence, self._first_iterator(shard_id, fence))

    def _read_on(self, shard_id: str, fence: int, iterator: str) -> ShardEnd:
        until_s = self._seconds() + MAX_SECONDS
        for _ in range(MAX_PAGES):
            page = self._page(shard_id, fence, iterator)
            for record in page["Records"]:
                sequence_number = int(record["SequenceNumber"])
                if sequence_number > fence:
                    return ShardEnd(reached=False, unread=sequence_number)
            iterator = page.get("NextShardIterator") or ""
            if not iterator:
                return ShardEnd(reached=True)
            if self._seconds() >= until_s:
                break
        self._stopped[shard_id] = (fence, iterator)
        return ShardEnd(reached=False)

    def _page(self, shard_id: str, fence: int, iterator: str) -> "GetRecordsOutputTypeDef":
        client = self._client()
        try:
            with self._reading(shard_id):
                return client.get_records(ShardIterator=iterator, Limit=PAGE_RECORDS)
        except (Transient, Misconfigured) as error:
            if code_of(error) in {_EXPIRED, _BAD_POSITION}:
                raise _StaleIterator(str(error)) from error
            self._stopped[shard_id] = (fence, iterator)
            raise

    def _first_iterator(self, shard_id: str, fence: int) -> str:
        if fence != NO_FENCE:
            try:
                return self._iterator_behind(shard_id, fence)
            except Misconfigured as error:
                if code_of(error) != _BAD_POSITION:
                    raise
                # Kinesis may refuse a position that it has trimmed: pass by the records before it.
        client = self._client()
        with self._reading(shard_id):
            answer = client.get_shard_iterator(
                StreamName=self._name, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON"
            )
        return answer["ShardIterator"]

    def _iterator_behind(self, shard_id: str, fence: int) -> str:
        client = self._client()
        with self._reading(shard_id):
            answer = client.get_shard_iterator(
                StreamName=self._name,
                ShardId=shard_id,
                ShardIteratorType="AFTER_SEQUENCE_NUMBER",
                StartingSequenceNumber=str(fence),
            )
        return answer["ShardIterator"]

    @contextmanager
    def _reading(self, shard_id: str) -> Iterator[None]:
        try:
            with aws_call(f"reading {shard_id} of stream {self._name}"):
                yield
        except Misconfigured as error:
            if code_of(error) != _GONE:
                raise
            msg = (
                f"stream {self._name} has no {shard_id} any more: it expired, or the stream was"
                " deleted; the next listing tells"
            )
            raise Transient(msg) from error
