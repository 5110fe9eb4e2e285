"""A deployment of Tidegauge that never runs: streams, functions, mapping, rule, roles and secret.

Made by hand on the embedded engine in a second, so that a test can break any part of it. Buckets
and schedules of retraining are there too.
"""

import io
import json
import zipfile
from typing import Any

from embedded.engine import EngineAddress, LocalSession
from tidegauge.settings import DatabaseAddress
from tidegauge.steps.doctor_needs import NEEDS
from tidegauge.steps.doctor_settings import RETRAINING


class Deployment:
    """One deployment, by a name of its own.

    Args:
        engine: Where.
        name: Stands in the names of all its parts.
        database: What its secret tells.
    """

    def __init__(self, engine: EngineAddress, name: str, database: DatabaseAddress) -> None:
        self.engine = engine
        self.name = name
        self._aws: LocalSession = engine.session()
        self.events, self.windows = (self._stream(f"{name}-{of}") for of in ("events", "windows"))
        self.topic: str = self._aws.sns.create_topic(Name=f"{name}-alerts")["TopicArn"]
        self.secret = self._aws.secrets.create_secret(
            Name=f"{name}/database", SecretString=secret_text(database)
        )["ARN"]
        self.buckets = {of: self._bucket(of) for of in ("exports", "models")}
        self.model_role = self._made_role("model")
        self.functions = {part: self._function(part) for part in NEEDS}
        for arn in self.functions.values():
            waiter = self._aws.functions.get_waiter("function_active_v2")
            waiter.wait(FunctionName=arn, WaiterConfig={"Delay": 1})
        self.mapping = self._map(self.events, "collect")
        self._map(self.windows, "predict")
        self.rules = {part: self._ring(part) for part in ("sweep", "export", "deploy")}
        self.call("exports", "train", "exports/", "/manifest.json")
        self.call("models", "deploy", "training/", "/model.tar.gz")

    def client(self, service: str) -> Any:
        """Return a client of any service of the engine."""
        make: Any = self._aws.session.client
        return make(service, endpoint_url=self.engine.url)

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which the stream is reached; its functions know the rest."""
        return {**self.engine.environment, "EVENTS_STREAM": f"{self.name}-events"}

    def role(self, part: str) -> str:
        return f"{self.name}-{part}"

    def forbid(self, part: str) -> None:
        """Take from a role all that it may."""
        self.client("iam").delete_role_policy(RoleName=self.role(part), PolicyName="all")

    def call(self, of: str, part: str, prefix: str, suffix: str) -> None:
        """Have a bucket call one function, and no other, for each object with such a key."""
        rules = [{"Name": "prefix", "Value": prefix}, {"Name": "suffix", "Value": suffix}]
        called = {
            "LambdaFunctionArn": self.functions[part],
            "Events": ["s3:ObjectCreated:*"],
            "Filter": {"Key": {"FilterRules": rules}},
        }
        self.client("s3").put_bucket_notification_configuration(
            Bucket=self.buckets[of],
            NotificationConfiguration={"LambdaFunctionConfigurations": [called]},
        )

    def subscribe(self) -> str:
        """Subscribe a queue to the topic; return its address."""
        url = self._aws.sqs.create_queue(QueueName=self.name)["QueueUrl"]
        attributes = self._aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        self._aws.sns.subscribe(
            TopicArn=self.topic, Protocol="sqs", Endpoint=attributes["Attributes"]["QueueArn"]
        )
        return url

    def _stream(self, name: str) -> str:
        self._aws.kinesis.create_stream(StreamName=name, ShardCount=2)
        waiter = self._aws.kinesis.get_waiter("stream_exists")
        waiter.wait(StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        described = self._aws.kinesis.describe_stream_summary(StreamName=name)
        return described["StreamDescriptionSummary"]["StreamARN"]

    def _bucket(self, of: str) -> str:
        bucket = f"{self.name}-{of}"
        self.client("s3").create_bucket(Bucket=bucket)
        return bucket

    def _ring(self, part: str) -> str:
        rule = f"{self.name}-{part}"
        client = self.client("events")
        client.put_rule(Name=rule, ScheduleExpression="rate(1 minute)", State="ENABLED")
        client.put_targets(Rule=rule, Targets=[{"Id": part, "Arn": self.functions[part]}])
        return rule

    def _function(self, part: str) -> str:
        variables = {
            "EVENTS_STREAM": f"{self.name}-events",
            "WINDOWS_STREAM": f"{self.name}-windows",
            "DATABASE_SECRET_ARN": self.secret,
            "HEARTBEATS": "sweep",
            "WINDOW_SECONDS": "300",
        }
        if part in ("predict", "sweep", "deploy"):
            variables["ALERTS_TOPIC_ARN"] = self.topic
        if part == "predict" or part in RETRAINING:
            variables["ENDPOINT_NAME"] = self.name
        if part == "export":
            variables["EXPORTS_BUCKET"] = self.buckets["exports"]
        if part == "train":
            variables["MODELS_BUCKET"] = self.buckets["models"]
            variables["TRAINING_IMAGE"] = "000000000000.dkr.ecr.us-east-1.amazonaws.com/learner:1"
            variables["TRAINING_ROLE_ARN"] = self.model_role
        made = self._aws.functions.create_function(
            FunctionName=f"{self.name}-{part}",
            Runtime="python3.11",
            Handler=f"{'retrain' if part in RETRAINING else 'consumers'}.{part}.app.handler",
            Role=self._role(part),
            Code={"ZipFile": _archive()},
            Environment={"Variables": variables},
        )
        return made["FunctionArn"]

    def _made_role(self, part: str) -> str:
        trust = {"Version": "2012-10-17", "Statement": []}
        made = self.client("iam").create_role(
            RoleName=self.role(part), AssumeRolePolicyDocument=json.dumps(trust)
        )
        arn: str = made["Role"]["Arn"]
        return arn

    def _role(self, part: str) -> str:
        role = self._made_role(part)
        exports, models = (f"arn:aws:s3:::{bucket}" for bucket in self.buckets.values())
        resources = {
            "events": self.events,
            "windows": self.windows,
            "topic": self.topic,
            "secret": self.secret,
            "model role": self.model_role,  # the engine's simulator would heed no condition
            "exports bucket": exports,
            "datasets": f"{exports}/exports/*",
            "models bucket": models,
            "artifacts": f"{models}/training/*",
            "copies": f"{models}/deployed/*",
        }
        statements = [
            {"Effect": "Allow", "Action": list(actions), "Resource": resources.get(kind, "*")}
            for kind, actions in NEEDS[part]
        ]
        document = {"Version": "2012-10-17", "Statement": statements}
        self.client("iam").put_role_policy(
            RoleName=self.role(part), PolicyName="all", PolicyDocument=json.dumps(document)
        )
        return role

    def _map(self, stream_arn: str, part: str) -> str:
        made = self._aws.functions.create_event_source_mapping(
            EventSourceArn=stream_arn,
            FunctionName=self.functions[part],
            StartingPosition="TRIM_HORIZON",
            ParallelizationFactor=1,
            MaximumRetryAttempts=-1,
            MaximumRecordAgeInSeconds=-1,
            BisectBatchOnFunctionError=False,
            TumblingWindowInSeconds=0,
        )
        return made["UUID"]


def secret_text(database: DatabaseAddress) -> str:
    """Return what a database's secret holds."""
    return json.dumps(
        {
            "host": database.host,
            "port": database.port,
            "username": database.user,
            "password": database.password,
            "dbname": database.database,
        }
    )


def _archive() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("empty.txt", "")
    return packed.getvalue()
