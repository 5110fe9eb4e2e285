"""Reading a stream's shards once more: pages, ends, refusals, and what is forgotten meanwhile."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from tests.support.botocore_shapes import answer_problems, operation_model, request_problems
from tests.support.fake_kinesis import BAD_POSITION, EXPIRED, GONE, client_error
from tidegauge.adapters.clock import Backoff
from tidegauge.adapters.kinesis_pages import NEAR_MS, PAUSE_S, KinesisPages
from tidegauge.domain.errors import Misconfigured, Transient
from tidegauge.ports import StreamIdentity

NOW = datetime(2026, 6, 1, tzinfo=UTC)
BIG = 10**55
THROTTLED = "ProvisionedThroughputExceededException"


class FakeShard:
    """The shard `shard-0`, read three records at a time.

    Args:
        records: Sequence numbers that are still kept, in order.
        age: How long ago each arrived; a moment ago, where it is not said.
        empty: How many empty pages stand before a record.

    Attributes:
        fail: Given the number of a GetRecords call, from 0: what it raises.
        meanwhile: Given the number of a GetRecords call: what happens before it.
        calls: The operations asked for, with the type of iterator.
    """

    def __init__(
        self, *records: int, age: Mapping[int, timedelta] | None = None, empty: int = 0
    ) -> None:
        self.records = list(records)
        self.fail: dict[int, Exception] = {}
        self.meanwhile: dict[int, Callable[[], object]] = {}
        self.calls: list[str] = []
        self.closed = False
        self.refuses_trimmed = False
        self._age = age or {}
        self._empty = empty
        self._gets = -1

    def describe_stream_summary(self, **request: Any) -> dict[str, Any]:
        assert not request_problems("kinesis", "DescribeStreamSummary", request)
        summary = {
            "StreamARN": "arn:x/s",
            "StreamCreationTimestamp": datetime(2026, 1, 1, tzinfo=UTC),
            "RetentionPeriodHours": 48,
        }
        return {"StreamDescriptionSummary": summary}

    def get_shard_iterator(self, **request: Any) -> dict[str, Any]:
        assert not request_problems("kinesis", "GetShardIterator", request)
        self.calls.append(request["ShardIteratorType"])
        if request["ShardId"] != "shard-0":
            raise client_error(GONE, "GetShardIterator")
        after = int(request.get("StartingSequenceNumber", 0))
        if after and self.refuses_trimmed and after not in self.records:
            raise client_error(BAD_POSITION, "GetShardIterator")
        return {"ShardIterator": f"{after}/{self._empty}"}

    def get_records(self, **request: Any) -> dict[str, Any]:
        assert not request_problems("kinesis", "GetRecords", request)
        self._gets += 1
        self.calls.append("GetRecords")
        self.meanwhile.get(self._gets, lambda: None)()
        if self._gets in self.fail:
            raise self.fail[self._gets]
        after, empty = map(int, request["ShardIterator"].split("/"))
        left = [at for at in self.records if at > after]
        answer: dict[str, Any] = {"Records": [], "MillisBehindLatest": 1000 if left else 0}
        if empty:
            answer["NextShardIterator"] = f"{after}/{empty - 1}"
        else:
            page = left[:3]
            answer["Records"] = [self._record(at) for at in page]
            if page or not self.closed:
                answer["NextShardIterator"] = f"{page[-1] if page else after}/{self._empty}"
        shape = operation_model("kinesis", "GetRecords").output_shape
        assert shape is not None
        assert not answer_problems(answer, shape)
        return answer

    def _record(self, at: int) -> dict[str, Any]:
        arrived = NOW - self._age.get(at, timedelta(0))
        return {
            "SequenceNumber": str(at),
            "ApproximateArrivalTimestamp": arrived,
            "Data": b"x",
            "PartitionKey": "k",
        }


class Clock:
    """Stands still."""

    def now_ms(self) -> int:
        return round(NOW.timestamp() * 1000)


class Seconds:
    """A clock that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def pages_of(shard: FakeShard, seconds: Seconds | None = None) -> KinesisPages:
    seconds = seconds or Seconds()
    pages = KinesisPages(
        "s",
        client=cast("Any", shard),
        clock=Clock(),
        backoff=Backoff(attempts=4, sleep=lambda _: None),
        seconds=seconds,
        sleep=seconds.sleep,
    )
    pages.identity()
    return pages


def read(shard: FakeShard, until: int, shard_id: str = "shard-0") -> list[tuple[list[int], bool]]:
    return [
        ([record.sequence_number for record in page.records], page.whole)
        for page in pages_of(shard).pages(shard_id, until)
    ]


