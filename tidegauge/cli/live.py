"""`tidegauge live`: a local stack that counts simulated events as they happen, and its view."""

import sys
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from tidegauge.cli.local import require_repository
from tidegauge.domain.errors import InvalidInput

if TYPE_CHECKING:
    from embedded.live import LiveSettings
    from embedded.local import Running
    from embedded.places import Places

_HINTS = (
    "Ctrl-C ends the view, the stack goes on. `make live` comes back, `make down` stops it.",
    "Try in another terminal: tidegauge live --inject silence:order.placed",
)


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("live")(live)


def live(
    seconds: Annotated[
        float | None, typer.Option("--for", min=0.0, help="End the view after so many seconds.")
    ] = None,
    inject: Annotated[
        list[str] | None,
        typer.Option(
            help="Let the simulator of the running stack have a fault, such as "
            "silence:order.placed, drop:payment.taken or spike:user.signed_upx3, and end; "
            "may be given several times."
        ),
    ] = None,
    lasting: Annotated[
        str, typer.Option(help="How long the injected fault lasts: 90s, 3m, 1h.")
    ] = "3m",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what is new as JSON lines.")
    ] = False,
) -> None:
    """Start the live stack and watch it: counts, expected band, watermark lag, alerts.

    WINDOW_SECONDS (300) sets the length of its windows; 20 shows much within minutes.
    """
    require_repository()
    from embedded.places import live_places

    places = live_places()
    if inject:
        _inject(places, inject, lasting=lasting, as_json=as_json)
        return
    settings, running = _up(places)
    _watch(places, settings, running, seconds=seconds, as_json=as_json)


def _up(places: "Places") -> "tuple[LiveSettings, Running]":
    from rich.console import Console

    from embedded.live import keep_settings, settings_at
    from embedded.progress import Phases

    settings = settings_at(places)
    running = settings.stack(places).up(Phases(Console(stderr=True)))
    keep_settings(places, settings)
    return settings, running


def _watch(
    places: "Places",
    settings: "LiveSettings",
    running: "Running",
    *,
    seconds: float | None,
    as_json: bool,
) -> None:
    from embedded.live_reading import LiveFeed
    from embedded.live_watch import Form, watch

    form = Form.JSON if as_json else Form.SCREEN if sys.stdout.isatty() else Form.LINES
    feed = LiveFeed(running, settings.health_rules, places.state / "alerts.jsonl")
    try:
        watch(feed, form, size_ms=settings.size_ms, seconds=seconds, hints=_HINTS)
    finally:
        feed.close()
    if form is Form.SCREEN:
        typer.echo("The live stack goes on: `make live` comes back to it, `make down` stops it.")


def _inject(places: "Places", texts: list[str], *, lasting: str, as_json: bool) -> None:
    from embedded.inject import inject
    from embedded.live import settings_at
    from tidegauge.adapters.aws_errors import aws_call
    from tidegauge.adapters.clock import SystemClock
    from tidegauge.domain.event_time import format_time

    running = settings_at(places).stack(places).running()
    if running is None:
        msg = "the live stack is not up: start it with `make live`"
        raise InvalidInput(msg)
    with aws_call("telling the simulator"):
        faults = inject(running, texts, lasting=lasting, now_ms=SystemClock().now_ms())
    for fault in faults:
        start, end = format_time(fault.start_ms), format_time(fault.end_ms)
        if as_json:
            told = {"kind": fault.kind, "type": fault.type, "start": start, "end": end}
            typer.echo(msgspec.json.encode({**told, "factor": fault.factor}).decode())
        else:
            typer.echo(f"{fault.kind.capitalize()} of {fault.type} from {start} until {end}.")
