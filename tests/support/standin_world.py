"""The stand-in beside a real S3, and requests to both as our functions write them."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
import numpy as np
from botocore.config import Config
from botocore.model import StructureShape
from numpy.typing import NDArray

from tests.support.botocore_shapes import answer_problems, operation_model
from tests.support.standin import AWS_ENVIRONMENT, running_standin
from tidegauge.adapters.model_file import pack_model
from tidegauge.domain.linear_model import LinearModel

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient

ROLE = "arn:aws:iam::000000000000:role/tidegauge"
IMAGE = "000000000000.dkr.ecr.eu-west-1.amazonaws.com/linear-learner:1"
SERVERLESS = {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}
INSTANCES = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 2}
PATIENCE_SECONDS = 60.0

# AWS leaves the artifacts away until there are some, whatever its service model says.
_NOT_ALWAYS = {".ModelArtifacts: missing"}


class World(NamedTuple):
    """A running stand-in, clients of it, and its S3."""

    address: str
    control: "SageMakerClient"
    runtime: "SageMakerRuntimeClient"
    s3: "S3Client"
    bucket: str

    def put_rows(self, key: str, labels: NDArray[np.float64], rows: NDArray[np.float64]) -> str:
        """Put a CSV, label first; return its address."""
        lines = (
            ",".join(f"{value:.6f}" for value in (label, *row))
            for label, row in zip(labels.tolist(), rows.tolist(), strict=True)
        )
        return self.put(key, "\n".join(lines).encode())

    def put(self, key: str, content: bytes) -> str:
        """Put an object; return its address."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)
        return f"s3://{self.bucket}/{key}"

    def put_model(
        self, name: str, packed: LinearModel | bytes, variant: Mapping[str, Any] = SERVERLESS
    ) -> None:
        """Put an artifact; create the model and the config of its name, variant named after it."""
        content = packed if isinstance(packed, bytes) else pack_model(packed)
        url = self.put(f"models/{name}/model.tar.gz", content)
        container: Any = {"Image": IMAGE, "ModelDataUrl": url}
        self.control.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
        variants: Any = [{"VariantName": name, "ModelName": name, **variant}]
        self.control.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants)

    def put_endpoint(
        self, name: str, model: LinearModel, variant: Mapping[str, Any] = SERVERLESS
    ) -> None:
        """Create an endpoint of a model, named after its version, and wait until it serves."""
        self.put_model(model.model_version, model, variant)
        self.control.create_endpoint(EndpointName=name, EndpointConfigName=model.model_version)
        assert self.settled(name)["EndpointStatus"] == "InService"

    def start_job(self, name: str, **changes: Any) -> dict[str, Any]:
        """Create a training job as `job_request` makes it."""
        answer = self.control.create_training_job(**self.job_request(name, **changes))
        return answered("CreateTrainingJob", answer)

    def job_request(self, name: str, **changes: Any) -> dict[str, Any]:
        """Return a request to train on `train/` and `validation/` of a folder of the job's name."""
        channels = [self.channel(part, f"{name}/{part}/") for part in ("train", "validation")]
        return {
            "TrainingJobName": name,
            "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            "RoleArn": ROLE,
            "HyperParameters": {"predictor_type": "regressor", "mini_batch_size": "10"},
            "InputDataConfig": channels,
            "OutputDataConfig": {"S3OutputPath": f"s3://{self.bucket}/output/"},
            "ResourceConfig": {
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "VolumeSizeInGB": 10,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
            **changes,
        }

    def channel(self, name: str, prefix: str, **changes: Any) -> dict[str, Any]:
        """Return a channel that reads all below a key."""
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{self.bucket}/{prefix}"}
        return {
            "ChannelName": name,
            "ContentType": "text/csv;label_size=1",
            "DataSource": {"S3DataSource": {**source, "S3DataDistributionType": "FullyReplicated"}},
            **changes,
        }

    def ended_job(self, name: str) -> dict[str, Any]:
        """Return what is told of a job once it is over."""

        def told() -> dict[str, Any] | None:
            job = self.described_job(name)
            return None if job["TrainingJobStatus"] in {"InProgress", "Stopping"} else job

        return eventually(told)

    def described_job(self, name: str) -> dict[str, Any]:
        """Return DescribeTrainingJob's answer, held against its shape."""
        answer = self.control.describe_training_job(TrainingJobName=name)
        return answered("DescribeTrainingJob", answer)

    def described(self, endpoint: str) -> dict[str, Any]:
        """Return DescribeEndpoint's answer, held against its shape."""
        answer = self.control.describe_endpoint(EndpointName=endpoint)
        return answered("DescribeEndpoint", answer)

    def settled(self, endpoint: str) -> dict[str, Any]:
        """Return what is told of an endpoint once it does not change any more."""

        def told() -> dict[str, Any] | None:
            answer = self.described(endpoint)
            return answer if answer["EndpointStatus"] in {"InService", "Failed"} else None

        return eventually(told)

    def invoke(self, endpoint: str, body: bytes = b"1") -> tuple[str, list[float]]:
        """Return which variant answered, and its scores."""
        answer = self.runtime.invoke_endpoint(
            EndpointName=endpoint, ContentType="text/csv", Body=body
        )
        predictions = json.loads(answer["Body"].read())["predictions"]
        return answer["InvokedProductionVariant"], [row["score"] for row in predictions]


def eventually(told: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
    """Ask until there is an answer."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (answer := told()) is None:
        assert time.monotonic() < deadline, "it has not come to be"
    return answer


def answered(operation: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer's members, once they fit the operation's output shape."""
    shape = operation_model("sagemaker", operation).output_shape
    assert isinstance(shape, StructureShape)
    members = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
    assert set(answer_problems(members, shape)) <= _NOT_ALWAYS
    return members


@contextmanager
def standin_world(
    s3: str, bucket: str, *, told_s3: str | None = None, **options: Any
) -> Iterator[World]:
    """Run a stand-in beside an S3, and make a bucket there.

    Args:
        s3: Address of the S3.
        bucket: The bucket's name.
        told_s3: The address that the stand-in is told, if it is another one.
        options: Further ones of `running_standin`.
    """
    keys: Any = {
        "aws_access_key_id": AWS_ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": AWS_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
        "region_name": AWS_ENVIRONMENT["AWS_DEFAULT_REGION"],
        # A test wants to see each refusal itself.
        "config": Config(retries={"total_max_attempts": 1}),
    }
    store = boto3.client("s3", endpoint_url=s3, **keys)
    if bucket not in {known["Name"] for known in store.list_buckets()["Buckets"]}:
        store.create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
    with running_standin(s3=told_s3 or s3, **options) as address:
        control = boto3.client("sagemaker", endpoint_url=address, **keys)
        runtime = boto3.client("sagemaker-runtime", endpoint_url=address, **keys)
        yield World(address, control, runtime, store, bucket)
        control.close()
        runtime.close()
    store.close()
