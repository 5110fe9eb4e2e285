"""Rows of a certificate's queries as the domain has them."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from tidegauge.adapters.mysql.times import from_sql
from tidegauge.domain.alert import Alert
from tidegauge.domain.announcement import read_announcement
from tidegauge.domain.certificate import (
    AlertCertificate,
    Judged,
    RevisionCertificate,
    Sent,
    SetAside,
)
from tidegauge.domain.count import CompletedWindow, Quality
from tidegauge.domain.event_time import format_time
from tidegauge.domain.evidence import Evidence
from tidegauge.domain.incident import Incident, IncidentStatus, Severity
from tidegauge.domain.prediction import Prediction, PredictionStatus
from tidegauge.domain.verdict import Reason, Verdict

# So many of a kind are named.
_NAMED_ITEMS = 3

_Rows = Iterable[Sequence[Any]]


def evidence_of_shards(rows: _Rows) -> tuple[dict[str, Evidence], int | None]:
    """Return evidence by shard, and when the first of it was noted.

    Args:
        rows: In any order, several a shard.
    """
    found: dict[str, Evidence] = {}
    noted: list[int] = []
    for shard_id, first, last, on_time, late, duplicates, noted_at in rows:
        bounds = (None if first is None else int(first), None if last is None else int(last))
        one = Evidence(*bounds, int(on_time), int(late), int(duplicates))
        found[shard_id] = found.get(shard_id, Evidence()) + one
        noted.append(from_sql(noted_at))
    return found, min(noted, default=None)


def revisions_of(
    rows: _Rows, place: tuple[int, str, int], unsent: set[int], *, all_seen: bool
) -> list[RevisionCertificate]:
    """Return revisions with their judgements.

    A message leaves the outbox only once it was sent: what does not wait there was.

    Args:
        rows: In order.
        place: Generation, series and window start.
        unsent: Revisions whose announcements wait.
        all_seen: Whether all messages that wait were looked at.
    """
    found: list[RevisionCertificate] = []
    generation, series, window_start_ms = place
    for revision, step, count, late, quality, *judged in rows:
        window = CompletedWindow(
            generation=generation,
            series=series,
            window_start_ms=window_start_ms,
            revision=revision,
            step_ms=from_sql(step),
            count=count,
            late=late,
            quality=Quality(quality),
        )
        not_seen = Sent.SENT if all_seen else Sent.UNKNOWN
        found.append(
            RevisionCertificate(
                revision=revision,
                step_ms=window.step_ms,
                count=count,
                late=late,
                quality=window.quality,
                announced=Sent.WAITING if revision in unsent else not_seen,
                judged=None if judged[0] is None else _judged(window, judged),
            )
        )
    return found


def _judged(window: CompletedWindow, row: Sequence[Any]) -> Judged:
    status, expected, lower, upper, level, verdict, reason, windows, tail, version, judged_at = row
    prediction = Prediction(
        window=window,
        status=PredictionStatus(status),
        expected=expected,
        lower=lower,
        upper=upper,
        verdict=Verdict(verdict),
        reason=Reason(reason),
        windows_judged=windows,
        tail_probability=tail,
        model_version=version,
    )
    return Judged(prediction, level, from_sql(judged_at))


def waiting_revisions(
    payloads: Iterable[bytes], generation: int, series: str, window_start_ms: int
) -> set[int]:
    """Return the revisions of a series' window that announcements tell."""
    start = format_time(window_start_ms)
    told = (read_announcement(payload) for payload in payloads)
    return {
        one.revision
        for window in told
        if (window.generation, window.window_start) == (generation, start)
        for one in window.series
        if one.series == series
    }


def set_aside_of(rows: _Rows) -> list[SetAside]:
    """Return what was set aside by reason and state, the most frequent first."""
    by_kind: dict[tuple[str, str], list[int]] = {}
    for item_id, reason, state in rows:
        by_kind.setdefault((reason, state), []).append(int(item_id))
    found = [
        SetAside(reason, state, len(ids), tuple(sorted(ids)[:_NAMED_ITEMS]))
        for (reason, state), ids in by_kind.items()
    ]
    return sorted(found, key=lambda one: (-one.count, one.reason, one.state))


def nobodys_ranges(rows: _Rows) -> tuple[list[str], dict[str, Any]]:
    """Return the parts of a condition on sequence numbers, and their values.

    Numbers are kept as text, which has their order among those of one length only: so each length
    from the first number's to the last one's has a part of its own.

    Args:
        rows: Of a window's records: shard, first and last sequence number, several a shard.
    """
    spans: dict[str, tuple[int, int]] = {}
    for shard_id, first, last in rows:
        low, high = spans.get(shard_id, (int(first), int(last)))
        spans[shard_id] = (min(low, int(first)), max(high, int(last)))
    parts: list[str] = []
    values: dict[str, Any] = {}
    for shard_id, (low, high) in spans.items():
        for digits in range(len(str(low)), len(str(high)) + 1):
            n = len(parts)
            values[f"shard_{n}"] = shard_id
            values[f"digits_{n}"] = digits
            values[f"from_{n}"] = str(max(low, 10 ** (digits - 1) if digits > 1 else 0))
            values[f"until_{n}"] = str(min(high, 10**digits - 1))
            parts.append(
                f"generation = %(generation)s AND shard_id = %(shard_{n})s"
                f" AND sequence_number BETWEEN %(from_{n})s AND %(until_{n})s"
                f" AND LENGTH(sequence_number) = %(digits_{n})s"
            )
    return parts, values


def incident_of(rows: _Rows, window_start_ms: int) -> Incident | None:
    """Return an incident if it spans a window."""
    for incident_id, direction, severity, status, first, last, anomalous, run, closed in rows:
        closed_ms = from_sql(closed)
        if closed_ms is None or window_start_ms <= closed_ms:
            return Incident(
                incident_id=incident_id,
                direction=Verdict(direction),
                severity=Severity(severity),
                status=IncidentStatus(status),
                first_window_ms=from_sql(first),
                last_window_ms=from_sql(last),
                anomalous_windows=anomalous,
                clear_run=run,
                closed_window_ms=closed_ms,
            )
    return None


def alerts_of(rows: _Rows, series: str, window_start_ms: int) -> list[AlertCertificate]:
    """Return the alerts that tell of a series' window."""
    start = format_time(window_start_ms)
    found: list[AlertCertificate] = []
    for alert_id, payload, decided, sent in rows:
        alert = msgspec.json.decode(payload, type=Alert)
        if (alert.json["series"], alert.json["window_start"]) == (series, start):
            found.append(
                AlertCertificate(
                    alert_id, alert.json["kind"], alert.subject, from_sql(decided), from_sql(sent)
                )
            )
    return found
