"""A fresh generation of the events stream: the same name, made anew, read from its beginning."""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from embedded.engine import EngineAddress
from embedded.stack import Outputs
from tidegauge.domain.errors import InvalidInput

if TYPE_CHECKING:
    from mypy_boto3_lambda.type_defs import EventSourceMappingConfigurationTypeDef

READY_SECONDS = 30.0
POLL_SECONDS = 0.1
# What a mapping is made from; the rest of its description is state.
_MAPPING_SETTINGS = (
    "BatchSize",
    "MaximumBatchingWindowInSeconds",
    "ParallelizationFactor",
    "StartingPosition",
    "MaximumRetryAttempts",
    "MaximumRecordAgeInSeconds",
    "BisectBatchOnFunctionError",
    "FunctionResponseTypes",
)


def fresh_generation(engine: EngineAddress, outputs: Outputs) -> list[str]:
    """Delete the events stream and make it anew, with its mapping and a cold function.

    A generation is told from the next by the stream's creation time, so the new stream is made in
    a later second. The mapping is made anew too: the engine keeps a mapping's position by shard,
    and would skip as many records of the new stream as it had read of the old one. The functions
    start cold: warm ones may still believe in the old generation, or remember what it predicted.

    The mapping waits until `let_read`: the engine ignores the batching window and would call the
    function for every few records of a replay, which takes four times as long as filling the
    stream first.

    Returns:
        The mappings that wait.

    Raises:
        InvalidInput: the engine did not do so in time.
    """
    clients = engine.session()
    name = outputs.events_stream_name
    summary = clients.kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    mappings = _mappings(engine, outputs)
    if not mappings:
        msg = (
            "nothing reads the events stream, since an earlier replay was cut off:"
            " `make down`, then start again"
        )
        raise InvalidInput(msg)
    deadline = time.monotonic() + READY_SECONDS
    for mapping in mappings:
        _delete_mapping(engine, mapping["UUID"], deadline)
    while True:
        clients.kinesis.delete_stream(StreamName=name, EnforceConsumerDeletion=True)
        _await(engine, name, None, deadline)
        clients.kinesis.create_stream(StreamName=name, ShardCount=summary["OpenShardCount"])
        created = _await(engine, name, "ACTIVE", deadline)
        if created != summary["StreamCreationTimestamp"].timestamp():
            break
        time.sleep(POLL_SECONDS)
    for function in (outputs.collect_function_name, outputs.predict_function_name):
        _start_cold(engine, function, f"For the stream made at {created:.0f}.")
    # LocalStack and AWS delete a mapping by and by, and refuse its successor until then.
    while _mappings(engine, outputs):
        if time.monotonic() > deadline:
            msg = f"the mapping of the stream {name} was not deleted within {READY_SECONDS:.0f} s"
            raise InvalidInput(msg)
        time.sleep(POLL_SECONDS)
    return [_recreate(engine, mapping, outputs) for mapping in mappings]


def spare_generation(engine: EngineAddress, name: str) -> None:
    """Make a stream of one shard that no function reads, anew if it is there already.

    Raises:
        InvalidInput: the engine did not do so in time.
    """
    kinesis = engine.session().kinesis
    deadline = time.monotonic() + READY_SECONDS
    if name in kinesis.list_streams()["StreamNames"]:
        kinesis.delete_stream(StreamName=name, EnforceConsumerDeletion=True)
    _await(engine, name, None, deadline)
    kinesis.create_stream(StreamName=name, ShardCount=1)
    _await(engine, name, "ACTIVE", deadline)


def let_read(engine: EngineAddress, mappings: Iterable[str], *, go_on: bool = True) -> None:
    """Let waiting mappings read their stream from where they are, or wait again."""
    functions = engine.session().functions
    for mapping in mappings:
        functions.update_event_source_mapping(UUID=mapping, Enabled=go_on)


def _mappings(
    engine: EngineAddress, outputs: Outputs
) -> "list[EventSourceMappingConfigurationTypeDef]":
    functions = engine.session().functions
    return functions.list_event_source_mappings(EventSourceArn=outputs.events_stream_arn)[
        "EventSourceMappings"
    ]


def _delete_mapping(engine: EngineAddress, uuid: str, deadline: float) -> None:
    """Begin to delete a mapping; one that waits reads on first, else LocalStack never ends it."""
    functions = engine.session().functions
    if functions.get_event_source_mapping(UUID=uuid)["State"] == "Disabled":
        functions.update_event_source_mapping(UUID=uuid, Enabled=True)
        while functions.get_event_source_mapping(UUID=uuid)["State"] != "Enabled":
            if time.monotonic() > deadline:
                msg = f"the mapping {uuid} was not enabled within {READY_SECONDS:.0f} s"
                raise InvalidInput(msg)
            time.sleep(POLL_SECONDS)
    functions.delete_event_source_mapping(UUID=uuid)


def _start_cold(engine: EngineAddress, function: str, description: str) -> None:
    """Let the next call of a function be made in a new process.

    The engine ends those that there are when variables are named, even if they are the same.
    """
    functions = engine.session().functions
    there = functions.get_function_configuration(FunctionName=function)
    functions.update_function_configuration(
        FunctionName=function,
        Description=description,
        Environment={"Variables": there.get("Environment", {}).get("Variables", {})},
    )


def _recreate(
    engine: EngineAddress, mapping: "EventSourceMappingConfigurationTypeDef", outputs: Outputs
) -> str:
    settings: dict[str, Any] = {
        key: value for key, value in mapping.items() if key in _MAPPING_SETTINGS
    }
    made = engine.session().functions.create_event_source_mapping(
        FunctionName=outputs.collect_function_name,
        EventSourceArn=outputs.events_stream_arn,
        Enabled=False,
        **settings,
    )
    return made["UUID"]


def _await(engine: EngineAddress, name: str, status: str | None, deadline: float) -> float:
    """Wait until the stream has a status, None for gone; return its creation time in seconds."""
    kinesis = engine.session().kinesis
    while True:
        try:
            summary = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            if status is None:
                return 0.0
        else:
            if summary["StreamStatus"] == status:
                return summary["StreamCreationTimestamp"].timestamp()
        if time.monotonic() > deadline:
            msg = f"the engine did not make the stream {name} anew within {READY_SECONDS:.0f} s"
            raise InvalidInput(msg)
        time.sleep(POLL_SECONDS)
