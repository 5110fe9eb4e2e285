"""The doctor on roles: whether each function's role allows what the function does.

The actions are those of `template.yaml`. A role's own policies are simulated; keys, boundaries and
policies of the organisation stay out of sight. A simulation that allows everything tells nothing.
"""

from collections.abc import Iterator, Mapping

import msgspec

from tidegauge.ports.diagnosis import CloudLook, FunctionFacts
from tidegauge.steps.doctor_finding import Finding, not_checked, ok, wrong

_READ = (
    "kinesis:DescribeStream",
    "kinesis:DescribeStreamSummary",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
)
_PUT = ("kinesis:PutRecord", "kinesis:PutRecords")
_SECRET = ("secretsmanager:GetSecretValue",)
_ALERT = ("sns:Publish",)

# What each function does, by what it does it to.
NEEDS: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "collect": (
        ("events", _READ),
        ("windows", _PUT),
        ("bucket", ("s3:ListBucket",)),
        ("objects", ("s3:PutObject",)),
        ("secret", _SECRET),
    ),
    "predict": (
        ("windows", _READ),
        ("topic", _ALERT),
        ("endpoint", ("sagemaker:InvokeEndpoint",)),
        ("secret", _SECRET),
    ),
    "sweep": (
        ("events", _READ + _PUT),
        ("windows", _PUT),
        ("topic", _ALERT),
        ("mappings", ("lambda:ListEventSourceMappings",)),
        ("bucket", ("s3:ListBucket",)),
        ("objects", ("s3:GetObject",)),
        ("secret", _SECRET),
    ),
}

# No function of ours has this: who is told that it may is told nothing.
_CANARY = "iam:CreateUser"


class Shared(msgspec.Struct, frozen=True):
    """What several functions act on; empty where it is not known.

    Attributes:
        events_arn: The events stream.
        windows_arn: The windows stream.
        bucket: Where batches go that are given up on, and where the sweep finds them.
    """

    events_arn: str
    windows_arn: str
    bucket: str


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
        resource = _resource(kind, function, shared)
        if resource is None:
            continue  # not used by this deployment
        if not resource:
            unknown += 1
            yield not_checked("roles", f"role of {part}: its {kind} is not known")
            continue
        allowed = cloud.allowed(role, actions, resource)
        for action in actions:
            if action not in allowed:
                missing += 1
                remedy = f"allow {action} on {resource} to {role}, or deploy template.yaml again"
                yield wrong("roles", f"{part} may not {action} on {resource}", remedy)
    if not missing and not unknown:
        yield ok("roles", f"{part} may do what it does, by its role's own policies")


def _resource(kind: str, function: FunctionFacts, shared: Shared) -> str | None:
    """Return what a need is about; empty where it is not known, None where there is none."""
    bucket = shared.bucket
    partition = function.arn.split(":")[1] if ":" in function.arn else "aws"
    match kind:
        case "events":
            return shared.events_arn
        case "windows":
            return shared.windows_arn
        case "topic":
            return function.variables.get("ALERTS_TOPIC_ARN", "")
        case "secret":
            return function.variables.get("DATABASE_SECRET_ARN", "")
        case "mappings":
            return "*"
        case "endpoint":
            name = function.variables.get("ENDPOINT_NAME", "")
            if not name:
                return None
            parts = function.arn.split(":")
            return f"arn:{partition}:sagemaker:{parts[3]}:{parts[4]}:endpoint/{name}"
        case "bucket":
            return f"arn:{partition}:s3:::{bucket}" if bucket else None
        case "objects":
            return f"arn:{partition}:s3:::{bucket}/aws/lambda/x" if bucket else None
    return ""
