"""Incidents: a run of anomalous windows of one series that people hear about once.

Takes judgements in the order of judging, gives the series' latest incident and what, if anything,
people must be told. A pure fold: the same judgements give the same incidents and alerts.
"""

from enum import StrEnum
from hashlib import blake2b

import msgspec

from tidegauge.domain.count import CompletedWindow, Quality
from tidegauge.domain.verdict import Judgement, Verdict


class Severity(StrEnum):
    """How bad it is: `CRITICAL` is silence, or as unusual as two alerts at once."""

    WARNING = "warning"
    CRITICAL = "critical"


class IncidentStatus(StrEnum):
    """Where an incident stands."""

    OPEN = "open"
    CLEARED = "cleared"
    RETRACTED = "retracted"
    EXPIRED = "expired"


class AlertKind(StrEnum):
    """What an alert tells."""

    OPENED = "opened"
    WORSE = "worse"
    CLEARED = "cleared"
    RETRACTED = "retracted"
    EXPIRED = "expired"


class Incident(msgspec.Struct, frozen=True):
    """The latest incident of a series.

    Attributes:
        incident_id: Hash of the series and of the revision that opened it.
        direction: `TOO_LOW` or `TOO_HIGH`, as it opened.
        severity: The worst so far.
        status: Where it stands.
        first_window_ms: Start of the window that opened it.
        last_window_ms: Start of its last anomalous window.
        anomalous_windows: How many of its windows are anomalous, corrections considered.
        clear_run: Normal windows, within their band, since the last anomalous one.
        closed_window_ms: Start of the window that ended it; None while it is open.
    """

    incident_id: str
    direction: Verdict
    severity: Severity
    status: IncidentStatus
    first_window_ms: int
    last_window_ms: int
    anomalous_windows: int = 1
    clear_run: int = 0
    closed_window_ms: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        return self.status is IncidentStatus.OPEN

    def covers(self, window_start_ms: int) -> bool:
        """Return whether a window lies in its span."""
        return self.first_window_ms <= window_start_ms <= self.last_window_ms


class Finding(msgspec.Struct, frozen=True):
    """One judged revision as an incident sees it.

    Attributes:
        window: The revision.
        judgement: What was found.
        was_anomalous: Whether the revision before it had been judged anomalous.
    """

    window: CompletedWindow
    judgement: Judgement
    was_anomalous: bool

    @property
    def is_late(self) -> bool:
        """Whether it belongs to a step after its window: it tells nothing of how things are now."""
        return self.window.window_start_ms < self.window.step_ms


def severity_of(judgement: Judgement, *, alpha: float) -> Severity:
    """Return how bad an anomalous judgement is.

    Args:
        judgement: An anomalous one.
        alpha: The tail probability at which one test alerts.
    """
    silent = judgement.verdict is Verdict.TOO_LOW and judgement.actual == 0
    far_out = judgement.tail_probability <= alpha * alpha
    return Severity.CRITICAL if silent or far_out else Severity.WARNING


def follow(
    incident: Incident | None, finding: Finding, *, clear_windows: int, alpha: float
) -> tuple[Incident | None, AlertKind | None]:
    """Return the series' latest incident after a finding, and what people must be told.

    Args:
        incident: The series' latest incident, open or not; None if it never had one.
        finding: The next in the order of judging.
        clear_windows: Normal windows that end an incident.
        alpha: The tail probability at which one test alerts.
    """
    window, judgement = finding.window, finding.judgement
    if window.quality is Quality.RETIRED:
        if incident is None or not incident.is_open:
            return incident, None
        return _end(incident, IncidentStatus.EXPIRED, window), AlertKind.EXPIRED
    if judgement.anomalous:
        return _anomalous(incident, finding, severity_of(judgement, alpha=alpha))
    if incident is None or not judgement.speaks_against(incident.direction):
        return incident, None
    if finding.is_late:
        return _corrected(incident, finding)
    # Between the band and an alert lies what is not yet normal again: that neither clears nor
    # worsens.
    if not incident.is_open or not judgement.in_band:
        return incident, None
    incident = msgspec.structs.replace(incident, clear_run=incident.clear_run + 1)
    if incident.clear_run < clear_windows:
        return incident, None
    return _end(incident, IncidentStatus.CLEARED, window), AlertKind.CLEARED


def _anomalous(
    incident: Incident | None, finding: Finding, severity: Severity
) -> tuple[Incident, AlertKind | None]:
    start_ms = finding.window.window_start_ms
    if incident is None or not incident.is_open:
        past = incident is not None and incident.status is IncidentStatus.CLEARED
        if incident is not None and past and finding.is_late and incident.covers(start_ms):
            # A window of an incident that is over, counted again: no news.
            return _count(incident, finding), None
        return _open(finding, severity), AlertKind.OPENED
    incident = _count(incident, finding)
    if not finding.is_late:
        incident = msgspec.structs.replace(incident, last_window_ms=start_ms, clear_run=0)
    if severity is Severity.CRITICAL and incident.severity is Severity.WARNING:
        return msgspec.structs.replace(incident, severity=severity), AlertKind.WORSE
    return incident, None


def _count(incident: Incident, finding: Finding) -> Incident:
    outside = finding.is_late and not incident.covers(finding.window.window_start_ms)
    if finding.was_anomalous or outside:
        return incident
    return msgspec.structs.replace(incident, anomalous_windows=incident.anomalous_windows + 1)


def _corrected(incident: Incident, finding: Finding) -> tuple[Incident, AlertKind | None]:
    """Take a window out of an incident that late events have put right."""
    over = incident.status in (IncidentStatus.RETRACTED, IncidentStatus.EXPIRED)
    if over or not finding.was_anomalous or not incident.covers(finding.window.window_start_ms):
        return incident, None
    left = incident.anomalous_windows - 1
    incident = msgspec.structs.replace(incident, anomalous_windows=left)
    if left > 0:
        return incident, None
    return _end(incident, IncidentStatus.RETRACTED, finding.window), AlertKind.RETRACTED


def _open(finding: Finding, severity: Severity) -> Incident:
    window = finding.window
    opened_by = (window.series, window.step_ms, window.window_start_ms, window.revision)
    return Incident(
        incident_id=blake2b(msgspec.json.encode(opened_by), digest_size=8).hexdigest(),
        direction=finding.judgement.verdict,
        severity=severity,
        status=IncidentStatus.OPEN,
        first_window_ms=window.window_start_ms,
        last_window_ms=window.window_start_ms,
    )


def _end(incident: Incident, status: IncidentStatus, window: CompletedWindow) -> Incident:
    return msgspec.structs.replace(incident, status=status, closed_window_ms=window.window_start_ms)
