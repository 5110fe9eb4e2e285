"""Completed windows: the counts that are announced, and their corrections."""

from enum import StrEnum

import msgspec

OTHER_SERIES = "__other__"


class Quality(StrEnum):
    """How far a completed window's count can be trusted."""

    COMPLETE = "complete"
    PARTIAL = "partial"  # lies before the stream was observed from its start
    GAP = "gap"  # records of its span are known to be lost
    SUSPECT = "suspect"  # partial counts and ledger keys disagree: wake someone
    RETIRED = "retired"  # the series' last row: silent for SERIES_IDLE_DAYS


class CompletedWindow(msgspec.Struct, frozen=True, gc=False):
    """One announced revision of one series' count in one window.

    Attributes:
        generation: The stream generation's number in the store.
        series: The series' name.
        window_start_ms: Start of the window, ms since the epoch, UTC.
        revision: 1 when the window closed, one more for each step that brought late events.
        step_ms: Start of the window whose closing announced this revision; revision 1 has
            `step_ms == window_start_ms` unless the series or the window was first seen late.
        count: Distinct events of all steps up to `step_ms`.
        late: How many of them came after the window had closed.
        quality: How far the count can be trusted.
    """

    generation: int
    series: str
    window_start_ms: int
    revision: int
    step_ms: int
    count: int
    late: int
    quality: Quality
