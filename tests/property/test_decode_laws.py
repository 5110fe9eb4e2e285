"""Laws of decoding: it never fails, and times come back as they were written."""

import json

from hypothesis import given
from hypothesis import strategies as st

from tidegauge.domain.decode import SeriesBy, decode, part_at
from tidegauge.domain.event import Rejection
from tidegauge.domain.event_time import (
    EARLIEST_TIME_MS,
    LATEST_TIME_MS,
    format_time,
    parse_time_ms,
)

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_NEARLY_EVENTS = st.dictionaries(
    st.sampled_from(
        ["specversion", "id", "source", "type", "time", "data", "subject", "detail-type", "detail"]
    ),
    st.one_of(
        _JSON, st.sampled_from(["1.0", "2013-01-01T00:00:00Z", "tidegauge.heartbeat"]), st.just({})
    ),
)
_SAID = st.fixed_dictionaries(
    {
        "id": st.text(max_size=3) | st.integers(),
        "source": st.text(max_size=3),
        "time": st.sampled_from(["2013-01-01T00:00:00Z", "2013-01-01T01:00:00.5+01:00", "noon", 5]),
    }
)
_TYPES = st.text(max_size=5) | st.integers()
_DATA = st.dictionaries(st.sampled_from("xy"), _JSON, max_size=2)


@given(st.binary() | st.lists(_NEARLY_EVENTS | _JSON).map(lambda v: json.dumps(v).encode()))
def test_any_bytes_decode_and_every_rejection_keeps_its_bytes(data: bytes) -> None:
    for series_by in (SeriesBy(), SeriesBy(("type", "data.x"))):
        for index, item in enumerate(decode(data, series_by)):
            if isinstance(item, Rejection):
                assert item.data in data
                assert part_at(data, index) == item.data


@given(_SAID, _TYPES, _DATA)
def test_an_envelope_is_what_a_cloud_event_of_the_same_words_is(
    said: dict[str, object], type_name: object, data: dict[str, object]
) -> None:
    cloud_event = {"specversion": "1.0", "type": type_name, "data": data, **said}
    envelope = {"detail-type": type_name, "detail": data, **said}
    for series_by in (SeriesBy(), SeriesBy(("type", "data.x.y", "source"))):
        first, second = (
            decode(json.dumps(each).encode(), series_by)[0] for each in (cloud_event, envelope)
        )
        if isinstance(first, Rejection) and isinstance(second, Rejection):
            assert first.reason is second.reason
        else:
            assert first == second


@given(st.lists(_NEARLY_EVENTS, min_size=2), st.booleans())
def test_a_part_is_decoded_as_if_it_stood_alone(
    parts: list[dict[str, object]], lines: bool
) -> None:
    each = [json.dumps(part).encode() for part in parts]
    data = b"\n".join(each) if lines else b"[" + b",".join(each) + b"]"
    items = decode(data, SeriesBy())
    assert items == tuple(item for part in each for item in decode(part, SeriesBy()))
    assert [part_at(data, index) for index in range(len(items))] == each


@given(st.integers(EARLIEST_TIME_MS, LATEST_TIME_MS - 1))
def test_a_time_comes_back_as_it_was_written(time_ms: int) -> None:
    assert parse_time_ms(format_time(time_ms)) == time_ms
