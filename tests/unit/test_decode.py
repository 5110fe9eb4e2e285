"""Decoding: any bytes in, events and rejections out."""

import json
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from tidegauge.domain.decode import SeriesBy, decode, event_key, part_at
from tidegauge.domain.errors import Misconfigured
from tidegauge.domain.event import Event, Heartbeat, Rejection, RejectReason
from tidegauge.domain.heartbeat import heartbeat_record

BY_TYPE = SeriesBy()
WHOLE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1",
    "source": "/airport/JFK",
    "type": "flight.departed",
    "time": "2013-02-08T12:00:00Z",
}


ENVELOPE: dict[str, Any] = {
    "version": "0",
    "id": "1",
    "detail-type": "flight.departed",
    "source": "/airport/JFK",
    "account": "123456789012",
    "time": "2013-02-08T12:00:00Z",
    "region": "us-east-1",
    "resources": [],
    "detail": {"country": "US", "code": 5},
}
SAMPLE = Path(__file__).parents[1] / "fixtures" / "payloads" / "eventbridge-envelope.json"


def line(**changes: object) -> bytes:
    fields = {**WHOLE, **changes}
    return json.dumps({k: v for k, v in fields.items() if v is not ...}).encode()


def envelope(**changes: object) -> bytes:
    named = {name.replace("detail_type", "detail-type"): v for name, v in changes.items()}
    fields = {**ENVELOPE, **named}
    return json.dumps({k: v for k, v in fields.items() if v is not ...}).encode()


def reason_of(data: bytes, series_by: SeriesBy = BY_TYPE) -> RejectReason:
    (item,) = decode(data, series_by)
    assert isinstance(item, Rejection)
    assert item.data == data
    return item.reason


def test_an_event_keeps_its_key_series_and_time() -> None:
    assert decode(line(), BY_TYPE) == (
        Event(event_key("/airport/JFK", "1"), "flight.departed", 1_360_324_800_000),
    )


def test_source_and_id_are_told_apart_where_their_joined_text_is_the_same() -> None:
    assert event_key("ab", "c") != event_key("a", "bc")


def test_the_key_is_the_same_on_every_machine() -> None:
    digest = blake2b(b"2:/s2:id", digest_size=8).digest()
    assert event_key("/s", "id") == int.from_bytes(digest, "little") == 12_712_766_563_822_423_985


def test_a_batch_gives_its_events_and_a_rejection_for_each_other_element() -> None:
    items = decode(b"[" + line() + b", 5, " + line(id="2") + b"]", BY_TYPE)
    assert [type(item) for item in items] == [Event, Rejection, Event]
    assert items[1] == Rejection(RejectReason.NOT_AN_EVENT, b"5")


def test_json_lines_give_an_event_a_line_and_keep_the_broken_ones() -> None:
    items = decode(line() + b"\r\n\n{oops\n" + line(id="2") + b"\n", BY_TYPE)
    assert [type(item) for item in items] == [Event, Rejection, Event]
    assert items[1] == Rejection(RejectReason.MALFORMED_JSON, b"{oops")


def test_an_indented_event_is_one_event() -> None:
    data = json.dumps(WHOLE, indent=2).encode()
    assert decode(data, BY_TYPE) == decode(line(), BY_TYPE)


def test_a_broken_object_over_many_lines_is_one_rejection() -> None:
    assert reason_of(b'{\n"id": 1\n"source":\n}') is RejectReason.MALFORMED_JSON


