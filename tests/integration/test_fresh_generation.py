"""A fresh generation of the stream, also behind a replay that was cut off."""

import io
import zipfile

import pytest

from embedded.engine import EngineAddress, runtime_name
from embedded.stack import Outputs
from embedded.stream import fresh_generation, let_read
from tidegauge.domain.errors import InvalidInput

pytestmark = pytest.mark.engine

STREAM = "fresh-generation"
FUNCTION = "fresh-generation-reader"


@pytest.fixture
def outputs(engine: EngineAddress) -> Outputs:
    """A stream with one mapping to a function that reads it and does nothing."""
    clients = engine.session()
    clients.kinesis.create_stream(StreamName=STREAM, ShardCount=2)
    clients.kinesis.get_waiter("stream_exists").wait(StreamName=STREAM)
    told = clients.kinesis.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("reader.py", "def handler(event, context):\n    return None\n")
    clients.functions.create_function(
        FunctionName=FUNCTION,
        Runtime=runtime_name(),  # type: ignore[arg-type]  # newer than the stubs may be
        Handler="reader.handler",
        Role="arn:aws:iam::000000000000:role/reader",
        Code={"ZipFile": packed.getvalue()},
    )
    clients.functions.create_event_source_mapping(
        FunctionName=FUNCTION,
        EventSourceArn=told["StreamARN"],
        StartingPosition="TRIM_HORIZON",
        BatchSize=7,
    )
    names = [STREAM, told["StreamARN"], "windows", "topic", FUNCTION, FUNCTION, *["other"] * 7]
    return Outputs(*names)


def mappings(engine: EngineAddress, outputs: Outputs) -> list[tuple[str, str, int]]:
    found = engine.session().functions.list_event_source_mappings(
        EventSourceArn=outputs.events_stream_arn
    )
    return [(one["UUID"], one["State"], one["BatchSize"]) for one in found["EventSourceMappings"]]


def test_each_generation_has_one_mapping_that_waits_and_none_is_lost_or_left(
    engine: EngineAddress, outputs: Outputs
) -> None:
    kinesis, functions = engine.session().kinesis, engine.session().functions
    ((before, _, _),) = mappings(engine, outputs)
    kinesis.put_record(StreamName=STREAM, Data=b"of the old one", PartitionKey="1")

    first = fresh_generation(engine, outputs)
    assert mappings(engine, outputs) == [(first[0], "Disabled", 7)]
    assert first != [before]
    shard = kinesis.list_shards(StreamName=STREAM)["Shards"]
    assert len(shard) == 2
    for one in shard:
        iterator = kinesis.get_shard_iterator(
            StreamName=STREAM, ShardId=one["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        assert kinesis.get_records(ShardIterator=iterator)["Records"] == []

    # That replay is cut off before it lets the mapping read: the next one begins all the same.
    second = fresh_generation(engine, outputs)
    assert mappings(engine, outputs) == [(second[0], "Disabled", 7)]
    let_read(engine, second)
    assert mappings(engine, outputs) == [(second[0], "Enabled", 7)]

    # Cut off in between, nothing reads the stream any more.
    functions.delete_event_source_mapping(UUID=second[0])
    with pytest.raises(InvalidInput, match=r"nothing reads the events stream.*`make down`"):
        fresh_generation(engine, outputs)
