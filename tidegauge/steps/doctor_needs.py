"""What each function does and to what, for the doctor on roles.

The actions are those of `template.yaml`; of what has many names, one example stands for all.
"""

from collections.abc import Mapping

import msgspec

from tidegauge.ports.diagnosis import FunctionFacts

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
_LIST = ("s3:ListBucket",)
PASSING = "iam:PassRole"

# What each function does, by what it does it to.
NEEDS: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "collect": (
        ("events", _READ),
        ("windows", _PUT),
        ("bucket", _LIST),
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
        ("bucket", _LIST),
        ("objects", ("s3:GetObject",)),
        ("secret", _SECRET),
    ),
    "export": (
        ("exports bucket", _LIST),
        ("datasets", ("s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject")),
        ("secret", _SECRET),
    ),
    "train": (
        ("exports bucket", _LIST),
        ("models bucket", _LIST),
        ("datasets", ("s3:GetObject",)),
        ("all jobs", ("sagemaker:ListTrainingJobs",)),
        ("jobs", ("sagemaker:CreateTrainingJob", "sagemaker:DescribeTrainingJob")),
        ("model role", (PASSING,)),
        ("secret", _SECRET),
    ),
    "deploy": (
        ("exports bucket", _LIST),
        ("models bucket", _LIST),
        ("datasets", ("s3:GetObject",)),
        ("artifacts", ("s3:GetObject",)),
        ("copies", ("s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject")),
        (
            "all jobs",
            (
                "sagemaker:ListEndpointConfigs",
                "sagemaker:ListEndpoints",
                "sagemaker:ListModels",
                "sagemaker:ListTrainingJobs",
            ),
        ),
        ("jobs", ("sagemaker:DescribeTrainingJob",)),
        (
            "configs",
            (
                "sagemaker:CreateEndpointConfig",
                "sagemaker:DeleteEndpointConfig",
                "sagemaker:DescribeEndpointConfig",
            ),
        ),
        (
            "models",
            ("sagemaker:CreateModel", "sagemaker:DeleteModel", "sagemaker:DescribeModel"),
        ),
        # what an endpoint is made of, it must be allowed to take
        ("configs", ("sagemaker:CreateEndpoint", "sagemaker:UpdateEndpoint")),
        (
            "endpoint",
            (
                "sagemaker:CreateEndpoint",
                "sagemaker:DeleteEndpoint",
                "sagemaker:DescribeEndpoint",
                "sagemaker:InvokeEndpoint",
                "sagemaker:UpdateEndpoint",
            ),
        ),
        # what any of them serves is never deleted
        ("endpoints", ("sagemaker:DescribeEndpoint",)),
        ("alarms", ("cloudwatch:DescribeAlarms",)),
        ("model role", (PASSING,)),
        ("topic", _ALERT),
        ("secret", _SECRET),
    ),
}


class Shared(msgspec.Struct, frozen=True):
    """What several functions act on; empty where it is not known.

    Attributes:
        events_arn: The events stream.
        windows_arn: The windows stream.
        bucket: Where batches go that are given up on, and where the sweep finds them.
        exports_bucket: Where datasets go.
        models_bucket: Where models go.
        model_role: What training jobs and models run as.
    """

    events_arn: str
    windows_arn: str
    bucket: str
    exports_bucket: str = ""
    models_bucket: str = ""
    model_role: str = ""


def resource_of(kind: str, function: FunctionFacts, shared: Shared) -> str | None:
    """Return what a need is about; empty where it is not known, None where there is none."""
    variables = function.variables
    match kind:
        case "events":
            return shared.events_arn
        case "windows":
            return shared.windows_arn
        case "topic":
            return variables.get("ALERTS_TOPIC_ARN", "")
        case "secret":
            return variables.get("DATABASE_SECRET_ARN", "")
        case "model role":
            return shared.model_role
        case "mappings" | "all jobs":
            return "*"
        case "endpoint":
            name = variables.get("ENDPOINT_NAME", "")
            return _arn(function, "sagemaker", f"endpoint/{name}") if name else None
        case "alarms":
            name = variables.get("ROLLBACK_ALARMS", "").partition(",")[0]
            return _arn(function, "cloudwatch", f"alarm:{name}") if name else None
        case "jobs" | "configs" | "models" | "endpoints":
            return _arn(function, "sagemaker", _EXAMPLES[kind])
        case "bucket" | "objects":  # a deployment may do without
            return _in_bucket(function, shared.bucket, _EXAMPLES[kind]) or None
        case "exports bucket" | "datasets":
            return _in_bucket(function, shared.exports_bucket, _EXAMPLES[kind])
        case "models bucket" | "artifacts" | "copies":
            return _in_bucket(function, shared.models_bucket, _EXAMPLES[kind])
    return ""


_EXAMPLES = {
    "jobs": "training-job/x",
    "configs": "endpoint-config/x",
    "models": "model/x",
    "endpoints": "endpoint/x",
    "bucket": "",
    "objects": "/aws/lambda/x",
    "exports bucket": "",
    "datasets": "/exports/x/manifest.json",
    "models bucket": "",
    "artifacts": "/training/x/output/model.tar.gz",
    "copies": "/deployed/x/x/model.tar.gz",
}


def _arn(function: FunctionFacts, service: str, rest: str) -> str:
    """Return the ARN of what stands in the function's account and region."""
    _, partition, _, region, account, *_ = function.arn.split(":")
    return f"arn:{partition}:{service}:{region}:{account}:{rest}"


def _in_bucket(function: FunctionFacts, bucket: str, key: str) -> str:
    partition = function.arn.split(":")[1]
    return f"arn:{partition}:s3:::{bucket}{key}" if bucket else ""
