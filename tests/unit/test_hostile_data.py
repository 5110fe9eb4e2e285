"""Data that would outlast a time limit or a memory: it must never fail a batch, nor a verdict."""

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest

from tests.support.judged_worlds import BASE, SIZE, window
from tidegauge.adapters.lambda_event import kinesis_batches
from tidegauge.domain import decode as decoding
from tidegauge.domain.count import Quality
from tidegauge.domain.decode import MAX_NESTING, SeriesBy, decode, part_at
from tidegauge.domain.errors import InvalidInput, Rejected
from tidegauge.domain.event import Event, Rejection, RejectReason
from tidegauge.domain.event_time import EARLIEST_TIME_MS
from tidegauge.domain.fold import CountRules, ShardState, count_batch
from tidegauge.domain.history import CountHistory, feature_rows
from tidegauge.domain.offered import offered_in
from tidegauge.domain.record import DecodedRecord
from tidegauge.steps.predict import read_doorbell

BY_TYPE = SeriesBy()


def event(number: int) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": str(number),
        "source": "/s",
        "type": "t",
        "time": "2001-01-01T00:00:00Z",
    }


def test_a_record_of_thousands_of_old_events_is_split_once_not_once_for_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = json.dumps([event(number) for number in range(500)]).encode()
    record = DecodedRecord(1, None, decode(data, BY_TYPE), data)
    split = decoding._parts  # noqa: SLF001
    calls: list[int] = []

    def counted(data: bytes) -> list[bytes] | None:
        calls.append(len(data))
        return split(data)

    monkeypatch.setattr(decoding, "_parts", counted)
    state = ShardState(stream_time_ms=BASE)
    batch = count_batch(state, [record], {}, CountRules(), shard_id="s-0")
    assert len(batch.quarantined) == 500
    assert json.loads(batch.quarantined[499].data) == event(499)
    assert len(calls) <= 1


@pytest.mark.parametrize(
    "data",
    [b"[" + b"1," * 5_000 + b"1]", json.dumps(event(1)).encode() + b"\n1" * 5_000],
    ids=["array", "lines"],
)
def test_a_record_of_countless_scraps_is_set_aside_as_one(data: bytes) -> None:
    (rejection,) = decode(data, BY_TYPE)
    assert rejection == Rejection(RejectReason.TOO_MANY_PARTS, data)
    assert part_at(data, 0) == data


def test_a_record_of_the_shortest_events_is_counted_however_many_they_are() -> None:
    shortest = (
        b'{"specversion":"1.0","id":"%d","source":"s","type":"t","time":"2001-01-01T00:00:00Z"}'
    )
    data = b"\n".join(shortest % number for number in range(5_000))
    assert all(isinstance(item, Event) for item in decode(data, BY_TYPE))


def announcement(series: str, more: str = "") -> bytes:
    text = json.dumps(
        {
            **event(1),
            "data": {
                "generation": 1,
                "window_start": "",
                "window_end": "",
                "step": "",
                "series": [
                    {"series": "?", "count": 1, "revision": 1, "late": 0, "quality": "complete"}
                ],
            },
        }
    )
    return (text.replace("?", series)[:-1] + more + "}").encode()


@pytest.mark.parametrize(
    "payload",
    [
        announcement("\\ud800"),
        announcement("a", ', "x": ' + "[" * 100_000 + "]" * 100_000),
        b"\xff",
        b"",
    ],
    ids=["lone surrogate", "deep", "no text", "empty"],
)
def test_a_doorbell_that_cannot_be_read_is_rejected(payload: bytes) -> None:
    with pytest.raises(Rejected):
        read_doorbell(payload)


def test_an_event_of_the_year_1000_asks_for_no_memory_for_the_windows_since() -> None:
    ancient = (EARLIEST_TIME_MS - BASE) // SIZE
    items = [
        window(ancient, 1, step=0, quality=Quality.PARTIAL),
        *(window(index, index) for index in range(20)),
    ]
    nothing = feature_rows(_empty(), items[1:], size_ms=SIZE)
    tracemalloc.start()
    found = feature_rows(_empty(), items, size_ms=SIZE)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 20_000_000
    assert found.known.tolist() == [0, *range(20)]
    assert (found.rows[2:] == nothing.rows[1:]).all()  # the first of each knows nothing


