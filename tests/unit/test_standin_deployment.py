"""A deployment's policy: the steps that it comes to."""

from typing import Any

import pytest

from sagemaker_standin.aws import AwsError
from sagemaker_standin.deployment import ALL_AT_ONCE, Shift, plan_of

INSTANCES = [{"VariantName": "v", "InstanceType": "ml.m5.large", "InitialInstanceCount": 4}]


def policy(kind: str, *, wait_s: int = 60, **more: Any) -> dict[str, Any]:
    top = {name: more.pop(name) for name in list(more) if name.endswith("InSeconds")}
    routing = {"Type": kind, "WaitIntervalInSeconds": wait_s, **more}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, **top}}


def size(kind: str, value: int) -> dict[str, Any]:
    return {"Type": kind, "Value": value}


def test_without_a_policy_all_traffic_goes_over_at_once() -> None:
    assert plan_of(None, INSTANCES) == plan_of({}, INSTANCES) == ALL_AT_ONCE


@pytest.mark.parametrize(
    ("deployment", "shares"),
    [
        (policy("ALL_AT_ONCE"), [1.0]),
        (policy("CANARY", CanarySize=size("CAPACITY_PERCENT", 10)), [0.1, 1.0]),
        (policy("CANARY", CanarySize=size("INSTANCE_COUNT", 1)), [0.25, 1.0]),
        (policy("LINEAR", LinearStepSize=size("CAPACITY_PERCENT", 40)), [0.4, 0.8, 1.0]),
        (policy("LINEAR", LinearStepSize=size("INSTANCE_COUNT", 2)), [0.5, 1.0]),
    ],
)
def test_a_policy_is_steps_of_traffic_and_a_last_wait(
    deployment: dict[str, Any], shares: list[float]
) -> None:
    deployment["BlueGreenUpdatePolicy"]["TerminationWaitInSeconds"] = 30
    steps = [Shift(share, 60.0) for share in shares]
    assert list(plan_of(deployment, INSTANCES).shifts) == [*steps, Shift(1.0, 30.0)]


def test_only_alarms_are_watched() -> None:
    deployment = policy("ALL_AT_ONCE")
    assert not plan_of(deployment, INSTANCES).is_watched
    deployment["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": "errors"}]}
    assert plan_of(deployment, INSTANCES).is_watched


@pytest.mark.parametrize(
    ("deployment", "words"),
    [
        (policy("CANARY"), "CanarySize must be given"),
        (policy("LINEAR"), "LinearStepSize must be given"),
        (policy("ALL_AT_ONCE", LinearStepSize=size("INSTANCE_COUNT", 1)), "must not be given"),
        (policy("CANARY", CanarySize=size("INSTANCE_COUNT", 3)), "not be more than 50%"),
        (policy("ALL_AT_ONCE", wait_s=601, MaximumExecutionTimeoutInSeconds=600), "not be less"),
        ({"RollingUpdatePolicy": {}}, "not in the stand-in"),
    ],
)
def test_a_policy_that_cannot_be_kept_is_refused(deployment: dict[str, Any], words: str) -> None:
    with pytest.raises(AwsError, match=words):
        plan_of(deployment, INSTANCES)


def test_serverless_endpoints_take_none() -> None:
    with pytest.raises(AwsError, match="not supported for serverless"):
        plan_of(policy("ALL_AT_ONCE"), [{"ServerlessConfig": {}}])
