"""Functions as child processes of LocalStack: what a caller gets, and what ends when."""

import os
import signal
from pathlib import Path

import pytest

from embedded import processes
from embedded.places import Places
from tests.localstack.conftest import Deploy
from tests.support.live import until
from tests.support.localstack_host import LocalStackHost

pytestmark = pytest.mark.localstack


def test_a_function_gets_its_event_its_variables_and_its_context(deploy: Deploy) -> None:
    function = deploy(
        """
import os

def handler(event, context):
    return [
        event, context.function_name, os.environ["OWN"], os.environ["AWS_ENDPOINT_URL"],
        0 < context.get_remaining_time_in_millis() <= 9000,
    ]
""",
        Environment={"Variables": {"OWN": "7"}},
        Timeout=9,
    )
    told = [{"n": [1, "é"]}, function.name, "7", function.address.url, True]
    assert function.call({"n": [1, "é"]}) == (None, told)


def test_a_process_serves_one_call_after_another(deploy: Deploy) -> None:
    function = deploy(
        """
import os
calls = []

def handler(event, context):
    calls.append(event)
    return [os.getpid(), calls]
"""
    )
    first, second = function.call(1)[1], function.call(2)[1]
    assert first[0] == second[0]
    assert second[1] == [1, 2]


def test_an_error_is_told_in_lambdas_words_and_the_process_stays(deploy: Deploy) -> None:
    function = deploy(
        """
import os

def handler(event, context):
    if event:
        raise ValueError(f"not {event}")
    return os.getpid()
"""
    )
    pid = function.call(0)
    error, told = function.call("this one")
    assert error == "Unhandled"
    assert (told["errorType"], told["errorMessage"]) == ("ValueError", "not this one")
    assert told["stackTrace"]
    assert function.call(0) == pid


@pytest.mark.parametrize(
    ("does", "kind", "message"),
    [
        ("os._exit(3)", "Runtime.ExitError", "Runtime exited with error: exit status 3"),
        ("time.sleep(60)", "Sandbox.Timedout", "Task timed out after 1.00 seconds"),
    ],
    ids=["crash", "timeout"],
)
def test_a_process_that_ends_or_hangs_is_an_error_and_the_next_call_has_another(
    deploy: Deploy, does: str, kind: str, message: str
) -> None:
    function = deploy(
        f"""
import os, time

def handler(event, context):
    if event:
        {does}
    return os.getpid()
""",
        Timeout=1 if kind == "Sandbox.Timedout" else 30,
        Description=kind,
    )
    _, first = function.call(0)
    error, told = function.call(1)
    assert error == "Unhandled"
    assert told["errorType"] == kind
    assert told["errorMessage"].endswith(message)
    error, second = function.call(0)
    assert error is None
    assert second != first
    assert processes.start_identity(first) is None
    function.address.session().functions.delete_function(FunctionName=function.name)


def test_a_function_that_cannot_be_loaded_says_why(deploy: Deploy) -> None:
    function = deploy("import a_module_that_nobody_has\n")
    for _ in range(2):
        error, told = function.call()
        assert error == "Unhandled"
        assert told["errorType"] == "Runtime.ImportModuleError"
        assert "a_module_that_nobody_has" in told["errorMessage"]


def test_what_a_function_prints_is_in_its_log(deploy: Deploy) -> None:
    function = deploy("def handler(event, context):\n    print('read', event)\n")
    function.call("this")
    session = function.address.session().session
    logs = session.client("logs", endpoint_url=function.address.url)

    group = f"/aws/lambda/{function.name}"

    def printed() -> bool:
        # Logs come behind the answer, and their group with the first of them.
        if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            return False
        found = logs.filter_log_events(logGroupName=group)["events"]
        return any("read this" in event["message"] for event in found)

    until(printed, seconds=30, what="what it printed")


def test_nothing_outlives_localstack(host: LocalStackHost, tmp_path: Path, no_hooks: Path) -> None:
    other = host.beside(Places(tmp_path), hooks=no_hooks)
    address = other.up({})
    try:
        clients = address.session()
        clients.kinesis.create_stream(StreamName="any", ShardCount=1)
        record = processes.read_record(tmp_path / "localstack.pid")
        assert record is not None
        # Its Kinesis is one; the process of a function would be another.
        children = other.children()
        assert children
        # Not asked: as if somebody had no patience with it.
        os.kill(record.pid, signal.SIGSTOP)
    finally:
        assert other.down()
    assert not [
        pid for pid, identity in children.items() if processes.start_identity(pid) == identity
    ]
