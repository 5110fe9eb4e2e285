"""Moments as people write them on a command line, as milliseconds since the epoch."""

from tidegauge.domain.errors import InvalidInput, Rejected
from tidegauge.domain.event_time import parse_time_ms

_WITHOUT_SECONDS = len("2013-02-08 20:45")
_WITHOUT_ZONE = len("2013-02-08T20:45:00")


def moment_ms(text: str, *, what: str) -> int:
    """Return the milliseconds since the epoch of a moment.

    Takes RFC 3339, and what is shown on a terminal: a day, a minute or a second without a zone is
    in UTC.

    Args:
        text: As it was typed.
        what: Names it in the error.

    Raises:
        InvalidInput: it is no moment; says how to write one.

    >>> moment_ms("2013-02-08 20:45", what="WINDOW") == moment_ms(
    ...     "2013-02-08T21:45:00+01:00", what="WINDOW"
    ... )
    True
    """
    written = text.strip()
    if len(written) == len("2013-02-08"):
        written += "T00:00:00Z"
    elif len(written) in (_WITHOUT_SECONDS, _WITHOUT_SECONDS + 1):
        written = written[:_WITHOUT_SECONDS] + ":00" + (written[_WITHOUT_SECONDS:] or "Z")
    elif len(written) == _WITHOUT_ZONE:
        written += "Z"
    try:
        return parse_time_ms(written)
    except Rejected:
        msg = f"{what} is no time: {text!r}; write it like 2026-02-08T20:45:00Z"
        raise InvalidInput(msg) from None
