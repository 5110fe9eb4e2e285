"""The season of a simulated rate: a factor by time of day and day of week, UTC.

Smooth everywhere, so that what jumps is a fault and never the season; its mean over a week is 1.
"""

import math

_MINUTE_MS = 60_000
_DAY_MS = 86_400_000
_HOUR = 1 / 24
_MONDAY = 4  # the epoch began on a Thursday; 5 January 1970 was a Monday
_PEAK_DAYS = 15 * _HOUR
_TURN_DAYS = 3 * _HOUR  # how long before and after midnight the week turns to its end and back
_WEEKEND_LOSS = 0.5
# What `season_at` gives at most.
MAX_SEASON = 2.0 / (1 - _WEEKEND_LOSS * 2 / 7)


def season_at(time_ms: int, strength: float) -> float:
    """Return what a mean rate is multiplied by at a moment.

    Args:
        time_ms: Ms since the epoch, UTC.
        strength: 0 for an even rate; 1 for none at all at 3:00 and half as much at weekends.

    >>> season_at(12345678, 0.0)
    1.0
    """
    if not strength:
        return 1.0
    days = time_ms / _DAY_MS
    of_day = 1 + strength * math.cos(2 * math.pi * (days - _PEAK_DAYS))
    loss = strength * _WEEKEND_LOSS
    of_week = (1 - loss * _weekend((days - _MONDAY) % 7)) / (1 - loss * 2 / 7)
    return of_day * of_week


def _weekend(day: float) -> float:
    """Return how much of a weekend a moment is, 0 to 1; `day` counts from Monday, 0:00."""
    from_middle = abs((day - 6 + 3.5) % 7 - 3.5)  # Sunday 0:00 is the middle
    return 1 - _smooth((from_middle - 1 + _TURN_DAYS) / (2 * _TURN_DAYS))


def _smooth(x: float) -> float:
    """Return a rise from 0 at 0 to 1 at 1 without a corner."""
    x = min(1.0, max(0.0, x))
    return x * x * (3 - 2 * x)
