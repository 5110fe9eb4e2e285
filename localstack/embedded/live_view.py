"""Shows a live stack in a terminal, or as lines where there is none.

Takes readings, gives what a person or a program sees of them; reads and decides nothing.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from embedded.live_reading import LiveReading, OpenIncident
from embedded.report import AlertLine, WindowLine
from tidegauge.domain.alert import duration
from tidegauge.domain.health import State
from tidegauge.domain.health_words import Line, lines_of

ALERTS_SHOWN = 6
_WIDE = 100
_BARS = "▁▂▃▄▅▆▇█"
_STATE_STYLES = {
    State.STALLED: "bold white on red",
    State.BEHIND: "bold black on yellow",
    State.INCOMPLETE: "bold black on yellow",
    State.SILENT: "bold white on red",
    State.STARTING: "bold black on cyan",
    State.COUNTING: "bold black on green",
}
_VERDICTS = {
    "TOO_LOW": ("too few", "bold red"),
    "TOO_HIGH": ("too many", "bold red"),
    "NORMAL": ("normal", "green"),
    "NOT_JUDGED": ("not judged", "dim"),
    "": ("waits", "dim"),
}
_REASONS = {
    "too little history": "too young",
    "too weak to judge": "too weak",
    "prediction error": "no answer",
}
_DIRECTIONS = {"TOO_LOW": "▼", "TOO_HIGH": "▲"}


def screen(
    reading: LiveReading, *, size_ms: int, width: int, hints: Sequence[str] = ()
) -> RenderableType:
    """Return the whole view.

    Args:
        reading: What there is to see.
        size_ms: Window length.
        width: Columns of the terminal.
        hints: Lines for the foot: how to stop, what to try.
    """
    parts: list[RenderableType] = [header(reading, size_ms=size_ms), Text()]
    parts.append(series_table(reading, width=width))
    parts.append(Text())
    parts.append(alert_table(reading.alerts[-ALERTS_SHOWN:], width=width))
    parts.append(Text())
    parts.extend(Text(hint, style="dim", overflow="ellipsis", no_wrap=True) for hint in hints)
    return Group(*parts)


def header(reading: LiveReading, *, size_ms: int) -> RenderableType:
    """Return the state of counting in a few lines."""
    title = Text.assemble(("Tidegauge live", "bold"), f"  windows of {duration(size_ms)}")
    health = reading.health
    if health is None:
        waits = " waiting for the first sweep: the engine's schedule starts it each minute"
        return Group(title, Text.assemble((" starting ", _STATE_STYLES[State.STARTING]), waits))
    title.append(f"  {clock(reading.now_ms)} UTC", style="dim")
    lines = [title]
    lines.extend(_health_line(line) for line in lines_of(health))
    lag_ms = health.lag_ms
    facts = [
        "no watermark yet" if lag_ms is None else f"watermark {lag_ms // 1000} s behind",
        f"{reading.open_windows} open window{'' if reading.open_windows == 1 else 's'}",
        f"{health.n_series} series",
    ]
    lines.append(Text(" · ".join(facts), style="dim"))
    return Group(*lines)


def series_table(reading: LiveReading, *, width: int) -> RenderableType:
    """Return one row a series: its last completed window and how it came to be so."""
    if not reading.windows:
        return Text("No window is completed yet.", style="dim")
    wide = width >= _WIDE
    table = Table(box=None, pad_edge=False, padding=(0, 2 if wide else 1, 0, 0))
    table.add_column("series", no_wrap=True, max_width=28 if wide else 16, overflow="ellipsis")
    table.add_column("window", no_wrap=True)
    table.add_column("count", justify="right", no_wrap=True)
    table.add_column("expected", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    if wide:
        table.add_column("incident", no_wrap=True)
    table.add_column("recent counts" + " against the band" * wide, no_wrap=True)
    room = max(8, width - (76 if wide else 60))
    for series, lines in reading.windows.items():
        last, incident = lines[-1], reading.incidents.get(series)
        verdict, style = _verdict(last)
        cells: list[RenderableType] = [
            Text(series, style="bold red" if incident else "bold"),
            clock(last.start_ms),
            Text(f"{last.count:,}", style="bold"),
            _band(last),
            Text(verdict, style=style),
        ]
        if wide:
            cells.append(_incident(incident, reading.now_ms))
        table.add_row(*cells, sparkline(lines[-room:]))
    return table


def sparkline(lines: Sequence[WindowLine]) -> Text:
    """Return one bar a window: red beyond the band, dim where nothing was judged.

    The scale ends at the highest count or upper bound, so that a band is seen as a height.
    """
    top = max((max(line.count, line.upper or 0.0) for line in lines), default=0.0) or 1.0
    text = Text()
    for line in lines:
        bar = _BARS[min(len(_BARS) - 1, int(line.count / top * len(_BARS)))]
        text.append(bar if line.count else "·", style=_bar_style(line))
    return text


def _bar_style(line: WindowLine) -> str:
    if line.anomalous:
        return "bold red"
    if line.lower is None or line.upper is None:
        return "dim"
    return "cyan" if line.lower <= line.count <= line.upper else "yellow"


def alert_table(alerts: Sequence[AlertLine], *, width: int) -> RenderableType:
    """Return the last alerts, as a subscriber received them."""
    if not alerts:
        none = "No alert has come yet to the queue that is subscribed to the topic."
        return Text(none, style="dim")
    title = Text("Alerts, from a queue that is subscribed to the topic", style="bold")
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=max(20, width - 24))
    for alert in alerts:
        style = "green" if alert.kind == "cleared" else "red"
        table.add_row(alert.window_start[11:19], Text(alert.kind, style=style), alert.subject)
    return Group(title, table)


def _verdict(line: WindowLine) -> tuple[str, str]:
    verdict, style = _VERDICTS[line.verdict]
    if line.reason:
        verdict = _REASONS.get(line.reason, line.reason)
    elif line.verdict == "TOO_LOW" and line.count == 0:
        verdict = "silent"
    return verdict, style


def _health_line(line: Line) -> Text:
    if not line.state:
        return Text(f" {line.says}", style="yellow")
    text = Text.assemble((f" {line.state} ", _STATE_STYLES[State(line.state)]), f" {line.says}")
    if line.look:
        text.append(f" (look at {line.look})", style="dim")
    return text


def _band(line: WindowLine) -> str:
    if line.lower is None or line.upper is None:
        return "" if line.expected is None else f"{line.expected:,.0f}"
    return f"{line.lower:,.0f} to {line.upper:,.0f}"


def _incident(incident: OpenIncident | None, now_ms: int) -> Text:
    if incident is None:
        return Text("")
    since = duration(max(1000, now_ms - incident.since_ms))
    return Text(f"{_DIRECTIONS[incident.direction]} {incident.severity} {since}", style="red")


def clock(time_ms: int) -> str:
    """Return the time of day of a moment, UTC."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    return f"{moment:%H:%M:%S}"
