"""The deployed stack that these tests are about, wherever it is, as `TIDEGAUGE_E2E` says.

By default it is the embedded engine's, brought up here; with `localstack` one on LocalStack in host
mode, by the Python that `LAMBDA_PYTHON` names. With `address` it is what stands at
`AWS_ENDPOINT_URL`, with `aws` what stands in the user's account; both must be deployed already.
"""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from embedded.local import LocalStack
from embedded.places import Places
from embedded.stack import Wanted
from tests.support.address import Address, address_in, address_of
from tests.support.address_line import Line
from tests.support.command import Command
from tests.support.embedded import empty_database, missing, places_in
from tests.support.localstack_host import LABEL, RUNTIME, localstack_stack
from tidegauge.domain.errors import InvalidInput
from tidegauge.settings import DatabaseAddress

# Long windows: days of history in few records, of which LocalStack's Kinesis takes few a second.
SETTINGS = {"WindowSeconds": "3600", "EnoughWindows": "24"}


@pytest.fixture(scope="session")
def address(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Address]:
    """The stack under test."""
    where = os.environ.get("TIDEGAUGE_E2E", "")
    if where in ("address", "aws"):
        yield address_in(os.environ)
        return
    own = {"": _embedded, "localstack": _localstack}[where]
    state = tmp_path_factory.mktemp("address")
    server: DatabaseAddress = request.getfixturevalue("database_address")
    with empty_database(server) as url, own(state, DatabaseAddress.from_url(url)) as address:
        yield address


@contextmanager
def _embedded(state: Path, database: DatabaseAddress) -> Iterator[Address]:
    local = LocalStack(places_in(state), Wanted(settings=SETTINGS), database=database)
    try:
        try:
            running = local.up()
        except InvalidInput as error:
            missing(error)  # what was up already is taken down all the same
        yield address_of(running, "the embedded engine")
    finally:
        local.down()


@contextmanager
def _localstack(state: Path, database: DatabaseAddress) -> Iterator[Address]:
    places = Places(state, artifacts=f"build-{RUNTIME}")
    wanted = Wanted(settings=SETTINGS, runtime=RUNTIME)
    with localstack_stack(places, database, os.environ["LAMBDA_PYTHON"], wanted) as running:
        yield address_of(running, LABEL)


@pytest.fixture(scope="session")
def line(address: Address) -> Line:
    """Its events stream; stream time has begun."""
    return Line(address, secrets.token_hex(4))


@pytest.fixture(scope="session")
def old_message(line: Line) -> Iterator[str]:
    """Key of a message of the outbox that was sent so long ago that a sweep deletes it."""
    key = f"old-{line.token}"
    long_ago = datetime.now(UTC) - timedelta(days=8)
    database = line.address.connect()
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO outbox"
            " (generation, destination, message_key, payload, created_at, sent_at)"
            " VALUES (0, 'windows', %s, '{}', %s, %s)",
            (key, long_ago, long_ago),
        )
    yield key
    with database.transaction() as cursor:
        cursor.execute("DELETE FROM outbox WHERE message_key = %s", (key,))
    database.close()


@pytest.fixture(scope="session", autouse=True)
def _lies_there_from_the_beginning(old_message: str) -> None:
    """Let a minute of the schedule pass while other tests run."""


@pytest.fixture
def queue(line: Line) -> Iterator[str]:
    """Address of a queue that is subscribed to the alerts."""
    address = line.address
    name = f"tidegauge-{line.token}-{secrets.token_hex(4)}"
    url = address.sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = address.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    topic = address.outputs.alerts_topic_arn
    address.sqs.set_queue_attributes(
        QueueUrl=url, Attributes={"Policy": _may_send(topic=topic, queue=arn)}
    )
    subscription = address.sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True
    )["SubscriptionArn"]
    yield url
    address.sns.unsubscribe(SubscriptionArn=subscription)
    address.sqs.delete_queue(QueueUrl=url)


def _may_send(*, topic: str, queue: str) -> str:
    """Return a queue's policy: AWS lets a topic send only where it may."""
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "sns.amazonaws.com"},
                    "Action": "sqs:SendMessage",
                    "Resource": queue,
                    "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
                }
            ],
        }
    )


@pytest.fixture
def command(
    address: Address, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """The command, reaching the stack as the tests do."""
    for name, value in address.variables.items():
        monkeypatch.setenv(name, value)
    return Command(monkeypatch, capsys)
