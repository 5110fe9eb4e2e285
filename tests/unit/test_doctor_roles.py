"""The doctor on roles: what it asks of them is what the template gives, no more and no less."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cloudformation import CloudFormation
from tests.support.diagnosis import FakeCloud, all_but, examined, levels
from tidegauge.ports.diagnosis import Denied, Unsupported
from tidegauge.steps.doctor_finding import Level
from tidegauge.steps.doctor_needs import NEEDS

OK, WRONG, NOT_CHECKED = Level.OK, Level.WRONG, Level.NOT_CHECKED
TEMPLATE = Path(__file__).parents[2] / "template.yaml"
# Every function of Lambda has these; without them it does not even start, or says nothing.
_OF_EVERY_FUNCTION = ("ec2:", "logs:", "xray:")
# Where in the template each kind of thing stands, as the end of what a statement names.
_NAMED = {
    "events": "EventsStream.Arn",
    "windows": "WindowsStream.Arn",
    "bucket": "FailedBatchesBucket.Arn",
    "objects": "${FailedBatchesBucket.Arn}/",
    "secret": "DatabaseSecretArn",
    "topic": "AlertsTopic",
    "mappings": "*",
    "all jobs": "*",
    "endpoint": ":endpoint/${EndpointName}",
    "endpoints": ":endpoint/*",
    "jobs": ":training-job/*",
    "configs": ":endpoint-config/*",
    "models": ":model/*",
    "alarms": ":alarm:*",
    "model role": "ModelRole.Arn",
    "exports bucket": "ExportsBucket.Arn",
    "datasets": "${ExportsBucket.Arn}/exports/*",
    "models bucket": "ModelsBucket.Arn",
    "artifacts": "${ModelsBucket.Arn}/training/*",
    "copies": "${ModelsBucket.Arn}/deployed/*",
}


def statements(policies: Any) -> list[dict[str, Any]]:
    """Return all statements, those under a condition too."""
    if isinstance(policies, dict):
        return [policies] if "Action" in policies else statements(list(policies.values()))
    if isinstance(policies, list):
        return [found for each in policies for found in statements(each)]
    return []


def granted(part: str) -> list[tuple[str, list[str]]]:
    """Return each action that a role of the template may, with all that it may do it to."""
    template = yaml.load(TEMPLATE.read_text(), CloudFormation)  # noqa: S506 - a loader of ours
    role = f"{part.capitalize()}Role"
    policies = [template["Resources"][role]["Properties"]["Policies"]]
    policies += [
        each["Properties"]["PolicyDocument"]
        for each in template["Resources"].values()
        if each["Type"] == "AWS::IAM::Policy" and each["Properties"]["Roles"] == [role]
    ]
    found = []
    for statement in statements(policies):
        actions, resources = (
            [one] if isinstance(one, str) else one
            for one in (statement["Action"], statement["Resource"])
        )
        found += [
            (action, resources) for action in actions if not action.startswith(_OF_EVERY_FUNCTION)
        ]
    return found


def names(kind: str, resource: str) -> bool:
    return resource.startswith(_NAMED[kind]) or (
        _NAMED[kind].startswith(":") and resource.endswith(_NAMED[kind])
    )


@pytest.mark.parametrize("part", NEEDS)
def test_the_template_allows_what_the_doctor_asks_for_and_nothing_else(part: str) -> None:
    needed = [(action, kind) for kind, actions in NEEDS[part] for action in actions]
    given = granted(part)
    for action, kind in needed:
        assert any(
            names(kind, resource) for may, on in given if may == action for resource in on
        ), f"{part} may not {action} on its {kind}"
    for action, resources in given:
        assert any(
            may == action and names(kind, resource)
            for may, kind in needed
            for resource in resources
        ), f"nobody asks whether {part} may {action} on {resources}"


def test_a_role_that_lacks_a_permission_is_named_with_the_resource() -> None:
    findings = examined(FakeCloud(denied_actions={"sagemaker:UpdateEndpoint"}))
    wrong = [finding for finding in findings if finding.level is WRONG]
    endpoint = "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/tides"
    assert f"deploy may not sagemaker:UpdateEndpoint on {endpoint}" in [f.says for f in wrong]
    assert all("role/tg-deploy" in finding.remedy for finding in wrong)
    assert levels(findings, "roles") == [OK] * 5 + [WRONG] * 2  # on its config too


def test_a_simulation_that_allows_everything_is_no_green() -> None:
    findings = examined(FakeCloud(allows_all=True))
    assert levels(findings, "roles") == [NOT_CHECKED] * 6


def test_a_simulation_that_is_refused_is_not_checked_and_says_what_is_missing() -> None:
    cloud = FakeCloud(failures={"allowed": Denied("iam:SimulatePrincipalPolicy", "arn:role")})
    findings = [finding for finding in examined(cloud) if finding.what == "roles"]
    assert [finding.level for finding in findings] == [NOT_CHECKED] * 6
    assert "iam:SimulatePrincipalPolicy on arn:role" in findings[0].says


def test_a_resource_that_is_not_known_keeps_its_role_from_being_called_sound() -> None:
    cloud = FakeCloud()
    del cloud.streams["windows"]
    findings = examined(cloud)
    assert levels(findings, "windows stream") == [WRONG]
    assert levels(findings, "roles") == [NOT_CHECKED] * 3 + [OK] * 3


def test_a_role_that_may_not_hand_on_the_models_role_is_a_fault() -> None:
    findings = examined(FakeCloud(denied_actions={"iam:PassRole"}))
    wrong = [finding.says for finding in findings if finding.level is WRONG]
    assert [says.split(" on ")[0] for says in wrong] == [
        f"{part} may not iam:PassRole" for part in ("train", "deploy")
    ]


def test_a_simulation_that_heeds_no_condition_is_never_called_sound() -> None:
    unheeding = FakeCloud(failures={"may_pass": Unsupported("it heeds no condition")})
    roles = levels(examined(unheeding), "roles")
    assert roles == [OK, OK, OK, OK, NOT_CHECKED, NOT_CHECKED]


def test_roles_of_functions_whose_buckets_nobody_names_are_not_called_sound() -> None:
    cloud = FakeCloud(deployed=all_but("train"))  # it alone names the models' bucket
    findings = examined(cloud)
    told = [f.says for f in findings if f.what == "roles" and f.level is NOT_CHECKED]
    assert "role of deploy: its models bucket is not known" in told