def test_an_empty_batch_holds_nothing() -> None:
    assert decode(b"[]", BY_TYPE) == ()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", RejectReason.EMPTY),
        (b" \n\t ", RejectReason.EMPTY),
        (b"\xf3\x89\x9a\xc2\x0a\x01a", RejectReason.KPL_AGGREGATE),
        (b"{" + b" " * (10 * 1024 * 1024), RejectReason.TOO_LARGE),
        (b"\xff\xfe", RejectReason.NOT_UTF8),
        (line(data="x").replace(b'"x"', b'"\xff"'), RejectReason.NOT_UTF8),
        (b"hello", RejectReason.MALFORMED_JSON),
        (b"[" * 100_000, RejectReason.MALFORMED_JSON),
        (b'{"a":' * 100_000, RejectReason.MALFORMED_JSON),
        (line()[:-1], RejectReason.MALFORMED_JSON),
        (b"null", RejectReason.NOT_AN_EVENT),
        (b'"text"', RejectReason.NOT_AN_EVENT),
        (b"{}", RejectReason.NOT_AN_EVENT),
        (line(specversion="0.3"), RejectReason.NOT_AN_EVENT),
        (line(id=...), RejectReason.MISSING_FIELD),
        (line(time=None), RejectReason.MISSING_FIELD),
        (line(source=""), RejectReason.MISSING_FIELD),
        (line(id=7), RejectReason.WRONG_TYPE),
        (line(time=1360324800), RejectReason.WRONG_TYPE),
        (line(time="yesterday"), RejectReason.BAD_TIME),
        (line(time="2013-02-08T12:00:00"), RejectReason.BAD_TIME),
        (line(time="0001-01-01T00:00:00Z"), RejectReason.BAD_TIME),
        (line(id="\ud800"), RejectReason.LONE_SURROGATE),
        (line(type="\udfff"), RejectReason.LONE_SURROGATE),
        (line(type="t" * 256), RejectReason.SERIES_TOO_LONG),
        (line(type="é" * 128), RejectReason.SERIES_TOO_LONG),
    ],
)
def test_what_is_no_event_is_set_aside_with_the_reason(data: bytes, reason: RejectReason) -> None:
    assert reason_of(data) is reason


def test_a_series_may_fill_its_255_bytes() -> None:
    (item,) = decode(line(type="é" * 127 + "e"), BY_TYPE)
    assert isinstance(item, Event)


def test_several_fields_name_a_series_as_a_json_array() -> None:
    series_by = SeriesBy(("type", "data.country", "data.code"))
    (item,) = decode(line(data={"country": "US", "code": 5}), series_by)
    assert isinstance(item, Event)
    assert item.series == '["flight.departed","US",5]'


@pytest.mark.parametrize("data", [..., None, {}, {"country": None}, "text", [1]])
def test_a_missing_value_has_a_name_of_its_own(data: object) -> None:
    (item,) = decode(line(data=data), SeriesBy(("type", "data.country")))
    assert isinstance(item, Event)
    assert item.series == '["flight.departed","__none__"]'


def test_series_by_names_only_fields_that_events_have() -> None:
    with pytest.raises(Misconfigured, match="country"):
        SeriesBy(("type", "country"))


def test_a_heartbeat_comes_back_as_it_was_built() -> None:
    data = heartbeat_record(source="/c", event_time_ms=60_000, shard_id="s-0", previous=10**128)
    assert decode(data, BY_TYPE) == (Heartbeat("/c", 60_000, "s-0", 10**128),)


def test_a_heartbeat_with_a_crooked_predecessor_is_set_aside() -> None:
    data = heartbeat_record(source="/c", event_time_ms=0, shard_id="s", previous=1)
    assert reason_of(data.replace(b'"1"', b'"-1"')) is RejectReason.WRONG_TYPE
    assert reason_of(data.replace(b'"1"', b'"' + b"9" * 5000 + b'"')) is RejectReason.WRONG_TYPE


def test_the_bytes_of_one_item_can_be_found_again() -> None:
    batch = b"[" + line() + b"," + line(id="2") + b"]"
    assert part_at(batch, 1) == line(id="2")
    assert part_at(line() + b"\n" + line(id="2"), 1) == line(id="2")
    assert part_at(line(), 0) == line()


def test_an_envelope_is_the_event_that_a_cloud_event_of_the_same_words_is() -> None:
    assert decode(envelope(), BY_TYPE) == decode(line(), BY_TYPE)
    series_by = SeriesBy(("type", "data.country", "source", "subject"))
    same = line(data={"country": "US"})
    assert decode(envelope(), series_by) == decode(same, series_by)


def test_the_sample_envelope_is_counted_as_it_lies_there() -> None:
    (item,) = decode(SAMPLE.read_bytes(), SeriesBy(("type", "data.country")))
    assert item == Event(
        event_key("com.shop", "6a7e8feb-b491-4cf7-a9f1-bf3703467718"),
        '["order.paid","NO"]',
        1_772_445_900_000,
    )


