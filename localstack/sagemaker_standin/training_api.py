"""The operations on training jobs."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from sagemaker_standin.aws import AwsError, Code, arn_of, validation
from sagemaker_standin.listing import page_of
from sagemaker_standin.records import Job, JobStatus, Stage
from sagemaker_standin.registry import is_taken
from sagemaker_standin.request_check import told_members
from sagemaker_standin.service import Service
from sagemaker_standin.training import next_stage

KIND = "training-job"


def create_training_job(
    service: Service, request: Mapping[str, Any], region: str
) -> dict[str, Any]:
    """Answer CreateTrainingJob."""
    name = request["TrainingJobName"]
    arn = arn_of(KIND, name, region=region)
    specification = request.get("AlgorithmSpecification", {})
    if not (specification.get("TrainingImage") or specification.get("AlgorithmName")):
        msg = "AlgorithmSpecification must have a TrainingImage or an AlgorithmName."
        raise validation(msg)
    for member in ("ResourceConfig", "StoppingCondition"):
        if member not in request:
            msg = f"{member} must be given."
            raise validation(msg)
    now_s = service.now_s()
    job = Job(
        name=name,
        request=dict(request),
        created_s=now_s,
        modified_s=now_s,
        stages=(Stage("Starting", now_s, "The job waits for its turn"),),
    )
    with service.registry.changing() as known:
        if is_taken(name, known.jobs):
            msg = (
                "Job name must be unique within an AWS account and region, and a job with this "
                f"name already exists ({arn})"
            )
            raise AwsError(Code.RESOURCE_IN_USE, msg)
        known.jobs[name] = job
    service.trainer.start(job)
    return {"TrainingJobArn": arn}


def describe_training_job(
    service: Service, request: Mapping[str, Any], region: str
) -> dict[str, Any]:
    """Answer DescribeTrainingJob; `ModelArtifacts` come with the artifact, as on AWS."""
    with service.registry.reading() as known:
        job = known.jobs.get(request["TrainingJobName"])
    if job is None:
        msg = "Requested resource not found."
        raise validation(msg)
    optional = {
        "FailureReason": job.failure,
        "TrainingStartTime": job.started_s,
        "TrainingEndTime": job.ended_s,
        "ModelArtifacts": job.artifact_url and {"S3ModelArtifacts": job.artifact_url},
    }
    answer = {
        **told_members("DescribeTrainingJob", job.request),
        **_summary(job, region),
        "SecondaryStatusTransitions": [_transition(stage) for stage in job.stages],
        **{member: value for member, value in optional.items() if value is not None},
    }
    if job.started_s is not None and job.ended_s is not None:
        seconds = math.ceil(job.ended_s - job.started_s)
        answer |= {"TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": seconds}
        answer["FinalMetricDataList"] = [
            {"MetricName": metric, "Value": value, "Timestamp": job.ended_s}
            for metric, value in job.metrics.items()
        ]
    return answer


def list_training_jobs(service: Service, request: Mapping[str, Any], region: str) -> dict[str, Any]:
    """Answer ListTrainingJobs.

    A status is looked for in the page alone where MaxResults is given too, as AWS documents.
    """
    wanted = request.get("StatusEquals")
    after = request.get("LastModifiedTimeAfter", float("-inf"))
    before = request.get("LastModifiedTimeBefore", float("inf"))
    late_filter = wanted is not None and "MaxResults" in request

    def keep(job: Job) -> bool:
        has_status = wanted is None or late_filter or job.status == wanted
        return bool(has_status and after <= job.modified_s <= before)

    with service.registry.reading() as known:
        page = page_of(
            known.jobs.values(),
            request,
            order="Ascending",
            keys={"Status": lambda job: job.status},
            keep=keep,
        )
    jobs = [job for job in page.items if wanted is None or job.status == wanted]
    summaries = []
    for job in jobs:
        ended = {} if job.ended_s is None else {"TrainingEndTime": job.ended_s}
        summaries.append({**_summary(job, region), **ended})
    return {"TrainingJobSummaries": summaries, **page.rest}


def stop_training_job(service: Service, request: Mapping[str, Any], region: str) -> dict[str, Any]:
    """Answer StopTrainingJob."""
    name = request["TrainingJobName"]
    with service.registry.changing() as known:
        job = known.jobs.get(name)
        if job is None:
            msg = "Requested resource not found."
            raise AwsError(Code.RESOURCE_NOT_FOUND, msg)
        if job.status not in {JobStatus.IN_PROGRESS, JobStatus.STOPPING}:
            arn = arn_of(KIND, name, region=region)
            msg = f"The request was rejected because the training job {arn} is {job.status}."
            raise validation(msg)
        if job.status is JobStatus.IN_PROGRESS:
            now_s = service.now_s()
            known.jobs[name] = msgspec.structs.replace(
                job,
                status=JobStatus.STOPPING,
                stages=next_stage(job.stages, "Stopping", now_s, "Stopping the training job"),
                modified_s=now_s,
            )
    service.trainer.stop(name)
    return {}


def _summary(job: Job, region: str) -> dict[str, Any]:
    return {
        "TrainingJobName": job.name,
        "TrainingJobArn": arn_of(KIND, job.name, region=region),
        "CreationTime": job.created_s,
        "LastModifiedTime": job.modified_s,
        "TrainingJobStatus": job.status,
        "SecondaryStatus": job.stages[-1].status,
    }


def _transition(stage: Stage) -> dict[str, Any]:
    ended = {} if stage.ended_s is None else {"EndTime": stage.ended_s}
    return {
        "Status": stage.status,
        "StartTime": stage.started_s,
        "StatusMessage": stage.message,
        **ended,
    }
