"""`tidegauge status`: what runs locally, and whether counting is silent, stalled or incomplete.

Takes the local stacks that are up, and the stream of the environment. Exit code 1 where somebody
has to mend something of ours: stalled, incomplete, or down.
"""

import os
import shlex
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from tidegauge.cli.reached import (
    LIVE,
    RULES,
    RUN,
    Reached,
    in_environment,
    local_stacks,
    reached_in,
    running_of,
)
from tidegauge.domain.errors import TidegaugeError
from tidegauge.domain.event_time import format_time
from tidegauge.domain.health import Health, State
from tidegauge.domain.health_words import Line, lines_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from embedded.local import LocalStack, Running

ANSWER_SECONDS = 10.0
_FOUND_WRONG = 1
_COLOURS: dict[str, str] = {
    State.STALLED: "bold red",
    State.BEHIND: "yellow",
    State.INCOMPLETE: "red",
    State.SILENT: "cyan",
    State.COUNTING: "green",
}


class Counting(msgspec.Struct, frozen=True):
    """The counting state of one stream.

    Attributes:
        name: Where the stream comes from.
        stream: Its name.
        health: Its state; None if none of it was ever counted, or it could not be read.
        lines: The state in words.
        fine: Whether nobody has to mend anything.
    """

    name: str
    stream: str
    health: Health | None
    lines: list[Line]
    fine: bool


def show_status(*, live: bool, as_json: bool) -> None:
    """Show the local stacks and the counting of each stream; leave with 1 if something is wrong.

    Args:
        live: Of the stack of `make live` alone.
        as_json: Print JSON and nothing else.
    """
    here = None if live else in_environment(os.environ)
    if here is None and not live and os.environ.get("EVENTS_STREAM", "").strip():
        typer.echo(_HALF, err=True)
    stacks = local_stacks()
    shown = {name: stack for name, stack in stacks.items() if _is_shown(name, stack, live, here)}
    running = {name: running_of(stack) for name, stack in shown.items()}
    found = [reached_in(name, up) for name, up in running.items() if up is not None]
    if here is not None and not any(_same(here, other) for other in found):
        found.append(here)
    countings = [counting_of(one) for one in found]
    if as_json:
        typer.echo(msgspec.json.encode(_told(shown, running, countings)).decode())
    else:
        _print_stacks(shown, running)
        print_countings(countings)
        _print_variables(found, running)
    down = any(up is None for up in running.values()) or not found
    if down or not all(counting.fine for counting in countings):
        raise typer.Exit(_FOUND_WRONG)


def counting_of(reached: Reached) -> Counting:
    """Return the counting state of a stream.

    Raises:
        Misconfigured: a setting of the environment cannot be used.
    """
    from tidegauge.adapters.clock import SystemClock
    from tidegauge.adapters.mysql.status import MysqlSnapshots
    from tidegauge.cli.opened import opened
    from tidegauge.settings import DatabaseSettings
    from tidegauge.steps.health import health_rules, look

    variables = reached.variables
    stream = variables["EVENTS_STREAM"].strip()
    settings = DatabaseSettings.from_env(variables)
    rules = health_rules(variables)
    try:
        with opened(settings, answer_seconds=ANSWER_SECONDS) as database:
            snapshots = MysqlSnapshots(database, stream, with_earlier=rules.with_earlier)
            health = look(snapshots, rules, SystemClock())
    except TidegaugeError as error:
        return Counting(reached.name, stream, None, [Line("unknown", str(error), _REACH)], False)
    if health is not None:
        return Counting(reached.name, stream, health, lines_of(health), health.is_fine)
    # A stack that has just come up has counted nothing; elsewhere it is more likely a wrong name.
    expected = reached.name in (RUN, LIVE)
    says = f"nothing of stream {stream} was ever counted in this database"
    line = Line(State.STARTING, says, "" if expected else _NOTHING)
    return Counting(reached.name, stream, None, [line], expected)


_HALF = (
    "tidegauge: EVENTS_STREAM is set, DATABASE_URL or DATABASE_SECRET_ARN is not: its counting "
    "cannot be looked at"
)
_REACH = "the database: does it run, and can it be reached from here? `tidegauge doctor` says more"
_NOTHING = "EVENTS_STREAM and the database: `tidegauge doctor` holds them against the functions"


