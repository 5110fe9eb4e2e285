"""What all answers of the stand-in share: AWS's error shapes, ARNs and request ids."""

import json
import re
import uuid
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from starlette.responses import Response

from tidegauge.domain.errors import TidegaugeError

# The account that local engines pretend to be.
ACCOUNT_ID = "000000000000"
DEFAULT_REGION = "us-east-1"

# Names of endpoints, configs, variants, models and jobs.
NAME_RULE = "^[a-zA-Z0-9](-*[a-zA-Z0-9])*"
MAX_NAME_CHARS = 63
_NAME = re.compile(NAME_RULE)

# Credential=KEY/DATE/REGION/SERVICE/aws4_request
_SCOPE = re.compile(r"Credential=[^/]+/\d+/([a-z0-9-]+)/")


class Code(StrEnum):
    """The error codes that the stand-in answers with."""

    MODEL_ERROR = "ModelError"
    RESOURCE_IN_USE = "ResourceInUse"
    RESOURCE_NOT_FOUND = "ResourceNotFound"
    SERIALIZATION = "SerializationException"
    THROTTLING = "ThrottlingException"
    UNKNOWN_OPERATION = "UnknownOperationException"
    # The runtime says Error where the control plane says Exception.
    VALIDATION_ERROR = "ValidationError"
    VALIDATION_EXCEPTION = "ValidationException"


class AwsError(Exception):
    """An error as a caller of AWS sees it.

    Args:
        code: The error's code.
        message: What happened.
        status: The HTTP status.
        members: Further members of the error's shape.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        status: int = 400,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.members = dict(members or {})


class ClientFault(TidegaugeError):
    """What was asked for cannot be trained or served; told where a caller looks for the reason."""


def validation(message: str) -> AwsError:
    """Return the error that the control plane has for nearly everything."""
    return AwsError(Code.VALIDATION_EXCEPTION, message)


def rest_json_error(error: AwsError) -> Response:
    """Return an error of a rest-json service: the code in a header, the rest in the body."""
    body = {"Message": error.message, **error.members}
    return Response(
        json.dumps(body),
        status_code=error.status,
        media_type="application/json",
        headers={"x-amzn-ErrorType": error.code, "x-amzn-RequestId": request_id()},
    )


def json_error(error: AwsError) -> Response:
    """Return an error of a json service: the code in the body, next to the message."""
    body = {"__type": error.code, "message": error.message, **error.members}
    return Response(
        json.dumps(body),
        status_code=error.status,
        media_type="application/x-amz-json-1.1",
        headers={"x-amzn-RequestId": request_id()},
    )


def json_answer(body: Mapping[str, Any]) -> Response:
    """Return the answer of a json service."""
    return Response(
        json.dumps(body),
        media_type="application/x-amz-json-1.1",
        headers={"x-amzn-RequestId": request_id()},
    )


def is_name(text: str) -> bool:
    """Tell whether SageMaker takes a text as a name; such a name is safe in a path."""
    return len(text) <= MAX_NAME_CHARS and _NAME.fullmatch(text) is not None


def request_id() -> str:
    """Return a new request id."""
    return str(uuid.uuid4())


def region_of(headers: Mapping[str, str]) -> str:
    """Return the region that a request was signed for."""
    scope = _SCOPE.search(headers.get("authorization", ""))
    return scope.group(1) if scope else DEFAULT_REGION


def arn_of(kind: str, name: str, *, region: str) -> str:
    """Return an ARN as SageMaker writes it: names in lower case."""
    return f"arn:aws:sagemaker:{region}:{ACCOUNT_ID}:{kind}/{name.lower()}"
