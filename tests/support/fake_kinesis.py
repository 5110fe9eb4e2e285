"""A Kinesis client of one shard in memory, refusing what it is told to refuse.

Each request is held against botocore's service model, as the real client would.
"""

from collections.abc import Callable, Sequence
from typing import Any

from tests.support.botocore_shapes import request_problems

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
