"""Moments as tests write them, as milliseconds and back."""

from datetime import UTC, datetime, timedelta

from tidegauge.domain.errors import InvalidInput, Rejected
from tidegauge.domain.event_time import parse_time_ms

Moment = str | datetime
"""RFC 3339 with an offset, such as `2026-02-02T12:00:00Z`, or a datetime with a time zone."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def moment_ms(moment: Moment) -> int:
    """Return a moment as milliseconds since the epoch, truncated.

    Raises:
        InvalidInput: it is no such moment.

    >>> moment_ms("2026-02-02T12:00:00Z") == moment_ms(datetime(2026, 2, 2, 12, tzinfo=UTC))
    True
    """
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            msg = f"{moment!r} has no time zone: give it one, such as tzinfo=UTC"
            raise InvalidInput(msg)
        return (moment - _EPOCH) // _MILLISECOND
    try:
        return parse_time_ms(moment)
    except (Rejected, TypeError) as error:
        msg = f"{moment!r} is no time with an offset: write it as 2026-02-02T12:00:00Z"
        raise InvalidInput(msg) from error


def moment_of(time_ms: int) -> datetime:
    """Return milliseconds since the epoch as a datetime in UTC."""
    return _EPOCH + time_ms * _MILLISECOND


def duration_ms(span: timedelta) -> int:
    """Return a span in milliseconds, truncated."""
    return span // _MILLISECOND
