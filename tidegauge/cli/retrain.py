"""`tidegauge retrain`: a dataset now, and what becomes of it: training, gate, endpoint."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from tidegauge.cli.reached import as_if_exported, reached
from tidegauge.cli.replay_options import print_json
from tidegauge.domain.model_record import SETTLED, ModelRecord, ModelState

if TYPE_CHECKING:
    from tidegauge.ports import ModelLedger, PatientClock
    from tidegauge.steps.export import ExportOutcome

_FOUND_WRONG = 1
_POLL_MS = 500
_MINUTE_MS = 60_000
# S3 tells train within seconds; Lambda tries for some minutes.
_STARTS_WITHIN_MS = 5 * _MINUTE_MS
# A year of hundreds of series takes minutes, through which the lock's connection says nothing.
_HELD_SECONDS = 6 * 3600


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("retrain")(retrain)


def retrain(
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the model is live, or it is known why not.")
    ] = False,
    minutes: Annotated[
        int, typer.Option("--minutes", min=1, help="With --wait: for so many minutes at most.")
    ] = 60,
    live: Annotated[bool, typer.Option("--live", help="The stream of `make live`.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Export what was counted, whether a dataset is due or not; training and deployment follow.

    The dataset's arrival on S3 starts the training, the model's the deployment, as after the
    weekly export. Nothing new is trained where the last model came of the very same windows.

    Looks at the stream of the environment (EVENTS_STREAM with DATABASE_URL or DATABASE_SECRET_ARN,
    EXPORTS_BUCKET, ENDPOINT_NAME), else at a local stack that is up. Exit code 1 if there is too
    little history, or, with --wait, if the model did not become live.
    """
    here = reached(os.environ, live=live)
    with as_if_exported(here.variables):
        outcome, record = _retrain(here.variables, wait_ms=minutes * _MINUTE_MS if wait else 0)
    if as_json:
        print_json(_told(outcome, record, waited=wait))
    else:
        for line in _lines(outcome, record, waited=wait):
            typer.echo(line)
    became_live = record is not None and record.state is ModelState.LIVE
    if not outcome.exported or (wait and not became_live):
        raise typer.Exit(_FOUND_WRONG)


def _retrain(
    variables: Mapping[str, str], *, wait_ms: int
) -> "tuple[ExportOutcome, ModelRecord | None]":
    from tidegauge.adapters.clock import SystemClock
    from tidegauge.adapters.mysql.dataset import MysqlDatasetStore
    from tidegauge.adapters.mysql.models import MysqlModelLedger
    from tidegauge.adapters.s3 import S3ObjectStore
    from tidegauge.cli.opened import opened
    from tidegauge.settings import (
        DatabaseSettings,
        ExportSettings,
        JudgingSettings,
        ModelSettings,
        StreamSettings,
        WindowSettings,
        read_settings,
    )
    from tidegauge.steps.export import ExportStep
    from tidegauge.steps.export_dataset import ExportRules

    streams, windows, judging, exports, models, databases = read_settings(
        variables,
        StreamSettings,
        WindowSettings,
        JudgingSettings,
        ExportSettings,
        ModelSettings,
        DatabaseSettings,
    )
    rules = ExportRules(
        folder_uri=exports.folder_uri,
        size_ms=windows.size_ms,
        enough_windows=judging.enough_windows,
    )
    with opened(databases) as database, opened(databases, idle_seconds=_HELD_SECONDS) as lock:
        ledger = MysqlModelLedger(database, lock, endpoint=models.endpoint_name)
        store = MysqlDatasetStore(database, streams.events_stream)
        step = ExportStep(store, ledger, S3ObjectStore(), rules)
        with _bar("export") as told:
            outcome = step.run(force=True, told=told)
        if not outcome.exported or not wait_ms:
            return outcome, None
        with _spinner() as show:
            return outcome, await_model(
                ledger, outcome.manifest_uri, SystemClock(), wait_ms=wait_ms, show=show
            )


def await_model(
    ledger: "ModelLedger",
    manifest_uri: str,
    clock: "PatientClock",
    *,
    wait_ms: int,
    show: Callable[[str], None],
) -> ModelRecord | None:
    """Wait until the model of a dataset that was stored just now is settled.

    Args:
        ledger: Where it is noted.
        manifest_uri: The dataset's manifest.
        clock: By which it is waited.
        wait_ms: For how long at most.
        show: Told what is waited for.

    Returns:
        Its record, settled or not; None where no training was noted in time.
    """
    before = {
        one.record.version
        for one in ledger.all(ModelState.FAILED)
        if one.record.manifest_uri == manifest_uri
    }
    now_ms = began_ms = clock.now_ms()
    while True:
        records = [
            one.record
            for one in ledger.all()
            # A dataset whose training failed is tried anew: that attempt is not the answer.
            if one.record.manifest_uri == manifest_uri and one.record.version not in before
        ]
        record = records[0] if records else None
        if record is not None and record.state in SETTLED:
            return record
        waited_ms = now_ms - began_ms
        if waited_ms >= wait_ms or (record is None and waited_ms >= _STARTS_WITHIN_MS):
            return record
        show(f"{record.version} is {record.state.value}" if record else "training starts")
        clock.wait_until_ms(now_ms + _POLL_MS)
        now_ms = clock.now_ms()


def _lines(outcome: "ExportOutcome", record: ModelRecord | None, *, waited: bool) -> Iterator[str]:
    manifest = outcome.manifest
    if manifest is None:
        yield f"Nothing was exported: {outcome.reason}"
        return
    yield f"Dataset  {outcome.dataset_id}"
    yield f"  {manifest.start} to {manifest.until}, {manifest.series} series"
    yield (
        f"  {manifest.train.rows:,} rows to train on, {manifest.validation.rows:,} to validate"
        f" with; {outcome.excluded_windows:,} of {outcome.windows:,} windows left out"
    )
    yield f"  {outcome.manifest_uri}"
    if record is None and waited:
        yield "Model    no training was started: train's log says why"
    elif record is None:
        yield "Model    is trained now; `tidegauge models` tells what becomes of it"
    else:
        yield f"Model    {record.version} is {record.state.value.replace('_', ' ')}"
        if record.error is not None and record.baseline_error is not None:
            before = (
                f", {record.champion_error:.3f} of {record.champion}"
                if record.champion_error is not None
                else ""
            )
            yield (
                f"  error {record.error:.3f}{before}, {record.baseline_error:.3f} of the seasonal"
                " baseline"
            )
        for reason in record.reasons:
            yield f"  {reason}"


def _told(
    outcome: "ExportOutcome", record: ModelRecord | None, *, waited: bool
) -> dict[str, object]:
    return {
        "exported": outcome.exported,
        "reason": outcome.reason,
        "dataset": outcome.dataset_id,
        "manifest_uri": outcome.manifest_uri,
        "manifest": outcome.manifest,
        "windows": outcome.windows,
        "excluded_windows": outcome.excluded_windows,
        "waited": waited,
        "model": msgspec.to_builtins(record) if record else None,
    }


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


@contextmanager
def _spinner() -> Iterator[Callable[[str], None]]:
    from rich.console import Console

    with Console(stderr=True).status("training starts") as status:
        yield status.update
