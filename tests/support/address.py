"""One deployed stack, wherever it is, as the tests in `tests/address` reach it.

The embedded engine, LocalStack and AWS look alike from here. Of an emulator's clients, those of
Kinesis, S3, SNS and Lambda come from `localstack_client`; a service that it does not know it would
look for on AWS, so that all others are boto3's own with the emulator's address.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import localstack_client.session  # type: ignore[import-untyped]
import msgspec
import pytest

from embedded.local import Running
from embedded.stack import ENDPOINT, STACK, Outputs
from tidegauge.adapters.mysql.connection import Database
from tidegauge.settings import DatabaseSettings

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

OF_LOCALSTACK = ("kinesis", "s3", "sns", "lambda")
# What an address other than our own engines must be given with.
WANTED = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SAGEMAKER", "DATABASE_URL")


@dataclass(frozen=True, kw_only=True)
class Address:
    """A deployed stack.

    Attributes:
        name: What it is, for people.
        variables: By which SDKs and commands reach it.
        outputs: What the stack calls its parts.
        settings: What its functions are set to.
    """

    name: str
    variables: Mapping[str, str]
    outputs: Outputs
    settings: Mapping[str, str]
    kinesis: "KinesisClient"
    s3: "S3Client"
    sns: "SNSClient"
    functions: "LambdaClient"
    sqs: "SQSClient"
    secrets: "SecretsManagerClient"
    sagemaker: "SageMakerClient"

    def connect(self) -> Database:
        """Return a connection to its database."""
        return Database.from_settings(DatabaseSettings(database_url=self.variables["DATABASE_URL"]))

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Return what one statement reads in its database."""
        database = self.connect()
        try:
            with database.transaction() as cursor:
                cursor.execute(statement, values)
                return list(cursor.fetchall())
        finally:
            database.close()


def address_of(running: Running, name: str) -> Address:
    """Return the address of a stack that this process has deployed."""
    return _reached(name, running.environment, running.outputs)


def address_in(env: Mapping[str, str]) -> Address:
    """Return the address that an environment names: an emulator's, or AWS.

    A test that lacks a variable fails with a sentence that names all of them.
    """
    on_aws = env.get("TIDEGAUGE_E2E") == "aws"
    wanted = ("DATABASE_URL",) if on_aws else WANTED
    missing = [name for name in wanted if not env.get(name, "").strip()]
    if missing:
        pytest.fail(f"set {', '.join(missing)} too: the tests must reach all parts of the stack")
    name = "AWS" if on_aws else env["AWS_ENDPOINT_URL"]
    variables = {key: value for key, value in env.items() if key.startswith("AWS_")}
    if not on_aws:
        # Any keys do, but for none: and the user's own must not be sent to an emulator.
        variables |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        variables.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    return _reached(name, {**variables, "DATABASE_URL": env["DATABASE_URL"]}, None)


def _reached(name: str, variables: Mapping[str, str], outputs: Outputs | None) -> Address:
    with pytest.MonkeyPatch.context() as patch:
        if "AWS_ENDPOINT_URL" in variables:
            for found in [found for found in os.environ if found.startswith("AWS_")]:
                patch.delenv(found)
        for key, value in variables.items():
            patch.setenv(key, value)
        clients = _clients(emulated="AWS_ENDPOINT_URL" in variables)
        outputs = outputs or _outputs(boto3.client("cloudformation"))
    settings: dict[str, str] = {}
    for function in (outputs.collect_function_name, outputs.predict_function_name):
        told = clients["lambda"].get_function_configuration(FunctionName=function)
        settings |= told["Environment"]["Variables"]
    return Address(
        name=name,
        variables={**variables, "ALERTS_TOPIC_ARN": outputs.alerts_topic_arn},
        outputs=outputs,
        settings={"ENDPOINT_NAME": ENDPOINT, **settings},
        kinesis=clients["kinesis"],
        s3=clients["s3"],
        sns=clients["sns"],
        functions=clients["lambda"],
        sqs=clients["sqs"],
        secrets=clients["secretsmanager"],
        sagemaker=clients["sagemaker"],
    )


def _clients(*, emulated: bool) -> dict[str, Any]:
    own = ("sqs", "secretsmanager", "sagemaker")
    if not emulated:
        return {name: boto3.client(name) for name in (*OF_LOCALSTACK, *own)}  # type: ignore[call-overload]
    session = localstack_client.session.Session(
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - emulators take any
        aws_session_token=None,
    )
    return {
        **{name: session.client(name) for name in OF_LOCALSTACK},
        **{name: boto3.client(name) for name in own},  # type: ignore[call-overload]
    }


def _outputs(cloudformation: Any) -> Outputs:
    name = os.environ.get("TIDEGAUGE_STACK", STACK)
    (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    told = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    return msgspec.convert(told, type=Outputs)
