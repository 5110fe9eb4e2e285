"""Shows a run's report in a terminal: tables, a chart of count against band, alerts, the check.

Takes plain data and a console; reads nothing and decides nothing.
"""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from embedded.report import AlertLine, Check, ModelLine, Report, WindowLine

CHART_ROWS = 9
DAYS_BEFORE = 5
DAYS_AFTER = 3
LINES_BEFORE = 5
LINES_AFTER = 6
_DAY_MS = 86_400_000
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_MARKS = {"TOO_LOW": "▼", "TOO_HIGH": "▲"}
_COLOURS = {"TOO_LOW": "red", "TOO_HIGH": "red", "NORMAL": "green", "NOT_JUDGED": "dim"}
_GUTTER = 6


def show(report: Report, console: Console, *, next_steps: Sequence[tuple[str, str]]) -> None:
    """Write the whole report.

    Args:
        report: What to show.
        console: Where to.
        next_steps: What to look at next: a command or address, and what it shows.
    """
    middle_ms = focus(report)
    console.print()
    console.print(chart(report, middle_ms, width=console.width))
    console.print()
    console.print(day_table(report, middle_ms))
    console.print()
    console.print(window_table(report, middle_ms))
    console.print()
    console.print(alert_table(report.alerts))
    console.print()
    console.print(summary(report), soft_wrap=True)
    console.print(check_line(report.check), soft_wrap=True)
    for model in report.models:
        console.print(model_line(model), soft_wrap=True)
    for notice in report.notices:
        console.print(Text(f"  people were told: {notice}", style="dim"), soft_wrap=True)
    console.print()
    console.print(phase_line(report))
    console.print()
    console.print(step_lines(next_steps), soft_wrap=True)


def focus(report: Report) -> int:
    """Return the start of the longest anomalous stretch; of the last window if there is none.

    Windows too weak to judge do not end a stretch, normal ones do.
    """
    best_ms, best_length, first_ms, length = 0, 0, 0, 0
    for line in report.windows:
        if line.anomalous:
            first_ms = first_ms if length else line.start_ms
            length += 1
            if length > best_length:
                best_ms, best_length = first_ms, length
        elif line.verdict == "NORMAL":
            length = 0
    if best_length:
        return best_ms
    return report.windows[-1].start_ms if report.windows else 0


def chart(report: Report, middle_ms: int, *, width: int) -> RenderableType:
    """Return counts as columns against the expected band, about a moment of event time.

    Each column sums as many windows as make the days fit the width. Their bands are added as if
    the windows were independent.
    """
    lines = _span(report, middle_ms, before_days=2, after_days=3)
    if not lines:
        return Text("No window was closed.")
    per_column = max(1, math.ceil(len(lines) / max(20, width - _GUTTER - 2)))
    columns = [
        _summed(lines[start : start + per_column]) for start in range(0, len(lines), per_column)
    ]
    top = max(max(column.count, column.upper or 0.0) for column in columns) or 1
    rows = [_chart_row(columns, row, top) for row in reversed(range(CHART_ROWS))]
    marks = Text(" " * _GUTTER)
    for column in columns:
        marks.append(_MARKS.get(column.verdict, " "), style=_COLOURS[column.verdict])
    minutes = per_column * report.window_ms // 60_000
    title = Text.assemble(
        (report.series, "bold"),
        f" in {minutes} min: ",
        ("█", "cyan"),
        " counted, ",
        ("░", "yellow"),
        " expected band, ",
        ("▼▲", "red"),
        " too few, many",
    )
    return Group(title, *rows, marks, _day_axis(columns))


def day_table(report: Report, middle_ms: int) -> Table:
    """Return one row a day about a moment: events, expected, anomalous windows, alerts."""
    table = Table(title="By day (UTC)", title_justify="left", title_style="bold")
    table.add_column("day")
    for name in ("windows", "events", "expected", "too few", "too many", "alerts"):
        table.add_column(name, justify="right")
    alerts = Counter(alert.window_start[:10] for alert in report.alerts)
    days: dict[str, list[WindowLine]] = {}
    for line in _span(report, middle_ms, before_days=DAYS_BEFORE, after_days=DAYS_AFTER):
        days.setdefault(_time(line.start_ms)[:10], []).append(line)
    for day, lines in days.items():
        verdicts = Counter(line.verdict for line in lines)
        expected = [line.expected for line in lines if line.expected is not None]
        told = alerts[day]
        table.add_row(
            day,
            str(len(lines)),
            f"{sum(line.count for line in lines):,}",
            f"{sum(expected):,.0f}" if expected else "",
            str(verdicts["TOO_LOW"] or ""),
            str(verdicts["TOO_HIGH"] or ""),
            str(told or ""),
            style="red" if told else None,
        )
    return table


