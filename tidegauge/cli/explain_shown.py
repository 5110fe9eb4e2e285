"""A window's certificate as people read it on a terminal, and as JSON has it."""

from collections.abc import Iterator, Sequence
from typing import Any

import typer

from tidegauge.cli.terminal_text import terminal_text
from tidegauge.domain.certificate import (
    MANY,
    AlertCertificate,
    Certificate,
    Judged,
    RevisionCertificate,
    SetAside,
    ShardCertificate,
)
from tidegauge.domain.certificate_words import (
    announced_words,
    check_words,
    judged_words,
    shard_words,
    standing_words,
)
from tidegauge.domain.event_time import format_time
from tidegauge.domain.evidence import Evidence
from tidegauge.domain.incident import Incident

_NOTHING = Evidence()
_SHOWN_SHARDS = 20
_SHOWN_GAPS = 5


def told_of(told: Certificate, *, stream: str) -> dict[str, object]:
    """Return a certificate as JSON has it: RFC 3339 in UTC, sequence numbers as texts."""
    last = told.told
    return {
        "stream": stream,
        "generation": told.generation.number,
        "other_generations": list(told.generation.others),
        "series": told.series,
        "window_start": format_time(told.window_start_ms),
        "window_end": format_time(told.window_end_ms),
        "closing_time": format_time(told.closing_ms),
        "standing": told.standing.value,
        "says": standing_words(told),
        "count": None if last is None else last.count,
        "late": None if last is None else last.late,
        "quality": None if last is None else last.quality.value,
        "check": {
            "result": told.check.value,
            "says": check_words(told),
            "counted_by_shards": told.sum.counted,
            "told": None if last is None else last.count,
            "to_be_told": told.untold,
        },
        "duplicates": told.sum.duplicates,
        "held_back_by": [shard.shard_id for shard in _holding(told)],
        "shards": [_shard_told(shard, told.closing_ms) for shard in told.shards],
        "shards_without_part": told.shards_beside,
        "gaps": [
            {
                "from": format_time(gap.from_ms),
                "until": format_time(gap.until_ms),
                "reason": gap.reason,
                "shard": gap.shard_id or None,
            }
            for gap in told.gaps
        ],
        "quarantined": [_set_aside_told(one) for one in told.set_aside],
        "quarantined_of_no_series": [_set_aside_told(one) for one in told.nobodys],
        "revisions": [_revision_told(one) for one in told.revisions],
        "incident": None if told.incident is None else _incident_told(told.incident),
        "alerts": [_alert_told(alert) for alert in told.alerts],
    }


def _holding(told: Certificate) -> Sequence[ShardCertificate]:
    return [] if told.closed else told.holding_back


def _shard_told(shard: ShardCertificate, closing_ms: int) -> dict[str, Any]:
    evidence = shard.evidence or _NOTHING
    return {
        "shard": shard.shard_id,
        "parents": list(shard.parent_ids),
        "drained": shard.drained,
        "waiting": shard.waiting,
        "stream_time": _time(shard.stream_time_ms),
        "passed_closing_time": shard.closes_ms is not None and shard.closes_ms >= closing_ms,
        "first_sequence_number": _number(evidence.first_sequence),
        "last_sequence_number": _number(evidence.last_sequence),
        "on_time": evidence.on_time,
        "late": evidence.late,
        "duplicates": evidence.duplicates,
    }


def _set_aside_told(one: SetAside) -> dict[str, Any]:
    return {
        "reason": one.reason,
        "state": one.state,
        "count": one.count,
        "ids": list(one.item_ids),
    }


def _revision_told(one: RevisionCertificate) -> dict[str, Any]:
    return {
        "revision": one.revision,
        "step": format_time(one.step_ms),
        "count": one.count,
        "late": one.late,
        "quality": one.quality.value,
        "announcement": one.announced.value,
        "judgement": None if one.judged is None else _judged_told(one.judged),
    }


def _judged_told(judged: Judged) -> dict[str, Any]:
    found = judged.prediction
    return {
        "status": found.status.value,
        "verdict": found.verdict.value,
        "reason": found.reason.value,
        "expected": found.expected,
        "lower": found.lower,
        "upper": found.upper,
        "level": judged.level,
        "windows": found.windows_judged,
        "tail_probability": found.tail_probability,
        "model_version": found.model_version,
        "judged_at": format_time(judged.judged_ms),
    }


def _incident_told(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.incident_id,
        "direction": incident.direction.value,
        "severity": incident.severity.value,
        "status": incident.status.value,
        "first_window": format_time(incident.first_window_ms),
        "last_window": format_time(incident.last_window_ms),
        "anomalous_windows": incident.anomalous_windows,
        "closed_window": _time(incident.closed_window_ms),
    }


def _alert_told(alert: AlertCertificate) -> dict[str, Any]:
    return {
        "id": alert.alert_id,
        "kind": alert.kind,
        "subject": alert.subject,
        "decided_at": format_time(alert.decided_ms),
        "sent_at": _time(alert.sent_ms),
    }


def _time(time_ms: int | None) -> str | None:
    return None if time_ms is None else format_time(time_ms)


def _number(sequence_number: int | None) -> str | None:
    return None if sequence_number is None else str(sequence_number)


# --- for people


