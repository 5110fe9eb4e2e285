"""SageMaker's training jobs: requests as AWS takes them, answers as AWS gives them."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from tests.support.botocore_shapes import answer_problems, operation_model, request_problems
from tests.support.datasets import MANIFEST, MANIFEST_URI
from tests.support.training import RULES, TUNED
from tidegauge.adapters.sagemaker_training import SageMakerTrainingJobs, job_of, request_of
from tidegauge.domain.errors import BrokenInvariant, Misconfigured, TidegaugeError, Transient
from tidegauge.domain.training import plan_job
from tidegauge.domain.training_job import Channel, JobStatus, TrainingJob

SPEC = plan_job(MANIFEST, MANIFEST_URI, rules=RULES).spec
CREATED = datetime(2013, 2, 12, 0, 0, 7, 123_456, UTC)

# As SageMaker describes a job of its own algorithm.
ANSWER: dict[str, Any] = {
    "TrainingJobName": "linear-learner-1",
    "TrainingJobArn": "arn:aws:sagemaker:eu-west-1:000000000000:training-job/linear-learner-1",
    "ModelArtifacts": {"S3ModelArtifacts": "s3://models/training/linear-learner-1/m.tar.gz"},
    "TrainingJobStatus": "Completed",
    "SecondaryStatus": "Completed",
    "HyperParameters": {"predictor_type": "regressor", "feature_dim": "31"},
    "AlgorithmSpecification": {
        "TrainingImage": RULES.image,
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "validation:mse", "Regex": "x"}],
        "EnableSageMakerMetricsTimeSeries": False,
    },
    "RoleArn": RULES.role_arn,
    "InputDataConfig": [
        {
            "ChannelName": "train",
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": "S3Prefix",
                    "S3Uri": "s3://exports/exports/a/train.csv",
                    "S3DataDistributionType": "FullyReplicated",
                }
            },
            "ContentType": "text/csv",
            "CompressionType": "None",
            "RecordWrapperType": "None",
        }
    ],
    "OutputDataConfig": {"KmsKeyId": "", "S3OutputPath": "s3://models/training"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    "CreationTime": CREATED,
    "TrainingEndTime": CREATED.replace(minute=5),
    "LastModifiedTime": CREATED.replace(minute=5),
    "FinalMetricDataList": [
        {"MetricName": "validation:absolute_loss", "Value": 0.75, "Timestamp": CREATED}
    ],
    "EnableNetworkIsolation": False,
    "EnableInterContainerTrafficEncryption": False,
    "EnableManagedSpotTraining": False,
    "ProfilingStatus": "Disabled",
}


class FakeSageMaker:
    """Answers what a test puts here, once each; raises what is an error."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self._answers = list(answers)
        self.requests: list[dict[str, Any]] = []

    def list_training_jobs(self, **request: Any) -> dict[str, Any]:
        return self._answer("ListTrainingJobs", request)

    def describe_training_job(self, **request: Any) -> dict[str, Any]:
        return self._answer("DescribeTrainingJob", request)

    def create_training_job(self, **request: Any) -> dict[str, Any]:
        return self._answer("CreateTrainingJob", request)

    def _answer(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        assert not request_problems("sagemaker", operation, request)
        self.requests.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def jobs_on(client: FakeSageMaker) -> SageMakerTrainingJobs:
    return SageMakerTrainingJobs(client=cast("Any", client))


def refusal(code: str, message: str = "because", status: int = 400) -> ClientError:
    answer = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(cast("Any", answer), "TheOperation")


def page(*names: str, rest: str = "") -> dict[str, Any]:
    summaries = [{"TrainingJobName": name} for name in names]
    return {"TrainingJobSummaries": summaries, **({"NextToken": rest} if rest else {})}


# --- listing


def test_names_are_asked_for_newest_first_and_page_by_page() -> None:
    client = FakeSageMaker(page("c", "b", rest="t"), page(rest="u"), page("a"))
    assert list(jobs_on(client).completed(containing="linear")) == ["c", "b", "a"]
    for request in client.requests:
        assert request["NameContains"] == "linear"
        assert request["StatusEquals"] == "Completed"
        assert (request["SortBy"], request["SortOrder"]) == ("CreationTime", "Descending")
    assert [request.get("NextToken") for request in client.requests] == [None, "t", "u"]


def test_no_page_is_asked_for_that_nobody_wants() -> None:
    client = FakeSageMaker(page("c", "b", rest="t"))
    assert next(jobs_on(client).completed(containing="linear")) == "c"
    assert len(client.requests) == 1


# --- describing


def test_a_description_fits_the_service_model() -> None:
    shape = operation_model("sagemaker", "DescribeTrainingJob").output_shape
    assert shape is not None
    assert answer_problems(ANSWER, shape) == []


def test_a_description_becomes_a_job() -> None:
    job = jobs_on(FakeSageMaker(ANSWER)).describe("linear-learner-1")
    assert job is not None
    assert (job.name, job.status) == ("linear-learner-1", JobStatus.COMPLETED)
    assert job.artifact_uri == "s3://models/training/linear-learner-1/m.tar.gz"
    assert job.metrics == {"validation:absolute_loss": 0.75}
    assert job.created_ms == 1_360_627_207_123
    assert job.ended_ms == job.created_ms + 300_000
    assert job.spec.channels == (Channel("train", "s3://exports/exports/a/train.csv"),)
    assert job.spec.output_uri == "s3://models/training"
    assert job.spec.image == RULES.image


def test_a_job_that_runs_has_no_end_and_no_artifact() -> None:
    left_out = {"TrainingEndTime", "FinalMetricDataList", "ModelArtifacts"}
    running = {name: value for name, value in ANSWER.items() if name not in left_out}
    job = job_of({**running, "TrainingJobStatus": "InProgress"})
    assert (job.ended_ms, job.artifact_uri, job.metrics) == (None, "", {})


@pytest.mark.parametrize("status", list(JobStatus))
def test_every_status_of_the_service_model_is_known(status: JobStatus) -> None:
    shape = operation_model("sagemaker", "DescribeTrainingJob").output_shape
    assert shape is not None
    told = cast("Any", shape).members["TrainingJobStatus"].enum
    assert set(told) == {one.value for one in JobStatus}
    assert job_of({**ANSWER, "TrainingJobStatus": status.value}).status is status


def test_a_status_of_the_future_is_named() -> None:
    with pytest.raises(BrokenInvariant, match="'Dreaming'"):
        job_of({**ANSWER, "TrainingJobStatus": "Dreaming"})


def test_a_job_that_is_missing_is_none() -> None:
    missing = refusal("ValidationException", "Requested resource not found.")
    assert jobs_on(FakeSageMaker(missing)).describe("nobody") is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (refusal("ValidationException", "another fault"), Misconfigured),
        (refusal("AccessDeniedException", status=403), Misconfigured),
        (refusal("ThrottlingException"), Transient),
        (refusal("InternalFailure", status=500), Transient),
        (ReadTimeoutError(endpoint_url="http://127.0.0.1:1"), Transient),
    ],
)
def test_a_job_that_cannot_be_described_is_not_missing(
    error: Exception, expected: type[TidegaugeError]
) -> None:
    with pytest.raises(expected, match="describing training job x failed"):
        jobs_on(FakeSageMaker(error)).describe("x")


