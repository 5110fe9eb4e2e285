"""Times and series as MySQL holds them: DATETIME(3) in UTC, VARBINARY."""

from datetime import datetime, timedelta
from functools import lru_cache
from typing import overload

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - DATETIME has no zone; the session's is UTC
BEFORE_ALL = datetime(1000, 1, 1)  # noqa: DTZ001 - the first that DATETIME is sure to hold
_MILLISECOND = timedelta(milliseconds=1)


@overload
def to_sql(time_ms: int) -> datetime: ...
@overload
def to_sql(time_ms: int | None) -> datetime | None: ...
def to_sql(time_ms: int | None) -> datetime | None:
    """Return ms since the epoch as DATETIME(3) in UTC; None stays None."""
    return None if time_ms is None else _EPOCH + time_ms * _MILLISECOND


@lru_cache(maxsize=4096)
def to_text(time_ms: int) -> str:
    """Return what `to_sql` does as text, for statements of many rows of few times.

    The driver takes longer over one datetime than over all else of a partial count.

    >>> to_text(1_700_000_100_000)
    '2023-11-14 22:15:00.000'
    """
    return to_sql(time_ms).isoformat(" ", "milliseconds")


@overload
def from_sql(moment: datetime) -> int: ...
@overload
def from_sql(moment: datetime | None) -> int | None: ...
def from_sql(moment: datetime | None) -> int | None:
    """Return a DATETIME(3) in UTC as ms since the epoch; None stays None."""
    return None if moment is None else (moment - _EPOCH) // _MILLISECOND
