"""What AWS refuses, as the doctor tells it: missing permission, missing thing, unknown call."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, NoCredentialsError

from tests.support.diagnosis import ManualClock
from tidegauge.adapters.cloud_look import AwsLook
from tidegauge.domain.errors import Misconfigured, TidegaugeError, Transient
from tidegauge.ports.diagnosis import Absent, Denied, EndpointFacts, Notification, Unsupported

SECOND_MS = 1_000
DATE_MS = 1_784_894_513_000  # of the header below


class Refusing:
    """A client of any service, of which every call raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*_args: object, **_request: object) -> Any:
            raise self._error

        return call


def refused(code: str, message: str = "no", status: int = 400) -> ClientError:
    metadata = {"HTTPStatusCode": status}
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}
    return ClientError(response, "Operation")


def look(error: Exception) -> AwsLook:
    return AwsLook(ManualClock(), client_of=lambda _service: Refusing(error))


CALLS: list[Callable[[AwsLook], object]] = [
    lambda look: look.caller(),
    lambda look: look.stream("events"),
    lambda look: look.functions("events"),
    lambda look: look.readings("arn:aws:kinesis:eu-west-1:1:stream/events"),
    lambda look: look.schedules("arn:aws:lambda:eu-west-1:1:function:sweep"),
    lambda look: look.topic("arn:aws:sns:eu-west-1:1:alerts"),
    lambda look: look.endpoint("tides"),
    lambda look: look.secret("arn:secret"),
    lambda look: look.allowed("arn:role", ["sns:Publish"], "*"),
    lambda look: look.notifications("exports"),
    lambda look: look.may_pass("arn:role", "arn:model-role", "sagemaker.amazonaws.com"),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (refused("AccessDeniedException"), Denied),
        (refused("AccessDenied", status=403), Denied),
        (refused("AuthorizationError", status=403), Denied),
        (refused("UnknownOperationException"), Unsupported),
        (refused("InvalidAction"), Unsupported),
        (refused("501", status=501), Unsupported),
        (refused("ThrottlingException"), Transient),
        (refused("InternalFailure", status=500), Transient),
        (ConnectTimeoutError(endpoint_url="http://127.0.0.1:1"), Transient),
        (refused("ExpiredTokenException"), Transient),
        (refused("UnrecognizedClientException"), Misconfigured),
        (NoCredentialsError(), Misconfigured),
    ],
)
def test_a_refusal_is_told_by_what_helps(
    call: Callable[[AwsLook], object], error: Exception, expected: type[TidegaugeError]
) -> None:
    with pytest.raises(expected):
        call(look(error))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (CALLS[1], refused("ResourceNotFoundException", "Stream events not found")),
        (CALLS[5], refused("NotFound", "Topic does not exist", 404)),
        (CALLS[6], refused("ValidationException", 'Could not find endpoint "arn:tides".')),
        (CALLS[7], refused("ResourceNotFoundException", "Secrets Manager can't find it")),
        (CALLS[8], refused("NoSuchEntity", "The role cannot be found", 404)),
        (CALLS[9], refused("NoSuchBucket", "The specified bucket does not exist", 404)),
    ],
)
def test_what_is_missing_is_told_from_what_is_forbidden(
    call: Callable[[AwsLook], object], error: Exception
) -> None:
    with pytest.raises(Absent):
        call(look(error))


@pytest.mark.parametrize(
    ("message", "action", "resource"),
    [
        (
            "User: arn:aws:iam::1:user/me is not authorized to perform: "
            "kinesis:DescribeStreamSummary on resource: arn:aws:kinesis:eu-west-1:1:stream/events "
            "because no identity-based policy allows it",
            "kinesis:DescribeStreamSummary",
            "arn:aws:kinesis:eu-west-1:1:stream/events",
        ),
        (
            "User: arn:aws:sts::1:assumed-role/x/y is not authorized to perform: kms:Decrypt",
            "kms:Decrypt",
            "stream/events",
        ),
        ("", "kinesis:DescribeStreamSummary", "stream/events"),
    ],
)
def test_the_permission_is_the_one_that_aws_names(message: str, action: str, resource: str) -> None:
    with pytest.raises(Denied) as raised:
        look(refused("AccessDeniedException", message)).stream("events")
    assert (raised.value.action, raised.value.resource) == (action, resource)


