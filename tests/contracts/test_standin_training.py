"""The stand-in's training jobs: real data in a real S3, a real fit, an artifact that is served."""

import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from embedded.engine import EngineAddress
from tests.support.botocore_shapes import request_problems
from tests.support.standin import put_fault
from tests.support.standin_world import World, answered, standin_world
from tidegauge.adapters.model_file import pack_model, unpack_model
from tidegauge.domain.features import FEATURE_NAMES

pytestmark = pytest.mark.engine

DRAWN = np.random.default_rng(11)
ROWS = DRAWN.normal(size=(200, 3)).round(6)
LABELS = (ROWS @ np.array([2.0, -1.0, 0.5]) + 7.0 + DRAWN.normal(size=200)).round(6)


@pytest.fixture(scope="module")
def world(engine: EngineAddress) -> Iterator[World]:
    with standin_world(engine.url, "standin-training") as world:
        yield world


@pytest.fixture(scope="module")
def slow_world(engine: EngineAddress) -> Iterator[World]:
    """A stand-in whose jobs take longer than any test."""
    with standin_world(engine.url, "standin-slow", training_seconds=600.0) as world:
        yield world


def artifact_of(world: World, job: dict[str, Any]) -> bytes:
    url = job["ModelArtifacts"]["S3ModelArtifacts"]
    key = url.removeprefix(f"s3://{world.bucket}/")
    assert key == f"output/{job['TrainingJobName']}/output/model.tar.gz"
    return world.s3.get_object(Bucket=world.bucket, Key=key)["Body"].read()


def put_data(world: World, name: str) -> None:
    # Two objects, and what is not a channel's beside them.
    world.put_rows(f"{name}/train/part-0.csv", LABELS[:100], ROWS[:100])
    world.put_rows(f"{name}/train/part-1.csv", LABELS[100:150], ROWS[100:150])
    world.put_rows(f"{name}/validation/part-0.csv", LABELS[150:], ROWS[150:])
    world.put(f"{name}/training.txt", b"no numbers")


def test_a_job_reads_its_channels_fits_and_tells_its_metrics(world: World) -> None:
    put_data(world, "whole")
    request = world.job_request("whole")
    assert request_problems("sagemaker", "CreateTrainingJob", request) == ""
    arn = "arn:aws:sagemaker:eu-west-1:000000000000:training-job/whole"
    assert world.start_job("whole") == {"TrainingJobArn": arn}
    job = world.ended_job("whole")
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Completed"
    model = unpack_model(artifact_of(world, job))
    assert model.model_version == "whole"
    assert model.feature_names == ("f0", "f1", "f2")
    design = np.column_stack([np.ones(150), ROWS[:150]])
    known = np.linalg.lstsq(design, LABELS[:150], rcond=None)[0]
    assert np.allclose(model.score(ROWS), np.column_stack([np.ones(200), ROWS]) @ known)
    train, validation = (LABELS - model.score(ROWS))[:150], (LABELS - model.score(ROWS))[150:]
    metrics = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
    assert metrics == pytest.approx(
        {
            "train:objective_loss": np.mean(train**2),
            "validation:objective_loss": np.mean(validation**2),
            "validation:absolute_loss": np.mean(np.abs(validation)),
            "validation:mse": np.mean(validation**2),
            "validation:rmse": np.sqrt(np.mean(validation**2)),
        }
    )
    for member in ("HyperParameters", "InputDataConfig", "ResourceConfig", "RoleArn"):
        assert job[member] == request[member]


def test_the_stages_follow_each_other_in_time(world: World) -> None:
    put_data(world, "stages")
    world.start_job("stages")
    job = world.ended_job("stages")
    stages = job["SecondaryStatusTransitions"]
    names = [stage["Status"] for stage in stages]
    assert names == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    for before, after in itertools.pairwise(stages):
        assert before["StartTime"] <= before["EndTime"] == after["StartTime"]
    assert job["CreationTime"] <= job["TrainingStartTime"] <= job["TrainingEndTime"]
    assert job["TrainingEndTime"] == stages[-1]["EndTime"]
    assert job["BillableTimeInSeconds"] >= 1


