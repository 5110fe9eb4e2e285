"""predict on Lambda: takes announcements as doorbells, judges what is unjudged, alerts people.

What fails is raised, never answered in part: the mapping rings again, and the store knows what is
left to judge.
"""

import os
from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import msgspec
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from tidegauge.adapters.lambda_event import kinesis_batches
from tidegauge.adapters.mysql.connection import ANSWER_SECONDS, Database
from tidegauge.adapters.mysql.judging import MysqlJudgingStore
from tidegauge.adapters.mysql.models import was_live
from tidegauge.adapters.mysql.outbox import MysqlOutbox
from tidegauge.adapters.sagemaker import EndpointPredictor
from tidegauge.adapters.secrets import secret_of
from tidegauge.adapters.sns import AlertSink
from tidegauge.domain.errors import Rejected, TidegaugeError
from tidegauge.ports import Destination, MessageSink, Outbox
from tidegauge.settings import (
    AlertSettings,
    DatabaseSettings,
    JudgingSettings,
    WindowSettings,
    read_settings,
)
from tidegauge.signals import Metric
from tidegauge.steps.predict import Doorbell, PredictOutcome, PredictStep, read_doorbell
from tidegauge.steps.publish import publish_outbox

ALERTS_PER_RUN = 1_000

logger = Logger()
metrics = Metrics(namespace="Tidegauge")  # without one, writing them fails the batch
tracer = Tracer()


class Judge(msgspec.Struct, frozen=True):
    """The step, and where its alerts wait and go."""

    step: PredictStep
    outbox: Outbox
    sink: MessageSink


@cache
def judge() -> Judge:
    """Build the step and its adapters once per process, on first use."""
    windows, judging, alerts, databases = read_settings(
        os.environ, WindowSettings, JudgingSettings, AlertSettings, DatabaseSettings
    )
    secret = secret_of(databases)
    database = Database.from_settings(
        databases, secret.locate if secret else None, answer_seconds=ANSWER_SECONDS
    )
    name = judging.endpoint_name
    return Judge(
        step=PredictStep(
            MysqlJudgingStore(database, interval_level=judging.interval_level),
            EndpointPredictor(name, was_live=partial(was_live, database, name)) if name else None,
            judging.judging_rules(size_ms=windows.size_ms),
        ),
        outbox=MysqlOutbox(database),
        sink=AlertSink(alerts.alerts_topic_arn),
    )


@logger.inject_lambda_context
@metrics.log_metrics
@tracer.capture_lambda_handler
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:  # noqa: ARG001
    """Judge the series that one invocation's records name. Raises what asks for it again."""
    outcome = judge().step.ring(list(doorbells(event)))
    report(outcome, sent=publish())
    return {"windows": outcome.windows, "alerts": outcome.alerts}


def doorbells(event: dict[str, Any]) -> Iterator[Doorbell]:
    """Read the announcements; one that is none is logged and passed by."""
    for batch in kinesis_batches(event):
        for record in batch.records:
            try:
                yield read_doorbell(record.data)
            except Rejected as rejected:
                # Nothing is lost: the sweep rings for whatever stays unjudged.
                logger.warning(
                    "not an announcement",
                    shard_id=batch.shard_id,
                    sequence_number=str(record.sequence_number),
                    reason=rejected.reason,
                )
                metrics.add_metric(Metric.REJECTS.metric_name, Metric.REJECTS.unit, 1)


def publish() -> int | None:
    """Send the alerts that wait; None where it failed, and the sweep has to do it."""
    sinks = {Destination.ALERTS: judge().sink}
    try:
        published = publish_outbox(judge().outbox, sinks, limit=ALERTS_PER_RUN)
    except TidegaugeError as error:
        logger.warning("left to the sweep", error=str(error))
        return None
    return published.sent[Destination.ALERTS]


def report(outcome: PredictOutcome, *, sent: int | None) -> None:
    """Write a run's log line and metrics."""
    logger.info("judged", **msgspec.structs.asdict(outcome), alerts_sent=sent)
    told = {
        Metric.WINDOWS_JUDGED: outcome.windows - outcome.not_judged,
        Metric.PREDICTION_ERRORS: outcome.errors,
        Metric.ALERTS_SENT: sent or 0,
        Metric.LEFT_TO_SWEEP: int(sent is None),
    }
    for metric, value in told.items():
        metrics.add_metric(metric.metric_name, metric.unit, value)
