"""What people hear of models: one is live, one was refused, failed in training or was rolled back.

Takes a model's record as it stands afterwards, gives an alert with subject, text, JSON and
attributes. It names no series: a filter policy on series leaves it out.
"""

from collections.abc import Iterator
from enum import StrEnum
from hashlib import blake2b
from typing import Any

import msgspec

from tidegauge.domain.alert import SUBJECT_CHARACTERS, Alert, printable
from tidegauge.domain.event_time import format_time
from tidegauge.domain.model_record import ModelRecord

_UNKNOWN = "not known"


class NoticeKind(StrEnum):
    """What happened to a model."""

    DEPLOYED = "model_deployed"
    REFUSED = "model_refused"
    TRAINING_FAILED = "training_failed"
    ROLLED_BACK = "model_rolled_back"


def notice_of(kind: NoticeKind, record: ModelRecord, *, at_ms: int, serves: str) -> Alert:
    """Return the alert that tells what became of a model.

    Args:
        kind: What happened.
        record: The model afterwards, with its reasons.
        at_ms: When, ms since the epoch.
        serves: Version of the model that serves now; empty for none.
    """
    severity = "info" if kind is NoticeKind.DEPLOYED else "warning"
    body: dict[str, Any] = {
        "kind": kind.value,
        "severity": severity,
        "model": record.version,
        "endpoint": record.endpoint,
        "at": format_time(at_ms),
        "by_hand": record.by_hand,
        "error": record.error,
        "baseline_error": record.baseline_error,
        "before": record.champion,
        "before_error": record.champion_error,
        "history_until": format_time(record.until_ms),
        "dataset": record.manifest_uri,
        "serves": serves,
        "reasons": list(record.reasons),
    }
    subject = printable(_subject(kind, record), SUBJECT_CHARACTERS)
    lines = [subject, "", *_lines(record, serves)]
    return Alert(
        id=blake2b(msgspec.json.encode(body), digest_size=16).hexdigest(),
        subject=subject,
        text="\n".join(lines) + "\n",
        json=body,
        attributes={"kind": kind.value, "severity": severity},
    )


def _subject(kind: NoticeKind, record: ModelRecord) -> str:
    match kind:
        case NoticeKind.DEPLOYED:
            live = "is live again, by hand" if record.by_hand else "is live"
            return f"model {record.version} {live}: {', '.join(_errors(record))}"
        case NoticeKind.REFUSED:
            what = "is not deployed"
        case NoticeKind.TRAINING_FAILED:
            what = "was not trained"
        case NoticeKind.ROLLED_BACK:
            what = "was rolled back"
    return f"model {record.version} {what}: {'; '.join(record.reasons)}"


def _errors(record: ModelRecord) -> Iterator[str]:
    yield f"error {_short(record.error)}"
    if record.champion:
        yield f"before {_short(record.champion_error)}"
    yield f"baseline {_short(record.baseline_error)}"


def _lines(record: ModelRecord, serves: str) -> Iterator[str]:
    before = f"{_long(record.champion_error)} ({record.champion})" if record.champion else "none"
    rows = {
        "Error": _long(record.error),
        "Before": before,
        "Baseline": _long(record.baseline_error),
        "History": f"until {format_time(record.until_ms)}",
        "Dataset": record.manifest_uri or _UNKNOWN,
        "Endpoint": f"{record.endpoint}, where {serves or 'no model'} serves now",
    }
    for name, value in rows.items():
        yield f"{name:<10}{value}"
    for number, reason in enumerate(record.reasons):
        yield f"{'' if number else 'Why':<10}{reason}"


def _short(error: float | None) -> str:
    return _UNKNOWN if error is None else f"{error:.3g}"


def _long(error: float | None) -> str:
    return _UNKNOWN if error is None else f"{error:.6g}"
