"""The engine as `make run` starts it: on loopback, quick with many records, gone when stopped."""

import json
import socket
import time
from pathlib import Path

import pytest

from embedded import processes
from embedded.engine import Engine, EngineAddress, LocalSession, answers
from embedded.engine_process import expire_records
from tests.support.embedded import places_in
from tidegauge.domain.errors import InvalidInput

pytestmark = pytest.mark.engine


def test_it_answers_on_loopback_and_forgets_when_stopped(tmp_path: Path) -> None:
    engine = Engine(places_in(tmp_path))
    try:
        address = engine.up()
        assert engine.up() == address
        address.session().secrets.create_secret(Name="kept", SecretString=json.dumps({}))
        assert engine.down()
        assert not answers(address)
        assert engine.address() is None
        assert not engine.down()
    finally:
        engine.down()


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server((processes.LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(InvalidInput, match=f"port {port} .*TIDEGAUGE_ENGINE_PORT"):
            Engine(places_in(tmp_path), port=port).up()


def test_its_clients_ignore_the_users_own_settings(
    engine: EngineAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_PROFILE", "nowhere")
    kinesis = LocalSession(engine).kinesis
    assert kinesis.meta.endpoint_url == engine.url
    assert kinesis.list_streams()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_the_function_that_we_replace_in_the_engine_is_still_there(engine: EngineAddress) -> None:
    # A record is put and read back through the replaced function.
    kinesis = engine.session().kinesis
    kinesis.create_stream(StreamName="replaced", ShardCount=1)
    kinesis.get_waiter("stream_exists").wait(StreamName="replaced", WaiterConfig={"Delay": 1})
    kinesis.put_record(StreamName="replaced", PartitionKey="1", Data=b"one")
    shard = kinesis.list_shards(StreamName="replaced")["Shards"][0]["ShardId"]
    iterator = kinesis.get_shard_iterator(
        StreamName="replaced", ShardId=shard, ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records = kinesis.get_records(ShardIterator=iterator)["Records"]
    assert [record["Data"] for record in records] == [b"one"]


@pytest.mark.parametrize("ages", [[], [1], [7200], [7200, 7200, 1, 1], [7200, 1, 7200]])
def test_records_past_retention_are_dropped_from_the_front(ages: list[int]) -> None:
    now = time.time()
    records = [{"ApproximateArrivalTimestamp": now - age} for age in ages]
    shard = {"records": records}
    expire_records({"RetentionPeriodHours": 1, "shards": {"a": shard}})
    young = ages.index(1) if 1 in ages else len(ages)
    assert shard["records"] == records[young:]
