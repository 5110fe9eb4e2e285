"""The table of AWS's errors: every row of it, and that none is missing."""

import subprocess
import sys

import botocore.exceptions
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.support.botocore_shapes import operation_model
from tidegauge.adapters.aws_errors import CODES, EXCEPTIONS, Remedy, aws_call
from tidegauge.domain.errors import Misconfigured, TidegaugeError, Transient

OUTCOMES: dict[Remedy, type[TidegaugeError]] = {
    Remedy.RETRY: Transient,
    Remedy.MEND: Misconfigured,
}

# Every operation that an adapter calls.
OPERATIONS = [
    ("kinesis", "DescribeStreamSummary"),
    ("kinesis", "GetRecords"),
    ("kinesis", "GetShardIterator"),
    ("kinesis", "ListShards"),
    ("kinesis", "PutRecords"),
    ("lambda", "ListEventSourceMappings"),
    ("s3", "GetObject"),
    ("s3", "HeadBucket"),
    ("s3", "HeadObject"),
    ("s3", "ListObjectsV2"),
    ("s3", "PutObject"),
    ("sagemaker", "CreateEndpoint"),
    ("sagemaker", "CreateEndpointConfig"),
    ("sagemaker", "CreateModel"),
    ("sagemaker", "UpdateEndpoint"),
    ("sagemaker-runtime", "InvokeEndpoint"),
    ("secretsmanager", "GetSecretValue"),
    ("sns", "Publish"),
]


def client_error(code: str, status: int = 400) -> ClientError:
    return ClientError(
        {
            "Error": {"Code": code, "Message": "because"},
            "ResponseMetadata": {
                "HTTPStatusCode": status,
                "RequestId": "r",
                "HostId": "h",
                "HTTPHeaders": {},
                "RetryAttempts": 0,
            },
        },
        "Operation",
    )


def raised_through(error: Exception) -> TidegaugeError:
    with pytest.raises(TidegaugeError) as raised, aws_call("trying"):
        raise error
    return raised.value


@pytest.mark.parametrize(("code", "remedy"), CODES.items())
def test_each_code_becomes_our_error_with_its_cause(code: str, remedy: Remedy) -> None:
    error = client_error(code)
    ours = raised_through(error)
    assert type(ours) is OUTCOMES[remedy]
    assert ours.__cause__ is error
    assert str(ours).startswith("trying failed: ")
    assert "because" in str(ours)


@pytest.mark.parametrize(("name", "remedy"), EXCEPTIONS.items())
def test_each_exception_of_botocore_becomes_our_error(name: str, remedy: Remedy) -> None:
    listed = getattr(botocore.exceptions, name)
    assert issubclass(listed, BotoCoreError)
    error = listed(
        error="refused",
        endpoint_url="http://127.0.0.1:1",
        actual_bytes=1,
        expected_bytes=2,
        provider="p",
        error_msg="e",
    )
    ours = raised_through(error)
    assert type(ours) is OUTCOMES[remedy]
    assert ours.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        botocore.exceptions.EndpointConnectionError(endpoint_url="http://127.0.0.1:1"),
        botocore.exceptions.ConnectTimeoutError(endpoint_url="http://127.0.0.1:1"),
        botocore.exceptions.ReadTimeoutError(endpoint_url="http://127.0.0.1:1"),
        botocore.exceptions.ConnectionClosedError(endpoint_url="http://127.0.0.1:1"),
    ],
)
def test_a_lost_connection_passes(error: BotoCoreError) -> None:
    assert isinstance(raised_through(error), Transient)


@pytest.mark.parametrize(
    "error",
    [
        botocore.exceptions.NoCredentialsError(),
        botocore.exceptions.NoRegionError(),
        botocore.exceptions.ParamValidationError(report="bad"),
    ],
)
def test_what_waiting_does_not_mend_is_misconfigured(error: BotoCoreError) -> None:
    assert isinstance(raised_through(error), Misconfigured)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, Misconfigured), (403, Misconfigured), (429, Transient), (500, Transient)],
)
def test_an_unlisted_code_goes_by_its_status(status: int, expected: type[TidegaugeError]) -> None:
    assert isinstance(raised_through(client_error("BrandNew", status)), expected)


@pytest.mark.parametrize(("service", "operation"), OPERATIONS)
def test_every_error_that_our_calls_may_answer_is_listed(service: str, operation: str) -> None:
    shapes = operation_model(service, operation).error_shapes
    codes = {shape.metadata.get("error", {}).get("code", shape.name) for shape in shapes}
    assert codes
    assert codes <= CODES.keys()


def test_foreign_errors_pass_unchanged() -> None:
    with pytest.raises(ZeroDivisionError), aws_call("trying"):
        raise ZeroDivisionError


def test_importing_the_adapters_loads_no_aws_library() -> None:
    modules = (
        "aws_client",
        "aws_errors",
        "failed_batches",
        "kinesis",
        "model_file",
        "sagemaker",
        "sagemaker_serving",
        "secrets",
        "sns",
        "stream_readings",
    )
    imports = "; ".join(f"import tidegauge.adapters.{module}" for module in modules)
    check = "assert not {'boto3', 'botocore'} & set(sys.modules), 'loaded at import'"
    subprocess.run([sys.executable, "-c", f"import sys; {imports}; {check}"], check=True)  # noqa: S603
