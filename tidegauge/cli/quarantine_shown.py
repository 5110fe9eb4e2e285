"""How `tidegauge quarantine` tells what was set aside, to people and as JSON."""

import base64
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from tidegauge.cli.terminal_text import terminal_bytes, terminal_text
from tidegauge.domain.event_time import format_time
from tidegauge.domain.quarantine_words import reason_words
from tidegauge.domain.retry import ItemState
from tidegauge.ports.quarantine import MAX_LOOKED_AT, Page, QuarantinedItem, Totals

_MAX_SHOWN_BYTES = 65_536
_BYTES_PER_LINE = 16
_DIGITS = 8
_WIDTH_OF_A_PIPE = 160
_ROOM_BESIDE = 40
_RIGHT = (True, False, False, False, False, True)


def list_told(stream: str, page: Page, totals: Totals) -> dict[str, object]:
    """Return a page as JSON has it."""
    return {
        "stream": stream,
        "held": totals.by_reason,
        "held_complete": totals.complete,
        "items": [_told(item) for item in page.items],
        "next_before": page.next_before,
    }


def _told(item: QuarantinedItem) -> dict[str, Any]:
    return {
        "id": item.item_id,
        "state": item.state,
        "reason": item.reason,
        "generation": item.generation,
        "shard": item.shard_id,
        "sequence_number": str(item.sequence_number),
        "part": item.sub_index,
        "arrived": _time(item.arrival_time_ms),
        "set_aside": _time(item.noted_at_ms),
        "size_bytes": item.size_bytes,
        "sha256": item.sha256.hex(),
        "kept": item.kept,
        "series": item.series,
        "event_time": _time(item.event_time_ms),
        "settled": _time(item.settled_at_ms),
        "why": item.why,
        "begins": None if item.beginning is None else terminal_bytes(item.beginning),
    }


def print_list(title: str, page: Page, totals: Totals) -> None:
    """Print a page for people: sums by reason, a table, how to go on."""
    from rich.console import Console

    console = Console()
    width = console.width if console.is_terminal else _WIDTH_OF_A_PIPE
    typer.echo(f"{terminal_text(title)}: {_sum_words(totals)}")
    for line in table_lines(page.items, width):
        typer.echo(line)
    if page.next_before is not None:
        n_found = "" if page.items else f"none of the newest {MAX_LOOKED_AT:,} is meant; "
        typer.echo(f"{n_found}go on with --before {page.next_before}")


