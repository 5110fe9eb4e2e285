"""deploy on Lambda: a model's artifact has been stored, or the schedule comes by.

Both are doorbells; the ledger, the training jobs and the endpoint say what there is to do. What
takes longer than a run is left to the next one, and what fails is raised.
"""

import os
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from tidegauge.adapters.artifact import check_archive
from tidegauge.adapters.clock import SystemClock
from tidegauge.adapters.mysql.connection import ANSWER_SECONDS, Database
from tidegauge.adapters.mysql.models import MysqlModelLedger
from tidegauge.adapters.mysql.outbox import MysqlOutbox
from tidegauge.adapters.s3 import S3ObjectStore
from tidegauge.adapters.s3_event import stored_objects
from tidegauge.adapters.sagemaker import EndpointPredictor
from tidegauge.adapters.sagemaker_serving import SageMakerModelHost
from tidegauge.adapters.sagemaker_training import SageMakerTrainingJobs
from tidegauge.adapters.secrets import secret_of
from tidegauge.adapters.sns import AlertSink
from tidegauge.domain.errors import TidegaugeError
from tidegauge.ports import Clock, Destination, MessageSink, Outbox
from tidegauge.settings import (
    AlertSettings,
    DatabaseSettings,
    DeploySettings,
    ModelSettings,
    read_settings,
)
from tidegauge.signals import Metric
from tidegauge.steps.deploy import DeployOutcome, DeployStep
from tidegauge.steps.deploy_examining import Examiner
from tidegauge.steps.publish import publish_outbox

# Just above the function's timeout: the lock of a run that died must not keep out the next ones.
IDLE_SECONDS = 915
# What is under way when time runs short is ended: a last answer, a last note.
SLACK_MS = 60_000
# A serverless endpoint takes 4 MB at once.
PAYLOAD_BYTES = 3_000_000
NOTICES_PER_RUN = 1_000

_ARTIFACT = re.compile(r"training/([^/]+)/output/model\.tar\.gz")

logger = Logger()
metrics = Metrics(namespace="Tidegauge")  # without one, writing them fails the run
tracer = Tracer()


class Deployer(msgspec.Struct, frozen=True):
    """The step, its clock, and where its notices wait and go."""

    step: DeployStep
    clock: Clock
    outbox: Outbox
    sink: MessageSink


@cache
def deployer() -> Deployer:
    """Build the step and its adapters once per process, on first use."""
    models, deploying, alerts, databases = read_settings(
        os.environ, ModelSettings, DeploySettings, AlertSettings, DatabaseSettings
    )
    secret = secret_of(databases)
    locate = secret.locate if secret else None
    database, lock = (
        Database.from_settings(
            databases, locate, idle_seconds=IDLE_SECONDS, answer_seconds=ANSWER_SECONDS
        )
        for _ in range(2)
    )
    examiner = Examiner(
        S3ObjectStore(),
        EndpointPredictor(models.endpoint_name, max_payload_bytes=PAYLOAD_BYTES),
        check_archive,
    )
    clock = SystemClock()
    step = DeployStep(
        MysqlModelLedger(database, lock, endpoint=models.endpoint_name),
        SageMakerTrainingJobs(),
        SageMakerModelHost(),
        examiner,
        deploying.deploy_rules(models),
        clock,
    )
    return Deployer(step, clock, MysqlOutbox(database), AlertSink(alerts.alerts_topic_arn))


@logger.inject_lambda_context
@metrics.log_metrics
@tracer.capture_lambda_handler
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, list[str]]:
    """Take every model as far as it goes. Raises what the next run has to try again."""
    there = deployer()
    until_ms = there.clock.now_ms() + context.get_remaining_time_in_millis() - SLACK_MS
    outcome = there.step.ring(jobs_of(event), until_ms=until_ms)
    report(outcome, sent=publish())
    return {"deployed": outcome.deployed, "waiting": outcome.waiting}


def jobs_of(event: Mapping[str, Any]) -> list[str]:
    """Return the training jobs whose artifacts a notification names; none for the schedule."""
    if event.get("source") == "aws.events":
        return []
    keys = [stored.key for stored in stored_objects(event)]
    return [found[1] for key in keys if (found := _ARTIFACT.fullmatch(key))]


def publish() -> int | None:
    """Send the notices that wait; None where it failed, and the sweep has to do it."""
    sinks = {Destination.ALERTS: deployer().sink}
    try:
        published = publish_outbox(deployer().outbox, sinks, limit=NOTICES_PER_RUN)
    except TidegaugeError as error:
        logger.warning("left to the sweep", error=str(error))
        return None
    return published.sent[Destination.ALERTS]


def report(outcome: DeployOutcome, *, sent: int | None) -> None:
    """Write a run's log line and metrics."""
    if not outcome.ran:
        logger.info("another run does this one's work")
    logger.info("deployed", **msgspec.structs.asdict(outcome), notices_sent=sent)
    told = {
        Metric.MODELS_DEPLOYED: len(outcome.deployed),
        Metric.MODELS_REFUSED: len(outcome.refused),
        Metric.MODELS_ROLLED_BACK: len(outcome.rolled_back),
        Metric.TRAININGS_FAILED: len(outcome.failed),
        Metric.ALERTS_SENT: sent or 0,
        Metric.LEFT_TO_SWEEP: int(sent is None),
    }
    for metric, value in told.items():
        metrics.add_metric(metric.metric_name, metric.unit, value)
