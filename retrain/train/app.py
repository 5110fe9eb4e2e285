"""train on Lambda: a dataset's manifest has been stored; its training job is started.

What fails is raised: Lambda hands the same event over again, and it starts what is not started yet.
"""

import os
from functools import cache
from typing import Any

import msgspec
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from tidegauge.adapters.mysql.connection import ANSWER_SECONDS, Database
from tidegauge.adapters.mysql.models import MysqlModelLedger
from tidegauge.adapters.s3 import S3ObjectStore
from tidegauge.adapters.s3_event import stored_objects
from tidegauge.adapters.sagemaker_training import SageMakerTrainingJobs
from tidegauge.adapters.secrets import secret_of
from tidegauge.settings import DatabaseSettings, ModelSettings, TrainingSettings, read_settings
from tidegauge.signals import Metric
from tidegauge.steps.train import TrainDecision, TrainOutcome, TrainStep

logger = Logger()
metrics = Metrics(namespace="Tidegauge")  # without one, writing them fails the event
tracer = Tracer()


@cache
def train_step() -> TrainStep:
    """Build the step and its adapters once per process, on first use."""
    models, training, databases = read_settings(
        os.environ, ModelSettings, TrainingSettings, DatabaseSettings
    )
    secret = secret_of(databases)
    database, lock = (
        Database.from_settings(
            databases, secret.locate if secret else None, answer_seconds=ANSWER_SECONDS
        )
        for _ in range(2)
    )
    return TrainStep(
        S3ObjectStore(),
        SageMakerTrainingJobs(),
        MysqlModelLedger(database, lock, endpoint=models.endpoint_name),
        training.training_rules(job_prefix=models.training_job_prefix),
        endpoint=models.endpoint_name,
    )


@logger.inject_lambda_context
@metrics.log_metrics
@tracer.capture_lambda_handler
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:  # noqa: ARG001
    """Start what one notification's manifests ask for. Raises what asks for it again."""
    step = train_step()
    started = 0
    for stored in stored_objects(event):
        outcome = step.run(stored.uri)
        report(outcome, sequencer=stored.sequencer)
        started += outcome.decision is TrainDecision.STARTED
    return {"started": started}


def report(outcome: TrainOutcome, *, sequencer: str) -> None:
    """Write a manifest's log lines and metrics."""
    for passed_over in outcome.passed_over:
        logger.info("no predecessor", **msgspec.structs.asdict(passed_over))
    if outcome.parameters:
        logger.info(
            "training parameters",
            job=outcome.job,
            parameters=msgspec.to_builtins(outcome.parameters),
        )
    refused = outcome.decision is TrainDecision.REFUSED
    (logger.error if refused else logger.info)(
        outcome.decision.value,
        manifest_uri=outcome.manifest_uri,
        reason=outcome.reason,
        job=outcome.job,
        predecessor=outcome.predecessor,
        sequencer=sequencer,
    )
    told = {
        Metric.TRAININGS_STARTED: int(outcome.decision is TrainDecision.STARTED),
        Metric.DATASETS_REFUSED: int(refused),
    }
    for metric, value in told.items():
        metrics.add_metric(metric.metric_name, metric.unit, value)
