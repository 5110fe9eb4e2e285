"""The sagemaker-runtime service: InvokeEndpoint, with AWS's headers and error shapes."""

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
from sagemaker_standin.container import answer_of
from sagemaker_standin.endpoints import ModelFolder

# The length that the service model gives InvokeEndpoint's body.
MAX_BODY_BYTES = 6_291_456

_NAME_MEMBER = "endpointName"
_BODY_MEMBER = "body"


def invoke_endpoint(
    folder: ModelFolder, name: str, *, headers: Mapping[str, str], body: bytes
) -> Response:
    """Answer InvokeEndpoint.

    Args:
        folder: The endpoints.
        name: The endpoint's name.
        headers: The request's, names in lower case or case-blind.
        body: The request's; one above the limit may have been cut off behind it.

    Raises:
        AwsError: ValidationError (400) for an endpoint that is not in service, a variant it does
            not have or a body too large; ModelError (424) for what the container refuses.
    """
    if not is_name(name):
        raise _invalid(_NAME_MEMBER, f"satisfy regular expression pattern: {NAME_RULE}")
    if len(body) > MAX_BODY_BYTES:
        raise _invalid(_BODY_MEMBER, f"have length less than or equal to {MAX_BODY_BYTES}")
    endpoint = folder.endpoint(name)
    if endpoint is None or endpoint.model is None:
        msg = f"Endpoint {name} of account {ACCOUNT_ID} not found."
        raise AwsError(Code.VALIDATION_ERROR, msg)
    variant = endpoint.variant_name
    wanted = headers.get("x-amzn-sagemaker-target-variant", variant)
    if wanted != variant:
        msg = f"Variant {wanted} of endpoint {name} of account {ACCOUNT_ID} not found."
        raise AwsError(Code.VALIDATION_ERROR, msg)
    answer = answer_of(
        endpoint.model,
        content_type=headers.get("content-type", ""),
        accept=headers.get("accept", ""),
        body=body,
    )
    if answer.status != 200:
        raise _model_error(name, variant, answer.status, answer.body, region_of(headers))
    return Response(
        answer.body,
        headers={
            "Content-Type": answer.media_type,
            "x-Amzn-Invoked-Production-Variant": variant,
            "x-amzn-RequestId": request_id(),
        },
    )


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