def print_countings(countings: list[Counting]) -> None:
    """Print what is true of each stream, one line for each thing, and where to look next."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    for counting in countings:
        console.print(Text(f"{counting.name}: {counting.stream}", style="bold"), soft_wrap=True)
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for line in counting.lines:
            says = Text(line.says)
            if line.look:
                says.append(f"\n→ look at {line.look}", style="dim")
            state = line.state or "besides"
            table.add_row(Text(f"  {state}", style=_COLOURS.get(state, "")), says)
        console.print(table)


def _is_shown(name: str, stack: "LocalStack", live: bool, here: Reached | None) -> bool:
    if live:
        return name == LIVE
    # A database that is given answers whether or not the stack is up.
    given = bool(os.environ.get("DATABASE_URL"))
    some_up = any(up for server, up in stack.servers() if not (given and server == "database"))
    return some_up or (name == RUN and here is None)


def _same(one: Reached, other: Reached) -> bool:
    names = ("EVENTS_STREAM", "DATABASE_URL")
    return all(one.variables.get(name) == other.variables.get(name) for name in names)


def _print_stacks(
    shown: "Mapping[str, LocalStack]", running: "Mapping[str, Running | None]"
) -> None:
    for name, stack in shown.items():
        if running[name] is not None:
            continue
        servers = stack.servers()
        whole = all(address for _, address in servers)
        for server, address in servers:
            # All have an address, and still the stack is not up.
            amiss = " (hangs, or holds no whole stack)" if whole and server == "engine" else ""
            typer.echo(f"{server:<20}{address or 'down'}{amiss}")
        start = (
            "`make live` or `tidegauge live`" if name == LIVE else "`make run` or `tidegauge up`"
        )
        typer.echo(f"Start it with {start}.")


def _print_variables(found: list[Reached], running: "Mapping[str, Running | None]") -> None:
    for reached in found:
        stack = running.get(reached.name)
        if stack is None:
            continue
        typer.echo(f"To reach the stack of `{reached.name}`:")
        # with the rules that its functions count by: commands that count must have the very same
        rules = sorted(RULES & reached.variables.keys() - stack.environment.keys())
        for name in [*stack.environment, *rules]:
            typer.echo(f"  export {name}={shlex.quote(reached.variables[name])}")
        return  # those of two would not go together


def _told(
    shown: "Mapping[str, LocalStack]",
    running: "Mapping[str, Running | None]",
    countings: list[Counting],
) -> dict[str, Any]:
    return {
        "stacks": {
            name: {"up": running[name] is not None, "servers": dict(stack.servers())}
            for name, stack in shown.items()
        },
        "counting": [
            {
                "name": counting.name,
                "stream": counting.stream,
                "state": counting.lines[0].state,
                "fine": counting.fine,
                "lines": msgspec.to_builtins(counting.lines),
                **_health_told(counting.health),
            }
            for counting in countings
        ],
    }


def _health_told(health: Health | None) -> dict[str, Any]:
    if health is None:
        return {}
    return {
        "states": [state.value for state in health.states],
        "watermark": _time(health.watermark_ms),
        "lag_seconds": None if health.lag_ms is None else health.lag_ms // 1000,
        "complete_until": _time(health.counted_until_ms),
        "stalls": [
            {
                "cause": stall.cause.value,
                "shards": stall.shard_ids,
                "waiting": stall.waiting_ids,
                "since": _time(stall.since_ms),
                "moving": stall.moving,
            }
            for stall in health.stalls
        ],
        "losses": [
            {
                "from": _time(loss.from_ms),
                "until": _time(loss.until_ms),
                "reason": loss.reason,
                "shard": loss.shard_id,
            }
            for loss in health.losses
        ],
        "silent": [
            {
                "series": silence.series,
                "from": _time(silence.from_ms),
                "until": _time(silence.until_ms),
                "windows": silence.windows,
                "alerted": silence.incident,
            }
            for silence in health.silent
        ],
        "suspect": health.suspect,
        "series": health.n_series,
        "unjudged": health.unjudged,
        "unsent": health.unsent,
        "unsent_seconds": health.unsent_age_ms // 1000,
        "quarantined": health.quarantined,
    }


def _time(time_ms: int | None) -> str | None:
    return None if time_ms is None else format_time(time_ms)
