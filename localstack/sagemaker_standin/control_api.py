"""The sagemaker service, JSON 1.1: one function an operation, found by `X-Amz-Target`."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.responses import Response

from sagemaker_standin.aws import AwsError, Code, arn_of, json_answer, region_of
from sagemaker_standin.endpoints import Endpoint, ModelFolder

TARGET_PREFIX = "SageMaker."

Operation = Callable[[ModelFolder, Mapping[str, Any], str], dict[str, Any]]


def control(folder: ModelFolder, *, headers: Mapping[str, str], body: bytes) -> Response:
    """Answer an operation of the sagemaker service.

    Raises:
        AwsError: UnknownOperationException for an operation that the stand-in does not have,
            SerializationException for a body that is no JSON object, and what the operation says.
    """
    target = headers.get("x-amz-target", "")
    operation = OPERATIONS.get(target.removeprefix(TARGET_PREFIX))
    if operation is None or not target.startswith(TARGET_PREFIX):
        msg = f"the stand-in does not know the operation {target!r}"
        raise AwsError(Code.UNKNOWN_OPERATION, msg)
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        request = None
    if not isinstance(request, dict):
        msg = "the request is not a JSON object"
        raise AwsError(Code.SERIALIZATION, msg)
    return json_answer(operation(folder, request, region_of(headers)))


def describe_endpoint(
    folder: ModelFolder, request: Mapping[str, Any], region: str
) -> dict[str, Any]:
    """Answer DescribeEndpoint."""
    name = str(request.get("EndpointName", ""))
    endpoint = folder.endpoint(name)
    arn = arn_of("endpoint", name, region=region)
    if endpoint is None:
        msg = f'Could not find endpoint "{arn}".'
        raise AwsError(Code.VALIDATION_EXCEPTION, msg)
    answer: dict[str, Any] = {
        "EndpointName": name,
        "EndpointArn": arn,
        "EndpointConfigName": _config_name(endpoint),
        "EndpointStatus": "InService" if endpoint.model else "Failed",
        "CreationTime": endpoint.created_s,
        "LastModifiedTime": endpoint.modified_s,
    }
    if endpoint.model is None:
        return {**answer, "FailureReason": endpoint.failure}
    variant = {
        "VariantName": endpoint.variant_name,
        "CurrentWeight": 1.0,
        "DesiredWeight": 1.0,
        "CurrentInstanceCount": 1,
        "DesiredInstanceCount": 1,
    }
    return {**answer, "ProductionVariants": [variant]}


def _config_name(endpoint: Endpoint) -> str:
    return f"{endpoint.name}-{endpoint.variant_name}"[:63].rstrip("-")


OPERATIONS: dict[str, Operation] = {"DescribeEndpoint": describe_endpoint}