def test_the_same_data_give_the_same_bytes_and_each_loss_its_own(world: World) -> None:
    put_data(world, "losses")
    packed = {}
    for number, loss in enumerate(
        ("squared_loss", "squared_loss", "absolute_loss", "huber_loss", "quantile_loss")
    ):
        hyperparameters = {
            **world.job_request("losses")["HyperParameters"],
            "loss": loss,
            "quantile": "0.9",
            "huber_delta": "0.5",
        }
        name = f"losses-{number}"
        channels = [world.channel("train", "losses/train/")]
        world.start_job(name, HyperParameters=hyperparameters, InputDataConfig=channels)
        job = world.ended_job(name)
        assert [metric["MetricName"] for metric in job["FinalMetricDataList"]] == [
            "train:objective_loss"
        ]
        model = unpack_model(artifact_of(world, job))
        packed[number] = (model.weights, model.bias)
    assert packed[0] == packed[1]
    assert len(set(packed.values())) == 4


def test_as_many_columns_as_we_have_features_are_named_after_them(world: World) -> None:
    rows = DRAWN.normal(size=(80, len(FEATURE_NAMES)))
    world.put_rows("named/train/a.csv", rows.sum(axis=1), rows)
    world.start_job("named", InputDataConfig=[world.channel("train", "named/train/")])
    model = unpack_model(artifact_of(world, world.ended_job("named")))
    assert model.feature_names == FEATURE_NAMES
    assert pack_model(model) == artifact_of(world, world.ended_job("named"))


@pytest.mark.parametrize(
    ("number", "hyperparameters", "words"),
    [
        (0, {"predictor_type": "binary_classifier"}, "trains a regressor alone"),
        (1, {"predictor_type": "forest"}, "predictor_type is 'forest'"),
        (2, {"learning_speed": "3"}, "has no hyperparameter learning_speed"),
        (3, {"quantile": "1"}, "between 0 and 1"),
        (4, {"loss": "hinge_loss"}, "not in the stand-in"),
        (5, {"feature_dim": "4"}, "feature_dim is 4, but the train channel has 3"),
        (6, {"mini_batch_size": "151"}, "fewer than a mini-batch of 151"),
        (7, {"epochs": "none"}, "a whole number above 0"),
        (8, {"wd": "-1"}, "a number of 0 or more"),
    ],
)
def test_hyperparameters_that_cannot_be_honoured_fail_the_job(
    world: World, number: int, hyperparameters: dict[str, str], words: str
) -> None:
    name = f"hyperparameters-{number}"
    put_data(world, name)
    given = {**world.job_request(name)["HyperParameters"], **hyperparameters}
    world.start_job(name, HyperParameters=given)
    job = world.ended_job(name)
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: ")
    assert words in job["FailureReason"]
    assert "ModelArtifacts" not in job


@pytest.mark.parametrize(
    ("number", "content", "words"),
    [
        (0, b"1,2,3\n4,nan,6", "row 2: a value is not finite"),
        (1, b"1,2,3\n4,5", "is no CSV of numbers"),
        (2, b"count,a,b\n1,2,3", "is no CSV of numbers"),
        (3, b"1\n2", "no column beside the label"),
        (4, b"\n\n", "holds no rows"),
        (5, b"1,\xff\xfe", "is no CSV of numbers"),
        (6, None, "there is nothing at"),
    ],
)
def test_data_that_cannot_be_read_fail_the_job(
    world: World, number: int, content: bytes | None, words: str
) -> None:
    name = f"data-{number}"
    if content is not None:
        world.put(f"{name}/train/a.csv", content)
    world.start_job(name, InputDataConfig=[world.channel("train", f"{name}/train/")])
    assert words in world.ended_job(name)["FailureReason"]


@pytest.mark.parametrize(
    ("number", "changes", "words"),
    [
        (0, {"ContentType": "application/x-recordio-protobuf"}, "is not read; give text/csv"),
        (1, {"ContentType": "text/csv;label_size=2"}, "the label is one column"),
        (2, {"CompressionType": "Gzip"}, "CompressionType Gzip is not in the stand-in"),
        (3, {"ChannelName": "test"}, "there is no channel train"),
    ],
)
def test_channels_of_another_kind_fail_the_job(
    world: World, number: int, changes: dict[str, Any], words: str
) -> None:
    name = f"channels-{number}"
    put_data(world, name)
    channel = world.channel("train", f"{name}/train/", **changes)
    world.start_job(name, InputDataConfig=[channel])
    assert words in world.ended_job(name)["FailureReason"]


