"""`tidegauge doctor`: looks at all that counting and judging need, and says what to mend."""

import os
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated

import typer

from tidegauge.cli.reached import Reached, as_if_exported, reached
from tidegauge.cli.replay_options import print_json
from tidegauge.steps.doctor_finding import Finding, Level

# So long the database may think about one answer.
ANSWER_SECONDS = 10.0
_FOUND_WRONG = 1
_MARKS = {
    Level.OK: ("ok", "green"),
    Level.WARNING: ("warning", "yellow"),
    Level.WRONG: ("wrong", "bold red"),
    Level.NOT_CHECKED: ("not checked", "dim"),
}


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("doctor")(doctor)


def doctor(
    live: Annotated[bool, typer.Option("--live", help="Look at the stack of `make live`.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check settings, database, streams, topic, mapping, clocks, permissions, model and retraining.

    Looks at the stream of the environment (EVENTS_STREAM and, if it is set, DATABASE_URL or
    DATABASE_SECRET_ARN), else at a local stack that is up. What only functions know is taken from
    them. Changes nothing. Exit code 1 if something is wrong.
    """
    here = _reached(live=live)
    with as_if_exported(here.variables):
        findings = list(_with_progress(_findings(here.variables), hidden=as_json))
    if as_json:
        print_json(_told(here, findings))
    else:
        _print(here, findings)
    if any(finding.level is Level.WRONG for finding in findings):
        raise typer.Exit(_FOUND_WRONG)


def _reached(*, live: bool) -> Reached:
    """Return what to look at: a stream alone will do, its functions know their database."""
    if not live and os.environ.get("EVENTS_STREAM", "").strip():
        return Reached("environment", dict(os.environ))
    return reached(os.environ, live=live)


def _findings(variables: Mapping[str, str]) -> Iterator[Finding]:
    from tidegauge.adapters.clock import SystemClock
    from tidegauge.adapters.cloud_look import AwsLook
    from tidegauge.adapters.mysql.connection import Database
    from tidegauge.adapters.mysql.look import MysqlLook
    from tidegauge.settings import DatabaseAddress, DatabaseSettings
    from tidegauge.steps.doctor import Doctor

    clock = SystemClock()
    opened: list[Database] = []

    def database_at(
        address: DatabaseAddress,
        settings: DatabaseSettings,
        stream_name: str,
        *,
        with_earlier: bool,
    ) -> MysqlLook:
        database = Database(
            lambda _refused: address,
            needs_tls=settings.needs_tls,
            answer_seconds=ANSWER_SECONDS,
        )
        opened.append(database)
        return MysqlLook(database, stream_name, with_earlier=with_earlier, clock=clock)

    try:
        yield from Doctor(variables, AwsLook(clock), database_at, clock).run()
    finally:
        for database in opened:
            database.close()


def _with_progress(findings: Iterator[Finding], *, hidden: bool) -> Iterator[Finding]:
    """Pass findings on, and show on standard error which one came last, if that is a terminal."""
    if hidden or not sys.stderr.isatty():
        yield from findings
        return
    from rich.console import Console

    with Console(stderr=True).status("Looking") as status:
        for finding in findings:
            status.update(f"Looked at {finding.what}")
            yield finding


def _told(here: Reached, findings: list[Finding]) -> dict[str, object]:
    return {
        "looked_at": here.name,
        "stream": here.variables.get("EVENTS_STREAM", ""),
        "sound": not any(finding.level is Level.WRONG for finding in findings),
        "findings": [
            {
                "what": finding.what,
                "level": finding.level.value,
                "says": finding.says,
                "remedy": finding.remedy,
            }
            for finding in findings
        ],
    }


def _print(here: Reached, findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    title = f"{here.name}: {here.variables.get('EVENTS_STREAM', '')}"
    console.print(Text(title, style="bold"), soft_wrap=True)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    before = ""
    for finding in findings:
        mark, style = _MARKS[finding.level]
        says = Text(finding.says)
        if finding.remedy:
            says.append(f"\n→ {finding.remedy}", style="dim")
        what = "" if finding.what == before else finding.what
        table.add_row(Text(what), Text(mark, style=style), says)
        before = finding.what
    console.print(table)
    console.print(Text(_summary(findings)), soft_wrap=True)


def _summary(findings: list[Finding]) -> str:
    counts = {level: sum(finding.level is level for finding in findings) for level in Level}
    parts = [f"{counts[level]} {level.value}" for level in Level if counts[level]]
    return ", ".join(parts)
