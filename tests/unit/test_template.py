"""What template.yaml promises beside its variables: alarms that can go off, narrow roles."""

import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cloudformation import CloudFormation
from tidegauge.settings import ExportSettings, TrainingSettings
from tidegauge.signals import Metric

ROOT = Path(__file__).parents[2]
TEMPLATE: dict[str, Any] = yaml.load((ROOT / "template.yaml").read_text(), CloudFormation)  # noqa: S506
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    return {name: each for name, each in RESOURCES.items() if each["Type"] == kind}


ALARMS = of_type("AWS::CloudWatch::Alarm")
FUNCTIONS = of_type("AWS::Serverless::Function")
BUCKETS = of_type("AWS::S3::Bucket")
ROLLING_BACK = [name for name in ALARMS if name.startswith("Canary")]


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
    assert alarm["DatapointsToAlarm"] <= alarm["EvaluationPeriods"]
    if name in ROLLING_BACK:  # they tell SageMaker, which asks for their state
        assert not {"AlarmActions", "OKActions"} & alarm.keys()
        return
    told = ["HasOperationsTopic", "OperationsTopicArn", "AWS::NoValue"]
    assert alarm["AlarmActions"] == alarm["OKActions"] == [told]


def test_the_alarms_that_roll_back_an_update_are_those_that_deploy_names() -> None:
    variables = FUNCTIONS["DeployFunction"]["Properties"]["Environment"]["Variables"]
    condition, (_, named), without = variables["ROLLBACK_ALARMS"]
    assert (condition, without) == ("Cloud", "")
    assert named == ROLLING_BACK


def test_a_sweep_that_says_nothing_is_stalled() -> None:
    stalled = RESOURCES["StalledAlarm"]
    assert stalled["Properties"]["TreatMissingData"] == "breaching"
    # Where a producer is the clock the metric is never told: there is no alarm then.
    assert stalled["Condition"] == "SweepIsCloudClock"