def test_where_both_are_said_the_cloud_event_counts() -> None:
    both = {"detail-type": "other", "detail": {}, **WHOLE}
    assert decode(json.dumps(both).encode(), BY_TYPE) == decode(line(), BY_TYPE)
    # and what claims to be one and is none is no envelope either
    assert reason_of(envelope(specversion="1.0")) is RejectReason.MISSING_FIELD
    assert reason_of(envelope(specversion=None)) is RejectReason.MISSING_FIELD
    assert reason_of(envelope(specversion=1, type="t")) is RejectReason.WRONG_TYPE


def test_a_heartbeat_in_an_envelope_is_an_event_like_any_other() -> None:
    beat = envelope(detail_type="tidegauge.heartbeat", detail={"shard": "s", "previous": None})
    (item,) = decode(beat, BY_TYPE)
    assert isinstance(item, Event)
    assert item.series == "tidegauge.heartbeat"


def test_what_else_an_envelope_says_does_not_matter() -> None:
    assert decode(envelope(type=7, subject={}, data="x", version=[]), BY_TYPE) == decode(
        line(), BY_TYPE
    )
    bare = envelope(version=..., account=..., region=..., resources=...)
    assert decode(bare, BY_TYPE) == decode(line(), BY_TYPE)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (envelope(id=...), RejectReason.MISSING_FIELD),
        (envelope(id=""), RejectReason.MISSING_FIELD),
        (envelope(source=None), RejectReason.MISSING_FIELD),
        (envelope(source=""), RejectReason.MISSING_FIELD),
        (envelope(time=...), RejectReason.MISSING_FIELD),
        (envelope(detail=...), RejectReason.MISSING_FIELD),
        (envelope(detail=None), RejectReason.MISSING_FIELD),
        (envelope(detail_type=...), RejectReason.MISSING_FIELD),
        (envelope(detail_type=None), RejectReason.MISSING_FIELD),
        (envelope(detail_type=""), RejectReason.MISSING_FIELD),
        (b'{"detail-type":"t"}', RejectReason.MISSING_FIELD),
        (b'{"detail":{}}', RejectReason.NOT_AN_EVENT),
        (envelope(id=7), RejectReason.WRONG_TYPE),
        (envelope(source=[]), RejectReason.WRONG_TYPE),
        (envelope(detail_type=7), RejectReason.WRONG_TYPE),
        (envelope(time=1360324800), RejectReason.WRONG_TYPE),
        (envelope(detail="text"), RejectReason.WRONG_TYPE),
        (envelope(detail=[{}]), RejectReason.WRONG_TYPE),
        (envelope(time="yesterday"), RejectReason.BAD_TIME),
        (envelope(time="2013-02-08T12:00:00"), RejectReason.BAD_TIME),
        (envelope(id="\ud800"), RejectReason.LONE_SURROGATE),
        (envelope(detail_type="\udfff"), RejectReason.LONE_SURROGATE),
        (envelope(detail_type="t" * 256), RejectReason.SERIES_TOO_LONG),
        (envelope().replace(b'"US"', b'"\xff"'), RejectReason.NOT_UTF8),
        (envelope(detail=None).replace(b"us-east", b"\xff"), RejectReason.NOT_UTF8),
        (envelope()[:-1], RejectReason.MALFORMED_JSON),
        (envelope() + b"}", RejectReason.MALFORMED_JSON),
    ],
)
def test_a_broken_envelope_is_set_aside_with_the_reason(data: bytes, reason: RejectReason) -> None:
    assert reason_of(data) is reason


def test_envelopes_and_cloud_events_may_stand_in_one_record() -> None:
    parts = [line(id="1"), envelope(id="2"), envelope(id=...), envelope(id="3"), line(id="4")]
    for data in (b"[" + b" , ".join(parts) + b"]", b"\n".join(parts) + b"\n"):
        items = decode(data, BY_TYPE)
        assert items == tuple(item for part in parts for item in decode(part, BY_TYPE))
        assert [type(item) for item in items] == [Event, Event, Rejection, Event, Event]
        assert [part_at(data, index) for index in range(len(items))] == parts


def test_an_indented_envelope_is_one_event() -> None:
    data = json.dumps(ENVELOPE, indent=2).encode()
    assert decode(data, BY_TYPE) == decode(line(), BY_TYPE)
