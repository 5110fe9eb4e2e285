"""RFC 3339 times as integer milliseconds, and back.

Fractions are truncated, never rounded: rounding would move an event of 10:04:59.9996 into the next
window. `:60` is the next second, as clocks with leap seconds write it.
"""

import re
from datetime import UTC, datetime, timedelta

from tidegauge.domain.errors import Rejected
from tidegauge.domain.event import RejectReason

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))",
    re.ASCII,
)
_LEAP_SECOND = 60

# What DATETIME holds in MySQL, less what a window of a week and its lateness reach beyond an event.
EARLIEST_TIME_MS = (datetime(1000, 1, 10, tzinfo=UTC) - _EPOCH) // _MILLISECOND
LATEST_TIME_MS = (datetime(9999, 12, 22, tzinfo=UTC) - _EPOCH) // _MILLISECOND

_CACHED_MINUTES = 4096
_minutes: dict[str, int] = {}


def parse_time_ms(text: str) -> int:
    """Return the milliseconds since the epoch of an RFC 3339 time with offset.

    Raises:
        Rejected: it is no such time, or could not be stored (`EARLIEST_TIME_MS`, `LATEST_TIME_MS`).

    >>> parse_time_ms("1970-01-01T01:00:00.0019999+01:00")
    1
    >>> parse_time_ms("2016-12-31T23:59:60Z") == parse_time_ms("2017-01-01T00:00:00Z")
    True
    """
    # Streams repeat their minutes: a minute is parsed once, seconds and fraction by hand.
    minute_ms = _minutes.get(text[:17])
    seconds = text[17:19]
    if minute_ms is None or text[-1] != "Z" or not (text.isascii() and seconds.isdecimal()):
        return _parse_slowly(text)
    fraction = text[19:-1]
    if len(seconds) != 2 or seconds >= "60":
        return _parse_slowly(text)
    if not fraction:
        return minute_ms + int(seconds) * 1000
    if fraction[0] != "." or not fraction[1:].isdecimal():
        return _parse_slowly(text)
    return minute_ms + int(seconds) * 1000 + int(fraction[1:4].ljust(3, "0"))


def _parse_slowly(text: str) -> int:
    found = _TIME.fullmatch(text)
    if found is None:
        raise Rejected(RejectReason.BAD_TIME)
    year, month, day, hour, minute, second, fraction, sign, off_hour, off_minute = found.groups()
    leap = int(second) == _LEAP_SECOND
    try:
        moment = datetime(
            int(year), int(month), int(day), int(hour), int(minute), 59 if leap else int(second),
            tzinfo=UTC,
        )  # fmt: skip
    except ValueError:
        raise Rejected(RejectReason.BAD_TIME) from None
    second_ms = (moment - _EPOCH) // _MILLISECOND + (1000 if leap else 0)
    if sign:
        if int(off_hour) > 23 or int(off_minute) > 59:
            raise Rejected(RejectReason.BAD_TIME)
        offset_ms = (int(off_hour) * 60 + int(off_minute)) * 60_000
        second_ms += -offset_ms if sign == "+" else offset_ms
    # Both lie at a whole minute, so that what is known of a minute holds for all its seconds.
    if not EARLIEST_TIME_MS <= second_ms < LATEST_TIME_MS:
        raise Rejected(RejectReason.BAD_TIME)
    if not (sign or leap) and text[10] == "T" and text[-1] == "Z":
        if len(_minutes) >= _CACHED_MINUTES:
            _minutes.clear()
        _minutes[text[:17]] = second_ms - int(second) * 1000
    return second_ms + int((fraction or "0")[:3].ljust(3, "0"))


def format_time(time_ms: int) -> str:
    """Return a time as RFC 3339 in UTC with `Z`, with milliseconds only where there are any.

    >>> format_time(1360339500000)
    '2013-02-08T16:05:00Z'
    """
    moment = _EPOCH + time_ms * _MILLISECOND
    text = moment.isoformat(timespec="milliseconds" if time_ms % 1000 else "seconds")
    return text.removesuffix("+00:00") + "Z"
