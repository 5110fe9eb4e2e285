"""The event source mapping for tests keeps to AWS's contract, and uses what it allows."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from embedded.engine import EngineAddress
from tests.support.kinesis_retention import RetainedKinesis
from tests.support.live_stream import LiveStream
from tests.support.mapping_driver import MappingDriver
from tidegauge.adapters.lambda_event import kinesis_batches
from tidegauge.domain.errors import Transient
from tidegauge.domain.record import Record
from tidegauge.ports import StreamEntry

pytestmark = pytest.mark.kinesis

FIRST = "shardId-000000000000"


class Function:
    """A function that keeps what it is given, and refuses what a test says."""

    def __init__(self, refuses: Callable[[Record], bool] = lambda _record: False) -> None:
        self.refuses = refuses
        self.batches: list[list[Record]] = []

    def __call__(self, event: dict[str, Any]) -> None:
        [batch] = kinesis_batches(event)
        if any(self.refuses(record) for record in batch.records):
            msg = "not now"
            raise Transient(msg)
        self.batches.append(batch.records)

    def first_seen(self, shard_id: str) -> list[Record]:
        """Return a shard's records in the order in which they first came."""
        records = [record for batch in self.batches for record in batch]
        seen = {r.sequence_number: r for r in reversed(records) if r.shard_id == shard_id}
        return list(
            dict.fromkeys(seen[r.sequence_number] for r in records if r.shard_id == shard_id)
        )


def chance(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311


@pytest.fixture
def stream(kinesis: EngineAddress, request: pytest.FixtureRequest) -> LiveStream:
    name = "".join(letter for letter in request.node.name if letter.isalnum())
    return LiveStream(kinesis.session().kinesis, name, shards=1)


@pytest.fixture
def client(kinesis: EngineAddress, stream: LiveStream) -> RetainedKinesis:
    return RetainedKinesis(kinesis.session().kinesis, stream.name)


def put(client: RetainedKinesis, number: int) -> None:
    entries = [StreamEntry(b"%d" % n, f"key-{n}") for n in range(number)]
    client.adapter().put(entries)


@pytest.mark.parametrize("children_first", [False, True])
def test_every_record_comes_in_order_and_some_come_again(
    client: RetainedKinesis, stream: LiveStream, *, children_first: bool
) -> None:
    put(client, 200)
    low, _ = stream.split(FIRST)
    put(client, 200)
    stream.split(low)
    put(client, 200)
    function = Function()
    driver = MappingDriver(client, stream.name, function, chance(3), children_first=children_first)
    driver.run()
    logs = stream.logs()
    assert {name: function.first_seen(name) for name in logs} == logs
    assert sum(map(len, logs.values())) == 600
    assert sum(map(len, function.batches)) > 610
    order = list(dict.fromkeys(batch[0].shard_id for batch in function.batches))
    assert (order[0] == FIRST) is not children_first
    for batch in function.batches:
        at = logs[batch[0].shard_id].index(batch[0])
        assert logs[batch[0].shard_id][at : at + len(batch)] == batch


def test_nothing_passes_a_batch_that_fails(client: RetainedKinesis, stream: LiveStream) -> None:
    put(client, 100)
    bad = stream.logs()[FIRST][40]
    function = Function(lambda record: record == bad)
    driver = MappingDriver(client, stream.name, function, chance(4))
    for _ in range(50):
        driver.turn()
    assert driver.refused["Transient"] > 10
    assert bad.sequence_number > max(r.sequence_number for b in function.batches for r in b)
    function.refuses = lambda _record: False
    driver.run()
    assert function.first_seen(FIRST) == stream.logs()[FIRST]


def test_a_disabled_mapping_delivers_nothing_and_goes_on_where_it_was(
    client: RetainedKinesis, stream: LiveStream
) -> None:
    put(client, 50)
    function = Function()
    driver = MappingDriver(client, stream.name, function, chance(5), redelivers=0.0)
    driver.run()
    put(client, 50)
    driver.enabled = False
    driver.run()
    assert sum(map(len, function.batches)) == 50
    driver.enabled = True
    driver.run()
    assert [record for batch in function.batches for record in batch] == stream.logs()[FIRST]


def test_what_retention_took_is_gone_for_mapping_and_probe(
    client: RetainedKinesis, stream: LiveStream
) -> None:
    put(client, 100)
    log = stream.logs()[FIRST]
    stream.split(FIRST)
    adapter = client.adapter()
    function = Function()
    driver = MappingDriver(client, stream.name, function, chance(6))
    client.trim(FIRST, log[69].sequence_number)
    assert adapter.probe(FIRST, log[9].sequence_number).unread == log[70].sequence_number
    driver.run()
    assert function.first_seen(FIRST) == log[70:]
    client.trim(FIRST, log[-1].sequence_number)
    assert adapter.probe(FIRST, log[9].sequence_number).reached
    client.expire(FIRST)
    assert FIRST not in {shard.shard_id for shard in adapter.shards()}
    with pytest.raises(Transient, match="any more"):
        adapter.probe(FIRST, log[9].sequence_number)


def test_a_stream_made_anew_has_another_time_of_creation(
    client: RetainedKinesis, stream: LiveStream
) -> None:
    adapter = client.adapter()
    before = adapter.identity()
    put(client, 5)
    stream.make(2)
    after = adapter.identity()
    assert (after.arn == before.arn, after.created_ms > before.created_ms) == (True, True)
    assert list(stream.logs().values()) == [[], []]
