"""The sagemaker-runtime service: InvokeEndpoint, with AWS's headers and error shapes."""

import json
import threading
from collections.abc import Mapping

from starlette.responses import Response

from sagemaker_standin.aws import (
    ACCOUNT_ID,
    NAME_RULE,
    AwsError,
    Code,
    is_name,
    region_of,
    request_id,
)
from sagemaker_standin.container import ContainerAnswer, answer_of
from sagemaker_standin.service import Service

# The length that the service model gives InvokeEndpoint's body, and what serverless ones take.
MAX_BODY_BYTES = 6_291_456
MAX_SERVERLESS_BODY_BYTES = 4 * 1024 * 1024

_NAME_MEMBER = "endpointName"
_BODY_MEMBER = "body"


def invoke_endpoint(
    service: Service, name: str, *, headers: Mapping[str, str], body: bytes
) -> Response:
    """Answer InvokeEndpoint.

    Args:
        service: Knows who answers.
        name: The endpoint's name.
        headers: The request's, names in lower case or case-blind.
        body: The request's; one above the limit may have been cut off behind it.

    Raises:
        AwsError: ValidationError (400) for an endpoint that is not in service, a variant it does
            not have or a body too large; ModelError (424) for what the container refuses;
            ThrottlingException where that was asked for.
    """
    if not is_name(name):
        raise _invalid(_NAME_MEMBER, f"satisfy regular expression pattern: {NAME_RULE}")
    wanted = headers.get("x-amzn-sagemaker-target-variant")
    chosen = service.traffic.choose(name, wanted)
    if chosen is None:
        what = f"Variant {wanted} of endpoint {name}" if wanted else f"Endpoint {name}"
        msg = f"{what} of account {ACCOUNT_ID} not found."
        raise AwsError(Code.VALIDATION_ERROR, msg)
    limit = MAX_SERVERLESS_BODY_BYTES if chosen.is_serverless else MAX_BODY_BYTES
    if len(body) > limit:
        raise _invalid(_BODY_MEMBER, f"have length less than or equal to {limit}")
    variant, model = chosen.served
    fault = service.faults.of_invocation(name, variant.model_name)
    if fault.wait_s:
        threading.Event().wait(fault.wait_s)
    if fault.is_throttled:
        msg = "Rate exceeded"
        raise AwsError(Code.THROTTLING, msg)
    answer = answer_of(
        model,
        content_type=headers.get("content-type", ""),
        accept=headers.get("accept", ""),
        body=body,
    )
    if fault.is_nan and answer.status == 200:
        answer = _without_numbers(answer)
    if fault.status is not None:
        answer = ContainerAnswer(fault.status, "text/plain", "this model was told to fail")
    if chosen.watch is not None and answer.status >= 500:
        chosen.watch.set()
    if answer.status != 200:
        raise _model_error(name, variant.name, answer.status, answer.body, region_of(headers))
    return Response(
        answer.body,
        headers={
            "Content-Type": answer.media_type,
            "x-Amzn-Invoked-Production-Variant": variant.name,
            "x-amzn-RequestId": request_id(),
        },
    )


def _without_numbers(answer: ContainerAnswer) -> ContainerAnswer:
    n_rows = len(json.loads(answer.body)["predictions"])
    body = json.dumps({"predictions": [{"score": float("nan")}] * n_rows})
    return answer._replace(body=body)


def _invalid(member: str, rule: str) -> AwsError:
    return AwsError(
        Code.VALIDATION_ERROR,
        f"1 validation error detected: Value at '{member}' failed to satisfy constraint: "
        f"Member must {rule}",
    )


def _model_error(name: str, variant: str, status: int, why: str, region: str) -> AwsError:
    group = f"/aws/sagemaker/Endpoints/{name}"
    side = "client" if status < 500 else "server"
    message = (
        f'Received {side} error ({status}) from {variant} with message "{why}". '
        f"See the log group {group} in account {ACCOUNT_ID} for more information."
    )
    return AwsError(
        Code.MODEL_ERROR,
        message,
        status=424,
        members={
            "OriginalStatusCode": status,
            "OriginalMessage": why,
            "LogStreamArn": f"arn:aws:logs:{region}:{ACCOUNT_ID}:log-group:{group}",
        },
    )