def print_certificate(told: Certificate, *, stream: str) -> None:
    """Print a certificate; whatever a name holds, it steers no terminal."""
    for line in lines_of(told, stream=stream):
        typer.echo(terminal_text(line))


def lines_of(told: Certificate, *, stream: str) -> Iterator[str]:
    """Yield the lines of a certificate; names in them are as they came."""
    others = ", ".join(map(str, told.generation.others))
    beside = f" (also counted: generation {others}; see --generation)" if others else ""
    span = f"{format_time(told.window_start_ms)} to {format_time(told.window_end_ms)}"
    yield f"Series    {told.series}"
    yield f"Stream    {stream}, generation {told.generation.number}{beside}"
    yield f"Window    {span}, closes at stream time {format_time(told.closing_ms)}"
    yield f"Count     {standing_words(told)}"
    yield f"Check     {check_words(told)}"
    yield from _shard_lines(told)
    yield from _gap_lines(told)
    yield from _set_aside_lines("Set aside of this series and window", told.set_aside)
    yield from _set_aside_lines(
        "Set aside among the window's records, of a series that nobody could read", told.nobodys
    )
    yield from _revision_lines(told)
    yield from _incident_lines(told)


def _shard_lines(told: Certificate) -> Iterator[str]:
    giving = [shard for shard in told.shards if shard.evidence is not None]
    rest = [shard for shard in told.shards if shard.evidence is None]
    holding = [shard for shard in _holding(told) if shard.evidence is None]
    yield ""
    yield f"Shards    {_sum_words(told.sum)}" if giving else "Shards    none gave anything"
    for shard in [*giving, *holding][:_SHOWN_SHARDS]:
        parents = f", child of {', '.join(shard.parent_ids)}" if shard.parent_ids else ""
        yield f"  {shard.shard_id}{parents}"
        yield f"    {shard_words(shard, told.closing_ms)}"
        if shard.evidence is not None:
            yield f"    {_evidence_words(shard.evidence)}"
    hidden = len(giving) + len(holding) - _SHOWN_SHARDS
    if hidden > 0:
        yield f"  … and {hidden:,} more; --json tells all of them"
    n_silent = len(rest) - len(holding) + told.shards_beside
    if n_silent:
        # what makes of a silence more than a guess
        past = "" if told.holding_back else ", and nothing more can come in time"
        yield f"  {n_silent:,} {'others ' if giving or holding else ''}gave nothing{past}"


def _sum_words(evidence: Evidence) -> str:
    return (
        f"{evidence.on_time:,} on time, {evidence.late:,} late, "
        f"{evidence.duplicates:,} duplicate{'' if evidence.duplicates == 1 else 's'}"
    )


def _evidence_words(evidence: Evidence) -> str:
    if evidence.first_sequence is None:
        return f"{_sum_words(evidence)}, all counted before on another shard or record"
    span = f"record {evidence.first_sequence}"
    if evidence.last_sequence != evidence.first_sequence:
        span = f"records {evidence.first_sequence} to {evidence.last_sequence}"
    return f"{_sum_words(evidence)}, {span}"


def _gap_lines(told: Certificate) -> Iterator[str]:
    if not told.gaps:
        return
    yield ""
    yield "Losses that touch the window"
    for gap in told.gaps[:_SHOWN_GAPS]:
        where = f"on {gap.shard_id}" if gap.shard_id else "of the whole stream"
        span = f"{format_time(gap.from_ms)} to {format_time(gap.until_ms)}"
        yield f"  {span}  {gap.reason}, {where}"
    if len(told.gaps) > _SHOWN_GAPS:
        yield f"  … and {len(told.gaps) - _SHOWN_GAPS:,} more; --json tells them"


def _set_aside_lines(title: str, kinds: Sequence[SetAside]) -> Iterator[str]:
    if not kinds:
        return
    many = f" (the first {MANY:,})" if sum(kind.count for kind in kinds) >= MANY else ""
    yield ""
    yield f"{title}{many}"
    for kind in kinds:
        ids = " ".join(map(str, kind.item_ids))
        more = " …" if kind.count > len(kind.item_ids) else ""
        look = f"`tidegauge quarantine show` {ids}{more}"
        yield f"  {kind.count:,} {kind.reason}, {kind.state}: {look}"


def _revision_lines(told: Certificate) -> Iterator[str]:
    if told.revisions:
        yield ""
        yield "Revisions"
    for one in told.revisions:
        step = format_time(one.step_ms)
        yield (
            f"  {one.revision}: {one.count:,} counted, {one.late:,} late, {one.quality}, told as "
            f"{step} closed, {announced_words(one)}"
        )
        for line in judged_words(one.judged):
            yield f"    {line}"


def _incident_lines(told: Certificate) -> Iterator[str]:
    if told.incident is not None:
        incident = told.incident
        span = f"{format_time(incident.first_window_ms)} to {format_time(incident.last_window_ms)}"
        yield ""
        yield (
            f"Incident  {incident.incident_id}: {incident.direction}, {incident.severity}, "
            f"{incident.status}, windows of {span}, {incident.anomalous_windows:,} anomalous"
        )
    for alert in told.alerts:
        sent = "waits to be sent" if alert.sent_ms is None else f"sent {format_time(alert.sent_ms)}"
        yield f"Alert     {alert.kind}, {sent}: {alert.subject} ({alert.alert_id})"
