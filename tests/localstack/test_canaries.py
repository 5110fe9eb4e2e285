"""What LocalStack 4.14 takes and does not do, or does otherwise than AWS, as it is today.

A test that fails here says that LocalStack has changed: then what rests on it may be changed too.
Nothing of Tidegauge is at fault. They are of the runtime in host mode; the image was not asked.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from embedded.engine import EngineAddress
from tests.localstack.conftest import Deploy
from tests.support.live import until
from tests.support.localstack_host import hooks_of

pytestmark = pytest.mark.localstack

# Tells a queue of the event it was called with, then fails if a record of it says so.
TELLER = """
import base64, json, os
import boto3

def handler(event, context):
    queue = os.environ["QUEUE"]
    boto3.client("sqs").send_message(QueueUrl=queue, MessageBody=json.dumps(event))
    for record in event["Records"]:
        if base64.b64decode(record["kinesis"]["data"]) == b"poison":
            raise ValueError("poison")
"""
SECONDS = 60


class Mapped:
    """A stream, a function that is called with what is put on it, and what that was told of."""

    def __init__(self, address: EngineAddress, deploy: Deploy, name: str, suffix: str) -> None:
        self._session = address.session()
        self._name = name
        self._queue = self._session.sqs.create_queue(QueueName=f"{name}{suffix}")["QueueUrl"]
        self.function = deploy(
            TELLER, suffix=suffix, Environment={"Variables": {"QUEUE": self._queue}}
        )
        self._heard: list[dict[str, Any]] = []

    def stream(self) -> str:
        """Make the stream; return its ARN."""
        kinesis = self._session.kinesis
        kinesis.create_stream(StreamName=self._name, ShardCount=1)
        kinesis.get_waiter("stream_exists").wait(
            StreamName=self._name, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
        )
        told = kinesis.describe_stream_summary(StreamName=self._name)
        return told["StreamDescriptionSummary"]["StreamARN"]

    def map(self, stream_arn: str, **settings: Any) -> dict[str, Any]:
        """Have the function called with what is put on a stream."""
        functions = self._session.functions
        made = functions.create_event_source_mapping(
            FunctionName=self.function.name, EventSourceArn=stream_arn, **settings
        )
        until(
            lambda: functions.get_event_source_mapping(UUID=made["UUID"])["State"] == "Enabled",
            seconds=SECONDS,
            what="the mapping is enabled",
        )
        return dict(made)

    def put(self, *records: bytes) -> None:
        """Put records in one call."""
        self._session.kinesis.put_records(
            StreamName=self._name,
            Records=[{"Data": data, "PartitionKey": "one"} for data in records],
        )

    def heard(self) -> list[dict[str, Any]]:
        """Return the events that the function was called with so far."""
        received = self._session.sqs.receive_message(
            QueueUrl=self._queue, MaxNumberOfMessages=10, WaitTimeSeconds=1
        ).get("Messages", [])
        for message in received:
            self._session.sqs.delete_message(
                QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"]
            )
        self._heard += [json.loads(message["Body"]) for message in received]
        return self._heard


Mapping = Callable[..., Mapped]


@pytest.fixture
def mapped(localstack: EngineAddress, deploy: Deploy, request: pytest.FixtureRequest) -> Mapping:
    name = request.node.name[-60:]
    return lambda suffix="": Mapped(localstack, deploy, name, suffix)


def test_a_hook_that_failed_is_completed_and_only_its_state_tells(
    localstack: EngineAddress,
) -> None:
    told = hooks_of(localstack)
    assert told["completed"] is True
    states = {hook["name"]: hook["state"] for hook in told["scripts"]}
    assert states == {"10_passes.py": "SUCCESSFUL", "20_fails.py": "ERROR"}


def test_there_is_no_sagemaker(localstack: EngineAddress) -> None:
    sagemaker = boto3.client("sagemaker", endpoint_url=localstack.url, **_keys())
    with pytest.raises(ClientError) as refused:
        sagemaker.list_endpoints()
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_a_tumbling_window_is_taken_and_no_event_has_one(mapped: Mapping) -> None:
    ours = mapped()
    made = ours.map(ours.stream(), StartingPosition="TRIM_HORIZON", TumblingWindowInSeconds=30)
    assert made["TumblingWindowInSeconds"] == 30
    ours.put(b"1")
    (event,) = until(ours.heard, seconds=SECONDS, what="the event")
    assert event.keys() == {"Records"}  # on AWS also window, state, isFinalInvokeForWindow, …


def test_a_batch_that_fails_is_never_bisected(mapped: Mapping) -> None:
    ours = mapped()
    made = ours.map(
        ours.stream(),
        StartingPosition="TRIM_HORIZON",
        BisectBatchOnFunctionError=True,
        ParallelizationFactor=2,
        MaximumRetryAttempts=2,
    )
    assert (made["BisectBatchOnFunctionError"], made["ParallelizationFactor"]) == (True, 2)
    ours.put(b"1", b"2", b"poison", b"4")

    def tried() -> list[int] | None:
        sizes = [len(event["Records"]) for event in ours.heard()]
        return sizes if len(sizes) >= 3 else None

    assert until(tried, seconds=SECONDS, what="three attempts") == [4, 4, 4]


def test_a_mapping_that_begins_at_a_moment_delivers_nothing(mapped: Mapping) -> None:
    ours, other = mapped(), mapped("-2")
    stream_arn = ours.stream()
    began = datetime.now(UTC) - timedelta(minutes=1)
    ours.map(stream_arn, StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=began)
    other.map(stream_arn, StartingPosition="TRIM_HORIZON")
    for _ in range(3):
        before = len(other.heard())
        ours.put(b"1")
        until(
            lambda before=before: other.heard()[before:],  # type: ignore[misc]
            seconds=SECONDS,
            what="the other hears it",
        )
    assert ours.heard() == []


def test_the_log_group_that_a_function_names_is_not_used(
    localstack: EngineAddress, deploy: Deploy
) -> None:
    logs = localstack.session().session.client("logs", endpoint_url=localstack.url)
    logs.create_log_group(logGroupName="/of-our-own")
    function = deploy(
        "def handler(event, context):\n    print('read')\n",
        LoggingConfig={"LogFormat": "JSON", "LogGroup": "/of-our-own"},
    )
    function.call()
    own = f"/aws/lambda/{function.name}"

    def told() -> bool:
        groups = {group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]}
        return own in groups and bool(logs.filter_log_events(logGroupName=own)["events"])

    until(told, seconds=SECONDS, what="the function's log")
    assert logs.filter_log_events(logGroupName="/of-our-own")["events"] == []


def test_a_schedule_that_a_template_disables_is_disabled(localstack: EngineAddress) -> None:
    template = {
        "Resources": {
            "Rule": {
                "Type": "AWS::Events::Rule",
                "Properties": {"ScheduleExpression": "rate(1 day)", "State": "DISABLED"},
            }
        },
        "Outputs": {"Name": {"Value": {"Ref": "Rule"}}},
    }
    session = localstack.session()
    session.cloudformation.create_stack(StackName="rule", TemplateBody=json.dumps(template))
    session.cloudformation.get_waiter("stack_create_complete").wait(
        StackName="rule", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    (stack,) = session.cloudformation.describe_stacks(StackName="rule")["Stacks"]
    name = stack["Outputs"][0]["OutputValue"]
    events = session.session.client("events", endpoint_url=localstack.url)
    assert events.describe_rule(Name=name)["State"] == "DISABLED"


def _keys() -> dict[str, Any]:
    return {
        "region_name": "us-east-1",
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
    }
