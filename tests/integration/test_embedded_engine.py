"""The engine as `make run` starts it: on loopback, quick with many records, gone when stopped."""

import json
import socket
import subprocess
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from embedded import processes
from embedded.bootstrap import environment
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


def test_a_schedule_of_a_minute_fires_in_its_first_seconds(engine: EngineAddress) -> None:
    # The engine itself looks but every ten seconds for what is due.
    session = engine.session().session
    events = session.client("events", endpoint_url=engine.url)
    sqs = engine.session().sqs
    url = sqs.create_queue(QueueName="each-minute")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    events.put_rule(Name="each-minute", ScheduleExpression="cron(* * * * ? *)")
    queue_arn = attributes["Attributes"]["QueueArn"]
    events.put_targets(Rule="each-minute", Targets=[{"Id": "1", "Arn": queue_arn}])
    deadline = time.monotonic() + 75
    messages: list[Any] = []
    while not messages:
        assert time.monotonic() < deadline, "the schedule did not fire within a minute"
        answer = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)
        messages.extend(answer.get("Messages", []))
    events.remove_targets(Rule="each-minute", Ids=["1"])
    events.delete_rule(Name="each-minute")
    fired = datetime.fromisoformat(json.loads(messages[0]["Body"])["time"])
    assert fired.second <= 3


def test_what_we_replace_in_the_engine_is_still_there(tmp_path: Path) -> None:
    python = environment("engine", tools=places_in(tmp_path).tools) / "bin" / "python"
    code = (
        "from ministack.services import eventbridge, kinesis;"
        "print(callable(kinesis._expire_records), eventbridge._SCHEDULER_TICK_INTERVAL)"
    )
    told = subprocess.run(  # noqa: S603 - our own environment
        [str(python), "-c", code], capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["True", "10"]


def test_no_record_is_dropped_from_under_a_mapping() -> None:
    shard = {"records": [{"ApproximateArrivalTimestamp": 0.0}]}
    expire_records({"RetentionPeriodHours": 1, "shards": {"a": shard}})
    assert len(shard["records"]) == 1
