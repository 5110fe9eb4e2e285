"""Kinesis clients in memory, refusing what they are told to refuse.

Each request is held against botocore's service model, as the real client would.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from tests.support.botocore_shapes import answer_problems, operation_model, request_problems

GONE = "ResourceNotFoundException"
BAD_POSITION = "InvalidArgumentException"
EXPIRED = "ExpiredIteratorException"

# Given a call's number (from 0) and an entry's index in it: the error code, or None to take it.
Refusal = Callable[[int, int], str | None]


class FakeKinesis:
    """Takes PutRecords; `stored` is the shard's log, `calls` the data of each call."""

    def __init__(
        self,
        *,
        refuse: Refusal = lambda _call, _index: None,
        fail: Callable[[int], Exception | None] = lambda _call: None,
        pages: Sequence[dict[str, Any]] = (),
    ) -> None:
        self._refuse = refuse
        self._fail = fail
        self._pages = pages
        self.stored: list[bytes] = []
        self.calls: list[list[bytes]] = []
        self.requests: list[dict[str, Any]] = []

    def put_records(self, **request: Any) -> dict[str, Any]:
        assert not request_problems("kinesis", "PutRecords", request)
        self.requests.append(request)
        number = len(self.calls)
        records = request["Records"]
        self.calls.append([record["Data"] for record in records])
        error = self._fail(number)
        if error:
            raise error
        results = [
            self._result(self._refuse(number, index), record["Data"])
            for index, record in enumerate(records)
        ]
        failed = sum("ErrorCode" in result for result in results)
        return {"Records": results, "FailedRecordCount": failed}

    def list_shards(self, **request: Any) -> dict[str, Any]:
        assert not request_problems("kinesis", "ListShards", request)
        self.requests.append(request)
        return self._pages[len(self.requests) - 1]

    def _result(self, code: str | None, data: bytes) -> dict[str, Any]:
        if code:
            return {"ErrorCode": code, "ErrorMessage": "slow down"}
        self.stored.append(data)
        return {"ShardId": "shard-0", "SequenceNumber": str(10**55 + len(self.stored))}


def client_error(code: str, operation: str = "GetRecords") -> ClientError:
    """Return an error as Kinesis answers it."""
    return ClientError({"Error": {"Code": code, "Message": "because"}}, operation)


class FakeClosedShard:
    """The closed shard `shard-0`: its records, and how many empty pages stand before each.

    Attributes:
        records: Sequence numbers that are still kept, in order; tests may trim it.
        refuses_trimmed: Whether it takes only positions that it keeps.
        fail: Given the number of a GetRecords call, from 0: what it raises.
        calls: The operations asked for.
        iterator_types: The types of iterators asked for.
    """

    def __init__(self, records: Sequence[int], *, empty_pages: int = 0) -> None:
        self.records = list(records)
        self.refuses_trimmed = False
        self.fail: dict[int, Exception] = {}
        self.calls: list[str] = []
        self.iterator_types: list[str] = []
        self.dead_iterators: set[str] = set()
        self._empty_pages = empty_pages

    def get_shard_iterator(self, **request: Any) -> dict[str, Any]:
        assert not request_problems("kinesis", "GetShardIterator", request)
        self.calls.append("GetShardIterator")
        self.iterator_types.append(request["ShardIteratorType"])
        if request["ShardId"] != "shard-0":
            raise client_error(GONE, "GetShardIterator")
        after = int(request.get("StartingSequenceNumber", "0"))
        if after and self.refuses_trimmed and after not in self.records:
            raise client_error(BAD_POSITION, "GetShardIterator")
        return {"ShardIterator": f"{after}/{self._empty_pages}"}

    def get_records(self, **request: Any) -> dict[str, Any]:
        assert not request_problems("kinesis", "GetRecords", request)
        number = self.calls.count("GetRecords")
        self.calls.append("GetRecords")
        if number in self.fail:
            raise self.fail[number]
        iterator = request["ShardIterator"]
        if iterator in self.dead_iterators:
            raise client_error(EXPIRED)
        after, empty_pages = map(int, iterator.split("/"))
        answer: dict[str, Any] = {"Records": [], "MillisBehindLatest": 0}
        if empty_pages:
            answer["NextShardIterator"] = f"{after}/{empty_pages - 1}"
        else:
            found = [at for at in self.records if at > after][: request["Limit"]]
            answer["Records"] = [_record_at(at) for at in found]
            if found:
                answer["NextShardIterator"] = f"{found[-1]}/{self._empty_pages}"
        shape = operation_model("kinesis", "GetRecords").output_shape
        assert shape is not None
        assert not answer_problems(answer, shape)
        return answer


def _record_at(sequence_number: int) -> dict[str, Any]:
    return {
        "SequenceNumber": str(sequence_number),
        "ApproximateArrivalTimestamp": datetime(2026, 1, 1, tzinfo=UTC),
        "Data": b"x",
        "PartitionKey": "k",
    }
