"""What an audit found, in words and as JSON."""

from typing import Any

from tidegauge.cli.replay_options import print_table
from tidegauge.cli.terminal_text import terminal_text
from tidegauge.domain.audit import Audit, Difference, KnownGap
from tidegauge.domain.event_time import format_time

SHOWN_DIFFERENCES = 20
_SHOWN_GAPS = 5


def told(found: Audit, *, stream: str, source: str) -> dict[str, object]:
    """Return an audit as JSON tells it.

    Args:
        found: The audit.
        stream: The stream's name.
        source: What was recounted.
    """
    return {
        "equal": not found.differences,
        "stream": stream,
        "generation": found.generation,
        "source": source,
        "from": format_time(found.compared.from_ms),
        "until": format_time(found.compared.until_ms),
        "windows": found.compared.n_windows,
        "windows_open": found.n_open,
        "windows_not_covered": found.n_uncovered,
        "series": found.n_series,
        "recounted": found.recounted,
        "counted": found.counted,
        "late": found.late,
        "duplicates": found.duplicates,
        "quarantined": found.set_aside,
        "no_events": found.no_events,
        "differences": [_difference(one) for one in found.differences],
        "known_losses": [_difference(one) for one in found.known_losses],
        "gaps": [_gap(gap) for gap in found.gaps],
    }


def _difference(one: Difference) -> dict[str, Any]:
    return {
        "window": format_time(one.window_start_ms),
        "series": one.series,
        "recounted": one.recounted,
        "counted": one.counted,
        "difference": one.difference,
        "quality": one.quality.value,
    }


def _gap(gap: KnownGap) -> dict[str, str]:
    return {
        "from": format_time(gap.from_ms),
        "until": format_time(gap.until_ms),
        "reason": gap.reason,
        "shard": gap.shard_id,
    }


def print_audit(found: Audit, *, stream: str, source: str) -> None:
    """Print an audit for people: sums, differences, and in the last line what they come to."""
    span = f"{format_time(found.compared.from_ms)} to {format_time(found.compared.until_ms)}"
    title = f"Audit of stream {stream}, generation {found.generation}, against {source}\n{span}"
    print_table(title, _sums(found))
    _print_differences("Differences", found.differences)
    _print_differences("Differences where a loss is known", found.known_losses)
    _print_gaps(found.gaps)
    _print_line(_verdict(found, source), "bold red" if found.differences else "bold green")


def _sums(found: Audit) -> list[tuple[str, str]]:
    rows = [("windows compared", f"{found.compared.n_windows:,}")]
    if found.n_open:
        rows.append(("  open, not compared", f"{found.n_open:,}"))
    if found.n_uncovered:
        rows.append(("  not covered by the stream", f"{found.n_uncovered:,}"))
    rows += [
        ("series", f"{found.n_series:,}"),
        ("events recounted", f"{found.recounted:,}"),
        ("events counted", f"{found.counted:,}"),
        ("  late", f"{found.late:,}"),
        ("duplicates", f"{found.duplicates:,}"),
        ("quarantined", f"{sum(found.set_aside.values()):,}"),
    ]
    rows += [(f"  {reason}", f"{n:,}") for reason, n in found.set_aside.items()]
    if found.no_events:
        rows.append(("no events, of no window", f"{sum(found.no_events.values()):,}"))
        rows += [(f"  {reason}", f"{n:,}") for reason, n in found.no_events.items()]
    rows.append(("differences", f"{len(found.differences):,}"))
    if found.known_losses:
        rows.append(("  where a loss is known", f"{len(found.known_losses):,}"))
    return rows


def _print_differences(title: str, differences: list[Difference]) -> None:
    if not differences:
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, title=Text(title, style="bold"), title_justify="left")
    table.add_column("window", no_wrap=True)
    table.add_column("series", overflow="fold")
    for name in ("recounted", "counted", "difference"):
        table.add_column(name, justify="right")
    table.add_column("quality")
    for one in differences[:SHOWN_DIFFERENCES]:
        table.add_row(
            format_time(one.window_start_ms),
            Text(terminal_text(one.series)),
            f"{one.recounted:,}",
            f"{one.counted:,}",
            f"{one.difference:+,}",
            one.quality.value,
        )
    console = Console(highlight=False)
    console.print()
    console.print(table)
    more = len(differences) - SHOWN_DIFFERENCES
    if more > 0:
        console.print(f"… and {more:,} more; --json tells all of them")


def _print_gaps(gaps: list[KnownGap]) -> None:
    if not gaps:
        return
    _print_line("\nKnown losses", "bold")
    for gap in gaps[:_SHOWN_GAPS]:
        shard = f" on {gap.shard_id}" if gap.shard_id else ""
        span = f"{format_time(gap.from_ms)} to {format_time(gap.until_ms)}"
        _print_line(f"{span}  {gap.reason}{shard}", "")
    if len(gaps) > _SHOWN_GAPS:
        _print_line(f"… and {len(gaps) - _SHOWN_GAPS:,} more; --json tells all of them", "")


def _print_line(text: str, style: str) -> None:
    from rich.console import Console
    from rich.text import Text

    Console(highlight=False).print(Text(text, style=style), soft_wrap=True)


def _verdict(found: Audit, source: str) -> str:
    n_windows = found.compared.n_windows
    n_differing = len(found.differences)
    if not n_differing:
        but = ", but for the losses that are known" if found.known_losses else ""
        return (
            f"\n✓ what was announced of {_many(n_windows, 'window')} is what {source} holds"
            f"{but}: {_many(found.counted, 'event')}"
        )
    windows = len({one.window_start_ms for one in found.differences})
    return (
        f"\n✗ {_many(n_differing, 'count')} in {windows:,} of {_many(n_windows, 'window')} "
        f"{'is' if n_differing == 1 else 'are'} not what {source} holds; look at each with "
        "`tidegauge explain SERIES WINDOW`"
    )


def _many(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
