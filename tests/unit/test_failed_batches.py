"""Batches that Lambda gave up on: found in the bucket, read whole, nothing else taken for one."""

import io
import json
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from tests.support.botocore_shapes import request_problems
from tidegauge.adapters import failed_batches
from tidegauge.adapters.failed_batches import FailedBatchBucket, failed_batch_in
from tidegauge.domain.decode import SeriesBy, decode
from tidegauge.domain.errors import Misconfigured
from tidegauge.domain.event import Event

PAYLOAD = Path(__file__).parents[1] / "fixtures" / "payloads" / "kinesis-on-failure-s3.json"
WHOLE: dict[str, Any] = json.loads(PAYLOAD.read_text())
KEY = "aws/lambda/uuid/shardId-000000000001/2026/03/02/2026-03-02T10.05.06-uuid"


class FakeS3:
    """A bucket in memory that lists two keys a page."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self._objects = objects

    def list_objects_v2(self, **request: Any) -> dict[str, Any]:
        assert not request_problems("s3", "ListObjectsV2", request)
        keys = sorted(key for key in self._objects if key.startswith(request["Prefix"]))
        first = int(request.get("ContinuationToken", "0"))
        answer: dict[str, Any] = {"IsTruncated": first + 2 < len(keys)}
        if keys:  # S3 leaves Contents out where there are none
            answer["Contents"] = [{"Key": key} for key in keys[first : first + 2]]
        if answer["IsTruncated"]:
            answer["NextContinuationToken"] = str(first + 2)
        return answer

    def get_object(self, **request: Any) -> dict[str, Any]:
        assert not request_problems("s3", "GetObject", request)
        if request["Key"] not in self._objects:
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": "gone"}}, "GetObject")
        return {"Body": io.BytesIO(self._objects[request["Key"]])}


def bucket_of(objects: dict[str, bytes]) -> FailedBatchBucket:
    return FailedBatchBucket("failed", client=cast("Any", FakeS3(objects)))


def changed(**fields: object) -> bytes:
    return json.dumps({name: v for name, v in {**WHOLE, **fields}.items() if v is not ...}).encode()


def test_every_page_of_the_bucket_is_listed_and_nothing_beside_the_batches() -> None:
    keys = [f"aws/lambda/{number}" for number in range(5)]
    bucket = bucket_of(dict.fromkeys([*keys, "notes.txt"], b""))
    assert bucket.names() == keys
    assert bucket_of({"notes.txt": b""}).names() == []


def test_a_batch_comes_back_with_its_whole_records() -> None:
    batch = bucket_of({KEY: PAYLOAD.read_bytes()}).read(KEY)
    assert batch is not None
    assert batch.stream_arn == WHOLE["KinesisBatchInfo"]["streamArn"]
    assert batch.shard_id == "shardId-000000000001"
    first, last = batch.records
    assert str(first.sequence_number) == WHOLE["KinesisBatchInfo"]["startSequenceNumber"]
    assert str(last.sequence_number) == WHOLE["KinesisBatchInfo"]["endSequenceNumber"]
    assert (first.arrival_time_ms, last.arrival_time_ms) == (1_772_445_899_500, 1_772_445_901_125)
    assert (first.shard_id, first.partition_key) == ("shardId-000000000001", "p-0")
    (event,) = decode(first.data, SeriesBy())
    assert isinstance(event, Event)
    assert event.series == "order.placed"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"\xff",
        b"[" * 100_000,
        PAYLOAD.read_bytes()[:-20],
        changed(KinesisBatchInfo=...),
        changed(KinesisBatchInfo=None, DDBStreamBatchInfo={"shardId": "s", "streamArn": "a"}),
        changed(payload=...),
        changed(payload="<no JSON>"),
        changed(payload='{"Records": []}'),
        changed(payload='{"Records": [{"eventID": "shard", "kinesis": {}}]}'),
        changed(payload=WHOLE["payload"].replace("1772445899.5", "1e308")),
        changed(KinesisBatchInfo={**WHOLE["KinesisBatchInfo"], "shardId": "shardId-9"}),
    ],
)
def test_what_is_no_failed_batch_is_none(data: bytes) -> None:
    assert failed_batch_in(data) is None


@given(st.binary() | st.text().map(lambda text: changed(payload=text)))
def test_any_bytes_can_be_read(data: bytes) -> None:
    assert failed_batch_in(data) is None


def test_an_object_larger_than_any_batch_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    data = PAYLOAD.read_bytes()
    monkeypatch.setattr(failed_batches, "MAX_BATCH_BYTES", len(data))
    bucket = bucket_of({"fits": data, "too-large": data + b" "})
    assert bucket.read("fits") is not None
    assert bucket.read("too-large") is None


def test_an_object_that_expired_since_it_was_listed_is_none() -> None:
    assert bucket_of({}).read(KEY) is None


def test_a_bucket_that_may_not_be_listed_is_misconfigured() -> None:
    class Closed:
        def list_objects_v2(self, **_: Any) -> dict[str, Any]:
            error = {"Error": {"Code": "AccessDenied", "Message": "no"}}
            raise ClientError(cast("Any", error), "ListObjectsV2")

    bucket = FailedBatchBucket("failed", client=cast("Any", Closed()))
    with pytest.raises(Misconfigured, match="listing the failed batches in bucket failed"):
        bucket.names()
