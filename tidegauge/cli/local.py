"""`tidegauge up`, `down` and `status`: the local stack, as `make run` starts it."""

import importlib.util
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from tidegauge.domain.errors import InvalidInput

if TYPE_CHECKING:
    from embedded.composed import ComposedStack
    from embedded.local import LocalStack, Running
    from embedded.places import Places
    from embedded.report import Report

_AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
_Live = Annotated[bool, typer.Option("--live", help="The stack of `make live` alone.")]
_FOUND_WRONG = 1


class EngineKind(StrEnum):
    """What plays AWS."""

    EMBEDDED = "embedded"
    LOCALSTACK = "localstack"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("up")(up)
    app.command("down")(down)
    app.command("status")(status)


def up(
    replay: Annotated[
        bool, typer.Option("--replay", help="Replay a recorded storm through it and show it.")
    ] = False,
    engine: Annotated[
        EngineKind,
        typer.Option(help="embedded: processes of this machine; localstack: containers of Docker."),
    ] = EngineKind.EMBEDDED,
    as_json: _AsJson = False,
) -> None:
    """Start the local stack: AWS engine, database, model endpoint and the deployed functions."""
    in_docker = engine is EngineKind.LOCALSTACK
    local, places = _composed_stack() if in_docker else _local_stack()
    from rich.console import Console

    from embedded.present import show
    from embedded.progress import Phases
    from embedded.run import run

    phases = Phases(Console(stderr=True))
    if not replay:
        running = local.up(phases)
        _print_running(running, as_json=as_json)
        return
    running, report = run(local, places, phases)
    if as_json:
        typer.echo(msgspec.json.encode(_told(report)).decode())
    else:
        steps = _next_steps_in_docker() if in_docker else _next_steps(running, places)
        show(report, Console(), next_steps=steps)
    if not report.check.holds:
        raise typer.Exit(_FOUND_WRONG)


def down(live: _Live = False, as_json: _AsJson = False) -> None:
    """Stop all that `up` and `live` started. Databases keep their data for the next time."""
    stopped = [f"{name} (live)" for name in _live_stack().down()]
    if not live:
        stopped = [*_local_stack()[0].down(), *stopped, *_composed_stack()[0].down()]
    if as_json:
        typer.echo(msgspec.json.encode({"stopped": stopped}).decode())
    else:
        typer.echo(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running.")


def status(live: _Live = False, as_json: _AsJson = False) -> None:
    """Show what runs and how counting stands: silent, stalled and incomplete told apart.

    Looks at the local stacks that are up, and at the stream of the environment: EVENTS_STREAM with
    DATABASE_URL or DATABASE_SECRET_ARN. HEARTBEATS, WINDOW_SECONDS, ALLOWED_LATENESS_SECONDS and
    HEARTBEATS_PER_MINUTE are as its functions have them. Exit code 1 if it is stalled, incomplete
    or down.
    """
    from tidegauge.cli.status import show_status

    show_status(live=live, as_json=as_json)


def require_repository() -> None:
    """Raise InvalidInput where there is no clone of the repository."""
    if importlib.util.find_spec("embedded") is None:
        msg = "the local stack is part of the repository: clone it and run `make run` there"
        raise InvalidInput(msg)


def _local_stack() -> "tuple[LocalStack, Places]":
    require_repository()
    from embedded.local import LocalStack
    from embedded.places import default_places

    places = default_places()
    return LocalStack.from_env(places), places


def _composed_stack() -> "tuple[ComposedStack, Places]":
    require_repository()
    from embedded.composed import ComposedStack
    from embedded.places import compose_places

    places = compose_places()
    return ComposedStack(places), places


def _live_stack() -> "LocalStack":
    require_repository()
    from embedded.local import LocalStack
    from embedded.places import live_places

    return LocalStack(live_places())  # to be stopped: its settings do not matter


def _print_running(running: "Running", *, as_json: bool) -> None:
    variables = running.environment
    if as_json:
        typer.echo(msgspec.json.encode(variables).decode())
        return
    typer.echo("The local stack is up. To reach it:")
    for name, value in variables.items():
        typer.echo(f"  export {name}={value}")


def _told(report: "Report") -> dict[str, object]:
    return {
        "series": report.series,
        "events": sum(line.count for line in report.windows),
        "windows": len(report.windows),
        "quarantined": report.quarantined,
        "anomalous": sum(line.anomalous for line in report.windows),
        "alerts": report.alerts,
        "models": report.models,
        "notices": report.notices,
        "recount": {
            "holds": report.check.holds,
            "events": report.check.events,
            "windows": report.check.windows,
            "differences": report.check.differences,
        },
        "seconds": report.seconds,
    }


def _next_steps(running: "Running", places: "Places") -> list[tuple[str, str]]:
    database = running.database
    client = (
        f"mariadb -h {database.host} -P {database.port} -u {database.user} -p {database.database}"
    )
    return [
        ("make status", "addresses, and variables to export for commands of your own"),
        (client, f"the tables completed_window, prediction, incident; password: {places.password}"),
        (f"less {places.logs / 'engine.log'}", "what the functions logged"),
        (".venv/bin/tidegauge models", "the model, what it was trained from, and how good it is"),
        ("make invoke F=collect", "one function on its example event"),
        ("make down", "stop everything; the database keeps its data"),
    ]


def _next_steps_in_docker() -> list[tuple[str, str]]:
    compose = "docker compose -f localstack/docker-compose.yml"
    client = "mysql --defaults-file=/run/tidegauge/client.cnf tidegauge"
    return [
        (".venv/bin/tidegauge up --engine localstack", "variables to export for commands"),
        (f"{compose} exec mysql {client}", "the tables completed_window, prediction, incident"),
        (
            f"{compose} port adminer 8080",
            "where a page shows them; its login: localstack/README.md",
        ),
        (f"{compose} logs localstack", "what the engine logged"),
        ("make down", "stop everything; the volumes are kept"),
    ]
