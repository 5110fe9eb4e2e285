"""What a test sees of a pipeline: windows and alerts as values that read well when they differ."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from tidegauge.domain.alert import Alert
from tidegauge.domain.count import CompletedWindow, Quality
from tidegauge.domain.event_time import format_time
from tidegauge.domain.verdict import Reason, Verdict
from tidegauge.testing.moments import moment_ms, moment_of

if TYPE_CHECKING:
    from tidegauge.domain.prediction import Prediction


class JudgedWindow(msgspec.Struct, frozen=True):
    """One announced revision of one window of one series, and how it was judged.

    Attributes:
        series: The series.
        start: Start of the window, UTC.
        end: Its end, which is no part of it.
        count: Distinct events, late ones included.
        late: How many of them came after the window had closed.
        revision: 1 when the window closed, one more for each closing that brought late events.
        quality: How far the count can be trusted: `complete`, `partial`, `gap` and so on.
        verdict: `NORMAL`, `TOO_HIGH`, `TOO_LOW` or `NOT_JUDGED`.
        reason: Why it was not judged; empty where it was.
        expected: The count that was expected; None where none was.
        lower: Lower bound of the band that counts usually lie in; None where there is none.
        upper: Upper bound of it.
    """

    series: str
    start: datetime
    end: datetime
    count: int
    late: int
    revision: int
    quality: Quality
    verdict: Verdict
    reason: Reason
    expected: float | None
    lower: float | None
    upper: float | None

    def __repr__(self) -> str:
        return f"<{self.series} {self}>"

    def __str__(self) -> str:
        told = [f"{format_time(moment_ms(self.start))}: {self.count}"]
        if self.late:
            told.append(f"({self.late} late)")
        if self.revision > 1:
            told.append(f"revision {self.revision}")
        told.append(f"{self.verdict} ({self.reason})" if self.reason else self.verdict)
        if self.expected is not None:
            told.append(f"expected {self.expected:.1f}")
        if self.lower is not None and self.upper is not None:
            told.append(f"usually {self.lower:.0f} to {self.upper:.0f}")
        if self.quality is not Quality.COMPLETE:
            told.append(self.quality)
        return " ".join(told)


class SentAlert(msgspec.Struct, frozen=True):
    """An alert as people and programs get it.

    Attributes:
        kind: `opened`, `worse`, `cleared`, `retracted` or `expired`.
        series: The series.
        direction: `low` or `high`.
        severity: `warning` or `critical`.
        subject: Printable ASCII, below 100 characters.
        text: For people.
        json: For programs.
    """

    kind: str
    series: str
    direction: str
    severity: str
    subject: str
    text: str
    json: dict[str, Any]

    def __repr__(self) -> str:
        return f"<{self.kind}, {self.severity}: {self.subject}>"


def judged_window(
    row: CompletedWindow, prediction: "Prediction | None", *, size_ms: int
) -> JudgedWindow:
    """Return a revision as a test sees it.

    Args:
        row: The revision.
        prediction: How it was judged; None where nothing is judged.
        size_ms: Window length.
    """
    start_ms = row.window_start_ms
    return JudgedWindow(
        series=row.series,
        start=moment_of(start_ms),
        end=moment_of(start_ms + size_ms),
        count=row.count,
        late=row.late,
        revision=row.revision,
        quality=row.quality,
        verdict=prediction.verdict if prediction else Verdict.NOT_JUDGED,
        reason=prediction.reason if prediction else Reason.NO_MODEL,
        expected=prediction.expected if prediction else None,
        lower=prediction.lower if prediction else None,
        upper=prediction.upper if prediction else None,
    )


def sent_alert(alert: Alert) -> SentAlert:
    """Return an alert as a test sees it."""
    of = alert.attributes
    return SentAlert(
        kind=of["kind"],
        series=of["series"],
        direction=of["direction"],
        severity=of["severity"],
        subject=alert.subject,
        text=alert.text,
        json=alert.json,
    )