def table_lines(items: Sequence[QuarantinedItem], width: int) -> Iterator[str]:
    """Yield the lines of a table: what an item holds beside the rest, or below it in little room.

    Args:
        items: Its rows.
        width: Of the terminal, in cells.
    """
    if not items:
        return
    rows = [("id", "reason", "shard", "record", "arrived (UTC)", "bytes"), *map(_row, items)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    shown = ["  ".join(map(_justified, row, widths, _RIGHT)) for row in rows]
    room = width - sum(widths) - 2 * len(widths)
    beside = room >= _ROOM_BESIDE
    yield f"{shown[0]}  holds" if beside else f"{shown[0]}\n  holds"
    for line, item in zip(shown[1:], items, strict=True):
        holds = _cut(_holds(item), room if beside else width - 2)
        yield f"{line}  {holds}".rstrip() if beside else f"{line}\n  {holds}".rstrip()


def _justified(cell: str, width: int, right: bool) -> str:
    return cell.rjust(width) if right else cell.ljust(width)


def _cut(text: str, width: int) -> str:
    from rich.text import Text

    shown = Text(text)
    shown.truncate(width, overflow="ellipsis")
    return shown.plain


def _sum_words(totals: Totals) -> str:
    n_held = sum(totals.by_reason.values())
    if not n_held and totals.complete:
        return "nothing is held in quarantine"
    by_reason = ", ".join(f"{reason} {n:,}" for reason, n in totals.by_reason.items())
    newest = "" if totals.complete else f" of the newest {MAX_LOOKED_AT:,} of all streams"
    return f"{n_held:,} held{newest}: {by_reason}"


def _row(item: QuarantinedItem) -> tuple[str, ...]:
    reason = item.reason if item.state is ItemState.HELD else f"{item.reason} ({item.state})"
    arrived_ms = item.arrival_time_ms
    arrived = "" if arrived_ms is None else format_time(arrived_ms - arrived_ms % 1000)
    return (
        str(item.item_id),
        terminal_text(reason),
        _end_of(item.shard_id),
        _end_of(str(item.sequence_number)),
        arrived.replace("T", " ").removesuffix("Z"),
        f"{item.size_bytes:,}",
    )


def _end_of(name: str) -> str:
    """Return where a long name or number differs from others: its end."""
    return name if len(name) <= _DIGITS + 1 else f"…{name[-_DIGITS:]}"


def _holds(item: QuarantinedItem) -> str:
    event = "" if item.series is None else f"{terminal_text(item.series)} "
    at = "" if item.event_time_ms is None else f"at {format_time(item.event_time_ms)} "
    begins = "" if item.beginning is None else terminal_bytes(item.beginning)
    return f"{event}{at}{begins}"


# --- one item


def item_told(item: QuarantinedItem, data: bytes | None) -> dict[str, object]:
    """Return one item as JSON has it."""
    words = reason_words(item.reason)
    return {
        **_told(item),
        "says": words.says,
        "cause": words.cause,
        "do": words.do,
        "base64": None if data is None else base64.b64encode(data).decode(),
    }


def print_item(item: QuarantinedItem, data: bytes | None) -> None:
    """Print one item for people."""
    words = reason_words(item.reason)
    part = f", part {item.sub_index}" if item.sub_index else ""
    rows = [
        ("Item", f"{item.item_id}, {_state_words(item)}"),
        ("Reason", f"{item.reason}: {words.says}"),
        ("Cause", words.cause),
        ("Do", words.do if item.state is ItemState.HELD else ""),
        ("Shard", f"{item.shard_id} (generation {item.generation})"),
        ("Record", f"{item.sequence_number}{part}"),
        ("Arrived", _time(item.arrival_time_ms) or "nobody noted when"),
        ("Set aside", _time(item.noted_at_ms) or ""),
        ("Series", item.series or ""),
        ("Event time", _time(item.event_time_ms) or ""),
        ("Bytes", f"{item.size_bytes:,}, SHA-256 {item.sha256.hex()}"),
    ]
    for name, value in rows:
        if value:
            typer.echo(f"{name:<11}{terminal_text(value)}")
    typer.echo()
    for line in _byte_lines(item, data):
        typer.echo(line)


def _state_words(item: QuarantinedItem) -> str:
    at = "" if item.settled_at_ms is None else f" at {format_time(item.settled_at_ms)}"
    why = f": {item.why}" if item.why else ""
    match item.state:
        case ItemState.HELD:
            return "held: it is not counted"
        case ItemState.COUNTED:
            return f"counted by a retry{at}"
        case ItemState.KNOWN:
            return f"known{at}: a retry found that its events were counted already"
        case ItemState.DISCARDED:
            return f"discarded{at}{why}"


def _byte_lines(item: QuarantinedItem, data: bytes | None) -> Iterator[str]:
    if data is None:
        gone = item.state is not ItemState.HELD
        yield "(its bytes went with that)" if gone else "(its bytes were not kept, only the hash)"
        return
    shown = data[:_MAX_SHOWN_BYTES]
    text = _text_of(shown, whole=len(shown) == len(data))
    if text is None:
        yield from _hex_lines(shown)
    else:
        yield from (terminal_text(line.removesuffix("\r")) for line in text.split("\n"))
    if len(shown) < len(data):
        yield f"… {len(data) - len(shown):,} more bytes; --raw writes them all"


def _text_of(data: bytes, *, whole: bool) -> str | None:
    """Return bytes as text; None if they are none. A cut in the middle of a character is none."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        cut = not whole and error.end == len(data) and len(data) - error.start < 4
        return data[: error.start].decode() if cut else None


def _hex_lines(data: bytes) -> Iterator[str]:
    for start in range(0, len(data), _BYTES_PER_LINE):
        some = data[start : start + _BYTES_PER_LINE]
        letters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in some)
        yield f"{start:08x}  {some.hex(' '):<{3 * _BYTES_PER_LINE}} {letters}"


def _time(time_ms: int | None) -> str | None:
    return None if time_ms is None else format_time(time_ms)
