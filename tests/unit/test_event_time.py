"""Event times: RFC 3339 in, milliseconds out, truncated."""

import pytest

from tidegauge.domain.errors import Rejected
from tidegauge.domain.event_time import format_time, parse_time_ms

NOON = 1_360_324_800_000  # 2013-02-08T12:00:00Z


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("2013-02-08T12:00:00Z", NOON),
        ("2013-02-08t12:00:00z", NOON),
        ("2013-02-08 12:00:00Z", NOON),
        ("2013-02-08T12:00:00-00:00", NOON),
        ("2013-02-08T17:30:00+05:30", NOON),
        ("2013-02-08T07:00:00-05:00", NOON),
        ("2013-02-08T11:59:60Z", NOON),
        ("2013-02-08T12:00:00.1Z", NOON + 100),
        ("2013-02-08T12:00:00.123456789Z", NOON + 123),
        ("2013-02-08T12:00:00.9999999999Z", NOON + 999),
        ("2013-02-08T12:00:00.0009Z", NOON),
        ("1969-12-31T23:59:59.9999Z", -1),
    ],
)
def test_a_legal_time_is_read_and_truncated(text: str, time_ms: int) -> None:
    assert parse_time_ms(text) == time_ms
    assert parse_time_ms(text) == time_ms  # now from the cache


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2013-02-08",
        "2013-02-08T12:00:00",
        "2013-02-08T12:00Z",
        "2013-02-30T12:00:00Z",
        "2013-02-08T24:00:00Z",
        "2013-02-08T12:60:00Z",
        "2013-02-08T12:00:61Z",
        "2013-02-08T12:00:00.Z",
        "2013-02-08T12:00:00,5Z",
        "2013-02-08T12:00:00+24:00",
        "2013-02-08T12:00:00+0500",
        "٢013-02-08T12:00:00Z",
        "2013-02-08T12:00:00.٣Z",
        "2013-02-08T12:00:00Z ",
        "0999-12-31T23:59:59Z",
        "9999-12-31T23:59:59Z",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    parse_time_ms("2013-02-08T12:00:00Z")  # a warm cache must not let it through
    with pytest.raises(Rejected, match="bad_time"):
        parse_time_ms(text)


def test_times_are_written_with_z_and_milliseconds_only_where_there_are_any() -> None:
    assert format_time(NOON) == "2013-02-08T12:00:00Z"
    assert format_time(NOON + 5) == "2013-02-08T12:00:00.005Z"
    assert format_time(-1) == "1969-12-31T23:59:59.999Z"


@pytest.mark.parametrize(
    ("legal", "beyond"),
    [
        ("9999-12-21T23:59:00Z", "9999-12-22T00:00:30Z"),
        ("1000-01-10T00:00:00Z", "1000-01-09T23:59:30Z"),
        ("1000-01-09T23:59:60Z", "1000-01-09T23:59:30Z"),
    ],
)
def test_what_was_read_before_moves_no_border(legal: str, beyond: str) -> None:
    parse_time_ms(legal)
    with pytest.raises(Rejected):
        parse_time_ms(beyond)