class Answering:
    """STS as it answers."""

    def __init__(self, date: str, clock: ManualClock) -> None:
        self._date = date
        self._clock = clock

    def get_caller_identity(self) -> dict[str, Any]:
        self._clock.time_ms += 2 * SECOND_MS  # the way there and back
        headers = {"date": self._date}
        return {"Arn": "arn:me", "ResponseMetadata": {"HTTPHeaders": headers}}


@pytest.mark.parametrize("ahead_ms", [0, 90_000, -90_000])
def test_the_clouds_clock_is_read_in_the_middle_of_the_call(ahead_ms: int) -> None:
    # asked a second before the header's second, answered a second after it
    clock = ManualClock(DATE_MS - SECOND_MS + ahead_ms)
    answering = Answering("Fri, 24 Jul 2026 12:01:53 GMT", clock)
    caller = AwsLook(clock, client_of=lambda _service: answering).caller()
    assert abs(caller.clock_ahead_ms - ahead_ms) <= SECOND_MS


def test_an_answer_without_a_date_tells_nothing_of_a_clock() -> None:
    clock = ManualClock(5)
    caller = AwsLook(clock, client_of=lambda _service: Answering("", clock)).caller()
    assert caller.clock_ahead_ms == 0


class Described:
    """SageMaker and S3, as they tell of what stands there."""

    def describe_endpoint(self, **_: object) -> dict[str, Any]:
        return {
            "EndpointStatus": "Failed",
            "FailureReason": "no such image",
            "ProductionVariants": [{"VariantName": "a-model"}],
        }

    def get_bucket_notification_configuration(self, **_: object) -> dict[str, Any]:
        rules = [{"Name": "Prefix", "Value": "exports/"}, {"Name": "Suffix", "Value": ".json"}]
        return {
            "QueueConfigurations": [{"QueueArn": "arn:queue", "Events": ["s3:ObjectCreated:*"]}],
            "LambdaFunctionConfigurations": [
                {
                    "LambdaFunctionArn": "arn:train",
                    "Events": ["s3:ObjectCreated:*"],
                    "Filter": {"Key": {"FilterRules": rules}},
                },
                {"LambdaFunctionArn": "arn:other", "Events": ["s3:ObjectRemoved:*"]},
            ],
        }


def test_an_endpoint_is_told_with_who_answers_and_why_it_failed() -> None:
    described = AwsLook(ManualClock(), client_of=lambda _service: Described())
    assert described.endpoint("tides") == EndpointFacts("Failed", ["a-model"], "no such image")


def test_of_a_buckets_notifications_those_to_functions_are_told_with_their_filters() -> None:
    described = AwsLook(ManualClock(), client_of=lambda _service: Described())
    assert described.notifications("exports") == [
        Notification("arn:train", ["s3:ObjectCreated:*"], "exports/", ".json"),
        Notification("arn:other", ["s3:ObjectRemoved:*"]),
    ]


class Simulator:
    """IAM's simulator; `heeds` what a condition needs, or refuses whatever has one."""

    def __init__(self, *, allows: bool, heeds: bool) -> None:
        self._allows = allows
        self._heeds = heeds

    def simulate_principal_policy(self, **request: Any) -> dict[str, Any]:
        return self._judged(request, allowed=self._allows and self._heeds)

    def simulate_custom_policy(self, **request: Any) -> dict[str, Any]:
        (entry,) = request["ContextEntries"]
        assert entry["ContextKeyName"] == "iam:PassedToService"
        return self._judged(request, allowed=self._heeds)

    def _judged(self, request: Any, *, allowed: bool) -> dict[str, Any]:
        decision = "allowed" if allowed else "implicitDeny"
        return {
            "EvaluationResults": [
                {"EvalActionName": action, "EvalDecision": decision}
                for action in request["ActionNames"]
            ]
        }


@pytest.mark.parametrize("allows", [True, False])
def test_whether_a_role_may_be_passed_is_told_by_a_simulation_that_heeds_conditions(
    allows: bool,
) -> None:
    simulator = Simulator(allows=allows, heeds=True)
    simulated = AwsLook(ManualClock(), client_of=lambda _service: simulator)
    assert simulated.may_pass("arn:role", "arn:model-role", "sagemaker.amazonaws.com") is allows


def test_a_simulation_that_refuses_whatever_has_a_condition_proves_nothing() -> None:
    simulator = Simulator(allows=True, heeds=False)
    simulated = AwsLook(ManualClock(), client_of=lambda _service: simulator)
    with pytest.raises(Unsupported, match="iam:PassedToService"):
        simulated.may_pass("arn:role", "arn:model-role", "sagemaker.amazonaws.com")
