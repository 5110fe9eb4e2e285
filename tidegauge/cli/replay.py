"""`tidegauge replay FIXTURE`: counts and judges events offline, or puts them on a stream."""

import os
from pathlib import Path
from typing import Annotated

import typer

from tidegauge.adapters.replay_output import OutputPaths
from tidegauge.cli.offline_model import ENDPOINT_PREFIX, SEASONAL
from tidegauge.cli.replay_options import ReplayOptions
from tidegauge.domain.errors import InvalidInput
from tidegauge.settings import JudgingSettings, WindowSettings, variable_names

_UNUSED = ("ENDPOINT_NAME",)  # --model names the endpoint
_SETTINGS = ", ".join(
    name
    for kind in (WindowSettings, JudgingSettings)
    for name in variable_names(kind)
    if name not in _UNUSED
)
_PARAGRAPHS = (
    "Replay a fixture: count its events in windows, judge them, show what people would hear.",
    "FIXTURE is a file of JSON lines, plain, .gz or .zst: one event a line, as CloudEvents or "
    "EventBridge write it (or a batch of them as an array), or one recorded record a line. Offline "
    "a replay needs nothing else, and gives the same bytes each time.",
    "With --to the events are put on a Kinesis stream, together with the heartbeats that are its "
    "clock; the stream's consumers must run with HEARTBEATS=producer. If DATABASE_URL is set, a "
    "replay that starts behind what the stream has counted already is refused; without it, use a "
    "new stream.",
    f"Settings come from the environment: {_SETTINGS}, HEARTBEATS and CLOCK_SOURCE.",
)


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("replay", help="\n\n".join(_PARAGRAPHS))(replay)


def replay(
    fixture: Annotated[
        Path, typer.Argument(help="The fixture.", show_default=False, readable=False)
    ],
    model: Annotated[
        str, typer.Option(help="seasonal, a model file (.tar.gz), or endpoint:NAME.")
    ] = SEASONAL,
    no_predict: Annotated[bool, typer.Option("--no-predict", help="Only count.")] = False,
    to: Annotated[
        str | None, typer.Option(metavar="STREAM", help="Put the events on this stream instead.")
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(help="With --to: seconds of event time in a second; else as fast as it goes."),
    ] = None,
    shift_to_now: Annotated[
        bool,
        typer.Option(
            "--shift-to-now",
            help="With --to: move all times by whole windows, so that the last event is sent at "
            "its own time.",
        ),
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Processes that decode.")] = 1,
    windows_out: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write each window, judged, as CSV.")
    ] = None,
    alerts_out: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Write each alert as a JSON line.")
    ] = None,
    quarantine_out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.jsonl", help="Write what was set aside as JSON lines."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the sums as JSON.")] = False,
) -> None:
    """Replay a fixture; what it does stands in the help."""
    options = ReplayOptions(
        fixture=fixture,
        jobs=jobs,
        as_json=as_json,
        outputs=OutputPaths(windows_out, alerts_out, quarantine_out),
        model=None if no_predict else model,
        speed=speed,
        shift_to_now=shift_to_now,
    )
    if to is not None:
        _refuse_offline_options(options, model)
        from tidegauge.cli.replay_onto import replay_onto

        replay_onto(options, to, os.environ)
        return
    if speed is not None or shift_to_now:
        msg = "--speed and --shift-to-now need --to STREAM: offline a replay is as fast as it goes"
        raise InvalidInput(msg)
    _check_model(options)
    from tidegauge.cli.replay_offline import replay_offline

    replay_offline(options, os.environ)


def _refuse_offline_options(options: ReplayOptions, model: str) -> None:
    if options.outputs.given() or options.model is None or model != SEASONAL:
        msg = (
            "--windows-out, --alerts-out, --quarantine-out, --model and --no-predict are for "
            "offline replays: with --to the stream's consumers count and judge"
        )
        raise InvalidInput(msg)
    if options.speed is not None and not 0 < options.speed < float("inf"):
        msg = f"--speed must be above zero, not {options.speed}"
        raise InvalidInput(msg)


def _check_model(options: ReplayOptions) -> None:
    model = options.model
    if model is None or model == SEASONAL:
        return
    if model.startswith(ENDPOINT_PREFIX):
        JudgingSettings.from_env({"ENDPOINT_NAME": model.removeprefix(ENDPOINT_PREFIX)})
        if model == ENDPOINT_PREFIX:
            msg = "--model endpoint:NAME needs the name of a SageMaker endpoint"
            raise InvalidInput(msg)
    elif not Path(model).exists():
        msg = f"--model {model} is neither seasonal, nor endpoint:NAME, nor a file that exists"
        raise InvalidInput(msg)
