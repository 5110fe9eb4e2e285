"""The adapters of Kinesis, SNS and Secrets Manager on the embedded engine."""

import json

import msgspec
import pytest

from embedded.engine import LocalSession
from tidegauge.adapters.clock import SystemClock
from tidegauge.adapters.kinesis import KinesisStream, WindowsSink
from tidegauge.adapters.secrets import DatabaseSecret
from tidegauge.adapters.sns import AlertSink
from tidegauge.domain.alert import Alert
from tidegauge.domain.errors import Misconfigured
from tidegauge.ports import Destination, OutboxMessage, StreamEntry
from tidegauge.settings import DatabaseAddress

pytestmark = pytest.mark.engine

HALF = 2**127


@pytest.fixture
def stream(aws: LocalSession, request: pytest.FixtureRequest) -> KinesisStream:
    name = request.node.name
    aws.kinesis.create_stream(StreamName=name, ShardCount=2)
    aws.kinesis.get_waiter("stream_exists").wait(
        StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    return KinesisStream(name)


def records_of(aws: LocalSession, stream_arn: str, shard_id: str) -> list[tuple[int, bytes]]:
    iterator = aws.kinesis.get_shard_iterator(
        StreamARN=stream_arn, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records = aws.kinesis.get_records(ShardIterator=iterator, Limit=10_000)["Records"]
    return [(int(record["SequenceNumber"]), record["Data"]) for record in records]


def test_a_stream_has_an_identity_that_stays(stream: KinesisStream) -> None:
    identity = stream.identity()
    assert identity == stream.identity()
    assert identity.arn.startswith("arn:aws:kinesis:")
    assert abs(identity.created_ms - SystemClock().now_ms()) < 600_000


def test_the_shards_cover_the_whole_space_of_keys(stream: KinesisStream) -> None:
    first, second = sorted(stream.shards(), key=lambda shard: shard.first_hash_key)
    assert (first.first_hash_key, second.last_hash_key) == (0, 2**128 - 1)
    assert first.last_hash_key + 1 == second.first_hash_key
    assert not first.closed
    assert first.parent_ids == ()


def test_more_records_than_a_call_holds_are_stored_in_order(
    aws: LocalSession, stream: KinesisStream
) -> None:
    entries = [
        StreamEntry(b"%d" % number, "key", hash_key=HALF * (number % 2)) for number in range(1100)
    ]
    positions = stream.put(entries)
    arn = stream.identity().arn
    for side in (0, 1):
        mine = [number for number in range(1100) if number % 2 == side]
        (shard_id,) = {positions[number].shard_id for number in mine}
        stored = records_of(aws, arn, shard_id)
        assert stored == [(positions[n].sequence_number, b"%d" % n) for n in mine]


def test_announcements_reach_the_stream(aws: LocalSession, stream: KinesisStream) -> None:
    WindowsSink(stream).send([OutboxMessage(Destination.WINDOWS, "bucket-1", b"{}")])
    arn = stream.identity().arn
    found = [data for shard in stream.shards() for _, data in records_of(aws, arn, shard.shard_id)]
    assert found == [b"{}"]


@pytest.mark.usefixtures("aws")
def test_a_stream_that_is_missing_is_misconfigured() -> None:
    stream = KinesisStream("nobody")
    with pytest.raises(Misconfigured, match="describing stream nobody failed"):
        stream.identity()
    with pytest.raises(Misconfigured, match="listing the shards of stream nobody failed"):
        stream.shards()
    with pytest.raises(Misconfigured, match="putting records on stream nobody failed"):
        stream.put([StreamEntry(b"x", "k")])


def test_an_alert_reaches_a_queue_with_its_attributes(aws: LocalSession) -> None:
    topic_arn = aws.sns.create_topic(Name="alerts-adapter")["TopicArn"]
    queue_url = aws.sqs.create_queue(QueueName="alerts-adapter")["QueueUrl"]
    queue_arn = aws.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])[
        "Attributes"
    ]["QueueArn"]
    aws.sns.subscribe(
        TopicArn=topic_arn,
        Protocol="sqs",
        Endpoint=queue_arn,
        Attributes={"FilterPolicy": json.dumps({"direction": ["low"]})},
    )
    sink = AlertSink(topic_arn)
    for number, direction in enumerate(("high", "low")):
        alert = Alert(
            id=f"id-{number}",
            subject="Drop in série\n",
            text="3 instead of 40 …",
            json={"actual": 3},
            attributes={"series": "a\0é", "direction": direction, "kind": ""},
        )
        sink.send([OutboxMessage(Destination.ALERTS, alert.id, msgspec.json.encode(alert))])
    (message,) = aws.sqs.receive_message(
        QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=10
    )["Messages"]
    envelope = json.loads(message["Body"])
    assert envelope["Subject"] == "Drop in serie"
    assert json.loads(envelope["Message"]) == {"id": "id-1", "actual": 3}
    assert envelope["MessageAttributes"]["series"]["Value"] == "a\ufffdé"
    assert "kind" not in envelope["MessageAttributes"]


@pytest.mark.usefixtures("aws")
def test_a_topic_that_is_missing_is_misconfigured() -> None:
    sink = AlertSink("arn:aws:sns:us-east-1:000000000000:nobody")
    alert = Alert(id="1", subject="s", text="t", json={}, attributes={})
    with pytest.raises(Misconfigured, match="publishing alert 1 failed"):
        sink.send([OutboxMessage(Destination.ALERTS, "1", msgspec.json.encode(alert))])


def test_a_rotated_secret_is_seen_when_asked_for(aws: LocalSession) -> None:
    parts = {"host": "db", "port": 3306, "username": "u", "password": "old", "dbname": "d"}
    arn = aws.secrets.create_secret(Name="adapter", SecretString=json.dumps(parts))["ARN"]
    secret = DatabaseSecret(arn)
    assert secret.credentials() == DatabaseAddress("db", 3306, "u", "old", "d")
    aws.secrets.put_secret_value(
        SecretId=arn, SecretString=json.dumps({**parts, "password": "new"})
    )
    assert secret.credentials().password == "old"  # noqa: S105
    assert secret.renewed().password == "new"  # noqa: S105


@pytest.mark.usefixtures("aws")
def test_a_secret_that_is_missing_is_misconfigured() -> None:
    with pytest.raises(Misconfigured, match="reading secret nobody failed"):
        DatabaseSecret("nobody").credentials()
