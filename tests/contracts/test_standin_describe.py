"""The stand-in's DescribeEndpoint, asked by unmodified boto3 and held against its service model."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.support.botocore_shapes import answer_problems, operation_model
from tests.support.models import model_of
from tests.support.standin import AWS_ENVIRONMENT, running_standin
from tidegauge.adapters.model_file import write_model

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient


@pytest.fixture
def models(tmp_path: Path) -> Path:
    write_model(tmp_path / "Gauge.tar.gz", model_of(1.0, version="job-7"))
    (tmp_path / "broken.tar.gz").write_bytes(b"no model")
    return tmp_path


@pytest.fixture
def client(models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["SageMakerClient"]:
    for name, value in AWS_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with running_standin(models) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", address)
        client = boto3.client("sagemaker")
        yield client
        client.close()


def test_an_endpoint_tells_its_status_and_its_model(client: "SageMakerClient") -> None:
    output = operation_model("sagemaker", "DescribeEndpoint").output_shape
    assert output is not None
    serving = client.describe_endpoint(EndpointName="Gauge")
    failed = client.describe_endpoint(EndpointName="broken")
    for answer in (serving, failed):
        members = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
        assert answer_problems(members, output) == []
    assert serving["EndpointStatus"] == "InService"
    assert serving["EndpointConfigName"] == "Gauge-job-7"
    assert serving["EndpointArn"] == "arn:aws:sagemaker:eu-west-1:000000000000:endpoint/gauge"
    assert [v["VariantName"] for v in serving["ProductionVariants"]] == ["job-7"]
    assert failed["EndpointStatus"] == "Failed"
    assert "gzip" in failed["FailureReason"]


def test_an_unknown_endpoint_is_a_validation_exception(client: "SageMakerClient") -> None:
    with pytest.raises(ClientError, match="Could not find endpoint") as raised:
        client.describe_endpoint(EndpointName="nobody")
    assert raised.value.response["Error"]["Code"] == "ValidationException"
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_what_the_stand_in_lacks_it_says(client: "SageMakerClient") -> None:
    with pytest.raises(ClientError, match=r"SageMaker\.ListPipelines") as raised:
        client.list_pipelines()
    assert raised.value.response["Error"]["Code"] == "UnknownOperationException"
