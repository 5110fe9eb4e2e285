"""What the doctor thinks that roles need is what the template gives them, no more and no less."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cloudformation import CloudFormation
from tidegauge.steps.doctor_roles import NEEDS

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
# Every function of Lambda has these; without them it does not even start, or says nothing.
_OF_EVERY_FUNCTION = ("ec2:", "logs:", "xray:")


def statements(policies: Any) -> list[dict[str, Any]]:
    """Return all statements, those under a condition too."""
    if isinstance(policies, dict):
        return [policies] if "Action" in policies else statements(list(policies.values()))
    if isinstance(policies, list):
        return [found for each in policies for found in statements(each)]
    return []


@pytest.mark.parametrize("part", NEEDS)
def test_the_template_allows_what_the_doctor_asks_for(part: str) -> None:
    template = yaml.load(TEMPLATE.read_text(), CloudFormation)  # noqa: S506 - a loader of ours
    role = template["Resources"][f"{part.capitalize()}Role"]["Properties"]
    allowed: list[str] = []
    for statement in statements(role["Policies"]):
        actions = statement["Action"]
        allowed.extend([actions] if isinstance(actions, str) else actions)
    needed = [action for _, actions in NEEDS[part] for action in actions]
    granted = [action for action in allowed if not action.startswith(_OF_EVERY_FUNCTION)]
    assert sorted(granted) == sorted(needed)