def test_a_job_fails_where_that_was_asked_for(world: World) -> None:
    put_data(world, "asked")
    put_fault(world.address, fault="training", times=1, reason="the disk was full")
    world.start_job("asked")
    assert world.ended_job("asked")["FailureReason"] == "ClientError: the disk was full"
    put_data(world, "asked-no-more")
    world.start_job("asked-no-more")
    assert world.ended_job("asked-no-more")["TrainingJobStatus"] == "Completed"


def test_a_name_is_taken_once(world: World) -> None:
    put_data(world, "once")
    world.start_job("once")
    for name in ("once", "ONCE"):
        with pytest.raises(ClientError, match="already exists") as raised:
            world.control.create_training_job(**world.job_request(name))
        assert raised.value.response["Error"]["Code"] == "ResourceInUse"


def test_unknown_jobs_are_told_as_aws_does(world: World) -> None:
    with pytest.raises(ClientError, match=r"Requested resource not found\.") as raised:
        world.control.describe_training_job(TrainingJobName="nobody")
    assert raised.value.response["Error"]["Code"] == "ValidationException"
    with pytest.raises(world.control.exceptions.ResourceNotFound):
        world.control.stop_training_job(TrainingJobName="nobody")


def test_a_job_can_be_stopped_while_it_runs_and_not_after(slow_world: World) -> None:
    put_data(slow_world, "stopped")
    slow_world.start_job("stopped")
    running = slow_world.described_job("stopped")
    assert running["TrainingJobStatus"] == "InProgress"
    assert "ModelArtifacts" not in running
    slow_world.control.stop_training_job(TrainingJobName="stopped")
    job = slow_world.ended_job("stopped")
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Stopped"
    assert "FailureReason" not in job
    with pytest.raises(ClientError, match="is Stopped") as raised:
        slow_world.control.stop_training_job(TrainingJobName="stopped")
    assert raised.value.response["Error"]["Code"] == "ValidationException"


def listed(world: World, **request: Any) -> list[str]:
    """Return the names that ListTrainingJobs answers, page by page."""
    answer = world.control.list_training_jobs(**request)
    names = [job["TrainingJobName"] for job in answer["TrainingJobSummaries"]]
    answered("ListTrainingJobs", answer)
    if "NextToken" in answer:
        names += listed(world, **{**request, "NextToken": answer["NextToken"]})
    return names


def test_jobs_are_listed_oldest_first_unless_told_otherwise(engine: EngineAddress) -> None:
    with standin_world(engine.url, "standin-listed") as world:
        put_data(world, "good")
        names = [f"listed-{number}" for number in (3, 1, 2)]
        for name in names:
            data = [world.channel("train", "good/train/" if name != "listed-1" else "none/")]
            world.start_job(name, InputDataConfig=data)
            world.ended_job(name)
        assert listed(world) == names
        assert listed(world, MaxResults=1) == names
        assert listed(world, SortOrder="Descending", MaxResults=2) == names[::-1]
        assert listed(world, SortBy="Name") == sorted(names)
        assert listed(world, SortBy="Status")[-1] == "listed-1"
        assert listed(world, NameContains="ted-2") == ["listed-2"]
        assert listed(world, StatusEquals="Failed") == ["listed-1"]
        # The page is taken first, and then looked through.
        first = world.control.list_training_jobs(MaxResults=1, StatusEquals="Failed")
        assert first["TrainingJobSummaries"] == []
        assert listed(world, MaxResults=1, StatusEquals="Failed") == ["listed-1"]
        middle = world.described_job("listed-1")["CreationTime"]
        second = timedelta(milliseconds=1)
        assert listed(world, CreationTimeAfter=middle + second) == ["listed-2"]
        assert listed(world, CreationTimeBefore=middle - second) == ["listed-3"]
        assert listed(world, LastModifiedTimeBefore=middle - second) == ["listed-3"]
        with pytest.raises(ClientError, match="NextToken"):
            world.control.list_training_jobs(NextToken="page two")
