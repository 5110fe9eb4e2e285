"""Datasets: when one is due, which span it covers, and what is left out of training.

Takes how far a stream is closed, the series that it has and what is known of their faults; says
what an export reads and writes. No wall clock decides anything here: a dataset ends where the last
whole day of closed windows ends.
"""

from enum import StrEnum
from typing import Final

import msgspec

from tidegauge.domain.count import Quality
from tidegauge.domain.event_time import format_time
from tidegauge.domain.features import DAY_MS
from tidegauge.domain.incident import IncidentStatus
from tidegauge.domain.model_record import ModelState
from tidegauge.domain.verdict import Verdict

SPAN_MS: Final = 365 * DAY_MS
"""How far back a dataset reaches at most."""

ENOUGH_MS: Final = 2 * DAY_MS
"""History that the first dataset takes."""

YOUNG_MS: Final = 14 * DAY_MS
"""A history that is shorter gives a dataset a day, a longer one a week."""

_YOUNG_EVERY_MS: Final = DAY_MS
_EVERY_MS: Final = 7 * DAY_MS
_VALIDATION_PART: Final = 5  # of the history, the last one
_MAX_VALIDATION_MS: Final = 7 * DAY_MS
_MAX_WARM_UP_MS: Final = 7 * DAY_MS


class Kind(StrEnum):
    """Why a window is left out; of several reasons the first."""

    USER = "user"
    OUTAGE = "outage"
    OPEN_INCIDENT = "open-incident"
    GAP = "gap"
    RETIRED = "retired"


UNTRUSTED_WORDS: Final = {
    Quality.PARTIAL: "the stream was not observed from the window's start",
    Quality.GAP: "records of the window are known to be lost",
    Quality.SUSPECT: "partial counts and event keys disagreed",
    Quality.RETIRED: "the series had been silent for so long that it was retired",
}


class Exclusion(msgspec.Struct, frozen=True):
    """A period that a person wants left out of training.

    Attributes:
        exclusion_id: Its number in the store.
        series: The series; None for all of them.
        from_ms: Its begin, ms since the epoch.
        until_ms: Its end, which does not belong to it.
        why: What the person wrote.
        noted_ms: When it was noted, by the store's clock.
    """

    exclusion_id: int
    series: str | None
    from_ms: int
    until_ms: int
    why: str
    noted_ms: int


class SeriesIncident(msgspec.Struct, frozen=True):
    """An incident as an export sees it.

    Attributes:
        generation: The stream generation whose windows it is about.
        series: The series.
        incident_id: Its id.
        direction: `TOO_LOW` or `TOO_HIGH`.
        status: Where it stands.
        first_window_ms: Start of the window that opened it.
        closed_window_ms: Start of the window that ended it; None while it is open.
    """

    generation: int
    series: str
    incident_id: str
    direction: Verdict
    status: IncidentStatus
    first_window_ms: int
    closed_window_ms: int | None


class StreamHistory(msgspec.Struct, frozen=True):
    """How far the windows of a stream are closed.

    Attributes:
        stream_arn: The stream of a name that was made last.
        generations: All generations of it, ascending.
        next_window_ms: Start of the first window that the newest generation has not closed; of one
            that has closed nothing yet, the next older one tells.
    """

    stream_arn: str
    generations: tuple[int, ...]
    next_window_ms: int


class SeriesSpan(msgspec.Struct, frozen=True):
    """Where the windows of one series lie.

    Attributes:
        series: The series.
        generations: Those that have windows of it, ascending.
        first_ms: Start of its first window.
        last_ms: Start of its last window.
        trusted_ms: Start of its first window whose count can be trusted; None if it has none.
    """

    series: str
    generations: tuple[int, ...]
    first_ms: int
    last_ms: int
    trusted_ms: int | None


class Dataset(msgspec.Struct, frozen=True):
    """A dataset that was exported."""

    manifest_uri: str
    stream_arn: str
    start_ms: int
    until_ms: int


class Span(msgspec.Struct, frozen=True):
    """What a dataset covers.

    Attributes:
        trusted_ms: Start of the first window whose count can be trusted: history begins here.
        split_ms: Start of the first window to validate with.
        until_ms: End of the last window.
        size_ms: Window length.
    """

    trusted_ms: int
    split_ms: int
    until_ms: int
    size_ms: int

    @property
    def history_ms(self) -> int:
        """How much history there is."""
        return self.until_ms - self.trusted_ms


def history_until_ms(next_window_ms: int, *, size_ms: int) -> int:
    """Return the end of the last whole UTC day of closed windows; of windows that are longer.

    Args:
        next_window_ms: Start of the first window that is not closed.
        size_ms: Window length: it divides a day, or is whole days.

    >>> history_until_ms(2 * 86_400_000 - 300_000, size_ms=300_000)
    86400000
    """
    return next_window_ms - next_window_ms % max(DAY_MS, size_ms)


