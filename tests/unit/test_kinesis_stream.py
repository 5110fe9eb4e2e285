"""Putting records on a stream: calls within the limits, nothing lost, nothing overtaken."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from botocore.exceptions import ConnectTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fake_kinesis import FakeKinesis
from tidegauge.adapters.clock import Backoff
from tidegauge.adapters.kinesis import (
    MAX_CALL_BYTES,
    MAX_RECORD_BYTES,
    KinesisStream,
    WindowsSink,
    calls_of,
)
from tidegauge.domain.errors import Rejected, Transient
from tidegauge.ports import (
    Destination,
    OutboxMessage,
    PutPosition,
    ShardListing,
    StreamEntry,
    StreamIdentity,
)

THROTTLED = "ProvisionedThroughputExceededException"


def entry(text: str, key: str = "k", hash_key: int | None = None) -> StreamEntry:
    return StreamEntry(data=text.encode(), partition_key=key, hash_key=hash_key)


def stream_on(client: object, *, attempts: int = 5) -> KinesisStream:
    backoff = Backoff(attempts=attempts, sleep=lambda _s: None, uniform=lambda _low, high: high)
    return KinesisStream("events", client=cast("Any", client), backoff=backoff)


def test_positions_come_in_the_order_of_the_entries() -> None:
    client = FakeKinesis()
    positions = stream_on(client).put([entry("a"), entry("b", hash_key=2**127)])
    assert positions == [
        PutPosition("shard-0", 10**55 + 1),
        PutPosition("shard-0", 10**55 + 2),
    ]
    assert client.requests[0]["Records"] == [
        {"Data": b"a", "PartitionKey": "k"},
        {"Data": b"b", "PartitionKey": "k", "ExplicitHashKey": str(2**127)},
    ]


def test_exactly_the_refused_entries_are_sent_again_and_keep_their_positions() -> None:
    # Call 0: a b c d, of which b and d are refused; call 1: b d, b refused again; call 2: b.
    refused = {(0, 1): THROTTLED, (0, 3): "InternalFailure", (1, 0): THROTTLED}
    client = FakeKinesis(refuse=lambda call, index: refused.get((call, index)))
    positions = stream_on(client).put([entry(text) for text in "abcd"])
    assert client.calls == [[b"a", b"b", b"c", b"d"], [b"b", b"d"], [b"b"]]
    assert client.stored == [b"a", b"c", b"d", b"b"]
    assert [position.sequence_number - 10**55 for position in positions] == [1, 4, 2, 3]


def test_a_later_call_never_overtakes_what_an_earlier_one_refused() -> None:
    client = FakeKinesis(refuse=lambda call, index: THROTTLED if (call, index) == (0, 7) else None)
    texts = [f"{number:04}" for number in range(1200)]
    stream_on(client).put([entry(text) for text in texts])
    assert [len(call) for call in client.calls] == [500, 1, 500, 200]
    assert client.calls[1] == [b"0007"]
    assert sorted(client.stored) == [text.encode() for text in texts]
    assert client.stored[500:] == [text.encode() for text in texts[500:]]


def test_a_call_without_an_answer_is_repeated() -> None:
    lost = ConnectTimeoutError(endpoint_url="http://127.0.0.1:1")
    client = FakeKinesis(fail=lambda call: lost if call == 0 else None)
    stream_on(client).put([entry("a"), entry("b")])
    assert client.calls == [[b"a", b"b"], [b"a", b"b"]]


def test_what_is_refused_to_the_end_is_transient_and_says_why() -> None:
    client = FakeKinesis(refuse=lambda _call, index: THROTTLED if index == 0 else None)
    with pytest.raises(Transient, match=f"1 of 2 records: {THROTTLED}: slow down"):
        stream_on(client, attempts=3).put([entry("a"), entry("b")])
    assert len(client.calls) == 3


def test_a_stream_that_never_answers_is_transient_with_its_cause() -> None:
    lost = ConnectTimeoutError(endpoint_url="http://127.0.0.1:1")
    client = FakeKinesis(fail=lambda _call: lost)
    with pytest.raises(Transient, match="did not take 1 of 1 records") as raised:
        stream_on(client, attempts=2).put([entry("a")])
    assert isinstance(raised.value.__cause__, Transient)


def test_nothing_is_put_if_one_entry_is_larger_than_a_record() -> None:
    client = FakeKinesis()
    fits = StreamEntry(b"x" * (MAX_RECORD_BYTES - 2), "kk")
    stream_on(client).put([fits])
    with pytest.raises(Rejected, match="too_large"):
        stream_on(client).put([entry("a"), StreamEntry(fits.data, "ké")])
    assert len(client.calls) == 1


def test_nothing_to_put_calls_nobody() -> None:
    client = FakeKinesis()
    assert stream_on(client).put([]) == []
    assert client.calls == []


def test_calls_stay_below_the_limits_and_keep_the_order() -> None:
    entries = [StreamEntry(bytes([number]) * (1024 * 1024 - 1), "k") for number in range(11)]
    calls = list(calls_of(entries))
    assert [len(call) for call in calls] == [5, 5, 1]
    assert [part for call in calls for part in call] == entries
    for call in calls:
        assert sum(len(e.data) + len(e.partition_key) for e in call) <= MAX_CALL_BYTES


def test_backoff_grows_to_its_cap_with_full_jitter() -> None:
    waits: list[float] = []
    bounds: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        bounds.append((low, high))
        return high / 2

    backoff = Backoff(attempts=5, base_s=0.1, cap_s=0.5, sleep=waits.append, uniform=uniform)
    assert list(backoff.attempts()) == [1, 2, 3, 4, 5]
    assert bounds == [(0.0, 0.1), (0.0, 0.2), (0.0, 0.4), (0.0, 0.5)]
    assert waits == [0.05, 0.1, 0.2, 0.25]


def test_a_listing_has_every_page_and_every_parent() -> None:
    def shard(name: str, **more: Any) -> dict[str, Any]:
        return {
            "ShardId": name,
            "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": str(2**128 - 1)},
            "SequenceNumberRange": {"StartingSequenceNumber": "1"},
            **more,
        }

    closed = {"StartingSequenceNumber": "1", "EndingSequenceNumber": "9"}
    client = FakeKinesis(
        pages=[
            {"Shards": [shard("s0", SequenceNumberRange=closed)], "NextToken": "more"},
            {"Shards": [shard("s1", ParentShardId="s0", AdjacentParentShardId="s9")]},
        ]
    )
    shards = stream_on(client).shards()
    assert shards == [
        ShardListing("s0", (), 0, 2**128 - 1, closed=True),
        ShardListing("s1", ("s0", "s9"), 0, 2**128 - 1, closed=False),
    ]
    assert client.requests == [{"StreamName": "events"}, {"NextToken": "more"}]


def test_a_stream_is_known_by_its_arn_and_the_millisecond_of_its_creation() -> None:
    created = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)

    class Client:
        def describe_stream_summary(self, **_request: str) -> dict[str, Any]:
            return {
                "StreamDescriptionSummary": {
                    "StreamARN": "arn:s",
                    "StreamCreationTimestamp": created,
                }
            }

    assert stream_on(Client()).identity() == StreamIdentity("arn:s", 1767323045678)


def test_the_windows_sink_puts_each_message_under_its_key() -> None:
    client = FakeKinesis()
    WindowsSink(stream_on(client)).send(
        [OutboxMessage(Destination.WINDOWS, f"bucket-{n}", b"%d" % n) for n in range(2)]
    )
    assert [(r["PartitionKey"], r["Data"]) for r in client.requests[0]["Records"]] == [
        ("bucket-0", b"0"),
        ("bucket-1", b"1"),
    ]


@given(
    refusals=st.sets(st.tuples(st.integers(0, 6), st.integers(0, 19)), max_size=60),
    lost=st.sets(st.integers(0, 6), max_size=3),
    n_entries=st.integers(0, 20),
)
def test_whatever_is_refused_everything_is_stored_and_its_position_told(
    refusals: set[tuple[int, int]], lost: set[int], n_entries: int
) -> None:
    gone = ConnectTimeoutError(endpoint_url="http://127.0.0.1:1")
    client = FakeKinesis(
        refuse=lambda call, index: THROTTLED if (call, index) in refusals else None,
        fail=lambda call: gone if call in lost else None,
    )
    texts = [b"%d" % number for number in range(n_entries)]
    positions = stream_on(client, attempts=8).put([StreamEntry(text, "k") for text in texts])
    assert sorted(client.stored) == sorted(texts)
    at = [position.sequence_number - 10**55 - 1 for position in positions]
    assert [client.stored[index] for index in at] == texts
