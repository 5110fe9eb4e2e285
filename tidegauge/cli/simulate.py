"""`tidegauge simulate`: puts simulated events on a stream as they happen, or writes a fixture."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from tidegauge.cli.simulate_options import Goal, SimulateOptions, Source, goal_of
from tidegauge.domain.errors import InvalidInput
from tidegauge.settings import variable_names
from tidegauge.simulator_settings import SimulatorSettings

_UNUSED = ("EVENTS_STREAM", "SIMULATOR_TICK_SECONDS")  # of the function that runs each minute
_SETTINGS = ", ".join(name for name in variable_names(SimulatorSettings) if name not in _UNUSED)
_PARAGRAPHS = (
    "Simulate events with a rate, a season and injected faults.",
    "With --to STREAM they are put on a Kinesis stream as they happen, until --for, --until or "
    "Ctrl-C; the stream's clock is somebody else (HEARTBEATS=sweep). With --out FILE.jsonl or "
    "FILE.jsonl.gz the events from --from up to --until become a fixture for `tidegauge replay`: "
    "the same bytes each time, without AWS.",
    "The same seed gives the same events with the same ids, so doing it twice changes no count.",
    "--inject KIND:TYPE@START+DURATION, several times: KIND is silence, drop (to 0.2 of the rate) "
    "or spike (to 5 times); drop:TYPEx0.5 and spike:TYPEx8 have a factor of their own. START is in "
    "RFC 3339, or +SECONDS from the beginning; DURATION such as 90, 10m, 2h.",
    "With --source database the events are rows of a query: SOURCE_NAME, SOURCE_QUERY, "
    "SOURCE_DATABASE_URL, SOURCE_OVERLAP; see producers/listener_sim/README.md.",
    f"What no option gives comes from the environment: {_SETTINGS}.",
)


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("simulate", help="\n\n".join(_PARAGRAPHS))(simulate)


def simulate(
    to: Annotated[
        str | None, typer.Option(metavar="STREAM", help="Put events on this stream.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write events to this fixture instead.")
    ] = None,
    source: Annotated[Source, typer.Option(help="Where events come from.")] = Source.SIMULATOR,
    seed: Annotated[str | None, typer.Option(help="Another one gives other events.")] = None,
    types: Annotated[
        str | None,
        typer.Option(metavar="TYPE:RATE,…", help="Event types with their events per minute."),
    ] = None,
    rate: Annotated[str | None, typer.Option(help="Multiplies all rates.")] = None,
    season: Annotated[
        str | None, typer.Option(help="How much day and week matter, 0 to 1.")
    ] = None,
    inject: Annotated[list[str] | None, typer.Option(metavar="FAULT", help="A fault.")] = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Begin with events of this time, RFC 3339."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="End before events of this time.")
    ] = None,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="SECONDS", help="Or so long: 90, 10m, 2d.")
    ] = None,
    tick: Annotated[
        str | None, typer.Option(metavar="SECONDS", help="With --to: put so much at once; 1.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the sums as JSON.")] = False,
) -> None:
    """Simulate events; what it does stands in the help."""
    options = SimulateOptions(
        seed=seed,
        types=types,
        rate=rate,
        season=season,
        inject=tuple(inject or ()),
        start=from_,
        until=until,
        lasting=for_,
        tick=tick,
        source=source,
        as_json=as_json,
    )
    if (to is None) == (out is None):
        msg = "say where events go: either --to STREAM or --out FILE.jsonl"
        raise InvalidInput(msg)
    if to is not None:
        _onto(options, to, os.environ)
    elif out is not None:
        _write(options, out, os.environ)


def _onto(options: SimulateOptions, stream: str, env: Mapping[str, str]) -> None:
    from tidegauge.adapters.clock import SystemClock
    from tidegauge.cli.simulate_onto import database_source, put_events, simulated_source

    clock = SystemClock()
    if options.source is Source.DATABASE:
        _refuse(options, options.of_simulation, "for simulated events, not for --source database")
        goal = goal_of(options, env, stream=stream, now_ms=clock.now_ms(), simulated=False)
        with database_source(env) as events:
            put_events(goal, events, clock)
        return
    goal = goal_of(options, env, stream=stream, now_ms=clock.now_ms())
    put_events(goal, simulated_source(goal, clock), clock)


def _write(options: SimulateOptions, path: Path, env: Mapping[str, str]) -> None:
    _refuse(options, ("source", "tick"), "for --to: a fixture is written at once, and simulated")
    if options.start is None or (options.until is None and options.lasting is None):
        msg = "--out needs --from TIME, and --until TIME or --for SECONDS"
        raise InvalidInput(msg)
    from tidegauge.cli.simulate_fixture import write_fixture

    goal: Goal = goal_of(options, env, stream="fixture", now_ms=None)
    write_fixture(goal, path)


def _refuse(options: SimulateOptions, names: tuple[str, ...], reason: str) -> None:
    given = [options.flag(name) for name in names if options.is_given(name)]
    if given:
        msg = f"{' and '.join(given)} {'are' if len(given) > 1 else 'is'} {reason}"
        raise InvalidInput(msg)
