"""sweep on Lambda: once a minute, what no single batch can be trusted to do.

A part of a sweep that fails keeps no other from its turn; then it is raised, for the error to be
seen, and the next minute's sweep does what this one left.
"""

import os
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from tidegauge.adapters.clock import SystemClock
from tidegauge.adapters.failed_batches import FailedBatchBucket
from tidegauge.adapters.kinesis import KinesisStream, WindowsSink
from tidegauge.adapters.mysql.connection import ANSWER_SECONDS, Database
from tidegauge.adapters.mysql.counting import MysqlCountStore
from tidegauge.adapters.mysql.outbox import MysqlOutbox
from tidegauge.adapters.mysql.sweeping import MysqlSweepStore
from tidegauge.adapters.secrets import secret_of
from tidegauge.adapters.sns import AlertSink
from tidegauge.adapters.stream_readings import LambdaMappings
from tidegauge.domain.decode import SeriesBy
from tidegauge.ports import Destination
from tidegauge.settings import (
    AlertSettings,
    Clocks,
    DatabaseSettings,
    StreamSettings,
    WindowSettings,
    read_settings,
)
from tidegauge.signals import Metric
from tidegauge.steps.sweep import Sweep, Swept

# Just above the function's timeout: the lock of a sweep that died must not keep out the next ones.
IDLE_SECONDS = 65

logger = Logger()
metrics = Metrics(namespace="Tidegauge")  # without one, writing them fails the batch
tracer = Tracer()


@cache
def sweep_step() -> Sweep:
    """Build the step once per process, on first use."""
    windows, streams, alerts, databases = read_settings(
        os.environ, WindowSettings, StreamSettings, AlertSettings, DatabaseSettings
    )
    secret = secret_of(databases)
    locate = secret.locate if secret else None
    database, lock = (
        Database.from_settings(
            databases, locate, idle_seconds=IDLE_SECONDS, answer_seconds=ANSWER_SECONDS
        )
        for _ in range(2)
    )
    bucket = streams.failed_batches_bucket
    return Sweep(
        store=MysqlCountStore(database),
        sweeps=MysqlSweepStore(database, lock, size_ms=windows.size_ms),
        outbox=MysqlOutbox(database),
        sinks={
            Destination.WINDOWS: WindowsSink(KinesisStream(streams.windows_stream)),
            Destination.ALERTS: AlertSink(alerts.alerts_topic_arn),
        },
        stream=KinesisStream(streams.events_stream),
        clock=SystemClock(),
        clock_source=streams.clock_source if streams.heartbeats is Clocks.SWEEP else None,
        close_rules=windows.close_rules(),
        series_by=SeriesBy(windows.series_fields),
        failed_batches=FailedBatchBucket(bucket) if bucket else None,
        readings=LambdaMappings(),
        rounds=streams.heartbeats_per_minute,
    )


@logger.inject_lambda_context
@metrics.log_metrics
@tracer.capture_lambda_handler
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:  # noqa: ARG001
    """Do one sweep. Raises the first of what the next minute has to try again."""
    swept = sweep_step().run()
    if not swept.ran:
        logger.info("another sweep is running")
        return {"completed": 0}
    report(swept)
    if swept.failures:
        raise swept.failures[0]
    return {"completed": swept.completed}


def report(swept: Swept) -> None:
    """Write a sweep's log lines and metrics; what it could not find out is left out."""
    logger.info(
        "swept",
        shards=swept.shards,
        drained=swept.drained,
        completed=swept.completed,
        watermark_ms=swept.watermark_ms,
        watermark_lag_ms=swept.watermark_lag_ms,
        rung=swept.rung,
        alerts_sent=swept.alerts_sent,
        purged_windows=swept.purged_windows,
        generations_ended=swept.ended,
    )
    for fault in swept.reading_faults:
        logger.error("the events stream is not read as it should be", fault=fault)
    if swept.lost_events:
        logger.error("the mapping gave up on events", lost_events=swept.lost_events)
    for name in swept.unreadable:
        logger.error("no failed batch can be read from this object", object=name)
    for failure in swept.failures:
        logger.error("left to the next sweep", kind=type(failure).__name__, error=str(failure))
    for metric, value in measured(swept).items():
        metrics.add_metric(metric.metric_name, metric.unit, value)


def measured(swept: Swept) -> dict[Metric, int]:
    """Return the metrics that a sweep knows. One that is missing says so by its absence."""
    known = {
        Metric.WINDOWS_COMPLETED: swept.completed,
        Metric.SERIES_RUNG_AGAIN: swept.rung,
        Metric.ALERTS_SENT: swept.alerts_sent,
        Metric.SHARDS_DRAINED: swept.drained,
        Metric.GENERATIONS_ENDED: swept.ended,
        Metric.LOST_EVENTS: swept.lost_events,
        Metric.WINDOWS_PURGED: swept.purged_windows,
    }
    if swept.watermark_lag_ms is not None:
        known[Metric.WATERMARK_LAG] = swept.watermark_lag_ms
    if swept.reading_checked:
        known[Metric.MAPPING_FAULTS] = len(swept.reading_faults)
    if swept.backlog is not None:
        known[Metric.OPEN_WINDOWS] = swept.backlog.open_windows
        known[Metric.OUTBOX_AGE] = swept.backlog.outbox_age_ms
        known[Metric.UNJUDGED_SERIES] = swept.backlog.unjudged_series
        known[Metric.GAPS_KNOWN] = swept.backlog.gaps
    return known
