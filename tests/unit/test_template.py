"""What template.yaml promises beside its variables: alarms that can go off, narrow roles."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cloudformation import CloudFormation
from tidegauge.signals import Metric

ROOT = Path(__file__).parents[2]
TEMPLATE: dict[str, Any] = yaml.load((ROOT / "template.yaml").read_text(), CloudFormation)  # noqa: S506
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    return {name: each for name, each in RESOURCES.items() if each["Type"] == kind}


ALARMS = of_type("AWS::CloudWatch::Alarm")
FUNCTIONS = of_type("AWS::Serverless::Function")


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_watches_a_metric_that_some_function_emits(name: str) -> None:
    alarm = ALARMS[name]["Properties"]
    (dimension,) = alarm["Dimensions"]
    if alarm["Namespace"] == "AWS/Lambda":
        assert alarm["MetricName"] in ("Errors", "IteratorAge")
        assert dimension["Name"] == "FunctionName"
        assert dimension["Value"] in FUNCTIONS
        return
    assert (
        alarm["Namespace"]
        == TEMPLATE["Globals"]["Function"]["Environment"]["Variables"][
            "POWERTOOLS_METRICS_NAMESPACE"
        ]
    )
    assert dimension["Name"] == "service"
    (function,) = (each for each in FUNCTIONS.values() if service_of(each) == dimension["Value"])
    emitted = (ROOT / function["Properties"]["CodeUri"] / "app.py").read_text()
    (metric,) = (metric for metric in Metric if metric.metric_name == alarm["MetricName"])
    assert f"Metric.{metric.name}" in emitted


def service_of(function: dict[str, Any]) -> object:
    return function["Properties"]["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]


def test_two_stacks_in_one_account_have_metrics_of_their_own() -> None:
    names = [service_of(function) for function in FUNCTIONS.values()]
    assert len(set(names)) == len(names)
    assert all(str(name).startswith("${AWS::StackName}-") for name in names)


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_is_for_the_cloud_and_tells_the_topic_of_operations(name: str) -> None:
    assert ALARMS[name]["Condition"] in ("Cloud", "SweepIsCloudClock")
    alarm = ALARMS[name]["Properties"]
    told = ["HasOperationsTopic", "OperationsTopicArn", "AWS::NoValue"]
    assert alarm["AlarmActions"] == alarm["OKActions"] == [told]
    assert alarm["DatapointsToAlarm"] <= alarm["EvaluationPeriods"]


def test_a_sweep_that_says_nothing_is_stalled() -> None:
    stalled = RESOURCES["StalledAlarm"]
    assert stalled["Properties"]["TreatMissingData"] == "breaching"
    # Where a producer is the clock the metric is never told: there is no alarm then.
    assert stalled["Condition"] == "SweepIsCloudClock"


def test_the_bucket_of_failed_batches_is_closed_kept_and_forgets() -> None:
    bucket = RESOURCES["FailedBatchesBucket"]
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
    properties = bucket["Properties"]
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert properties["BucketEncryption"]
    (rule,) = properties["LifecycleConfiguration"]["Rules"]
    assert (rule["Status"], rule["ExpirationInDays"] >= 30) == ("Enabled", True)
    (denied,) = RESOURCES["FailedBatchesPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (denied["Effect"], denied["Principal"]) == ("Deny", "*")
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    (mapping,) = RESOURCES["CollectFunction"]["Properties"]["Events"].values()
    destination = mapping["Properties"]["DestinationConfig"]["OnFailure"]["Destination"]
    assert destination == "FailedBatchesBucket.Arn"


def statements() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, role in of_type("AWS::IAM::Role").items():
        for policy in role["Properties"]["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                if isinstance(statement, list):  # !If: condition, statement, nothing
                    yield name, statement[1]
                else:
                    yield name, statement


def test_roles_may_do_named_things_to_named_resources() -> None:
    unnamed = set()
    for role, statement in statements():
        action = statement["Action"]
        actions = [action] if isinstance(action, str) else action
        assert not [each for each in actions if "*" in each], role
        if statement["Resource"] == "*":
            unnamed.add(statement["Sid"])
    # AWS knows no narrower resource for what these do.
    assert unnamed == {"Trace", "JoinVpc", "CheckMappings"}
