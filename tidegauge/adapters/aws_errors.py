"""AWS's errors as ours: one table, sorted by what the caller should do.

Every call that an adapter makes to AWS runs inside `aws_call`; what botocore raises leaves it as
`Transient` (the batch comes again) or `Misconfigured` (a person must mend something), with the
cause chained. botocore is imported only when a call is made: the offline commands never need it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any

from tidegauge.domain.errors import Misconfigured, TidegaugeError, Transient


class Remedy(Enum):
    """What helps against an error of AWS."""

    RETRY = "retry"
    MEND = "mend"


# Codes of `ClientError`, as botocore names them in `error.response["Error"]["Code"]`.
CODES: dict[str, Remedy] = {
    # Too much at once.
    "LimitExceededException": Remedy.RETRY,
    "ProvisionedThroughputExceededException": Remedy.RETRY,
    "RequestLimitExceeded": Remedy.RETRY,
    "Throttled": Remedy.RETRY,
    "ThrottledException": Remedy.RETRY,
    "Throttling": Remedy.RETRY,
    "ThrottlingException": Remedy.RETRY,
    "TooManyRequestsException": Remedy.RETRY,
    "KMSThrottling": Remedy.RETRY,
    "KMSThrottlingException": Remedy.RETRY,
    # The service's own trouble.
    "InternalDependencyException": Remedy.RETRY,
    "InternalError": Remedy.RETRY,
    "InternalErrorException": Remedy.RETRY,
    "InternalFailure": Remedy.RETRY,
    "InternalFailureException": Remedy.RETRY,
    "InternalServiceError": Remedy.RETRY,
    "ModelError": Remedy.RETRY,
    "ModelNotReadyException": Remedy.RETRY,
    "RequestTimeout": Remedy.RETRY,
    "RequestTimeoutException": Remedy.RETRY,
    "ServiceException": Remedy.RETRY,
    "ServiceUnavailable": Remedy.RETRY,
    "ServiceUnavailableException": Remedy.RETRY,
    # Right a moment later, or after a fresh start.
    "ExpiredIteratorException": Remedy.RETRY,
    "ExpiredNextTokenException": Remedy.RETRY,
    "ExpiredToken": Remedy.RETRY,
    "ExpiredTokenException": Remedy.RETRY,
    "RequestExpired": Remedy.RETRY,
    "ResourceInUseException": Remedy.RETRY,
    # Not allowed, or not who we say.
    "AccessDenied": Remedy.MEND,
    "AccessDeniedException": Remedy.MEND,
    "AuthorizationError": Remedy.MEND,
    "IncompleteSignature": Remedy.MEND,
    "InvalidClientTokenId": Remedy.MEND,
    "InvalidSecurity": Remedy.MEND,
    "InvalidSignatureException": Remedy.MEND,
    "MissingAuthenticationToken": Remedy.MEND,
    "OptInRequired": Remedy.MEND,
    "SignatureDoesNotMatch": Remedy.MEND,
    "UnrecognizedClientException": Remedy.MEND,
    "DecryptionFailure": Remedy.MEND,
    "KMSAccessDenied": Remedy.MEND,
    "KMSAccessDeniedException": Remedy.MEND,
    "KMSDisabled": Remedy.MEND,
    "KMSDisabledException": Remedy.MEND,
    "KMSInvalidState": Remedy.MEND,
    "KMSInvalidStateException": Remedy.MEND,
    "KMSNotFound": Remedy.MEND,
    "KMSNotFoundException": Remedy.MEND,
    "KMSOptInRequired": Remedy.MEND,
    # No such thing, or it takes no such request.
    "DryRunOperationException": Remedy.MEND,
    "EncryptionTypeMismatch": Remedy.MEND,
    "EndpointDisabled": Remedy.MEND,
    "InvalidArgumentException": Remedy.MEND,
    "InvalidObjectState": Remedy.MEND,
    "InvalidParameter": Remedy.MEND,
    "InvalidParameterException": Remedy.MEND,
    "InvalidParameterValueException": Remedy.MEND,
    "InvalidRequest": Remedy.MEND,
    "InvalidRequestException": Remedy.MEND,
    "InvalidWriteOffset": Remedy.MEND,
    "NoSuchBucket": Remedy.MEND,
    "NoSuchKey": Remedy.MEND,
    "NotFound": Remedy.MEND,
    "ParameterValueInvalid": Remedy.MEND,
    "PlatformApplicationDisabled": Remedy.MEND,
    # SageMaker's: a quota of the account, which waiting does not raise.
    "ResourceLimitExceeded": Remedy.MEND,
    "ResourceNotFoundException": Remedy.MEND,
    "TooManyParts": Remedy.MEND,
    "UnknownOperationException": Remedy.MEND,
    "ValidationException": Remedy.MEND,
    # InvokeEndpoint says this of an endpoint that is missing, being created or deleted: predict
    # waits for it and skips nothing.
    "ValidationError": Remedy.RETRY,
}

# botocore's own exceptions, by class name; the nearest base class that is listed decides.
EXCEPTIONS: dict[str, Remedy] = {
    "ConnectionError": Remedy.RETRY,
    "HTTPClientError": Remedy.RETRY,
    "IncompleteReadError": Remedy.RETRY,
    "ResponseStreamingError": Remedy.RETRY,
    "CredentialRetrievalError": Remedy.RETRY,
    "MetadataRetrievalError": Remedy.RETRY,
    "BotoCoreError": Remedy.MEND,
}


def remedy_of(error: BaseException) -> Remedy | None:
    """Return what helps against an error of botocore, None if it is none.

    A code that is not in the table is judged by its HTTP status: 429 and 5xx pass, others stay.
    """
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict) and "Error" in response:
        code = response["Error"].get("Code", "")
        if code in CODES:
            return CODES[code]
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return Remedy.RETRY if status == 429 or status >= 500 else Remedy.MEND
    for kind in type(error).__mro__:
        if kind.__name__ in EXCEPTIONS:
            return EXCEPTIONS[kind.__name__]
    return None


def translated(error: BaseException, *, doing: str) -> TidegaugeError:
    """Return ours for an error of botocore; the caller chains the cause.

    Args:
        error: A `ClientError` or `BotoCoreError`.
        doing: What was tried, to stand before "failed".
    """
    message = f"{doing} failed: {error}"
    if remedy_of(error) is Remedy.RETRY:
        return Transient(message)
    return Misconfigured([message])


def code_of(error: TidegaugeError) -> str:
    """Return AWS's own code for one of our errors; empty where AWS gave none."""
    response: Any = getattr(error.__cause__, "response", None)
    return str(response["Error"].get("Code", "")) if isinstance(response, dict) else ""


@contextmanager
def aws_call(doing: str) -> Iterator[None]:
    """Run a call to AWS and translate what it raises.

    Args:
        doing: What is tried, such as "listing the shards of stream events".

    Raises:
        Transient: The same call may succeed later.
        Misconfigured: It will not, before somebody mends a setting, a name or a permission.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise translated(error, doing=doing) from error