@pytest.mark.parametrize("name", BUCKETS)
def test_a_bucket_is_closed_encrypted_kept_and_spoken_to_over_tls_alone(name: str) -> None:
    bucket = BUCKETS[name]
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
    properties = bucket["Properties"]
    assert len(properties["PublicAccessBlockConfiguration"]) == 4
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert properties["BucketEncryption"]
    (ownership,) = properties["OwnershipControls"]["Rules"]
    assert ownership == {"ObjectOwnership": "BucketOwnerEnforced"}
    (policy,) = (
        each
        for each in of_type("AWS::S3::BucketPolicy").values()
        if each["Properties"]["Bucket"] == name
    )
    assert policy["Condition"] == "Cloud"
    (denied,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert (denied["Effect"], denied["Principal"], denied["Action"]) == ("Deny", "*", "s3:*")
    assert denied["Resource"] == [f"{name}.Arn", f"${{{name}.Arn}}/*"]
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_there_is_a_bucket_for_what_failed_what_is_learned_from_and_what_was_learned() -> None:
    assert list(BUCKETS) == ["FailedBatchesBucket", "ExportsBucket", "ModelsBucket"]


def test_buckets_forget_but_never_the_models_that_are_served() -> None:
    for name, bucket in BUCKETS.items():
        rules = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
        assert {rule["Status"] for rule in rules} == {"Enabled"}
        assert any("AbortIncompleteMultipartUpload" in rule for rule in rules)
        (forgets,) = (rule for rule in rules if "ExpirationInDays" in rule)
        assert forgets["ExpirationInDays"] >= 30
        assert forgets.get("Prefix", "") == ("training/" if name == "ModelsBucket" else "")


def test_what_the_mapping_gives_up_on_goes_to_the_bucket_of_failed_batches() -> None:
    (mapping,) = FUNCTIONS["CollectFunction"]["Properties"]["Events"].values()
    destination = mapping["Properties"]["DestinationConfig"]["OnFailure"]["Destination"]
    assert destination == "FailedBatchesBucket.Arn"


# --- retraining -----------------------------------------------------------------------------------


def bucket_events() -> dict[str, dict[str, Any]]:
    """Return the event of S3 that each function is called by, if it is."""
    return {
        name: event["Properties"]
        for name, function in FUNCTIONS.items()
        for event in function["Properties"].get("Events", {}).values()
        if event["Type"] == "S3"
    }


@pytest.mark.parametrize(
    ("function", "bucket", "folder_uri", "suffix"),
    [
        (
            "TrainFunction",
            "ExportsBucket",
            ExportSettings("bucket").folder_uri,
            "/manifest.json",
        ),
        (
            "DeployFunction",
            "ModelsBucket",
            TrainingSettings("bucket", "image", "role").training_rules(job_prefix="x").output_uri,
            "/model.tar.gz",
        ),
    ],
)
def test_a_bucket_calls_a_function_for_one_file_of_one_folder_and_no_other(
    function: str, bucket: str, folder_uri: str, suffix: str
) -> None:
    assert set(bucket_events()) == {"TrainFunction", "DeployFunction"}
    event = bucket_events()[function]
    # an artifact is uploaded in parts, which is no `Put`
    assert (event["Bucket"], event["Events"]) == (bucket, "s3:ObjectCreated:*")
    rules = {rule["Name"]: rule["Value"] for rule in event["Filter"]["S3Key"]["Rules"]}
    prefix = folder_uri.removeprefix("s3://bucket/") + "/"
    assert rules == {"prefix": prefix, "suffix": suffix}


def references(value: object) -> Iterator[str]:
    """Yield the resources that a part of the template names; tags are not told from text."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from references(each)
    if isinstance(value, str):
        for name in (value.partition(".")[0], *re.findall(r"\$\{(\w+)", value)):
            if name in RESOURCES:
                yield name


def needed_first(name: str) -> set[str]:
    """Return what must be made before a resource, as the transformed template has it."""
    properties = RESOURCES[name].get("Properties", {})
    if name not in FUNCTIONS:
        # What S3 calls, it must be able to call at once.
        callers = {call for call, event in bucket_events().items() if event["Bucket"] == name}
        return {*references(properties), *callers}
    own = {key: value for key, value in properties.items() if key != "Events"}
    return {*references(own), *references(TEMPLATE["Globals"]["Function"])}


def test_nothing_that_a_bucket_needs_first_needs_that_bucket() -> None:
    graph = {name: needed_first(name) for name in RESOURCES}
    assert "TrainFunction" in graph["ExportsBucket"]
    assert "ModelRole" in graph["TrainFunction"]
    assert "ExportsBucket" in graph["ModelBucketsPolicy"]
    order = list(TopologicalSorter(graph).static_order())
    assert len(order) == len(RESOURCES)


def test_datasets_are_asked_for_by_schedule_only_where_models_shall_come_by_themselves() -> None:
    (event,) = FUNCTIONS["ExportFunction"]["Properties"]["Events"].values()
    assert event["Properties"]["State"] == ["Retrains", "ENABLED", "DISABLED"]


def test_the_role_of_models_is_for_sagemaker_in_this_account_and_handed_to_nobody_else() -> None:
    trust = RESOURCES["ModelRole"]["Properties"]["AssumeRolePolicyDocument"]
    (assumed,) = trust["Statement"]
    assert assumed["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert assumed["Condition"] == {"StringEquals": {"aws:SourceAccount": "AWS::AccountId"}}
    passing = [(role, each) for role, each in statements() if "iam:PassRole" in each["Action"]]
    assert [role for role, _ in passing] == ["TrainRole", "DeployRole"]
    for _, statement in passing:
        assert statement["Resource"] == "ModelRole.Arn"
        assert statement["Condition"] == {
            "StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}
        }


def test_every_region_has_an_account_with_the_first_jobs_algorithm() -> None:
    accounts = TEMPLATE["Mappings"]["LinearLearner"]
    assert len(accounts) > 20
    for region, holder in accounts.items():
        assert re.fullmatch(r"[a-z]{2}(-gov)?-[a-z]+-\d", region)
        assert re.fullmatch(r"\d{12}", holder["Account"]), region
    assert len({holder["Account"] for holder in accounts.values()}) == len(accounts)


# --- roles ----------------------------------------------------------------------------------------


def statements() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every statement with the role that it is for."""
    for name, role in of_type("AWS::IAM::Role").items():
        for policy in role["Properties"]["Policies"]:
            yield from ((name, each) for each in statements_of(policy))
    for policy in of_type("AWS::IAM::Policy").values():
        (name,) = policy["Properties"]["Roles"]
        yield from ((name, each) for each in statements_of(policy["Properties"]))


def statements_of(policy: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for statement in policy["PolicyDocument"]["Statement"]:
        # !If: condition, statement, nothing
        yield statement[1] if isinstance(statement, list) else statement


def test_roles_may_do_named_things_to_named_resources() -> None:
    unnamed = set()
    for role, statement in statements():
        action = statement["Action"]
        actions = [action] if isinstance(action, str) else action
        assert not [each for each in actions if "*" in each], role
        if statement["Resource"] == "*":
            unnamed.add(statement["Sid"])
    # AWS knows no narrower resource for what these do.
    assert unnamed == {
        "Trace",
        "JoinVpc",
        "CheckMappings",
        "FindJobs",
        "FindJobsAndModels",
        "PullImages",
        "TellMetrics",
    }
