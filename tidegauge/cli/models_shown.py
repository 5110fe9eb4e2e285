"""How `tidegauge models` tells what became of models, to people and as JSON."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidegauge.cli.terminal_text import terminal_text
from tidegauge.domain.event_time import format_time
from tidegauge.domain.model_record import ModelRecord, ModelState

if TYPE_CHECKING:
    from tidegauge.cli.models import EndpointLook, ManifestLook
    from tidegauge.ports import StoredModel

_HEAD = ("model", "state", "history until", "error", "baseline", "before", "parameters of", "why")
_RIGHT = (False, False, False, True, True, True, False, False)
_WHY_CHARS = 60


def list_told(stored: "Sequence[StoredModel]", look: "EndpointLook") -> dict[str, object]:
    """Return all models as JSON has them."""
    return {
        "endpoint": _endpoint_told(look),
        "warning": warning_of(stored, look),
        "models": [_told(one, look) for one in stored],
    }


def list_lines(stored: "Sequence[StoredModel]", look: "EndpointLook") -> Iterator[str]:
    """Yield the lines of all models for people."""
    yield _endpoint_words(look)
    warning = warning_of(stored, look)
    if warning:
        yield f"Warning: {warning}"
    if not stored:
        yield "No model was ever trained for it: `tidegauge retrain` makes the first one."
        return
    rows = [_HEAD, *(_row(one.record, look) for one in stored)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, _RIGHT, strict=True)
        )
        yield "  ".join(cells).rstrip()


def model_told(
    one: "StoredModel",
    stored: "Sequence[StoredModel]",
    look: "EndpointLook",
    manifest: "ManifestLook",
) -> dict[str, object]:
    """Return one model as JSON has it."""
    return {
        **_told(one, look),
        "endpoint": _endpoint_told(look),
        "manifest": msgspec.to_builtins(manifest.manifest) if manifest.manifest else None,
        "manifest_unknown": manifest.unknown,
        "lineage": [
            {"version": version, "state": record.state.value if record else None}
            for version, record in lineage_of(one.record, stored)
        ],
    }


def model_lines(
    one: "StoredModel",
    stored: "Sequence[StoredModel]",
    look: "EndpointLook",
    manifest: "ManifestLook",
) -> Iterator[str]:
    """Yield the lines of one model for people."""
    record = one.record
    for name, value in _rows_of(one, look, manifest):
        if value:
            yield f"{name:<12}{terminal_text(value)}"
    for number, reason in enumerate(record.reasons):
        yield f"{'' if number else 'Why':<12}{terminal_text(reason)}"
    for number, (version, earlier) in enumerate(lineage_of(record, stored)):
        state = _state(earlier, look) if earlier else "not noted here"
        yield f"{'' if number else 'Lineage':<12}{terminal_text(version)} ({state})"
    if record.parameters:
        yield ""
        rows = [("parameter", "value", "origin")]
        rows += [(each.name, each.value, each.origin) for each in record.parameters]
        width = max(len(name) for name, _, _ in rows)
        values = max(len(value) for _, value, _ in rows)
        for name, value, origin in rows:
            yield terminal_text(f"{name.ljust(width)}  {value.ljust(values)}  {origin}")


def lineage_of(
    record: ModelRecord, stored: "Sequence[StoredModel]"
) -> Iterator[tuple[str, ModelRecord | None]]:
    """Yield the models that a model's parameters came from, one after the other, to the first.

    The last one may be a job that nobody noted.
    """
    known = {one.record.version: one.record for one in stored}
    seen = {record.version}
    version = record.predecessor
    while version and version not in seen:
        seen.add(version)
        earlier = known.get(version)
        yield version, earlier
        version = earlier.predecessor if earlier else ""


def warning_of(stored: "Sequence[StoredModel]", look: "EndpointLook") -> str:
    """Return how the endpoint differs from what the ledger says; empty where it does not."""
    if look.unknown:
        return ""
    live = [one.record.version for one in stored if one.record.state is ModelState.LIVE]
    moving = [one.record for one in stored if one.record.state is ModelState.DEPLOYING]
    if moving or sorted(look.serves) == sorted(live):
        return ""
    serves = ", ".join(look.serves) or "nothing"
    said = f"{live[0]} is live by what is noted" if live else "no model is live by what is noted"
    return f"the endpoint serves {terminal_text(serves)}, but {said}"


def _endpoint_words(look: "EndpointLook") -> str:
    if look.unknown:
        return f"Endpoint {look.name} could not be asked: {terminal_text(look.unknown)}"
    if look.endpoint is None:
        return f"Endpoint {look.name} does not exist."
    why = f": {look.endpoint.failure}" if look.endpoint.failure else ""
    serves = ", ".join(look.serves) or "no model"
    return terminal_text(
        f"Endpoint {look.name} is {look.endpoint.status.value} and serves {serves}{why}"
    )


def _endpoint_told(look: "EndpointLook") -> dict[str, Any]:
    endpoint = look.endpoint
    return {
        "name": look.name,
        "status": endpoint.status.value if endpoint else None,
        "config": endpoint.config if endpoint else None,
        "serves": list(look.serves),
        "failure": endpoint.failure if endpoint else "",
        "unknown": look.unknown,
    }


def _told(one: "StoredModel", look: "EndpointLook") -> dict[str, Any]:
    record = one.record
    told: dict[str, Any] = msgspec.to_builtins(record)
    told["until"] = format_time(told.pop("until_ms"))
    if record.state is not ModelState.DEPLOYING:
        del told["phase"]
    return {
        **told,
        "noted": format_time(one.noted_ms),
        "changed": format_time(one.changed_ms),
        "serves": record.version in look.serves,
    }


def _row(record: ModelRecord, look: "EndpointLook") -> tuple[str, ...]:
    why = terminal_text("; ".join(record.reasons))
    return (
        record.version,
        _state(record, look),
        format_time(record.until_ms).removesuffix("T00:00:00Z"),
        _error(record.error),
        _error(record.baseline_error),
        _error(record.champion_error),
        record.predecessor or "defaults",
        why if len(why) <= _WHY_CHARS else f"{why[: _WHY_CHARS - 1]}…",
    )


def _state(record: ModelRecord, look: "EndpointLook") -> str:
    words = record.state.value.replace("_", " ")
    if record.state is ModelState.LIVE and not look.unknown and record.version not in look.serves:
        return f"{words}, not serving"
    return words


def _error(error: float | None) -> str:
    return "" if error is None else f"{error:.4g}"


def _rows_of(
    one: "StoredModel", look: "EndpointLook", manifest: "ManifestLook"
) -> Iterator[tuple[str, str]]:
    record = one.record
    by_hand = ", by hand" if record.by_hand else ""
    yield "Model", record.version
    yield "State", f"{_state(record, look)}{by_hand}, since {format_time(one.changed_ms)}"
    yield "Noted", format_time(one.noted_ms)
    yield "Endpoint", _endpoint_words(look).removeprefix("Endpoint ")
    yield "Error", _error(record.error)
    yield "Baseline", _error(record.baseline_error)
    before = f" of {record.champion}" if record.champion else ""
    yield "Before", f"{_error(record.champion_error)}{before}" if before else ""
    yield "History", f"until {format_time(record.until_ms)}"
    yield "Dataset", record.manifest_uri
    yield "", _manifest_words(manifest)
    yield "Artifact", record.artifact_uri
    yield "SHA-256", record.artifact_sha256
    yield "Config", record.config


def _manifest_words(look: "ManifestLook") -> str:
    manifest = look.manifest
    if manifest is None:
        return f"(cannot be read: {look.unknown})"
    return (
        f"{manifest.start} to {manifest.until}, {manifest.series} series,"
        f" {manifest.train.rows:,} rows to train on, {manifest.validation.rows:,} from"
        f" {manifest.split} to validate with"
    )
