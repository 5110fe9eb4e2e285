"""What a run of the local stack found, as plain data, and the recount that it is held against.

The recount shares no code with Tidegauge on purpose: the standard library's JSON and sets, event by
event.
"""

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class WindowLine:
    """The last revision of one window, and its judgement.

    Attributes:
        start_ms: Start of the window, ms since the epoch.
        count: Distinct events.
        revision: 1 unless late events corrected it.
        quality: As announced.
        verdict: NORMAL, TOO_HIGH, TOO_LOW or NOT_JUDGED.
        expected: Expected count; None where nothing was predicted, like the bounds.
        lower: Lower bound of the prediction interval.
        upper: Upper bound of it.
        reason: Why it was not judged; empty where it was, or is yet to be.
    """

    start_ms: int
    count: int
    revision: int = 1
    quality: str = "complete"
    verdict: str = "NOT_JUDGED"
    expected: float | None = None
    lower: float | None = None
    upper: float | None = None
    reason: str = ""

    @property
    def anomalous(self) -> bool:
        """Whether the window's verdict is too high or too low."""
        return self.verdict in ("TOO_HIGH", "TOO_LOW")


@dataclass(frozen=True, slots=True)
class AlertLine:
    """One alert as a subscriber received it.

    Attributes:
        window_start: RFC 3339 start of the window that raised it.
        kind: opened, worse, cleared, …
        subject: What a phone shows.
    """

    window_start: str
    kind: str
    subject: str


@dataclass(frozen=True, slots=True)
class ModelLine:
    """A model that answered.

    Attributes:
        version: Its name.
        windows: How many windows it was asked about.
        error: Its validation error; None where nobody noted it, like the next two.
        baseline_error: The seasonal baseline's on the same windows.
        until: End of what it was trained on, RFC 3339.
    """

    version: str
    windows: int
    error: float | None = None
    baseline_error: float | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """Counts in MySQL held against the recount.

    Attributes:
        events: Distinct events of the recount.
        windows: Windows compared: all of MySQL's, and those of the recount that MySQL lacks.
        differences: (window start ms, count in MySQL, recounted) where they differ, in order.
    """

    events: int
    windows: int
    differences: Sequence[tuple[int, int, int]] = ()

    @property
    def holds(self) -> bool:
        """Whether every window's counts are equal."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class Report:
    """One run.

    Attributes:
        series: The series that is shown.
        window_ms: Window length.
        windows: All closed windows of the series in order.
        alerts: What the subscribed queue received, in order of window.
        check: The counts against the recount.
        models: The models whose answers the windows were judged by.
        notices: Subjects of what the queue received about models, in order.
        quarantined: Records set aside.
        seconds: Seconds each phase took, in order.
    """

    series: str
    window_ms: int
    windows: Sequence[WindowLine]
    alerts: Sequence[AlertLine]
    check: Check
    models: Sequence[ModelLine] = ()
    notices: Sequence[str] = ()
    quarantined: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)


def recount(fixture: Path, *, window_ms: int) -> dict[int, int]:
    """Count a fixture's distinct events by window, in the plainest way there is.

    Args:
        fixture: One CloudEvent a line, plain or gzipped.
        window_ms: Window length.

    Returns:
        Counts by window start, ms since the epoch; windows without events are missing.
    """
    seen: dict[int, set[tuple[str, str]]] = {}
    with gzip.open(fixture, "rt") if fixture.suffix == ".gz" else fixture.open() as lines:
        for line in lines:
            event = json.loads(line)
            happened = datetime.fromisoformat(event["time"])
            start_ms = int(happened.timestamp()) * 1000 // window_ms * window_ms
            seen.setdefault(start_ms, set()).add((event["source"], event["id"]))
    return {start_ms: len(events) for start_ms, events in seen.items()}


def compare(counted: Mapping[int, int], recounted: Mapping[int, int]) -> Check:
    """Hold counts by window start against a recount; a window missing on one side counts 0."""
    starts = sorted(counted.keys() | recounted.keys())
    pairs = [(start, counted.get(start, 0), recounted.get(start, 0)) for start in starts]
    return Check(
        events=sum(recounted.values()),
        windows=len(starts),
        differences=[pair for pair in pairs if pair[1] != pair[2]],
    )
