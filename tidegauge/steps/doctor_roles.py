"""The doctor on roles: whether each function's role allows what the function does.

A role's own policies are simulated; keys, boundaries and policies of the organisation stay out of
sight. A simulation that allows everything tells nothing.
"""

from collections.abc import Iterator, Sequence, Set

from tidegauge.ports.diagnosis import CloudLook, FunctionFacts, Unsupported
from tidegauge.steps.doctor_finding import Finding, not_checked, ok, wrong
from tidegauge.steps.doctor_needs import NEEDS, PASSING, Shared, resource_of

_SAGEMAKER = "sagemaker.amazonaws.com"

# No function of ours has this: who is told that it may is told nothing.
_CANARY = "iam:CreateUser"


def lacking(
    cloud: CloudLook, part: str, function: FunctionFacts, shared: Shared
) -> Iterator[Finding]:
    """Yield what a function's role lacks; at least one finding.

    Args:
        cloud: Simulates policies.
        part: Which deployable the function is.
        function: The function.
        shared: What it acts on beside its own variables.
    """
    role = function.role_arn
    if not role:
        yield not_checked("roles", f"role of {part}: the function does not tell it")
        return
    if cloud.allowed(role, (_CANARY,), "*"):
        says = f"role of {part}: the simulation allows it everything, so it proves nothing"
        yield not_checked("roles", says)
        return
    missing = unknown = 0
    for kind, actions in NEEDS[part]:
        resource = resource_of(kind, function, shared)
        if resource is None:
            continue  # not used by this deployment
        if not resource:
            unknown += 1
            yield not_checked("roles", f"role of {part}: its {kind} is not known")
            continue
        try:
            allowed = _allowed(cloud, role, actions, resource)
        except Unsupported as error:
            unknown += 1
            says = f"role of {part}: {error}, so nobody knows if it may {' or '.join(actions)}"
            yield not_checked("roles", says)
            continue
        for action in actions:
            if action not in allowed:
                missing += 1
                remedy = f"allow {action} on {resource} to {role}, or deploy template.yaml again"
                yield wrong("roles", f"{part} may not {action} on {resource}", remedy)
    if not missing and not unknown:
        yield ok("roles", f"{part} may do what it does, by its role's own policies")


def _allowed(cloud: CloudLook, role: str, actions: Sequence[str], resource: str) -> Set[str]:
    if PASSING not in actions:
        return cloud.allowed(role, actions, resource)
    return {PASSING} if cloud.may_pass(role, resource, _SAGEMAKER) else set()
