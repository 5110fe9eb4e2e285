"""A client of Kinesis whose PutRecords fails as Kinesis and networks do.

Stands between our adapter and a Kinesis that never fails by itself. Reading goes through as it is.
"""

import random
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ReadTimeoutError

from tests.support.fake_kinesis import client_error
from tidegauge.adapters.clock import Backoff
from tidegauge.adapters.kinesis import KinesisStream

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

THROTTLED = "ProvisionedThroughputExceededException"


class FaultyKinesis:
    """Fails some calls of PutRecords; what it does not name goes to the client as it is.

    Args:
        client: Of the Kinesis for tests.
        chance: Decides which calls fail, and how.
        throttles: How probably a call is refused whole, and nothing of it stored.
        refuses_some: How probably some entries of a call are refused, and the others stored.
        loses_answers: How probably a call is stored and its answer lost.

    Attributes:
        throttled_calls: Calls that were refused whole.
        refused_entries: Entries that were refused in calls of which others were stored.
        lost_answers: Calls that were stored without an answer.
    """

    def __init__(
        self,
        client: Any,
        chance: random.Random,
        *,
        throttles: float = 0.05,
        refuses_some: float = 0.15,
        loses_answers: float = 0.05,
    ) -> None:
        self._client = client
        self._chance = chance
        self._until_throttled = throttles
        self._until_refused = throttles + refuses_some
        self._until_lost = throttles + refuses_some + loses_answers
        self.throttled_calls = 0
        self.refused_entries = 0
        self.lost_answers = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def adapter(self, stream_name: str) -> KinesisStream:
        """Return our adapter of a stream, putting through this client, and quick to try again."""
        backoff = Backoff(attempts=4, base_s=0.01, cap_s=0.05)
        return KinesisStream(stream_name, client=cast("KinesisClient", self), backoff=backoff)

    def put_records(self, **request: Any) -> dict[str, Any]:
        fate = self._chance.random()
        if fate < self._until_throttled:
            self.throttled_calls += 1
            raise client_error(THROTTLED, "PutRecords")
        if fate < self._until_refused:
            return self._put_some(request)
        answer: dict[str, Any] = dict(self._client.put_records(**request))
        if fate < self._until_lost:
            self.lost_answers += 1
            raise ReadTimeoutError(endpoint_url="http://kinesis.test")
        return answer

    def _put_some(self, request: dict[str, Any]) -> dict[str, Any]:
        """Store some entries, any of them, and answer in the order of all."""
        entries = request["Records"]
        taken = [self._chance.random() < 0.7 for _ in entries]
        self.refused_entries += taken.count(False)
        stored = [entry for entry, is_taken in zip(entries, taken, strict=True) if is_taken]
        answers: list[dict[str, Any]] = []
        if stored:
            answers = self._client.put_records(**{**request, "Records": stored})["Records"]
        results = iter(answers)
        refusal = {"ErrorCode": THROTTLED, "ErrorMessage": "Rate exceeded for shard"}
        told = [next(results) if is_taken else refusal for is_taken in taken]
        failed = sum("ErrorCode" in result for result in told)
        return {"Records": told, "FailedRecordCount": failed}
