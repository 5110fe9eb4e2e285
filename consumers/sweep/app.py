"""sweep on Lambda: once a minute, what no single batch can be trusted to do.

A sweep that fails is raised and logged; the next minute's does what it left.
"""

import os
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from tidegauge.adapters.clock import SystemClock
from tidegauge.adapters.kinesis import KinesisStream, WindowsSink
from tidegauge.adapters.mysql.connection import ANSWER_SECONDS, Database
from tidegauge.adapters.mysql.counting import MysqlCountStore
from tidegauge.adapters.mysql.outbox import MysqlOutbox
from tidegauge.adapters.mysql.sweeping import MysqlSweepStore
from tidegauge.adapters.secrets import secret_of
from tidegauge.adapters.sns import AlertSink
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
from tidegauge.steps.sweep import SweepClock, Swept, sweep

# Just above the function's timeout: the lock of a sweep that died must not keep out the next ones.
IDLE_SECONDS = 65

logger = Logger()
metrics = Metrics(namespace="Tidegauge")  # without one, writing them fails the batch
tracer = Tracer()


@cache
def sweep_step() -> Callable[[], Swept]:
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
    stream = KinesisStream(streams.events_stream)
    is_clock = streams.heartbeats is Clocks.SWEEP
    return partial(
        sweep,
        store=MysqlCountStore(database),
        sweeps=MysqlSweepStore(database, lock, size_ms=windows.size_ms),
        outbox=MysqlOutbox(database),
        sinks={
            Destination.WINDOWS: WindowsSink(KinesisStream(streams.windows_stream)),
            Destination.ALERTS: AlertSink(alerts.alerts_topic_arn),
        },
        stream=stream,
        clock=SweepClock(stream, SystemClock(), streams.clock_source) if is_clock else None,
        close_rules=windows.close_rules(),
    )


@logger.inject_lambda_context
@metrics.log_metrics
@tracer.capture_lambda_handler
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:  # noqa: ARG001
    """Do one sweep. Raises what the next minute has to try again."""
    swept = sweep_step()()
    if not swept.ran:
        logger.info("another sweep is running")
        return {"completed": 0}
    logger.info(
        "swept",
        shards=swept.shards,
        completed=swept.completed,
        watermark_ms=swept.watermark_ms,
        rung=swept.rung,
        alerts_sent=swept.alerts_sent,
    )
    told = {
        Metric.WINDOWS_COMPLETED: swept.completed,
        Metric.SERIES_RUNG_AGAIN: swept.rung,
        Metric.ALERTS_SENT: swept.alerts_sent,
    }
    for metric, value in told.items():
        metrics.add_metric(metric.metric_name, metric.unit, value)
    return {"completed": swept.completed}
