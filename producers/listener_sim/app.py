"""listener_sim on Lambda: simulated events each minute, and events that EventBridge delivers.

A schedule's event makes it fill the minute that the schedule was due for; any other event of
EventBridge goes onto the stream as it is. What fails is raised, and Lambda hands it over again.
"""

import os
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from tidegauge.adapters.clock import SystemClock
from tidegauge.adapters.eventbridge import DeliveredEvent, scheduled_ms
from tidegauge.adapters.kinesis import KinesisStream
from tidegauge.adapters.simulated_source import SimulatedSource
from tidegauge.signals import Metric
from tidegauge.simulator_settings import SimulatorSettings
from tidegauge.steps.produce import produce
from tidegauge.steps.simulated_minute import MinuteProducer

logger = Logger()
metrics = Metrics(namespace="Tidegauge")  # without one, writing them fails the batch
tracer = Tracer()


@cache
def producers() -> tuple[KinesisStream, MinuteProducer]:
    """Build the stream and what fills its minutes once per process, on first use."""
    settings = SimulatorSettings.from_env(os.environ)
    simulation = settings.simulation()
    clock = SystemClock()
    stream = KinesisStream(settings.events_stream)
    minutes = MinuteProducer(
        lambda start_ms, end_ms: SimulatedSource(simulation, clock, start_ms, end_ms),
        stream,
        clock,
        tick_ms=settings.tick_ms,
    )
    return stream, minutes


@logger.inject_lambda_context
@metrics.log_metrics
@tracer.capture_lambda_handler
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:  # noqa: ARG001
    """Put what the event asks for on the stream. Raises what has to be handed over again."""
    stream, minutes = producers()
    due_ms = scheduled_ms(event)
    produced = produce(DeliveredEvent(event), stream) if due_ms is None else minutes.run(due_ms)
    logger.info("produced", due_ms=due_ms, events=produced.events, refused=produced.refused)
    metrics.add_metric(
        Metric.EVENTS_PRODUCED.metric_name, Metric.EVENTS_PRODUCED.unit, produced.events
    )
    return {"events": produced.events}
