"""Alerts: what a person receives, short enough for a phone and complete enough to act on.

Takes an incident, the finding that changed it and its expected band; gives subject, text, JSON and
attributes. The id is a hash of what the alert says, so a redelivery is recognisable.
"""

from hashlib import blake2b
from typing import Any, Final

import msgspec

from tidegauge.domain.event_time import format_time
from tidegauge.domain.incident import AlertKind, Finding, Incident, Severity
from tidegauge.domain.verdict import Judgement, Verdict

# SNS takes subjects of printable ASCII below 100 characters.
SUBJECT_CHARACTERS: Final = 99
_SERIES_CHARACTERS: Final = 48

# The `kind` of an alert that tells of nothing.
TEST_KIND: Final = "test"


class Alert(msgspec.Struct, frozen=True):
    """One alert, ready to send.

    Attributes:
        id: Hash of `json`.
        subject: Printable ASCII, below 100 characters.
        text: For people.
        json: For programs.
        attributes: To filter by: series, direction, severity, kind.
    """

    id: str
    subject: str
    text: str
    json: dict[str, Any]
    attributes: dict[str, str]


def alert_of(
    kind: AlertKind, incident: Incident, finding: Finding, *, size_ms: int, dashboard_url: str
) -> Alert:
    """Return the alert that tells of a change of an incident.

    Args:
        kind: What changed.
        incident: The incident after the change.
        finding: The judged revision that changed it.
        size_ms: Window length.
        dashboard_url: Linked if not empty.
    """
    window, judgement = finding.window, finding.judgement
    end_ms = window.window_start_ms + size_ms
    direction = "low" if incident.direction is Verdict.TOO_LOW else "high"
    body: dict[str, Any] = {
        "kind": kind.value,
        "series": window.series,
        "direction": direction,
        "severity": incident.severity.value,
        "incident": incident.incident_id,
        "since": format_time(incident.first_window_ms),
        "window_start": format_time(window.window_start_ms),
        "window_end": format_time(end_ms),
        "revision": window.revision,
        "span_start": format_time(end_ms - max(1, judgement.windows) * size_ms),
        "windows": judgement.windows,
        "actual": round(judgement.actual) if judgement.windows else window.count,
        "expected": round(judgement.expected, 3),
        "lower": judgement.lower,
        "upper": judgement.upper,
        "tail_probability": float(f"{judgement.tail_probability:.3e}"),
        "anomalous_windows": incident.anomalous_windows,
    }
    subject = _subject(kind, incident, finding, size_ms)
    return Alert(
        id=blake2b(msgspec.json.encode(body), digest_size=16).hexdigest(),
        subject=subject,
        text=_text(subject, kind, body, judgement, dashboard_url),
        json=body,
        attributes={
            "series": window.series,
            "direction": direction,
            "severity": incident.severity.value,
            "kind": kind.value,
        },
    )


def trial_alert(
    series: str, direction: str, severity: Severity, *, at_ms: int, nonce: str
) -> Alert:
    """Return an alert that says it is a test, with the attributes and fields of a real one.

    Args:
        series: As a real one would bear it, so that filter policies can be tried; so are the next.
        direction: `low` or `high`.
        severity: How bad.
        at_ms: When it is sent, ms since the epoch.
        nonce: Makes its id its own.
    """
    at = format_time(at_ms)
    attributes = {
        "series": series,
        "direction": direction,
        "severity": severity.value,
        "kind": TEST_KIND,
    }
    body: dict[str, Any] = {
        **attributes,
        "test": nonce,
        "incident": "",
        **dict.fromkeys(("since", "window_start", "window_end", "span_start"), at),
        **dict.fromkeys(("revision", "windows", "actual", "anomalous_windows"), 0),
        **dict.fromkeys(("expected", "lower", "upper"), 0.0),
        "tail_probability": 1.0,
    }
    name = printable(series, _SERIES_CHARACTERS)
    subject = printable(f"TEST, nothing is wrong: {name}", SUBJECT_CHARACTERS)
    lines = [
        "This is a test of Tidegauge's alerts. Nothing is wrong, and nothing has to be done.",
        "",
        f"Sent      {at}",
        f"Would be  {severity.value}, too {direction}, series {series}",
        f"Test      {nonce}",
    ]
    return Alert(
        id=blake2b(msgspec.json.encode(body), digest_size=16).hexdigest(),
        subject=subject,
        text="\n".join(lines) + "\n",
        json=body,
        attributes=attributes,
    )


