"""collect on Lambda: takes the batches of the events stream, counts each exactly once.

A batch that fails is raised, never answered in part: the mapping delivers it again, whole.
"""

import os
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from tidegauge.adapters.clock import SystemClock
from tidegauge.adapters.kinesis import KinesisStream, WindowsSink
from tidegauge.adapters.lambda_event import kinesis_batches
from tidegauge.adapters.mysql.connection import ANSWER_SECONDS, Database
from tidegauge.adapters.mysql.counting import MysqlCountStore
from tidegauge.adapters.mysql.outbox import MysqlOutbox
from tidegauge.adapters.secrets import secret_of
from tidegauge.domain.decode import SeriesBy
from tidegauge.ports import Destination
from tidegauge.settings import (
    Clocks,
    DatabaseSettings,
    StreamSettings,
    WindowSettings,
    read_settings,
)
from tidegauge.signals import Metric
from tidegauge.steps.count_stream import CountedBatch, StreamCounter

logger = Logger()
metrics = Metrics(namespace="Tidegauge")  # without one, writing them fails the batch
tracer = Tracer()


@cache
def stream_counter() -> StreamCounter:
    """Build the step once per process, on first use."""
    windows, streams, databases = read_settings(
        os.environ, WindowSettings, StreamSettings, DatabaseSettings
    )
    secret = secret_of(databases)
    database = Database.from_settings(
        databases, secret.locate if secret else None, answer_seconds=ANSWER_SECONDS
    )
    return StreamCounter(
        store=MysqlCountStore(database, quarantine_max_bytes=windows.quarantine_max_bytes),
        outbox=MysqlOutbox(database),
        sinks={Destination.WINDOWS: WindowsSink(KinesisStream(streams.windows_stream))},
        stream=KinesisStream(streams.events_stream),
        clock=SystemClock(),
        series_by=SeriesBy(windows.series_fields),
        rules=windows.count_rules(
            clock_source=streams.clock_source, clock_is_sweep=streams.heartbeats is Clocks.SWEEP
        ),
        close_rules=windows.close_rules(),
    )


@logger.inject_lambda_context
@metrics.log_metrics
@tracer.capture_lambda_handler
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:  # noqa: ARG001
    """Count one invocation's records. Raises whatever asks for the batch again."""
    events = 0
    for batch in kinesis_batches(event):
        counted = stream_counter().count(batch.shard_id, batch.records)
        events += counted.collected.batch.distinct
        report(batch.shard_id, counted)
    return {"events": events}


def report(shard_id: str, counted: CountedBatch) -> None:
    """Write a batch's log line and metrics."""
    batch = counted.collected.batch
    logger.info(
        "counted",
        shard_id=shard_id,
        sequence_number=str(batch.state.fence),
        stream_time_ms=batch.state.stream_time_ms,
        events=batch.distinct,
        duplicates=batch.duplicates,
        late=batch.late,
        quarantined=len(batch.quarantined),
        completed=counted.completed,
    )
    if counted.left_to_sweep is not None:
        logger.warning("left to the sweep", shard_id=shard_id, error=str(counted.left_to_sweep))
    told = {
        Metric.EVENTS_COUNTED: batch.distinct,
        Metric.EVENTS_DUPLICATE: batch.duplicates,
        Metric.EVENTS_LATE: batch.late,
        Metric.REJECTS: len(batch.quarantined),
        Metric.WINDOWS_COMPLETED: counted.completed,
        Metric.LEFT_TO_SWEEP: int(counted.left_to_sweep is not None),
        Metric.ITERATOR_AGE: counted.iterator_age_ms,
    }
    for metric, value in told.items():
        metrics.add_metric(metric.metric_name, metric.unit, value)
