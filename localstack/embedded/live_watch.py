"""Looks at a live stack each second and shows it: a screen, plain lines or JSON lines."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from enum import StrEnum

from rich.console import Console
from rich.live import Live

from embedded.live_lines import Lines, plain
from embedded.live_reading import LiveFeed, LiveReading
from embedded.live_view import screen
from tidegauge.domain.errors import Transient

POLL_SECONDS = 1.0


class Form(StrEnum):
    """How it is shown."""

    SCREEN = "screen"
    LINES = "lines"
    JSON = "json"


def watch(
    feed: LiveFeed, form: Form, *, size_ms: int, seconds: float | None, hints: Sequence[str] = ()
) -> None:
    """Show a stack until the time is over, or the user interrupts.

    Args:
        feed: Looks at the stack.
        form: How it is shown.
        size_ms: Window length.
        seconds: For how long; None without an end.
        hints: For the foot of the screen.
    """
    try:
        if form is Form.SCREEN:
            _screen(feed, Console(), size_ms=size_ms, seconds=seconds, hints=hints)
        else:
            _lines(feed, form, size_ms=size_ms, seconds=seconds)
    except KeyboardInterrupt:
        return


def _screen(
    feed: LiveFeed,
    console: Console,
    *,
    size_ms: int,
    seconds: float | None,
    hints: Sequence[str],
) -> None:
    with Live(console=console, auto_refresh=False) as live:
        for reading in _readings(feed, seconds):
            live.update(
                screen(reading, size_ms=size_ms, width=console.width, hints=hints), refresh=True
            )


def _lines(feed: LiveFeed, form: Form, *, size_ms: int, seconds: float | None) -> None:
    lines = Lines(size_ms=size_ms)
    for reading in _readings(feed, seconds):
        for told in lines.new(reading):
            text = json.dumps(told) if form is Form.JSON else plain(told)
            sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def _readings(feed: LiveFeed, seconds: float | None) -> Iterator[LiveReading]:
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        try:
            yield feed.read()
        except Transient as error:
            msg = f"{error}; `make live` brings back what is down"
            raise Transient(msg) from error
        left = POLL_SECONDS
        if deadline is not None:
            left = min(left, deadline - time.monotonic())
            if left <= 0:
                return
        time.sleep(left)
