"""The stand-in's InvokeEndpoint, asked by unmodified boto3 and held against its service model."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.model import StructureShape

from tests.support.botocore_shapes import answer_problems, operation_model
from tests.support.models import model_of
from tests.support.standin import AWS_ENVIRONMENT, running_standin
from tidegauge.adapters.model_file import write_model

if TYPE_CHECKING:
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient

INVOKE = operation_model("sagemaker-runtime", "InvokeEndpoint")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "gauge.tar.gz", model_of(2.0, -1.0, bias=0.5, version="job-7"))
    (folder / "broken.tar.gz").write_bytes(b"no model")
    return folder


@pytest.fixture(scope="module")
def address(models: Path) -> Iterator[str]:
    with running_standin(models) as address:
        yield address


@pytest.fixture
def client(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator["SageMakerRuntimeClient"]:
    for name, value in AWS_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", address)
    client = boto3.client("sagemaker-runtime")
    yield client
    client.close()


def refused(client: "SageMakerRuntimeClient", **changes: Any) -> dict[str, Any]:
    """Invoke with something wrong; return the error's response, held against its shape."""
    request = {"EndpointName": "gauge", "ContentType": "text/csv", "Body": b"1,2", **changes}
    with pytest.raises(ClientError) as raised:
        client.invoke_endpoint(**request)
    response: dict[str, Any] = dict(raised.value.response)
    code = response["Error"]["Code"]
    shape = next(shape for shape in INVOKE.error_shapes if shape.name == code)
    assert isinstance(shape, StructureShape)
    members = {name: response[name] for name in response if name in shape.members}
    assert answer_problems(members, shape) == []
    status = response["ResponseMetadata"]["HTTPStatusCode"]
    assert status == shape.metadata["error"]["httpStatusCode"]
    return response


def test_answers_one_score_a_row_and_says_who_answered(client: "SageMakerRuntimeClient") -> None:
    answer = client.invoke_endpoint(
        EndpointName="gauge", ContentType="text/csv", Accept="application/json", Body=b"1,2\n3,-4.5"
    )
    body = answer["Body"].read()
    assert json.loads(body) == {"predictions": [{"score": 0.5}, {"score": 11.0}]}
    assert answer["ContentType"] == "application/json"
    assert answer["InvokedProductionVariant"] == "job-7"
    assert answer["ResponseMetadata"]["RequestId"]
    members = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
    assert INVOKE.output_shape is not None
    assert answer_problems({**members, "Body": body}, INVOKE.output_shape) == []


def test_the_variant_may_be_asked_for_by_name(client: "SageMakerRuntimeClient") -> None:
    request: Any = {"EndpointName": "gauge", "ContentType": "text/csv", "Body": b"1,2"}
    client.invoke_endpoint(**request, TargetVariant="job-7")
    error = refused(client, TargetVariant="job-8")
    assert error["Error"]["Code"] == "ValidationError"


def test_a_score_that_is_no_number_is_written_as_python_does(
    client: "SageMakerRuntimeClient",
) -> None:
    answer = client.invoke_endpoint(EndpointName="gauge", ContentType="text/csv", Body=b"nan,1")
    assert answer["Body"].read() == b'{"predictions": [{"score": NaN}]}'


@pytest.mark.parametrize("name", ["nobody", "broken"])
def test_an_endpoint_not_in_service_is_not_found(
    client: "SageMakerRuntimeClient", name: str
) -> None:
    error = refused(client, EndpointName=name)["Error"]
    assert error["Code"] == "ValidationError"
    assert error["Message"] == f"Endpoint {name} of account 000000000000 not found."


@pytest.mark.parametrize("path", ["..%2Fgauge", "gau_ge", "-", "%2e%2e%2f%2e%2e%2fetc%2fpasswd"])
def test_a_name_that_is_none_reaches_no_file(address: str, path: str) -> None:
    request = urllib.request.Request(  # noqa: S310
        f"{address}/endpoints/{path}/invocations", data=b"1,2", method="POST"
    )
    with pytest.raises(urllib.error.HTTPError) as raised, urllib.request.urlopen(request):  # noqa: S310
        pass
    with raised.value as answer:
        assert answer.code in (400, 404)


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"Body": b"1,2,3"}, 400, "Feature size of csv inference data 3 is not consistent"),
        ({"Body": b"1,2\n3"}, 400, "rows differ"),
        ({"Body": b"1,2_0"}, 400, "a field is no number"),
        ({"Body": b"1,two"}, 400, "unable to evaluate payload provided"),
        ({"Body": b"1,\xff"}, 400, "unable to evaluate payload provided"),
        ({"Body": b""}, 400, "unable to evaluate payload provided"),
        ({"ContentType": "application/x-image"}, 415, "content-type application/x-image"),
        ({"ContentType": "text/csv; label_size=1"}, 415, "not supported"),
        ({"Accept": "image/png"}, 406, "accept type image/png not supported"),
    ],
)
def test_what_the_container_refuses_is_a_model_error(
    client: "SageMakerRuntimeClient", changes: dict[str, Any], status: int, words: str
) -> None:
    response = refused(client, **changes)
    assert response["Error"]["Code"] == "ModelError"
    assert response["OriginalStatusCode"] == status
    assert words in response["OriginalMessage"]
    assert f"Received client error ({status}) from job-7" in response["Error"]["Message"]
    assert response["LogStreamArn"].startswith("arn:aws:logs:eu-west-1:")


def test_a_body_above_the_limit_of_serverless_endpoints_is_refused(
    client: "SageMakerRuntimeClient",
) -> None:
    limit = 4 * 1024 * 1024
    row = b"1,2\n"
    client.invoke_endpoint(EndpointName="gauge", ContentType="text/csv", Body=row * (limit // 4))
    error = refused(client, Body=row * (limit // 4) + b"1")["Error"]
    assert error["Code"] == "ValidationError"
    assert f"less than or equal to {limit}" in error["Message"]


def test_ping_answers(address: str) -> None:
    with urllib.request.urlopen(f"{address}/ping") as answer:  # noqa: S310
        assert answer.status == 200
