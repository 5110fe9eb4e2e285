"""Tumbling windows of event time, and the arithmetic of stream time against them.

A window is half-open, aligned to the Unix epoch and named by its start. Nothing here knows a clock.
"""

import msgspec

from tidegauge.domain.errors import TidegaugeError

MINUTE_MS = 60_000


class InvalidWindow(TidegaugeError):
    """A window length that is zero or negative."""


class Window(msgspec.Struct, frozen=True, gc=False):
    """A half-open span of event time `[start_ms, end_ms)`, milliseconds since the epoch, UTC."""

    start_ms: int
    end_ms: int


def window_of(event_time_ms: int, *, size_ms: int) -> Window:
    """Return the tumbling window that holds an event time.

    Args:
        event_time_ms: Milliseconds since the Unix epoch, UTC.
        size_ms: Window length, above zero.

    Raises:
        InvalidWindow: `size_ms` is zero or negative.

    >>> window_of(1_000_000, size_ms=300_000)
    Window(start_ms=900000, end_ms=1200000)
    """
    if size_ms <= 0:
        msg = f"a window's size must be above zero, not {size_ms} ms"
        raise InvalidWindow(msg)
    start_ms = event_time_ms - event_time_ms % size_ms
    return Window(start_ms, start_ms + size_ms)


def first_open_window_ms(stream_time_ms: int, *, size_ms: int, lateness_ms: int) -> int:
    """Return the start of the first window that a stream time does not close.

    A stream time closes a window when it has reached the window's end plus the allowed lateness.

    >>> first_open_window_ms(660_000, size_ms=300_000, lateness_ms=60_000)
    600000
    >>> first_open_window_ms(659_999, size_ms=300_000, lateness_ms=60_000)
    300000
    """
    reached_ms = stream_time_ms - lateness_ms
    return reached_ms - reached_ms % size_ms


def closing_time_ms(window_start_ms: int, *, size_ms: int, lateness_ms: int) -> int:
    """Return the least stream time that closes the window starting at `window_start_ms`.

    >>> closing_time_ms(300_000, size_ms=300_000, lateness_ms=60_000)
    660000
    """
    return window_start_ms + size_ms + lateness_ms
