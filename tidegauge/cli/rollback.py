"""`tidegauge rollback`: lets the endpoint serve a model again that it served before."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from tidegauge.cli.reached import as_if_exported, reached
from tidegauge.cli.replay_options import print_json
from tidegauge.cli.terminal_text import terminal_text
from tidegauge.domain.errors import InvalidInput, TidegaugeError
from tidegauge.domain.model_record import ModelRecord, ModelState

if TYPE_CHECKING:
    from tidegauge.ports import Clock, Outbox
    from tidegauge.steps.deploy import DeployStep

_FOUND_WRONG = 1
_MINUTE_MS = 60_000
# An update of many instances takes its time, through which the lock's connection says nothing.
_HELD_SECONDS = 6 * 3600
_NOTICES = 1_000
_PAYLOAD_BYTES = 3_000_000


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("rollback")(rollback)


def rollback(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="As `models` shows it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    minutes: Annotated[
        int, typer.Option("--minutes", min=1, max=300, help="Wait for so long at most.")
    ] = 60,
    live: Annotated[bool, typer.Option("--live", help="The endpoint of `make live`.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Let the endpoint serve a model again that was live before, without the gate.

    Its artifact must be what was verified then. The endpoint is updated as for a new model, and the
    model must answer; else it goes back. People are told. A live model whose endpoint is gone or
    has failed is brought back in the same way. The next training is weighed against it.

    Looks at ENDPOINT_NAME and the database of the environment (EVENTS_STREAM with DATABASE_URL or
    DATABASE_SECRET_ARN), else at a local stack that is up. Exit code 1 if the model did not become
    live.
    """
    if not yes and (as_json or not sys.stdin.isatty()):
        msg = "say --yes: nobody can be asked here"
        raise InvalidInput(msg)
    here = reached(os.environ, live=live)
    with as_if_exported(here.variables), _built(here.variables) as built:
        if not yes:
            typer.confirm(f"Let the endpoint serve {terminal_text(version)}?", abort=True, err=True)
        with _spinner() as told:
            until_ms = built.clock.now_ms() + minutes * _MINUTE_MS
            record = built.step.put_back(version, until_ms=until_ms, told=told)
        left = _publish(built.outbox, here.variables)
    if as_json:
        print_json({"model": msgspec.to_builtins(record), "notices_left": left})
    else:
        for line in _lines(record, left):
            typer.echo(line)
    if record.state is not ModelState.LIVE:
        raise typer.Exit(_FOUND_WRONG)


class _Built(msgspec.Struct, frozen=True):
    step: "DeployStep"
    clock: "Clock"
    outbox: "Outbox"


@contextmanager
def _built(variables: Mapping[str, str]) -> Iterator[_Built]:
    from tidegauge.adapters.artifact import check_archive
    from tidegauge.adapters.clock import SystemClock
    from tidegauge.adapters.mysql.models import MysqlModelLedger
    from tidegauge.adapters.mysql.outbox import MysqlOutbox
    from tidegauge.adapters.s3 import S3ObjectStore
    from tidegauge.adapters.sagemaker import EndpointPredictor
    from tidegauge.adapters.sagemaker_serving import SageMakerModelHost
    from tidegauge.adapters.sagemaker_training import SageMakerTrainingJobs
    from tidegauge.cli.opened import opened
    from tidegauge.settings import DatabaseSettings, DeploySettings, ModelSettings, read_settings
    from tidegauge.steps.deploy import DeployStep
    from tidegauge.steps.deploy_examining import Examiner

    models, deploying, databases = read_settings(
        variables, ModelSettings, DeploySettings, DatabaseSettings
    )
    name = models.endpoint_name
    predictor = EndpointPredictor(name, max_payload_bytes=_PAYLOAD_BYTES)
    with ExitStack() as stack:
        database = stack.enter_context(opened(databases))
        lock = stack.enter_context(opened(databases, idle_seconds=_HELD_SECONDS))
        clock = SystemClock()
        step = DeployStep(
            MysqlModelLedger(database, lock, endpoint=name),
            SageMakerTrainingJobs(),
            SageMakerModelHost(),
            Examiner(S3ObjectStore(), predictor, check_archive),
            deploying.deploy_rules(models),
            clock,
        )
        yield _Built(step, clock, MysqlOutbox(database))


def _publish(outbox: "Outbox", variables: Mapping[str, str]) -> str:
    """Send the notices that wait; return why they are left to the sweep, empty if they are not."""
    from tidegauge.adapters.sns import AlertSink
    from tidegauge.ports import Destination
    from tidegauge.settings import AlertSettings
    from tidegauge.steps.publish import publish_outbox

    try:
        sink = AlertSink(AlertSettings.from_env(variables).alerts_topic_arn)
        publish_outbox(outbox, {Destination.ALERTS: sink}, limit=_NOTICES)
    except TidegaugeError as error:
        return str(error)
    return ""


def _lines(record: ModelRecord, left: str) -> Iterator[str]:
    match record.state:
        case ModelState.LIVE:
            before = f"; {record.champion} was before" if record.champion else ""
            yield f"Model {record.version} is live{before}."
        case ModelState.DEPLOYING:
            yield (
                f"Model {record.version} is still on its way: deploy goes on with it, and"
                f" `tidegauge models {record.version}` tells how far it is."
            )
        case _:
            words = record.state.value.replace("_", " ")
            yield f"Model {record.version} did not become live, it is {words}:"
            yield from (f"  {terminal_text(reason)}" for reason in record.reasons)
    if left:
        yield f"People are told by the next sweep: {terminal_text(left)}"


@contextmanager
def _spinner() -> Iterator[Callable[[str], None]]:
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status("looking at the model and the endpoint") as status:
        yield lambda words: status.update(Text(words))
