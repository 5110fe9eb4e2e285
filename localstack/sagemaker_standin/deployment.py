"""A blue/green deployment's policy: what AWS refuses of it, and the steps that it comes to."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sagemaker_standin.aws import validation

# A canary, and each step of a linear shift, takes no more of an endpoint than this.
MOST_AT_ONCE = 0.5


class Shift(NamedTuple):
    """So much of the traffic goes to the new fleet, for so long."""

    share: float
    wait_s: float


class Plan(NamedTuple):
    """How an update goes.

    Attributes:
        shifts: One after the other; the last sends all traffic to the new fleet.
        is_watched: Whether an alarm takes the update back.
    """

    shifts: tuple[Shift, ...]
    is_watched: bool


ALL_AT_ONCE = Plan((), is_watched=False)


def plan_of(deployment: Mapping[str, Any] | None, variants: Sequence[Mapping[str, Any]]) -> Plan:
    """Return the steps of an update to a config with these variants.

    Raises:
        AwsError: ValidationException for a policy that AWS refuses or the stand-in lacks.
    """
    if not deployment:
        return ALL_AT_ONCE
    if any("ServerlessConfig" in variant for variant in variants):
        msg = "DeploymentConfig is not supported for serverless endpoints."
        raise validation(msg)
    if "RollingUpdatePolicy" in deployment:
        msg = "RollingUpdatePolicy is not in the stand-in: give a BlueGreenUpdatePolicy."
        raise validation(msg)
    watched = bool(deployment.get("AutoRollbackConfiguration", {}).get("Alarms"))
    policy = deployment.get("BlueGreenUpdatePolicy")
    if policy is None:
        return Plan((), is_watched=watched)
    routing = policy["TrafficRoutingConfiguration"]
    wait_s = float(routing["WaitIntervalInSeconds"])
    shifts = [Shift(share, wait_s) for share in _shares(routing, variants)]
    termination_s = float(policy.get("TerminationWaitInSeconds", 0))
    most_s = policy.get("MaximumExecutionTimeoutInSeconds")
    if most_s is not None and sum(shift.wait_s for shift in shifts) + termination_s > most_s:
        msg = (
            "MaximumExecutionTimeoutInSeconds must not be less than the time of all "
            "WaitIntervalInSeconds and of TerminationWaitInSeconds."
        )
        raise validation(msg)
    return Plan((*shifts, Shift(1.0, termination_s)), is_watched=watched)


def _shares(routing: Mapping[str, Any], variants: Sequence[Mapping[str, Any]]) -> list[float]:
    kind = routing["Type"]
    sizes = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}
    for other, member in sizes.items():
        if (member in routing) != (kind == other):
            must = "must be given" if kind == other else "must not be given"
            msg = f"{member} {must} with traffic routing of the type {kind}."
            raise validation(msg)
    if kind not in sizes:
        return [1.0]
    step = _share_of(routing[sizes[kind]], variants)
    if step > MOST_AT_ONCE:
        msg = f"{sizes[kind]} must not be more than {MOST_AT_ONCE:.0%} of the capacity."
        raise validation(msg)
    if kind == "CANARY":
        return [step, 1.0]
    return [min(1.0, step * number) for number in range(1, math.ceil(1.0 / step) + 1)]


def _share_of(size: Mapping[str, Any], variants: Sequence[Mapping[str, Any]]) -> float:
    if size["Type"] == "CAPACITY_PERCENT":
        return float(size["Value"]) / 100.0
    instances = sum(variant.get("InitialInstanceCount", 1) for variant in variants)
    return float(size["Value"] / instances)
