"""Tells where a pipeline in memory stands: what a person wants to see when a test fails."""

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tidegauge.testing.tide import Tide

_SERIES_TOLD: Final = 10
_WINDOWS_TOLD: Final = 6
_ALERTS_TOLD: Final = 10


def told_of(tide: "Tide") -> str:
    """Return stream time, the last windows of each series, what was set aside, and alerts."""
    now = "not begun" if tide.now is None else f"{tide.now:%FT%TZ}"
    sums = tide.sums
    lines = [
        f"stream time {now}; {sums.distinct} events counted, {sums.duplicates} duplicates, "
        f"{sums.late} late"
    ]
    series = tide.series
    for name in series[:_SERIES_TOLD]:
        lines += _windows_told(tide, name)
    if len(series) > _SERIES_TOLD:
        lines.append(f"and {len(series) - _SERIES_TOLD} series more")
    if not series:
        lines.append("no window is complete")
    reasons = Counter(item.reason.value for item in tide.quarantine)
    lines += [f"set aside: {number} {reason}" for reason, number in sorted(reasons.items())]
    alerts = tide.alerts
    lines += [f"alert: {alert!r}" for alert in alerts[-_ALERTS_TOLD:]]
    return "\n".join(lines)


def _windows_told(tide: "Tide", series: str) -> list[str]:
    windows = tide.windows(series)
    shown = windows[-_WINDOWS_TOLD:]
    which = "all" if len(shown) == len(windows) else f"the last {len(shown)} of"
    return [f"{series}, {which} {len(windows)} windows:", *(f"  {window}" for window in shown)]
