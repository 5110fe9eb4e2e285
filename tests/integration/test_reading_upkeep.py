"""What the sweep asks of Lambda and S3, on the embedded engine: mappings, and failed batches."""

import io
import zipfile
from pathlib import Path

import pytest

from embedded.engine import LocalSession, runtime_name
from tidegauge.adapters.failed_batches import FailedBatchBucket
from tidegauge.adapters.stream_readings import LambdaMappings
from tidegauge.domain.errors import Misconfigured
from tidegauge.domain.stream_reading import reading_faults, untold

pytestmark = pytest.mark.engine

PAYLOAD = Path(__file__).parents[1] / "fixtures" / "payloads" / "kinesis-on-failure-s3.json"
ROLE = "arn:aws:iam::000000000000:role/reader"


@pytest.fixture
def stream_arn(aws: LocalSession, request: pytest.FixtureRequest) -> str:
    name = request.node.name
    aws.kinesis.create_stream(StreamName=name, ShardCount=1)
    aws.kinesis.get_waiter("stream_exists").wait(
        StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    return aws.kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"][
        "StreamARN"
    ]


def function_of(aws: LocalSession, name: str) -> str:
    """Make a function that takes anything."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("app.py", "def handler(event, context):\n    return {}\n")
    aws.functions.create_function(
        FunctionName=name,
        Runtime=runtime_name(),  # type: ignore[arg-type]
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": archive.getvalue()},
    )
    return name


@pytest.mark.usefixtures("aws")
def test_a_stream_that_nobody_reads_has_no_readings(stream_arn: str) -> None:
    assert LambdaMappings().readings(stream_arn) == []


def test_a_mapping_is_read_as_it_was_made_and_as_it_is_changed(
    aws: LocalSession, stream_arn: str
) -> None:
    function = function_of(aws, "upkeep-reader")
    uuid = aws.functions.create_event_source_mapping(
        EventSourceArn=stream_arn,
        FunctionName=function,
        StartingPosition="TRIM_HORIZON",
        ParallelizationFactor=1,
        MaximumRetryAttempts=-1,
        MaximumRecordAgeInSeconds=-1,
        BisectBatchOnFunctionError=False,
    )["UUID"]
    mappings = LambdaMappings()
    readings = mappings.readings(stream_arn)
    assert [(reading.name, reading.function) for reading in readings] == [(uuid, function)]
    assert reading_faults(readings) == []
    # The engine knows no Lambda windows: what it does not tell is not taken for right.
    assert ["tumbling window seconds" in sentence for sentence in untold(readings)] == [True]

    aws.functions.update_event_source_mapping(UUID=uuid, ParallelizationFactor=2)
    (fault,) = reading_faults(mappings.readings(stream_arn))
    assert f"mapping {uuid} of function {function} has ParallelizationFactor 2" in fault

    aws.functions.update_event_source_mapping(UUID=uuid, Enabled=False)
    (fault,) = reading_faults(mappings.readings(stream_arn))
    assert f"enable {uuid}" in fault


def test_a_mapping_made_with_few_words_is_not_blamed_for_what_is_not_told(
    aws: LocalSession, stream_arn: str
) -> None:
    function = function_of(aws, "upkeep-silent")
    aws.functions.create_event_source_mapping(
        EventSourceArn=stream_arn, FunctionName=function, StartingPosition="TRIM_HORIZON"
    )
    readings = LambdaMappings().readings(stream_arn)
    assert reading_faults(readings) == []
    (sentence,) = untold(readings)
    assert "maximum retry attempts" in sentence


def test_failed_batches_are_listed_and_read(aws: LocalSession) -> None:
    aws.s3.create_bucket(Bucket="upkeep-failed")
    keys = [f"aws/lambda/uuid/shard/2026/03/02/{number:04d}" for number in range(1003)]
    for key in keys:
        aws.s3.put_object(Bucket="upkeep-failed", Key=key, Body=b"{}")
    aws.s3.put_object(Bucket="upkeep-failed", Key=keys[7], Body=PAYLOAD.read_bytes())
    aws.s3.put_object(Bucket="upkeep-failed", Key="notes.txt", Body=b"")
    bucket = FailedBatchBucket("upkeep-failed")
    assert bucket.names() == keys  # more than a page holds
    batch = bucket.read(keys[7])
    assert batch is not None
    assert len(batch.records) == 2
    assert bucket.read(keys[8]) is None
    assert bucket.read("aws/lambda/expired") is None


@pytest.mark.usefixtures("aws")
def test_a_bucket_that_is_missing_is_misconfigured() -> None:
    bucket = FailedBatchBucket("upkeep-nobody")
    with pytest.raises(Misconfigured, match="listing the failed batches in bucket upkeep-nobody"):
        bucket.names()
    with pytest.raises(Misconfigured, match="reading failed batch x in bucket upkeep-nobody"):
        bucket.read("x")