def span_of(trusted_ms: int, until_ms: int, *, size_ms: int) -> Span:
    """Return what a dataset covers that ends at `until_ms`.

    The last fifth of the history validates, a day at least and a week at most.

    Args:
        trusted_ms: Start of the first window whose count can be trusted.
        until_ms: As `history_until_ms` has it.
        size_ms: Window length.
    """
    part_ms = (until_ms - trusted_ms) // _VALIDATION_PART
    validation_ms = min(max(part_ms, DAY_MS), _MAX_VALIDATION_MS)
    # Whole windows, one at least.
    validation_ms = max(validation_ms - validation_ms % size_ms, size_ms)
    return Span(
        trusted_ms=trusted_ms,
        split_ms=until_ms - validation_ms,
        until_ms=until_ms,
        size_ms=size_ms,
    )


def start_ms(until_ms: int) -> int:
    """Return the begin of what a dataset reads at most."""
    return until_ms - SPAN_MS


def warm_up_until_ms(series: SeriesSpan, span: Span) -> int:
    """Return where rows of a series begin: before, its features know too little of it.

    A week after its first trusted count, but no more than half of what there is of it to train
    with: a young series has to give rows too.
    """
    if series.trusted_ms is None:
        return span.until_ms
    end_ms = min(series.last_ms + span.size_ms, span.until_ms)
    if series.trusted_ms < span.split_ms < end_ms:
        end_ms = span.split_ms
    return series.trusted_ms + min(_MAX_WARM_UP_MS, max(0, end_ms - series.trusted_ms) // 2)


def why_not_enough(span: Span) -> str | None:
    """Return why there is too little history for any dataset; None if there is enough."""
    if span.history_ms >= ENOUGH_MS:
        return None
    return (
        f"too little history: trusted counts from {format_time(span.trusted_ms)} to the end of the"
        f" last whole day, {format_time(span.until_ms)}, are less than {ENOUGH_MS // DAY_MS} days"
    )


def why_not_due(span: Span, latest: Dataset | None, model: ModelState | None) -> str | None:
    """Return why no dataset is due; None if one is.

    Daily until there are two weeks of history, weekly then. A dataset that no model came of, or one
    whose training failed, waits no week.

    Args:
        span: What the next dataset would cover.
        latest: The last one of the stream, if there is any.
        model: What became of the model that was trained on it; None if nobody knows one.
    """
    if latest is None:
        return None
    untrained = model in (None, ModelState.FAILED)
    daily = span.history_ms < YOUNG_MS or untrained
    every_ms = _YOUNG_EVERY_MS if daily else _EVERY_MS
    if span.until_ms - latest.until_ms >= every_ms:
        return None
    return (
        f"not due: the last dataset ends at {format_time(latest.until_ms)}, the next one at"
        f" {format_time(latest.until_ms + every_ms)}; closed days end at"
        f" {format_time(span.until_ms)}"
    )


def dataset_name(until_ms: int, content_sha256: str) -> str:
    """Return a dataset's id: the end of its last window, and a part of the hash of what it holds.

    >>> dataset_name(1360627200000, "0123456789abcdef" * 4)
    '20130212T000000Z-0123456789ab'
    """
    compact = format_time(until_ms).replace("-", "").replace(":", "")
    return f"{compact}-{content_sha256[:12]}"


class Cause(msgspec.Struct, frozen=True):
    """One thing that windows are left out for.

    Attributes:
        kind: What it is.
        series: The series it is about; None for all.
        from_ms: Its begin.
        until_ms: Its end, which does not belong to it.
        why: In words.
        generation: The only stream generation whose windows it is about; None for all.
    """

    kind: Kind
    series: str | None
    from_ms: int
    until_ms: int
    why: str
    generation: int | None = None


def cause_of_exclusion(exclusion: Exclusion) -> Cause:
    """Return what a person has excluded."""
    return Cause(Kind.USER, exclusion.series, exclusion.from_ms, exclusion.until_ms, exclusion.why)


def cause_of_incident(incident: SeriesIncident, span: Span) -> Cause | None:
    """Return what an incident leaves out; None for one that leaves its windows in.

    A drop that has ended was an outage, and while any incident is open nobody knows what is normal.
    A spike that has ended happened; a drop that was retracted did not.
    """
    first_ms = incident.first_window_ms
    about = f"incident {incident.incident_id}, {incident.direction}"
    if incident.status is IncidentStatus.OPEN:
        until_ms, kind, why = span.until_ms, Kind.OPEN_INCIDENT, f"{about}, is open"
    elif (
        incident.direction is Verdict.TOO_LOW
        and incident.status is not IncidentStatus.RETRACTED
        and incident.closed_window_ms is not None
    ):
        until_ms = incident.closed_window_ms + span.size_ms
        kind, why = Kind.OUTAGE, f"{about}, {incident.status}"
    else:
        return None
    if first_ms >= span.until_ms:
        return None
    return Cause(kind, incident.series, first_ms, until_ms, why, incident.generation)
