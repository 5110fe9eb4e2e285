"""SageMaker's training jobs; implements `ports.TrainingJobs`."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from tidegauge.adapters.aws_client import client_config
from tidegauge.adapters.aws_errors import aws_call, code_of
from tidegauge.domain.errors import BrokenInvariant, Misconfigured
from tidegauge.domain.training_job import Channel, JobSpec, JobStatus, TrainingJob

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient

READ_TIMEOUT_S: Final = 15.0

# A job that is not there is told by the code that bad requests have too, so the words decide
# (github.com/aws/aws-sdk/issues/165). The code that the service model names is never sent.
_VALIDATION: Final = "ValidationException"
_NOT_FOUND: Final = "Requested resource not found"
_NAME_TAKEN: Final = "ResourceInUse"

# What of a description is the job's configuration; the place of its output is told apart from it.
_OUTPUT, _OUTPUT_URI = "OutputDataConfig", "S3OutputPath"
_CONFIGURATION = (
    "AlgorithmSpecification",
    "ResourceConfig",
    "RoleArn",
    "StoppingCondition",
    "VpcConfig",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "CheckpointConfig",
    "Environment",
    _OUTPUT,
)


class SageMakerTrainingJobs:
    """The training jobs of an account and region.

    Args:
        client: For tests; None makes one from the environment on first use.
        page_size: How many names one call brings, up to 100.
    """

    def __init__(self, *, client: "SageMakerClient | None" = None, page_size: int = 100) -> None:
        self._given_client = client
        self._page_size = page_size

    @cached_property
    def _client(self) -> "SageMakerClient":
        if self._given_client is not None:
            return self._given_client
        import boto3

        with aws_call("making a SageMaker client"):
            return boto3.client("sagemaker", config=client_config(read_timeout_s=READ_TIMEOUT_S))

    def completed(self, *, containing: str) -> Iterator[str]:
        """Yield the names of completed jobs that hold a text somewhere, newest first.

        SageMaker lists the oldest first unless it is asked otherwise, and matches the text anywhere
        in a name.
        """
        client, token = self._client, ""
        while True:
            page: Any = {"NextToken": token} if token else {}
            with aws_call(f"listing training jobs named like {containing}"):
                answer = client.list_training_jobs(
                    NameContains=containing,
                    StatusEquals="Completed",
                    SortBy="CreationTime",
                    SortOrder="Descending",
                    MaxResults=self._page_size,
                    **page,
                )
            yield from (one["TrainingJobName"] for one in answer["TrainingJobSummaries"])
            token = answer.get("NextToken", "")
            if not token:
                return

    def describe(self, name: str) -> TrainingJob | None:
        """Return a job; None if there is none of that name.

        Raises:
            Transient: SageMaker cannot answer now.
            Misconfigured: The job may not be described.
        """
        client = self._client
        try:
            with aws_call(f"describing training job {name}"):
                answer: Any = client.describe_training_job(TrainingJobName=name)
        except Misconfigured as error:
            if code_of(error) == _VALIDATION and _NOT_FOUND in str(error):
                return None
            raise
        return job_of(answer)

    def start(self, name: str, spec: JobSpec) -> bool:
        """Start a job; False, and nothing was done, where one of that name exists already.

        Raises:
            Transient: SageMaker cannot answer now; the job may have been started.
            Misconfigured: It refuses the job, and says why.
        """
        client = self._client
        try:
            with aws_call(f"starting training job {name}"):
                client.create_training_job(**request_of(name, spec))
        except Misconfigured as error:
            if code_of(error) == _NAME_TAKEN:
                return False
            raise
        return True


def request_of(name: str, spec: JobSpec) -> Any:
    """Return the request that starts a job."""
    configuration = dict(spec.configuration)
    output = {**configuration.pop(_OUTPUT, {}), _OUTPUT_URI: spec.output_uri}
    return {
        **configuration,
        _OUTPUT: output,
        "TrainingJobName": name,
        "HyperParameters": dict(spec.hyperparameters),
        "InputDataConfig": [_channel_request(channel) for channel in spec.channels],
    }


def job_of(answer: Mapping[str, Any]) -> TrainingJob:
    """Return a job from its description.

    Raises:
        BrokenInvariant: it has a status that we do not know.
    """
    try:
        status = JobStatus(answer["TrainingJobStatus"])
    except ValueError as error:
        msg = f"training job {answer['TrainingJobName']} has an unknown status: {error}"
        raise BrokenInvariant(msg) from error
    configuration = {part: answer[part] for part in _CONFIGURATION if part in answer}
    output = dict(configuration.pop(_OUTPUT, {}))
    output_uri = output.pop(_OUTPUT_URI, "")
    if output:
        configuration[_OUTPUT] = output
    ended = answer.get("TrainingEndTime")
    return TrainingJob(
        name=answer["TrainingJobName"],
        status=status,
        spec=JobSpec(
            hyperparameters=dict(answer.get("HyperParameters", {})),
            channels=tuple(_channel_of(told) for told in answer.get("InputDataConfig", ())),
            output_uri=output_uri,
            configuration=configuration,
        ),
        created_ms=_ms(answer["CreationTime"]),
        ended_ms=None if ended is None else _ms(ended),
        failure_reason=answer.get("FailureReason", ""),
        artifact_uri=answer.get("ModelArtifacts", {}).get("S3ModelArtifacts", ""),
        metrics={
            metric["MetricName"]: metric["Value"]
            for metric in answer.get("FinalMetricDataList", ())
            if "MetricName" in metric and "Value" in metric
        },
    )


def _channel_request(channel: Channel) -> dict[str, Any]:
    return {
        "ChannelName": channel.name,
        "ContentType": channel.content_type,
        # A prefix that is a whole key: SageMaker takes one object no other way.
        "DataSource": {
            "S3DataSource": {
                "S3DataType": "S3Prefix",
                "S3Uri": channel.uri,
                "S3DataDistributionType": "FullyReplicated",
            }
        },
    }


def _channel_of(told: Mapping[str, Any]) -> Channel:
    source = told.get("DataSource", {}).get("S3DataSource", {})
    return Channel(told["ChannelName"], source.get("S3Uri", ""), told.get("ContentType", ""))


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
