"""The deploy step with all its real adapters: the engine's S3, the stand-in, a database.

A model's error is about what its data were made to differ from a line.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from msgspec.structs import replace

from embedded.engine import EngineAddress
from tests.support.live import until
from tests.support.standin import AWS_ENVIRONMENT
from tidegauge.adapters.artifact import check_archive
from tidegauge.adapters.clock import SystemClock
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.dataset import MysqlDatasetStore
from tidegauge.adapters.mysql.migrate import migrate
from tidegauge.adapters.mysql.models import MysqlModelLedger
from tidegauge.adapters.s3 import S3ObjectStore
from tidegauge.adapters.sagemaker import EndpointPredictor
from tidegauge.adapters.sagemaker_serving import SageMakerModelHost
from tidegauge.adapters.sagemaker_training import SageMakerTrainingJobs
from tidegauge.domain.dataset import Dataset
from tidegauge.domain.endpoint import DeployRules
from tidegauge.domain.errors import TidegaugeError
from tidegauge.domain.event_time import format_time
from tidegauge.domain.manifest import FORMAT, DataFile, Manifest
from tidegauge.domain.model_record import ModelRecord, ModelState
from tidegauge.domain.training_job import Channel, JobSpec
from tidegauge.ports import ModelChange
from tidegauge.settings import DatabaseSettings
from tidegauge.steps.deploy import DeployOutcome, DeployStep
from tidegauge.steps.deploy_examining import Examiner

NOON = 1_360_324_800_000
DAY = 86_400_000
EXPORTS, MODELS = "deploy-exports", "deploy-models"
SERVERLESS: dict[str, Any] = {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}
INSTANCES: dict[str, Any] = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 2}
N_ROWS = 200
WAIT_S = 60.0


def make_buckets(engine: EngineAddress) -> None:
    """Make the buckets of exports and models."""
    for bucket in (EXPORTS, MODELS):
        engine.session().s3.create_bucket(Bucket=bucket)


class RealDeployment:
    """One endpoint and everything around it.

    Args:
        engine: Its S3.
        standin: Address of the stand-in.
        database_url: An empty database.
        endpoint: The endpoint's name, which no other test uses.
        new_variant: What the endpoint is made to run on.
    """

    def __init__(
        self,
        engine: EngineAddress,
        standin: str,
        database_url: str,
        endpoint: str,
        new_variant: Mapping[str, Any] = SERVERLESS,
    ) -> None:
        import boto3

        self.address = standin
        self.endpoint = endpoint
        self.rules = DeployRules(
            endpoint=endpoint,
            job_prefix=endpoint,
            margin=0.05,
            keep=1,
            new_variant=dict(new_variant),
            alarms=() if new_variant is SERVERLESS else ("errors",),
        )
        self.sagemaker = boto3.client("sagemaker", endpoint_url=standin)
        self._runtime = boto3.client("sagemaker-runtime", endpoint_url=standin)
        settings = DatabaseSettings(database_url=database_url)
        self._open = [Database.from_settings(settings) for _ in range(2)]
        migrate(self._open[0])
        self.ledger = MysqlModelLedger(*self._open, endpoint=endpoint)
        self.objects = S3ObjectStore(client=engine.session().s3)
        self.jobs = SageMakerTrainingJobs(client=self.sagemaker)
        self.host = SageMakerModelHost(client=self.sagemaker)
        self._clock = SystemClock()
        self.variables = {
            **AWS_ENVIRONMENT,
            **engine.environment,
            "AWS_ENDPOINT_URL_SAGEMAKER": standin,
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": standin,
            "ENDPOINT_NAME": endpoint,
            "TRAINING_JOB_PREFIX": endpoint,
            "EVENTS_STREAM": "events",
            "DATABASE_URL": database_url,
        }

    def close(self) -> None:
        """Close the database."""
        for database in self._open:
            database.close()

    def predictor(self) -> EndpointPredictor:
        """Return who asks the endpoint."""
        return EndpointPredictor(self.endpoint, client=self._runtime)

    def train(self, number: int, error: float = 0.5, *, noted: bool = True) -> str:
        """Export a dataset, train on it, wait for the end; return the model's version."""
        version = f"{self.endpoint}-{number}"
        manifest = self._export(version, error, until_ms=NOON + number * DAY)
        spec = JobSpec(
            hyperparameters={
                "predictor_type": "regressor",
                "loss": "squared_loss",
                "mini_batch_size": "10",
            },
            channels=tuple(
                Channel(name, f"s3://{EXPORTS}/exports/{version}/{name}.csv")
                for name in ("train", "validation")
            ),
            output_uri=f"s3://{MODELS}/training",
            configuration={
                "AlgorithmSpecification": {
                    "TrainingImage": "000000000000.dkr.ecr/linear-learner:1",
                    "TrainingInputMode": "File",
                },
                "ResourceConfig": {
                    "InstanceType": "ml.m5.large",
                    "InstanceCount": 1,
                    "VolumeSizeInGB": 10,
                },
                "RoleArn": "arn:aws:iam::000000000000:role/models",
                "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            },
        )
        if noted:
            record = ModelRecord(
                version=version,
                endpoint=self.endpoint,
                state=ModelState.TRAINING,
                until_ms=NOON + number * DAY,
                manifest_uri=manifest,
            )
            assert self.ledger.write([ModelChange(record, None)])
        assert self.jobs.start(version, spec)
        until(lambda: self._ended(version), seconds=WAIT_S, what=f"the end of {version}")
        return version

    def ring(self, *versions: str) -> DeployOutcome:
        """Let jobs ring."""
        return self._step().ring(versions, until_ms=self._deadline_ms())

    def put_back(self, version: str) -> ModelRecord:
        """Let a person ask for a model."""
        return self._step().put_back(version, until_ms=self._deadline_ms())

    def record(self, version: str) -> ModelRecord:
        """Return a model's record."""
        stored = self.ledger.get(version)
        assert stored is not None
        return stored.record

    def answering(self) -> str:
        """Return the version that answers."""
        return self.predictor().predict([[1.0, 0.0]]).model_version

    @contextmanager
    def asked_all_the_time(self, n_threads: int = 4) -> Iterator["Answers"]:
        """Ask the endpoint from several threads for as long as the block lasts."""
        answers = Answers()
        stop = threading.Event()

        def ask() -> None:
            predictor = self.predictor()
            while not stop.is_set():
                answers.take(predictor)

        threads = [threading.Thread(target=ask) for _ in range(n_threads)]
        for thread in threads:
            thread.start()
        try:
            until(lambda: len(answers.versions) > n_threads, seconds=WAIT_S, what="answers")
            yield answers
            enough = len(answers.versions) + n_threads
            until(lambda: len(answers.versions) > enough, seconds=WAIT_S, what="more answers")
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _export(self, version: str, error: float, *, until_ms: int) -> str:
        folder = f"s3://{EXPORTS}/exports/{version}"
        rows = "".join(
            f"{row % 17 + error * (1 if row % 2 else -1)},{row % 17},{row % 5}\n"
            for row in range(N_ROWS)
        ).encode()
        file = DataFile("train.csv", N_ROWS, len(rows), sha256(rows).hexdigest())
        manifest = Manifest(
            format=FORMAT, stream_arn="arn", start=format_time(until_ms - 9 * DAY),
            until=format_time(until_ms), split=format_time(until_ms - DAY), window_seconds=300,
            series=1, feature_names=("x", "y"), train=file,
            validation=replace(file, name="validation.csv"),
            counts=replace(file, name="counts.csv.gz"),
            data_card=replace(file, name="data_card.json"), baseline="seasonal",
            baseline_error=2.0,
        )  # fmt: skip
        for name in ("train.csv", "validation.csv"):
            self.objects.put(f"{folder}/{name}", rows, content_type="text/csv")
        uri = f"{folder}/manifest.json"
        self.objects.put(uri, manifest.to_json(), content_type="application/json")
        MysqlDatasetStore(self._open[0], "events").note(
            Dataset(uri, "arn", until_ms - 9 * DAY, until_ms)
        )
        return uri

    def _ended(self, version: str) -> bool:
        job = self.jobs.describe(version)
        return job is not None and job.ended_ms is not None

    def _step(self) -> DeployStep:
        examiner = Examiner(self.objects, self.predictor(), check_archive)
        return DeployStep(
            self.ledger, self.jobs, self.host, examiner, self.rules, self._clock, poll_ms=200
        )

    def _deadline_ms(self) -> int:
        return self._clock.now_ms() + round(WAIT_S * 1000)


class Answers:
    """What several threads got from an endpoint.

    Attributes:
        versions: Who answered, in about their order.
        errors: What went wrong.
    """

    def __init__(self) -> None:
        self.versions: list[str] = []
        self.errors: list[TidegaugeError] = []

    def take(self, predictor: EndpointPredictor) -> None:
        """Ask once."""
        try:
            self.versions.append(predictor.predict([[1.0, 2.0], [3.0, 4.0]]).model_version)
        except TidegaugeError as error:
            self.errors.append(error)