def _subject(kind: AlertKind, incident: Incident, finding: Finding, size_ms: int) -> str:
    window, judgement = finding.window, finding.judgement
    span = duration(max(1, judgement.windows) * size_ms)
    match kind:
        case AlertKind.OPENED | AlertKind.WORSE:
            what = _finding_words(judgement, span)
            what = f"worse: {what}" if kind is AlertKind.WORSE else what
        case AlertKind.CLEARED:
            length = incident.last_window_ms + size_ms - incident.first_window_ms
            what = f"back to normal after {duration(length)}"
        case AlertKind.RETRACTED:
            what = "alert withdrawn, late events put the count right"
        case AlertKind.EXPIRED:
            what = "no longer watched, silent for too long"
    subject = f"{printable(window.series, _SERIES_CHARACTERS)}: {what}"
    return printable(subject, SUBJECT_CHARACTERS)


def _finding_words(judgement: Judgement, span: str) -> str:
    if judgement.verdict is Verdict.TOO_LOW and judgement.actual == 0:
        return f"silent for {span}, {_number(judgement.expected)} expected"
    few = "too few" if judgement.verdict is Verdict.TOO_LOW else "too many"
    actual, expected = _number(judgement.actual), _number(judgement.expected)
    return f"{few}, {actual} in {span}, {expected} expected"


def _text(
    subject: str, kind: AlertKind, body: dict[str, Any], judgement: Judgement, dashboard_url: str
) -> str:
    lines = [
        subject,
        "",
        f"What      {kind.value} ({body['severity']}), series {body['series']}",
        f"When      {body['span_start']} to {body['window_end']}, incident since {body['since']}",
    ]
    if judgement.windows:
        band = f"{_number(judgement.lower)} to {_number(judgement.upper)}"
        lines += [
            f"Actual    {_number(judgement.actual)}",
            f"Expected  {_number(judgement.expected)} (usually {band})",
        ]
        if judgement.anomalous:
            lines.append(f"Unusual   {odds(judgement.tail_probability)}")
    else:
        lines.append(f"Actual    {body['actual']}")
    lines.append(f"Incident  {body['incident']}")
    if dashboard_url:
        lines.append(f"See       {dashboard_url}")
    return "\n".join(lines) + "\n"


def duration(span_ms: int) -> str:
    """Return a span in the largest units that say it, for people.

    >>> duration(1_800_000), duration(73_800_000), duration(20_000)
    ('30 min', '20 h 30 min', '20 s')
    """
    seconds = span_ms // 1000
    parts: list[str] = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        number, seconds = divmod(seconds, length)
        if number:
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2]) or f"{span_ms} ms"


def odds(probability: float) -> str:
    """Return a tail probability in words.

    >>> odds(2.7e-06)
    'normal noise does this about once in 370,000 windows'
    """
    if probability <= 1e-12:
        return "normal noise does this less than once in 10^12 windows"
    times = 1.0 / probability
    rounded = float(f"{times:.2g}")
    return f"normal noise does this about once in {rounded:,.0f} windows"


def _number(value: float) -> str:
    """Return a count for people: whole where it is whole or large, else one decimal."""
    return f"{value:,.0f}" if value == round(value) or value >= 10.0 else f"{value:.1f}"


def printable(text: str, limit: int) -> str:
    """Return a text in ASCII that fits a line of some characters.

    >>> printable("prêt à partir", 10)
    'pr?t ? ...'
    """
    plain = "".join(c if " " <= c <= "~" else "?" for c in text)
    return plain if len(plain) <= limit else plain[: limit - 3] + "..."
