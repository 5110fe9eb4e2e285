"""Looks at what is deployed on AWS, for a diagnosis; implements `ports.diagnosis.CloudLook`.

Each call is tried once and given up after seconds. A refusal names the permission that is missing
and on what, a call that a stand-in for AWS does not know is told from one that failed.
"""

import json
import re
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import cache
from itertools import islice
from typing import Any

from tidegauge.adapters.aws_client import client_config
from tidegauge.adapters.aws_errors import aws_call, translated
from tidegauge.adapters.stream_readings import LambdaMappings
from tidegauge.database_address import DatabaseAddress
from tidegauge.domain.errors import Misconfigured, TidegaugeError, Transient
from tidegauge.ports import Clock, StreamReading
from tidegauge.ports.diagnosis import (
    Absent,
    Caller,
    Denied,
    EndpointFacts,
    FunctionFacts,
    Notification,
    Schedule,
    StreamFacts,
    TopicFacts,
    Unsupported,
)

_PASSING = "iam:PassRole"
_PASSED_TO = "iam:PassedToService"

# An account holds thousands of functions at most, fifty a page.
MAX_PAGES = 100

_DENIED = re.compile(r"AccessDenied|AuthorizationError|UnauthorizedOperation|NotAuthorized")
_ABSENT = frozenset(
    {"ResourceNotFoundException", "NotFound", "NotFoundException", "NoSuchEntity", "NoSuchBucket"}
)
_UNKNOWN_CALL = frozenset(
    {"UnknownOperationException", "UnknownOperation", "InvalidAction", "NotImplemented"}
)
_SAID = re.compile(r"not authorized to perform:? ([a-zA-Z0-9-]+:[a-zA-Z]+)(?: on resource: (\S+))?")


