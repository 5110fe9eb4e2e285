"""export on Lambda: writes a dataset to train on when one is due, or when somebody asks for it.

What fails is raised. Nothing is announced before the manifest is stored, so the next run makes good
what this one left.
"""

import os
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from tidegauge.adapters.mysql.connection import ANSWER_SECONDS, Database
from tidegauge.adapters.mysql.dataset import MysqlDatasetStore
from tidegauge.adapters.mysql.models import MysqlModelLedger
from tidegauge.adapters.s3 import S3ObjectStore
from tidegauge.adapters.secrets import secret_of
from tidegauge.domain.errors import InvalidInput
from tidegauge.settings import (
    DatabaseSettings,
    ExportSettings,
    JudgingSettings,
    ModelSettings,
    StreamSettings,
    WindowSettings,
    read_settings,
)
from tidegauge.signals import Metric
from tidegauge.steps.export import ExportOutcome, ExportStep
from tidegauge.steps.export_dataset import ExportRules

# Just above the function's timeout: the lock is held by a connection that is idle meanwhile, and
# that of an export that died must not keep out the next ones.
IDLE_SECONDS = 905

logger = Logger()
metrics = Metrics(namespace="Tidegauge")  # without one, writing them fails the run
tracer = Tracer()


@cache
def export_step() -> ExportStep:
    """Build the step and its adapters once per process, on first use."""
    windows, streams, judging, exports, models, databases = read_settings(
        os.environ,
        WindowSettings,
        StreamSettings,
        JudgingSettings,
        ExportSettings,
        ModelSettings,
        DatabaseSettings,
    )
    secret = secret_of(databases)
    database, lock = (
        Database.from_settings(
            databases,
            secret.locate if secret else None,
            idle_seconds=IDLE_SECONDS,
            answer_seconds=ANSWER_SECONDS,
        )
        for _ in range(2)
    )
    return ExportStep(
        MysqlDatasetStore(database, streams.events_stream),
        MysqlModelLedger(database, lock, endpoint=models.endpoint_name),
        S3ObjectStore(),
        ExportRules(
            folder_uri=exports.folder_uri,
            size_ms=windows.size_ms,
            enough_windows=judging.enough_windows,
        ),
    )


@logger.inject_lambda_context
@metrics.log_metrics
@tracer.capture_lambda_handler
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    """Export a dataset if one is due, or with `{"force": true}`. Raises what asks for it again."""
    force = event.get("force", False)
    if not isinstance(force, bool):
        msg = f'"force" must be true or false, not {force!r}'
        raise InvalidInput(msg)
    outcome = export_step().run(force=force)
    report(outcome)
    if outcome.exported:
        return {"exported": True, "manifest": outcome.manifest_uri}
    return {"exported": False, "reason": outcome.reason}


def report(outcome: ExportOutcome) -> None:
    """Write a run's log line and metrics."""
    if outcome.manifest is None:
        logger.info("nothing exported", reason=outcome.reason)
    else:
        logger.info(
            "exported",
            dataset=outcome.dataset_id,
            windows=outcome.windows,
            excluded_windows=outcome.excluded_windows,
            series=outcome.manifest.series,
            train_rows=outcome.manifest.train.rows,
            validation_rows=outcome.manifest.validation.rows,
            baseline_error=outcome.manifest.baseline_error,
        )
    told = {
        Metric.DATASETS_EXPORTED: int(outcome.exported),
        Metric.WINDOWS_EXCLUDED: outcome.excluded_windows,
    }
    for metric, value in told.items():
        metrics.add_metric(metric.metric_name, metric.unit, value)