def window_table(report: Report, middle_ms: int) -> Table:
    """Return the windows just before and after a moment."""
    table = Table(
        title=f"Windows of {report.series} where it began (UTC)",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("window")
    for name in ("count", "expected", "band"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    table.add_column("quality")
    shown = [
        line
        for line in report.windows
        if -LINES_BEFORE <= (line.start_ms - middle_ms) // report.window_ms <= LINES_AFTER
    ]
    for line in shown:
        judged = line.expected is not None and line.lower is not None and line.upper is not None
        quality = line.quality if line.revision == 1 else f"{line.quality}, revised"
        table.add_row(
            _time(line.start_ms),
            str(line.count),
            f"{line.expected:.1f}" if judged else "",
            f"{line.lower:.1f} to {line.upper:.1f}" if judged else "",
            Text(line.verdict.lower().replace("_", " "), style=_COLOURS[line.verdict]),
            quality,
        )
    return table


def alert_table(alerts: Sequence[AlertLine]) -> RenderableType:
    """Return the alerts that people would have received."""
    if not alerts:
        return Text("No alert was published.", style="bold")
    table = Table(
        title=f"Alerts, read back from a queue that is subscribed to the topic ({len(alerts)})",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("window (UTC)", no_wrap=True)
    table.add_column("kind")
    table.add_column("subject")
    for alert in alerts:
        table.add_row(alert.window_start[:16].replace("T", " "), alert.kind, alert.subject)
    return table


def summary(report: Report) -> Text:
    """Return one line of sums over the whole replay."""
    verdicts = Counter(line.verdict for line in report.windows)
    anomalous = verdicts["TOO_LOW"] + verdicts["TOO_HIGH"]
    revised = sum(line.revision > 1 for line in report.windows)
    return Text(
        f"{sum(line.count for line in report.windows):,} events in {len(report.windows):,} windows,"
        f" {anomalous:,} anomalous, {verdicts['NORMAL']:,} normal,"
        f" {verdicts['NOT_JUDGED']:,} not judged; {revised:,} corrected,"
        f" {report.quarantined:,} records quarantined"
    )


def check_line(check: Check) -> Text:
    """Return whether the counts in MySQL equal the recount."""
    if check.holds:
        return Text(
            f"✓ counts in MySQL equal a plain recount of the fixture: {check.events:,} events,"
            f" {check.windows:,} windows, event by event",
            style="bold green",
        )
    start_ms, counted, recounted = check.differences[0]
    return Text(
        f"✗ {len(check.differences):,} of {check.windows:,} windows differ from a plain recount of"
        f" the fixture; the first at {_time(start_ms)}: {counted} in MySQL, {recounted} recounted",
        style="bold red",
    )


def model_line(model: ModelLine) -> Text:
    """Return who judged, and how good it was on windows that it had not seen."""
    told = f"✓ {model.windows:,} windows judged by {model.version}"
    if model.until is not None:
        told += f", trained on what was counted until {model.until[:10]}"
    if model.error is not None and model.baseline_error is not None:
        told += f": error {model.error:.3f}, seasonal baseline {model.baseline_error:.3f}"
    return Text(told, style="bold green")


def phase_line(report: Report) -> Text:
    """Return what each phase took, in one line."""
    parts = [f"{name} {seconds:.1f}" for name, seconds in report.seconds.items()]
    total = sum(report.seconds.values())
    return Text(f"Seconds: {', '.join(parts)}; {total:.1f} together", style="dim")


def step_lines(steps: Sequence[tuple[str, str]]) -> Text:
    """Return what to look at next; commands stand on lines of their own, to be copied whole."""
    text = Text("Next", style="bold")
    for command, what in steps:
        text.append(f"\n  {what}\n", style="not bold")
        text.append(f"    {command}", style="not bold cyan")
    return text


def _span(report: Report, middle_ms: int, *, before_days: int, after_days: int) -> list[WindowLine]:
    midnight_ms = middle_ms - middle_ms % _DAY_MS
    first_ms = midnight_ms - before_days * _DAY_MS
    end_ms = midnight_ms + after_days * _DAY_MS
    return [line for line in report.windows if first_ms <= line.start_ms < end_ms]


def _summed(lines: Sequence[WindowLine]) -> WindowLine:
    """Return several windows as one, anomalous if any of them is."""
    anomalous = [line.verdict for line in lines if line.anomalous]
    judged = any(line.verdict == "NORMAL" for line in lines)
    verdict = anomalous[0] if anomalous else "NORMAL" if judged else "NOT_JUDGED"
    expected, below, above = 0.0, 0.0, 0.0
    for line in lines:
        if line.expected is None or line.lower is None or line.upper is None:
            break
        expected += line.expected
        below += (line.expected - line.lower) ** 2
        above += (line.upper - line.expected) ** 2
    else:
        return WindowLine(
            lines[0].start_ms,
            sum(line.count for line in lines),
            verdict=verdict,
            expected=expected,
            lower=max(0.0, expected - math.sqrt(below)),
            upper=expected + math.sqrt(above),
        )
    count = sum(line.count for line in lines)
    return WindowLine(lines[0].start_ms, count, verdict=verdict)


def _chart_row(columns: Sequence[WindowLine], row: int, top: float) -> Text:
    """Return one row of the chart; row 0 is the lowest."""
    low, high = top * row / CHART_ROWS, top * (row + 1) / CHART_ROWS
    label = f"{high:,.0f}" if row in (CHART_ROWS - 1, CHART_ROWS // 2) else ""
    text = Text(f"{label:>{_GUTTER - 1}} ", style="dim")
    for column in columns:
        filled = min(1.0, max(0.0, (column.count - low) / (high - low)))
        eighths = round(filled * 8)
        inside = (
            column.lower is not None
            and column.upper is not None
            and column.lower < high
            and column.upper > low
        )
        if eighths:
            style = "red" if column.anomalous else "cyan"
            text.append(_EIGHTHS[eighths], style=style)
        else:
            text.append("░" if inside else " ", style="yellow")
    return text


def _day_axis(columns: Sequence[WindowLine]) -> Text:
    axis = [" "] * len(columns)
    previous = ""
    for place, column in enumerate(columns):
        day = _time(column.start_ms)[5:10]
        if day != previous and place + len(day) <= len(axis):
            axis[place : place + len(day)] = day
        previous = day
    return Text(" " * _GUTTER + "".join(axis), style="dim")


def _time(time_ms: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    return f"{moment:%Y-%m-%d %H:%M}"