class AwsLook:
    """Looks at the account and region that the environment leads to.

    Args:
        clock: This machine's.
        client_of: Makes a client by the service's name; None makes them from the environment.
    """

    def __init__(self, clock: Clock, *, client_of: Any = None) -> None:
        self._clock = clock
        self._client = cache(client_of or _client_of)

    def caller(self) -> Caller:
        """Return who we are, and how far this machine's clock is ahead of AWS's."""
        with _asked("sts:GetCallerIdentity", "*", "asking AWS who we are"):
            client = self._client("sts")
            asked_ms = self._clock.now_ms()
            answer = client.get_caller_identity()
            answered_ms = self._clock.now_ms()
        told = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
        try:
            # The header leaves the fraction of its second out: half of one on average.
            cloud_ms = round(parsedate_to_datetime(told).timestamp() * 1000) + 500
        except ValueError:
            cloud_ms = (asked_ms + answered_ms) // 2
        return Caller(answer["Arn"], (asked_ms + answered_ms) // 2 - cloud_ms)

    def stream(self, name: str) -> StreamFacts:
        """Return a stream's facts."""
        with _asked("kinesis:DescribeStreamSummary", f"stream/{name}", f"looking at stream {name}"):
            answer = self._client("kinesis").describe_stream_summary(StreamName=name)
        summary = answer["StreamDescriptionSummary"]
        return StreamFacts(
            arn=summary["StreamARN"],
            status=summary["StreamStatus"],
            open_shards=summary["OpenShardCount"],
            retention_hours=summary["RetentionPeriodHours"],
        )

    def functions(self, events_stream: str) -> list[FunctionFacts]:
        """Return the functions whose variable EVENTS_STREAM names a stream."""
        with _asked("lambda:ListFunctions", "*", "listing the functions"):
            pages = self._client("lambda").get_paginator("list_functions").paginate()
            listed = [f for page in islice(pages, MAX_PAGES) for f in page["Functions"]]
        found = []
        for each in listed:
            variables = each.get("Environment", {}).get("Variables", {})
            if variables.get("EVENTS_STREAM") == events_stream:
                found.append(
                    FunctionFacts(
                        name=each["FunctionName"],
                        arn=each["FunctionArn"],
                        role_arn=each.get("Role", ""),
                        handler=each.get("Handler", ""),
                        state=each.get("State") or "Active",
                        variables=variables,
                    )
                )
        return found

    def readings(self, stream_arn: str) -> list[StreamReading]:
        """Return every event source mapping of a stream."""
        mappings = LambdaMappings(client=self._client("lambda"))
        try:
            return mappings.readings(stream_arn)
        except (Misconfigured, Transient) as error:
            cause = error.__cause__
            if cause is None:
                raise
            raise _told(cause, "lambda:ListEventSourceMappings", "*", str(error)) from cause

    def schedules(self, function_arn: str) -> list[Schedule]:
        """Return the rules of EventBridge that start a function."""
        client = self._client("events")
        with _asked(
            "events:ListRuleNamesByTarget", "rule/*", f"listing the rules of {function_arn}"
        ):
            names = client.list_rule_names_by_target(TargetArn=function_arn)["RuleNames"]
        found = []
        for name in names:
            with _asked("events:DescribeRule", f"rule/{name}", f"looking at rule {name}"):
                rule = client.describe_rule(Name=name)
            found.append(Schedule(name, rule.get("State") == "ENABLED"))
        return found

    def topic(self, arn: str) -> TopicFacts:
        """Return how many subscriptions a topic has."""
        with _asked("sns:GetTopicAttributes", arn, f"looking at topic {arn}"):
            attributes = self._client("sns").get_topic_attributes(TopicArn=arn)["Attributes"]
        return TopicFacts(
            confirmed=int(attributes.get("SubscriptionsConfirmed", 0)),
            pending=int(attributes.get("SubscriptionsPending", 0)),
        )

    def endpoint(self, name: str) -> EndpointFacts:
        """Return a model endpoint's facts."""
        with _asked(
            "sagemaker:DescribeEndpoint", f"endpoint/{name}", f"looking at endpoint {name}"
        ):
            answer = self._client("sagemaker").describe_endpoint(EndpointName=name)
        return EndpointFacts(
            status=answer["EndpointStatus"],
            variants=[each["VariantName"] for each in answer.get("ProductionVariants", [])],
            reason=answer.get("FailureReason", ""),
        )

    def notifications(self, bucket: str) -> list[Notification]:
        """Return which functions a bucket calls."""
        with _asked(
            "s3:GetBucketNotification", bucket, f"looking at the notifications of bucket {bucket}"
        ):
            answer = self._client("s3").get_bucket_notification_configuration(Bucket=bucket)
        found = []
        for each in answer.get("LambdaFunctionConfigurations", []):
            rules = each.get("Filter", {}).get("Key", {}).get("FilterRules", [])
            # S3 takes these names in any case, and gives them back in its own.
            filters = {rule["Name"].lower(): rule["Value"] for rule in rules}
            found.append(
                Notification(
                    function_arn=each["LambdaFunctionArn"],
                    events=each["Events"],
                    prefix=filters.get("prefix", ""),
                    suffix=filters.get("suffix", ""),
                )
            )
        return found

    def secret(self, arn: str) -> DatabaseAddress:
        """Return what a database's secret holds."""
        with _asked("secretsmanager:GetSecretValue", arn, f"reading secret {arn}"):
            answer = self._client("secretsmanager").get_secret_value(SecretId=arn)
        return DatabaseAddress.from_secret(answer.get("SecretString", ""))

    def allowed(self, role_arn: str, actions: Sequence[str], resource: str) -> Set[str]:
        """Return those of the actions that a role's own policies allow on a resource."""
        with _asked("iam:SimulatePrincipalPolicy", role_arn, f"simulating role {role_arn}"):
            answer = self._client("iam").simulate_principal_policy(
                PolicySourceArn=role_arn, ActionNames=list(actions), ResourceArns=[resource]
            )
        return _allowed(answer)

    def may_pass(self, role_arn: str, passed_arn: str, service: str) -> bool:
        """Return whether a role's own policies let it pass a role to a service of AWS.

        Which service that is stands in a condition. A simulation that does not heed it refuses a
        role that may, as it refuses a policy of our own that surely allows it.

        Raises:
            Unsupported: it does not heed it.
        """
        question: dict[str, Any] = {
            "ActionNames": [_PASSING],
            "ResourceArns": [passed_arn],
            "ContextEntries": [
                {
                    "ContextKeyName": _PASSED_TO,
                    "ContextKeyValues": [service],
                    "ContextKeyType": "string",
                }
            ],
        }
        with _asked("iam:SimulatePrincipalPolicy", role_arn, f"simulating role {role_arn}"):
            answer = self._client("iam").simulate_principal_policy(
                PolicySourceArn=role_arn, **question
            )
        if _PASSING in _allowed(answer):
            return True
        statement = {
            "Effect": "Allow",
            "Action": _PASSING,
            "Resource": passed_arn,
            "Condition": {"StringEquals": {_PASSED_TO: service}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        with _asked("iam:SimulateCustomPolicy", "*", "simulating a policy of our own"):
            control = self._client("iam").simulate_custom_policy(
                PolicyInputList=[policy], **question
            )
        if _PASSING not in _allowed(control):
            msg = f"the simulation does not heed the condition {_PASSED_TO}"
            raise Unsupported(msg)
        return False


def _allowed(answer: Any) -> set[str]:
    """Return the actions that a simulation allows."""
    return {
        result["EvalActionName"]
        for result in answer["EvaluationResults"]
        if result["EvalDecision"] == "allowed"
    }


def _client_of(service: str) -> Any:
    import boto3

    with aws_call(f"making a client of {service}"):
        make: Any = boto3.client
        return make(service, config=client_config(attempts=1))


@contextmanager
def _asked(action: str, resource: str, doing: str) -> Iterator[None]:
    """Make one call and translate what it raises.

    Args:
        action: The permission that the call needs.
        resource: What on, as far as we know before the answer.
        doing: What is tried, to stand before "failed".
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise _told(error, action, resource, doing) from error


def _told(error: BaseException, action: str, resource: str, doing: str) -> TidegaugeError:
    """Return ours for an error of botocore."""
    answer: Any = getattr(error, "response", None) or {}
    code = str(answer.get("Error", {}).get("Code", ""))
    message = str(answer.get("Error", {}).get("Message", ""))
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if _DENIED.search(code):
        said = _SAID.search(message)
        if said is not None:
            action, resource = said[1], (said[2] or resource).rstrip(".,")
        return Denied(action, resource)
    if code in _ABSENT or message.startswith("Could not find"):
        return Absent(message or f"{doing} failed: there is no such thing")
    if code in _UNKNOWN_CALL or status == 501 or (status in (400, 404) and code == str(status)):
        return Unsupported(f"{action} is a call that this service does not know")
    return translated(error, doing=doing)
