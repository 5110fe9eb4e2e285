"""`tidegauge exclude`: names periods that no model shall learn from, lists and takes them back."""

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from tidegauge.cli.moments import moment_ms
from tidegauge.cli.reached import reached
from tidegauge.cli.replay_options import print_json
from tidegauge.cli.terminal_text import terminal_text
from tidegauge.domain.decode import MAX_SERIES_BYTES
from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.event_time import format_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidegauge.domain.dataset import Exclusion
    from tidegauge.ports.dataset import Exclusions

MAX_WHY = 255
_HEAD = ("id", "from (UTC)", "until (UTC)", "series", "why")


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("exclude")(exclude)


def exclude(
    since: Annotated[
        str | None, typer.Argument(metavar="FROM", help="Begin of the period.")
    ] = None,
    until: Annotated[
        str | None, typer.Argument(metavar="TO", help="Its end, which does not belong to it.")
    ] = None,
    series: Annotated[
        str | None, typer.Option(metavar="SERIES", help="Of this series alone, by its exact name.")
    ] = None,
    why: Annotated[str | None, typer.Option(metavar="TEXT", help="Is noted with it.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="List what is excluded.")] = False,
    remove: Annotated[
        int | None, typer.Option(metavar="ID", help="Take one back, by its number in the list.")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="The stream of `make live`.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Leave a period out of training: a load test, a holiday, a bug.

    The next dataset gives no row for a window that the period touches, of any stream in this
    database; its counts stay, and it is still judged. Times are in UTC: 2013-02-08,
    2013-02-08T20:45Z. A series that nobody has seen yet is noted with a warning.

    Looks at the database of the environment (EVENTS_STREAM with DATABASE_URL or
    DATABASE_SECRET_ARN), else at that of a local stack that is up. Exit code 2 if there is nothing
    of that number to take back.
    """
    n_wanted = (since is not None) + listed + (remove is not None)
    period = (until, series, why) != (None, None, None)
    if n_wanted != 1 or (period and since is None):
        msg = "name a period (FROM TO --why TEXT), or --list, or --remove ID: one of the three"
        raise InvalidInput(msg)
    if listed:
        _list(live=live, as_json=as_json)
    elif remove is not None:
        _remove(remove, live=live, as_json=as_json)
    else:
        from_ms, until_ms = _period(since, until)
        _add(_series(series), from_ms, until_ms, _why(why), live=live, as_json=as_json)


def _add(
    series: str | None, from_ms: int, until_ms: int, why: str, *, live: bool, as_json: bool
) -> None:
    with _store(live=live) as store:
        warning = ""
        if series is not None and not store.is_known(series):
            warning = f"nobody has seen a series '{terminal_text(series)}' yet; it is noted"
        made = store.add(series, from_ms, until_ms, why)
    if as_json:
        print_json({"excluded": _told(made), "warning": warning})
        return
    if warning:
        typer.echo(f"Warning: {warning}", err=True)
    typer.echo(f"Excluded as {made.exclusion_id}: {_words(made)}. The next dataset leaves it out.")


def _list(*, live: bool, as_json: bool) -> None:
    with _store(live=live) as store:
        found = store.exclusions()
    if as_json:
        print_json({"exclusions": [_told(one) for one in found]})
    elif not found:
        typer.echo("Nothing is excluded.")
    else:
        rows = [_HEAD, *map(_row, found)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            typer.echo("  ".join(cells).rstrip())


def _remove(exclusion_id: int, *, live: bool, as_json: bool) -> None:
    with _store(live=live) as store:
        gone = store.remove(exclusion_id)
    if gone is None:
        msg = f"there is no exclusion {exclusion_id}: `tidegauge exclude --list` shows all"
        raise InvalidInput(msg)
    if as_json:
        print_json({"removed": _told(gone)})
    else:
        typer.echo(f"Taken back {gone.exclusion_id}: {_words(gone)}. The next dataset has it.")


@contextmanager
def _store(*, live: bool) -> "Iterator[Exclusions]":
    from tidegauge.adapters.mysql.exclusions import MysqlExclusions
    from tidegauge.cli.opened import opened
    from tidegauge.settings import DatabaseSettings

    here = reached(os.environ, live=live)
    with opened(DatabaseSettings.from_env(here.variables)) as database:
        yield MysqlExclusions(database)


def _period(since: str | None, until: str | None) -> tuple[int, int]:
    if since is None or until is None:
        msg = "TO is missing: name the period's end, such as 2013-02-09"
        raise InvalidInput(msg)
    from_ms, until_ms = moment_ms(since, what="FROM"), moment_ms(until, what="TO")
    if from_ms >= until_ms:
        msg = (
            f"FROM must lie before TO, but {format_time(from_ms)} does not lie before"
            f" {format_time(until_ms)}"
        )
        raise InvalidInput(msg)
    return from_ms, until_ms


def _series(text: str | None) -> str | None:
    if text is None:
        return None
    n_bytes = len(_encodable(text, "--series").encode())
    if not 0 < n_bytes <= MAX_SERIES_BYTES:
        msg = f"--series has {n_bytes} bytes, and a series' name has 1 to {MAX_SERIES_BYTES}"
        raise InvalidInput(msg)
    return text


def _why(text: str | None) -> str:
    why = _encodable(text or "", "--why").strip()
    if not 0 < len(why) <= MAX_WHY:
        msg = f"--why must say why in 1 to {MAX_WHY} characters, not {len(why)}"
        raise InvalidInput(msg)
    return why


def _encodable(text: str, option: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        msg = f"{option} must be text in the encoding of the terminal, not {text!r}"
        raise InvalidInput(msg) from None
    return text


def _told(one: "Exclusion") -> dict[str, object]:
    return {
        "id": one.exclusion_id,
        "series": one.series,
        "from": format_time(one.from_ms),
        "until": format_time(one.until_ms),
        "why": one.why,
        "noted": format_time(one.noted_ms),
    }


def _words(one: "Exclusion") -> str:
    of = "all series" if one.series is None else f"series '{terminal_text(one.series)}'"
    return f"{format_time(one.from_ms)} to {format_time(one.until_ms)} of {of}"


def _row(one: "Exclusion") -> tuple[str, ...]:
    return (
        str(one.exclusion_id),
        format_time(one.from_ms),
        format_time(one.until_ms),
        "all" if one.series is None else f"'{terminal_text(one.series)}'",
        terminal_text(one.why),
    )