def test_a_shard_is_read_page_by_page_up_to_the_fence() -> None:
    shard = FakeShard(*range(1, 9))
    assert read(shard, 5) == [([1, 2, 3], False), ([4, 5], True)]
    assert shard.calls == ["TRIM_HORIZON", "GetRecords", "GetRecords"]


def test_numbers_are_compared_as_numbers() -> None:
    shard = FakeShard(9, BIG + 1, BIG + 2)
    assert read(shard, BIG + 1) == [([9, BIG + 1], False)]


def test_nothing_is_read_behind_a_page_that_ends_with_the_fence() -> None:
    shard = FakeShard(1, 2, 3)
    assert read(shard, 3) == [([1, 2, 3], False)]
    assert shard.calls.count("GetRecords") == 1


def test_a_fence_that_is_forgotten_ends_at_the_first_record_behind_it_or_at_the_tip() -> None:
    assert read(FakeShard(7, 8), 5) == []
    shard = FakeShard()
    assert read(shard, 5) == []
    assert shard.calls.count("GetRecords") == 1


def test_empty_pages_far_behind_the_tip_are_no_end() -> None:
    shard = FakeShard(4, empty=7)
    assert read(shard, 4) == [([4], False)]
    assert shard.calls.count("GetRecords") == 8


def test_a_closed_shard_ends_without_another_iterator() -> None:
    shard = FakeShard(1)
    shard.closed = True
    assert read(shard, 5) == [([1], False)]


def test_a_shard_that_is_gone_holds_nothing() -> None:
    assert read(FakeShard(1), 5, "shard-9") == []
    shard = FakeShard(*range(1, 9))
    shard.fail[1] = client_error(GONE)
    assert read(shard, 8) == [([1, 2, 3], False)]


def test_it_waits_where_it_is_throttled_and_goes_on_where_it_stood() -> None:
    shard = FakeShard(*range(1, 6))
    shard.fail = {1: client_error(THROTTLED), 2: client_error(THROTTLED)}
    assert read(shard, 5) == [([1, 2, 3], False), ([4, 5], True)]
    assert shard.calls.count("TRIM_HORIZON") == 1


@pytest.mark.parametrize("code", [EXPIRED, BAD_POSITION])
def test_an_iterator_that_has_expired_is_asked_for_anew(code: str) -> None:
    shard = FakeShard(*range(1, 6))
    shard.fail[1] = client_error(code)
    assert read(shard, 5) == [([1, 2, 3], False), ([4, 5], True)]
    assert "AFTER_SEQUENCE_NUMBER" in shard.calls
    shard = FakeShard(1)
    shard.fail[0] = client_error(code)
    assert read(shard, 1) == [([1], False)]


def test_what_is_forgotten_while_an_iterator_expires_is_told() -> None:
    shard = FakeShard(*range(1, 10))
    shard.refuses_trimmed = True
    shard.fail[1] = client_error(EXPIRED)
    shard.meanwhile[1] = lambda: shard.records.__delitem__(slice(0, 5))
    assert read(shard, 9) == [([1, 2, 3], False), ([6, 7, 8], False), ([9], True)]


def test_a_page_about_to_be_forgotten_may_lack_what_stood_before_it() -> None:
    near = timedelta(hours=48, milliseconds=-NEAR_MS)
    far = near - timedelta(milliseconds=1)
    shard = FakeShard(*range(1, 10), age={1: near, 4: near, 7: far})
    assert read(shard, 9) == [([1, 2, 3], False), ([4, 5, 6], False), ([7, 8, 9], True)]


def test_a_stream_that_never_answers_is_told_with_its_reason() -> None:
    shard = FakeShard(1)
    shard.fail = dict.fromkeys(range(9), client_error(THROTTLED))
    with pytest.raises(
        Transient, match=f"shard-0 of stream s was not read to its end.*{THROTTLED}"
    ):
        read(shard, 1)
    assert shard.calls.count("GetRecords") == 4


def test_what_may_not_be_read_is_not_tried_again() -> None:
    shard = FakeShard(1)
    shard.fail[0] = client_error("AccessDeniedException")
    with pytest.raises(Misconfigured, match="reading shard-0 of stream s failed"):
        read(shard, 1)
    assert shard.calls.count("GetRecords") == 1


def test_other_readers_keep_most_of_a_shards_readings() -> None:
    seconds = Seconds()
    list(pages_of(FakeShard(*range(1, 13)), seconds).pages("shard-0", 12))
    assert seconds.slept == [PAUSE_S] * 3
    assert 1 / PAUSE_S <= 2


def test_the_stream_tells_what_it_is() -> None:
    created_ms = round(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)
    assert pages_of(FakeShard()).identity() == StreamIdentity("arn:x/s", created_ms)
