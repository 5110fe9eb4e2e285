"""The sagemaker service, JSON 1.1: one function an operation, found by `X-Amz-Target`."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.responses import Response

from sagemaker_standin import endpoint_api, model_api, training_api
from sagemaker_standin.aws import AwsError, Code, json_answer, region_of
from sagemaker_standin.request_check import check_request
from sagemaker_standin.service import Service

TARGET_PREFIX = "SageMaker."

Operation = Callable[[Service, Mapping[str, Any], str], dict[str, Any]]

OPERATIONS: dict[str, Operation] = {
    "CreateEndpoint": endpoint_api.create_endpoint,
    "CreateEndpointConfig": model_api.create_endpoint_config,
    "CreateModel": model_api.create_model,
    "CreateTrainingJob": training_api.create_training_job,
    "DeleteEndpoint": endpoint_api.delete_endpoint,
    "DeleteEndpointConfig": model_api.delete_endpoint_config,
    "DeleteModel": model_api.delete_model,
    "DescribeEndpoint": endpoint_api.describe_endpoint,
    "DescribeEndpointConfig": model_api.describe_endpoint_config,
    "DescribeModel": model_api.describe_model,
    "DescribeTrainingJob": training_api.describe_training_job,
    "ListEndpointConfigs": model_api.list_endpoint_configs,
    "ListEndpoints": endpoint_api.list_endpoints,
    "ListModels": model_api.list_models,
    "ListTrainingJobs": training_api.list_training_jobs,
    "StopTrainingJob": training_api.stop_training_job,
    "UpdateEndpoint": endpoint_api.update_endpoint,
}


def control(service: Service, *, headers: Mapping[str, str], body: bytes) -> Response:
    """Answer an operation of the sagemaker service.

    Raises:
        AwsError: UnknownOperationException for an operation that the stand-in does not have,
            SerializationException for a body that is no JSON object, ThrottlingException where
            that was asked for, and what the operation says.
    """
    target = headers.get("x-amz-target", "")
    name = target.removeprefix(TARGET_PREFIX)
    operation = OPERATIONS.get(name)
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
    if service.faults.of_operation(name):
        msg = "Rate exceeded"
        raise AwsError(Code.THROTTLING, msg)
    check_request(name, request)
    return json_answer(operation(service, request, region_of(headers)))
