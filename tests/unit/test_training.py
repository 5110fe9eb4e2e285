"""What a training job is started with: names, copies, what the data decide, and every origin."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.datasets import FOLDER, MANIFEST, MANIFEST_URI
from tests.support.training import RULES, TUNED
from tidegauge.domain.event_time import format_time
from tidegauge.domain.features import DAY_MS, FEATURE_NAMES
from tidegauge.domain.manifest import Manifest
from tidegauge.domain.training import (
    MAX_ATTEMPTS,
    PlannedJob,
    job_name,
    plan_job,
    unfit_because,
)
from tidegauge.domain.training_job import JobStatus, TrainingJob

JOB_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")


def tuned(**configuration: Any) -> TrainingJob:
    """Return the tuned job with another configuration; None takes a part away."""
    changed = {**TUNED.spec.configuration, **configuration}
    kept = {name: value for name, value in changed.items() if value is not None}
    return replace(TUNED, spec=replace(TUNED.spec, configuration=kept))


def plan(predecessor: TrainingJob | None = None, manifest: Manifest = MANIFEST) -> PlannedJob:
    return plan_job(manifest, MANIFEST_URI, rules=RULES, predecessor=predecessor)


def origins(planned: PlannedJob) -> dict[str, tuple[str, str]]:
    return {one.name: (one.value, one.origin) for one in planned.parameters}


# --- names


@given(
    st.from_regex(r"[A-Za-z0-9](-*[A-Za-z0-9]){0,39}", fullmatch=True).filter(
        lambda prefix: len(prefix) <= 40
    ),
    st.integers(0, 253_402_300_799_000),
    st.text(max_size=40),
    st.integers(1, MAX_ATTEMPTS),
)
def test_a_name_is_one_for_a_job_and_a_variant(
    prefix: str, until_ms: int, etag: str, attempt: int
) -> None:
    name = job_name(
        prefix, until_ms=until_ms, manifest_uri=MANIFEST_URI, etag=etag, attempt=attempt
    )
    assert JOB_NAME.fullmatch(name)
    assert len(name) <= 63
    assert name.startswith(prefix)


def test_names_differ_by_dataset_content_and_attempt_and_by_nothing_else() -> None:
    def named(uri: str = "s3://b/k", etag: str = "e", attempt: int = 1) -> str:
        return job_name("p", until_ms=0, manifest_uri=uri, etag=etag, attempt=attempt)

    assert len({named(), named("s3://b/l"), named(etag="f"), named(attempt=2)}) == 4
    assert named() == named()
    assert named(attempt=2) == f"{named()}-2"


# --- without a predecessor


def test_the_first_job_takes_the_defaults_of_the_settings() -> None:
    planned = plan()
    assert planned.predecessor == ""
    assert planned.spec.image == RULES.image
    assert planned.spec.role_arn == RULES.role_arn
    told = origins(planned)
    assert told["HyperParameters.predictor_type"] == ("regressor", "settings")
    assert told["HyperParameters.loss"] == ("huber_loss", "settings")
    assert told["ResourceConfig.InstanceType"] == ("ml.m5.large", "settings")
    assert told["StoppingCondition.MaxRuntimeInSeconds"] == ("3600", "settings")
    assert {origin for _, origin in told.values()} == {"settings", "data"}


def test_the_data_decide_what_depends_on_them() -> None:
    told = origins(plan())
    assert told["HyperParameters.feature_dim"] == (str(len(FEATURE_NAMES)), "data")
    assert told["InputDataConfig.train"] == (f"{FOLDER}/train.csv", "data")
    assert told["InputDataConfig.validation"] == (f"{FOLDER}/validation.csv", "data")
    assert told["OutputDataConfig.S3OutputPath"] == ("s3://models/training", "settings")


@pytest.mark.parametrize(
    ("rows", "batch"),
    [(1, 1), (15, 1), (16, 1), (32, 2), (1_000, 32), (8_192, 512), (10_000_000, 512)],
)
def test_a_batch_is_a_power_of_two_and_an_epoch_has_some(rows: int, batch: int) -> None:
    manifest = replace(MANIFEST, train=replace(MANIFEST.train, rows=rows))
    hyperparameters = plan(manifest=manifest).spec.hyperparameters
    assert hyperparameters["mini_batch_size"] == str(batch)


@pytest.mark.parametrize(
    ("size_gb", "volume", "origin"), [(1, "10", "settings"), (40, "86", "data")]
)
def test_a_job_has_room_for_its_data(size_gb: int, volume: str, origin: str) -> None:
    manifest = replace(MANIFEST, train=replace(MANIFEST.train, size_bytes=size_gb * 1024**3))
    told = origins(plan(manifest=manifest))
    assert told["ResourceConfig.VolumeSizeInGB"] == (volume, origin)


def test_copied_resources_grow_with_the_data_and_nothing_else_of_them_changes() -> None:
    manifest = replace(MANIFEST, train=replace(MANIFEST.train, size_bytes=40 * 1024**3))
    told = origins(plan(TUNED, manifest))
    assert told["ResourceConfig.VolumeSizeInGB"] == ("86", "data")
    assert told["ResourceConfig.InstanceType"] == ("ml.c5.xlarge", TUNED.name)


# --- with one


def test_a_predecessors_parameters_are_copied_and_say_so() -> None:
    planned = plan(TUNED)
    assert planned.predecessor == TUNED.name
    told = origins(planned)
    copied = {name: value for name, (value, origin) in told.items() if origin == TUNED.name}
    assert copied == {
        "AlgorithmSpecification.TrainingImage": "their/image:1",
        "AlgorithmSpecification.TrainingInputMode": "Pipe",
        "AlgorithmSpecification.EnableSageMakerMetricsTimeSeries": "false",
        "EnableNetworkIsolation": "true",
        "EnableInterContainerTrafficEncryption": "false",
        "Environment.TOKEN": "(hidden)",
        "HyperParameters.loss": "absolute_loss",
        "HyperParameters.predictor_type": "regressor",
        "HyperParameters.wd": "0.01",
        "OutputDataConfig.KmsKeyId": "alias/models",
        "ResourceConfig.InstanceCount": "2",
        "ResourceConfig.InstanceType": "ml.c5.xlarge",
        "ResourceConfig.VolumeSizeInGB": "30",
        "RoleArn": "arn:aws:iam::000000000000:role/theirs",
        "StoppingCondition.MaxRuntimeInSeconds": "900",
        "VpcConfig.SecurityGroupIds": '["sg-1"]',
        "VpcConfig.Subnets": '["subnet-1", "subnet-2"]',
    }
    assert planned.spec.configuration["Environment"] == {"TOKEN": "not for a log"}


@pytest.mark.parametrize(("days", "weight_decay"), [(16, "0.1"), (18, "0.005")])
def test_weights_are_drawn_to_zero_while_the_rows_are_of_less_than_a_week(
    days: int, weight_decay: str
) -> None:
    # A fifth is for validation, the first week is looked back on.
    end_ms = MANIFEST.start_ms + days * DAY_MS
    manifest = replace(
        MANIFEST, split=format_time(end_ms - days * DAY_MS // 5), until=format_time(end_ms)
    )
    first = plan(manifest=manifest)
    job = TrainingJob("linear-learner-1", JobStatus.COMPLETED, first.spec, created_ms=1)
    for planned in (first, plan(job, manifest=manifest)):
        assert origins(planned)["HyperParameters.wd"] == (weight_decay, "data")


def test_its_data_are_not_copied() -> None:
    spec = plan(TUNED).spec
    assert spec.hyperparameters["feature_dim"] == str(len(FEATURE_NAMES))
    assert spec.output_uri == RULES.output_uri
    assert spec.channel_uri("train") == f"{FOLDER}/train.csv"


def test_every_parameter_of_the_request_has_its_origin() -> None:
    for planned in (plan(), plan(TUNED)):
        told = origins(planned)
        assert {f"HyperParameters.{name}" for name in planned.spec.hyperparameters} <= set(told)
        parts = {name.partition(".")[0] for name in told}
        assert set(planned.spec.configuration) <= parts


def test_the_planned_job_can_be_copied_in_turn() -> None:
    first = plan()
    job = TrainingJob("linear-learner-1", JobStatus.COMPLETED, first.spec, created_ms=1)
    assert unfit_because(job) == ""
    assert plan(job).spec == first.spec


def test_planning_leaves_the_predecessor_as_it_is() -> None:
    before = repr(TUNED)
    plan(TUNED, replace(MANIFEST, train=replace(MANIFEST.train, size_bytes=2**40)))
    assert repr(TUNED) == before


# A spot job waits long because it has checkpoints; those of another job must not be gone on from.

SPOT = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 900, "MaxWaitTimeInSeconds": 3600},
}


def test_spot_training_without_checkpoints_is_copied() -> None:
    configuration = plan(tuned(**SPOT)).spec.configuration
    assert configuration["EnableManagedSpotTraining"] is True
    assert configuration["StoppingCondition"] == SPOT["StoppingCondition"]


def test_spot_training_with_checkpoints_becomes_training_on_demand() -> None:
    configuration = plan(tuned(**SPOT, CheckpointConfig={"S3Uri": "s3://b/c"})).spec.configuration
    assert "EnableManagedSpotTraining" not in configuration
    assert "CheckpointConfig" not in configuration
    assert configuration["StoppingCondition"] == {"MaxRuntimeInSeconds": 900}


def test_empty_parts_are_not_sent() -> None:
    job = tuned(Environment={}, OutputDataConfig={"KmsKeyId": ""}, VpcConfig=None)
    assert not {"Environment", "OutputDataConfig", "VpcConfig"} & set(plan(job).spec.configuration)


# --- who is no predecessor


def test_a_fit_job_can_be_copied() -> None:
    assert unfit_because(TUNED) == ""


@pytest.mark.parametrize("status", [one for one in JobStatus if one is not JobStatus.COMPLETED])
def test_a_job_that_did_not_end_well_cannot(status: JobStatus) -> None:
    assert unfit_because(replace(TUNED, status=status)) == f"it is {status.value}"


@pytest.mark.parametrize("kind", [{}, {"predictor_type": "binary_classifier"}])
def test_a_job_of_another_kind_cannot(kind: dict[str, str]) -> None:
    job = replace(TUNED, spec=replace(TUNED.spec, hyperparameters=kind))
    assert "not 'regressor'" in unfit_because(job)


def test_a_job_without_an_algorithm_cannot_and_a_named_one_can() -> None:
    assert "no image" in unfit_because(tuned(AlgorithmSpecification={"TrainingInputMode": "File"}))
    assert unfit_because(tuned(AlgorithmSpecification={"AlgorithmName": "ours"})) == ""


@pytest.mark.parametrize("part", ["ResourceConfig", "RoleArn"])
def test_a_job_that_ran_on_nothing_of_ours_cannot(part: str) -> None:
    assert unfit_because(tuned(**{part: None})) == f"it has no {part}"