# --- starting


@pytest.mark.parametrize("predecessor", [None, TUNED, job_of(ANSWER)])
def test_a_planned_job_is_a_request_that_aws_takes(predecessor: TrainingJob | None) -> None:
    planned = plan_job(MANIFEST, MANIFEST_URI, rules=RULES, predecessor=predecessor)
    client = FakeSageMaker({})
    assert jobs_on(client).start("linear-learner-2", planned.spec)
    (request,) = client.requests
    shape = operation_model("sagemaker", "CreateTrainingJob").input_shape
    assert shape is not None
    assert answer_problems(request, shape) == []
    assert request["OutputDataConfig"]["S3OutputPath"] == RULES.output_uri
    assert "MetricDefinitions" not in request["AlgorithmSpecification"]


def test_a_request_and_its_description_tell_of_the_same_job() -> None:
    spec = job_of(ANSWER).spec
    assert job_of({**ANSWER, **request_of("linear-learner-1", spec)}).spec == spec


def test_a_name_that_is_taken_is_no_fault() -> None:
    taken = refusal("ResourceInUse", "a training job with this name already exists")
    assert not jobs_on(FakeSageMaker(taken)).start("x", SPEC)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (refusal("ResourceLimitExceeded", "the limit for ml.m5.large is 0"), Misconfigured),
        (refusal("ValidationException", "No S3 objects found"), Misconfigured),
        (refusal("ThrottlingException"), Transient),
    ],
)
def test_a_job_that_cannot_be_started_is_raised(
    error: Exception, expected: type[TidegaugeError]
) -> None:
    with pytest.raises(expected, match="starting training job x failed") as raised:
        jobs_on(FakeSageMaker(error)).start("x", SPEC)
    assert raised.value.__cause__ is error