def _empty() -> CountHistory:
    return CountHistory(np.array([], dtype=np.int64), np.array([], dtype=np.float64))


@pytest.mark.parametrize("arrival_s", [1545084650.987, 1.001, 1700000000.0])
def test_an_arrival_time_keeps_its_millisecond(arrival_s: float) -> None:
    kinesis = {
        "sequenceNumber": "1",
        "approximateArrivalTimestamp": arrival_s,
        "partitionKey": "k",
        "data": "",
    }
    event = {"Records": [{"eventID": "shardId-0:1", "kinesis": kinesis}]}
    (batch,) = kinesis_batches(event)
    assert batch.records[0].arrival_time_ms == int(f"{arrival_s:.3f}".replace(".", ""))


@pytest.mark.parametrize(
    "wrong",
    [
        {"sequenceNumber": "-5"},
        {"sequenceNumber": "1_0"},
        {"sequenceNumber": "\u0663"},
        {"sequenceNumber": "9" * 5000},
        {"sequenceNumber": 7},
        {"approximateArrivalTimestamp": 10**300},
        {"approximateArrivalTimestamp": float("nan")},
        {"partitionKey": 5},
        {"data": "\ud800"},
    ],
    ids=[
        "below zero", "underscore", "another script's digit", "5,000 digits", "a number",
        "arrived beyond the years", "arrived never", "key", "data",
    ],
)  # fmt: skip
def test_a_record_that_no_kinesis_sends_is_refused_in_a_sentence(wrong: dict[str, Any]) -> None:
    kinesis = {
        "sequenceNumber": "1",
        "approximateArrivalTimestamp": 1.5,
        "partitionKey": "k",
        "data": "",
    }
    event = {"Records": [{"eventID": "s:1", "kinesis": {**kinesis, **wrong}}]}
    with pytest.raises(InvalidInput, match="no event of a Kinesis mapping"):
        kinesis_batches(event)


@pytest.mark.parametrize("unread", [b"1e999", b"9" * 5000], ids=["exponent", "digits"])
def test_an_event_over_several_lines_is_kept_whole_whatever_nobody_reads(unread: bytes) -> None:
    # its second line alone is JSON, and the whole is not to those who read all of it
    data = json.dumps(event(1)).encode()[:-1] + b', "x": [' + unread + b",\n5\n]}"
    assert [type(item) for item in decode(data, BY_TYPE)] == [Event]
    assert part_at(data, 0) == data


def nested(levels: int) -> bytes:
    """Return an event of so many levels, with brackets in a text that count for none."""
    inner = b"[" * (levels - 1) + b"]" * (levels - 1)
    return json.dumps({**event(1), "y": '[{"\\' * 300}).encode()[:-1] + b', "x": ' + inner + b"}"


def at_depth(frames: int, data: bytes) -> tuple[object, ...]:
    return at_depth(frames - 1, data) if frames else decode(data, BY_TYPE)


@pytest.mark.parametrize("levels", [MAX_NESTING, MAX_NESTING + 1, 700, 5_000])
def test_how_deep_an_event_may_be_nested_hangs_on_no_stack_and_no_python(levels: int) -> None:
    data = nested(levels)
    expected = Event if levels <= MAX_NESTING else Rejection
    for frames in (0, 400):
        for items in (at_depth(frames, data), at_depth(frames, b"[" + data + b"]")):
            assert [type(item) for item in items] == [expected]


def test_a_line_of_thousands_of_scraps_is_set_aside_as_one_in_a_file_too() -> None:
    data = b"[" + b"1," * 5_000 + b"1]"
    (offered,) = offered_in(1, data, BY_TYPE)
    assert offered.item == Rejection(RejectReason.TOO_MANY_PARTS, data)
    assert offered.data == data
