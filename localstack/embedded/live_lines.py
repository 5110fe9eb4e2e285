"""A live stack as lines: one a change of state, announced window and alert, for people or programs.

Takes readings one after the other, gives what is new in each.
"""

from collections.abc import Iterator
from typing import Any

from embedded.live_reading import LiveReading
from embedded.report import AlertLine, WindowLine
from tidegauge.domain.event_time import format_time
from tidegauge.domain.health_words import lines_of

_Key = tuple[str, int, int]


class Lines:
    """Gives what is new of each reading as plain data.

    A window is told once it is judged, or once a second reading finds it announced and unjudged.
    """

    def __init__(self, *, size_ms: int) -> None:
        self._size_ms = size_ms
        self._told: set[_Key] = set()
        self._waiting: set[_Key] = set()
        self._states: list[str] = []

    def new(self, reading: LiveReading) -> Iterator[dict[str, Any]]:
        """Yield a state, windows and alerts, each with its `kind`, in that order."""
        yield from self._new_states(reading)
        waited, self._waiting = self._waiting, set()
        shown: set[_Key] = set()
        for series, line in reading.announced:
            key = (series, line.start_ms, line.revision)
            shown.add(key)
            if key in self._told:
                continue
            if line.verdict or key in waited:
                self._told.add(key)
                yield self._window(series, line)
            else:
                self._waiting.add(key)
        self._told &= shown  # the rest is too old to be read again
        for alert in reading.new_alerts:
            yield _alert(alert)

    def _new_states(self, reading: LiveReading) -> Iterator[dict[str, Any]]:
        health = reading.health
        states = ["waiting"] if health is None else [state.value for state in health.states]
        if states == self._states:
            return
        self._states = states
        told: dict[str, Any] = {"kind": "state", "states": states}
        if health is not None:
            told["at"] = format_time(reading.now_ms)
            told["watermark_lag_ms"] = health.lag_ms
            told["silent"] = [silence.series for silence in health.silent]
            told["because"] = [line.says for line in lines_of(health)]
        yield told

    def _window(self, series: str, line: WindowLine) -> dict[str, Any]:
        return {
            "kind": "window",
            "series": series,
            "window_start": format_time(line.start_ms),
            "window_end": format_time(line.start_ms + self._size_ms),
            "count": line.count,
            "revision": line.revision,
            "quality": line.quality,
            "expected": line.expected,
            "lower": line.lower,
            "upper": line.upper,
            "verdict": line.verdict or None,
            "reason": line.reason or None,
        }


def _alert(alert: AlertLine) -> dict[str, Any]:
    return {
        "kind": "alert",
        "alert": alert.kind,
        "window_start": alert.window_start,
        "subject": alert.subject,
    }


def plain(told: dict[str, Any]) -> str:
    """Return one line for people."""
    match told["kind"]:
        case "state":
            because = "; ".join(told.get("because", ()))
            states = ", ".join(told["states"])
            return f"state   {states}{': ' if because else ''}{because}"
        case "alert":
            return f"alert   {told['window_start'][11:19]} {told['alert']}: {told['subject']}"
    verdict = told["verdict"] or "not judged yet"
    verdict = verdict.lower().replace("_", " ")
    if told["reason"]:
        verdict = f"{verdict} ({told['reason']})"
    band = ""
    if told["lower"] is not None and told["upper"] is not None:
        band = f", expected {told['lower']:,.0f} to {told['upper']:,.0f}"
    revised = "" if told["revision"] == 1 else f", revision {told['revision']}"
    quality = "" if told["quality"] == "complete" else f", {told['quality']}"
    at = told["window_start"][11:19]
    return f"window  {at} {told['series']}: {told['count']:,}{band}, {verdict}{quality}{revised}"
