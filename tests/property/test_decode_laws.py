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
    st.sampled_from(["specversion", "id", "source", "type", "time", "data", "subject"]),
    st.one_of(_JSON, st.sampled_from(["1.0", "2013-01-01T00:00:00Z", "tidegauge.heartbeat"])),
)


@given(st.binary() | st.lists(_NEARLY_EVENTS | _JSON).map(lambda v: json.dumps(v).encode()))
def test_any_bytes_decode_and_every_rejection_keeps_its_bytes(data: bytes) -> None:
    for series_by in (SeriesBy(), SeriesBy(("type", "data.x"))):
        for index, item in enumerate(decode(data, series_by)):
            if isinstance(item, Rejection):
                assert item.data in data
                assert part_at(data, index) == item.data


@given(st.integers(EARLIEST_TIME_MS, LATEST_TIME_MS - 1))
def test_a_time_comes_back_as_it_was_written(time_ms: int) -> None:
    assert parse_time_ms(format_time(time_ms)) == time_ms
