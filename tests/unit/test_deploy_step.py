"""The deploy step: what is deployed, what is not, and that every doorbell may be wrong."""

import io
import itertools
import tarfile
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.deploy_world import DAY, ENDPOINT, MINUTE, NOON, DeployWorld
from tidegauge.domain.errors import Misconfigured, Transient
from tidegauge.domain.model_record import ModelState
from tidegauge.domain.training_job import JobStatus
from tidegauge.ports import Scores
from tidegauge.ports.serving import HostedModel
from tidegauge.steps import deploy_examining
from tidegauge.steps.deploy_examining import MAX_ARTIFACT_BYTES

ARTIFACT = "s3://models/training/job-1/output/model.tar.gz"


@pytest.fixture
def world() -> DeployWorld:
    return DeployWorld()


@pytest.fixture
def live() -> DeployWorld:
    """A world in which job-1 is live, with an error of 0.8, below the baseline's of 1."""
    made = DeployWorld()
    made.train("job-1")
    made.ring("job-1")
    assert made.serves() == "job-1"
    return made


# --- what is deployed


def test_the_first_model_makes_the_endpoint(world: DeployWorld) -> None:
    world.train("job-1")
    outcome = world.ring("job-1")
    assert outcome.deployed == ["job-1"]
    assert world.state("job-1") == "live"
    assert world.serves() == "job-1"
    (variant,) = world.config().variants
    assert (variant.name, variant.model) == ("job-1", "job-1")
    assert variant.settings == world.rules.new_variant
    assert world.kinds() == [("model_deployed", "job-1")]


def test_the_next_model_takes_its_place(live: DeployWorld) -> None:
    live.train("job-2", 0.75, until_ms=NOON + DAY)
    assert live.ring("job-2").deployed == ["job-2"]
    assert (live.state("job-1"), live.state("job-2")) == ("retired", "live")
    assert live.serves() == "job-2"
    record = live.record("job-2")
    assert record.champion == "job-1"
    assert record.champion_error == pytest.approx(0.8)
    assert (record.error, record.baseline_error) == (0.75, 1.0)
    told = live.told()[-1]
    assert told["subject"] == "model job-2 is live: error 0.75, before 0.8, baseline 1"
    assert (told["json"]["error"], told["json"]["serves"]) == (0.75, "job-2")
    assert told["attributes"] == {"kind": "model_deployed", "severity": "info"}


def test_what_is_served_is_a_copy_that_nobody_else_writes(live: DeployWorld) -> None:
    record = live.record("job-1")
    assert record.artifact_uri == (
        f"s3://models/deployed/job-1/{record.artifact_sha256}/model.tar.gz"
    )
    assert live.host.artifact_of("job-1") == record.artifact_uri
    copy = live.objects.read(record.artifact_uri, max_bytes=MAX_ARTIFACT_BYTES)
    assert copy == live.objects.read(ARTIFACT, max_bytes=MAX_ARTIFACT_BYTES)


def test_the_config_in_service_is_copied_whoever_made_it(world: DeployWorld) -> None:
    variant = {"InstanceType": "ml.c5.xlarge", "InitialInstanceCount": 2, "VolumeSizeInGB": 9}
    world.serve("old", {**variant, "InitialVariantWeight": 0.5}, KmsKeyId="alias/key")
    endpoint = world.endpoint()
    assert endpoint is not None
    # scaled up since
    world.host.place(replace(endpoint, variants=(replace(endpoint.variants[0], instances=4),)))
    world.train("job-1")
    assert world.ring("job-1").deployed == ["job-1"]
    config = world.config()
    assert config.settings == {"KmsKeyId": "alias/key"}
    assert config.variants[0].settings == {**variant, "InitialInstanceCount": 4}
    assert world.record("job-1").champion == "old"
    (rollout,) = world.host.rollouts
    assert rollout is not None
    assert (rollout.canary_instances, rollout.wait_s) == (1, 600)


def test_a_single_instance_is_replaced_at_once_and_serverless_ones_plainly(
    world: DeployWorld,
) -> None:
    world.rules = replace(world.rules, alarms=("errors", "latency"))
    world.serve("old", {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1})
    world.train("job-1")
    world.ring("job-1")
    (rollout,) = world.host.rollouts
    assert rollout is not None
    assert (rollout.canary_instances, rollout.alarms) == (0, ("errors", "latency"))
    serverless = DeployWorld()
    serverless.serve("old")
    serverless.train("job-1")
    serverless.ring("job-1")
    assert serverless.host.rollouts == [None]


# --- what is not


@pytest.mark.parametrize(
    ("error", "until_ms", "words"),
    [
        (1.2, NOON + DAY, "is not below the seasonal baseline's 1"),
        (0.85, NOON + DAY, "more than 5% above that of the live model job-1, 0.8 on the same rows"),
        (0.5, NOON - DAY, "it is older than the live model job-1"),
        (float("nan"), NOON + DAY, "its validation error is nan"),
    ],
)
def test_the_gate_keeps_a_model_out_and_people_hear_why(
    live: DeployWorld, error: float, until_ms: int, words: str
) -> None:
    live.train("job-2", error, until_ms=until_ms)
    assert live.ring("job-2").refused == ["job-2"]
    assert live.state("job-2") == "refused"
    assert words in "; ".join(live.record("job-2").reasons)
    assert live.serves() == "job-1"
    assert live.host.models(containing="job-2") == live.host.configs(containing="job-2") == []
    told = live.told()[-1]
    assert words in told["text"]
    assert told["attributes"] == {"kind": "model_refused", "severity": "warning"}


def test_a_model_without_an_error_is_kept_out(world: DeployWorld) -> None:
    world.start("job-1")
    world.complete("job-1", None)
    assert world.ring("job-1").refused == ["job-1"]
    assert world.record("job-1").reasons == ("its training told no validation error",)


def test_a_live_model_that_does_not_answer_is_weighed_by_what_is_on_record(
    live: DeployWorld,
) -> None:
    live.predictor.mute.add("job-1")
    live.train("job-2", 0.85)
    assert live.ring("job-2").refused == ["job-2"]
    assert "0.8 on its own validation rows" in live.record("job-2").reasons[0]
    live.train("job-3", 0.83)
    assert live.ring("job-3").deployed == ["job-3"]


def test_a_live_model_that_sleeps_at_first_is_asked_again(
    live: DeployWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict, asked = live.predictor.predict, []

    def predict_the_second_time(rows: Any) -> Scores:
        asked.append(rows)
        if len(asked) == 1:
            msg = "it starts up"
            raise Transient(msg)
        return predict(rows)

    monkeypatch.setattr(live.predictor, "predict", predict_the_second_time)
    live.train("job-2", 0.85)
    assert live.ring("job-2").refused == ["job-2"]
    assert "0.8 on the same rows" in live.record("job-2").reasons[0]


def packed(name: str, size: int = 1) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.size = size
        tar.addfile(info, io.BytesIO(b"\0" * size))
    return out.getvalue()


@pytest.mark.parametrize(
    ("artifact", "words"),
    [
        (packed("../../etc/cron.d/x"), "climbs out of its folder"),
        (packed("/model.json"), "climbs out of its folder"),
        (packed("model.json")[:-9], "not a whole gzip file"),
        (b"", "cut short"),
        (b"\0" * (MAX_ARTIFACT_BYTES + 1), "is larger than the"),
    ],
    ids=["climbs out", "absolute", "cut", "empty", "too large"],
)
def test_an_artifact_that_must_not_be_unpacked_is_kept_out(
    world: DeployWorld, artifact: bytes, words: str
) -> None:
    world.start("job-1")
    world.complete("job-1", artifact=artifact)
    assert world.ring("job-1").refused == ["job-1"]
    assert words in world.record("job-1").reasons[0]
    assert world.endpoint() is None
    assert world.host.models(containing="job") == []
    assert world.kinds() == [("model_refused", "job-1")]


def test_an_artifact_that_was_changed_after_the_training_is_kept_out(world: DeployWorld) -> None:
    world.train("job-1")
    world.clock.advance(5 * MINUTE)
    world.objects.put(ARTIFACT, packed("model.json"), content_type="application/gzip")
    assert world.ring("job-1").refused == ["job-1"]
    assert "was changed after the training had ended" in world.record("job-1").reasons[0]


def test_an_artifact_of_another_job_is_kept_out(world: DeployWorld) -> None:
    world.start("job-1")
    world.complete("job-1")
    job = world.jobs.describe("job-1")
    assert job is not None
    theirs = "s3://models/training/job-2/output/model.tar.gz"
    world.jobs._jobs["job-1"] = replace(job, artifact_uri=theirs)  # noqa: SLF001
    assert world.ring("job-1").refused == ["job-1"]
    assert world.record("job-1").reasons[0].startswith(f"its artifact {theirs} is not s3://")


@pytest.mark.parametrize("gone", ["manifest.json", "validation.csv"])
def test_a_model_whose_dataset_is_gone_or_changed_is_kept_out(
    world: DeployWorld, gone: str
) -> None:
    world.train("job-1")
    world.objects.put(f"s3://exports/exports/job-1/{gone}", b"1,1\n", content_type="x")
    assert world.ring("job-1").refused == ["job-1"]
    assert "manifest" in world.record("job-1").reasons[0]


@pytest.mark.parametrize(
    "gone",
    [
        "s3://exports/exports/job-1/manifest.json",
        "s3://exports/exports/job-1/validation.csv",
        ARTIFACT,
    ],
)
def test_a_model_of_which_something_is_gone_is_kept_out(world: DeployWorld, gone: str) -> None:
    world.train("job-1")
    world.remove(gone)
    assert world.ring("job-1").refused == ["job-1"]
    assert world.record("job-1").reasons[0].endswith(f"{gone}, is not there") or (
        world.record("job-1").reasons[0] == f"its artifact {gone} is not there"
    )


def test_a_model_that_changes_while_it_is_asked_is_asked_no_further(
    live: DeployWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = itertools.cycle(["job-1", "job-0"])
    monkeypatch.setattr(deploy_examining, "_VALUES_PER_CALL", 1)
    predict = live.predictor.predict
    monkeypatch.setattr(
        live.predictor,
        "predict",
        lambda rows: replace(predict(rows), model_version=next(versions)),
    )
    live.train("job-2", 0.85)
    assert live.ring("job-2").refused == ["job-2"]
    assert "0.8 on its own validation rows" in live.record("job-2").reasons[0]


def test_a_record_that_somebody_moves_on_at_the_same_time_is_left_alone(
    world: DeployWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.train("job-1", 2.0)
    monkeypatch.setattr(world.ledger, "write", lambda *_: False)
    with pytest.raises(Transient, match="moved model job-1 on at the same time"):
        world.watch()
    assert world.state("job-1") == "training"


def test_an_endpoint_that_several_variants_share_is_left_alone(world: DeployWorld) -> None:
    instance = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    config = world.serve("old", instance, instance)
    world.train("job-1")
    assert world.ring("job-1").refused == ["job-1"]
    assert world.record("job-1").reasons[0].startswith("the endpoint is shared by old, old-2")
    assert world.config() == config


def test_a_model_of_the_same_name_that_is_not_ours_is_left_alone(world: DeployWorld) -> None:
    world.train("job-1")
    world.host.add_model(HostedModel("job-1", "image:1", "s3://a/b", "role"))
    assert world.ring("job-1").refused == ["job-1"]
    assert world.record("job-1").reasons[0].startswith("there is another model job-1 already")
    assert world.host.artifact_of("job-1") == "s3://a/b"


# --- trainings that give nothing


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.STOPPED])
def test_a_training_that_failed_is_told(world: DeployWorld, status: JobStatus) -> None:
    world.start("job-1")
    assert world.watch().waiting == ["job-1"]
    world.jobs.break_off("job-1", status, "AlgorithmError: no memory")
    assert world.watch().failed == ["job-1"]
    assert world.record("job-1").reasons == (
        f"its training job is {status.value}: AlgorithmError: no memory",
    )
    assert world.kinds() == [("training_failed", "job-1")]
    assert world.watch().failed == []


def test_a_training_that_was_never_started_is_told_after_an_hour(world: DeployWorld) -> None:
    world.start("job-1")
    world.jobs._jobs.clear()  # noqa: SLF001 - the row was written, the job never started
    world.clock.advance(59 * MINUTE)
    assert world.watch().waiting == ["job-1"]
    world.clock.advance(MINUTE)
    assert world.watch().failed == ["job-1"]
    assert "never started" in world.record("job-1").reasons[0]


# --- doorbells


def test_a_doorbell_that_rings_twice_deploys_once(live: DeployWorld) -> None:
    before = live.endpoint()
    assert live.ring("job-1", "job-1").deployed == []
    assert live.endpoint() == before
    assert live.kinds() == [("model_deployed", "job-1")]


def test_a_doorbell_that_never_rang_is_made_up_for_by_the_schedule(world: DeployWorld) -> None:
    world.train("job-1")
    assert world.watch().deployed == ["job-1"]


def test_an_older_model_that_rings_late_is_passed_by(world: DeployWorld) -> None:
    world.start("job-1", until_ms=NOON - DAY)
    world.train("job-2", 0.9)
    assert world.ring("job-2").deployed == ["job-2"]
    world.complete("job-1", 0.5)
    assert world.ring("job-1").refused == ["job-1"]
    assert world.serves() == "job-2"


def test_of_two_that_wait_the_newer_one_is_deployed(world: DeployWorld) -> None:
    world.train("job-1", until_ms=NOON - DAY)
    world.train("job-2", until_ms=NOON)
    outcome = world.watch()
    assert (outcome.deployed, outcome.refused) == (["job-2"], ["job-1"])


def test_a_doorbell_ahead_of_its_job_is_waited_for(world: DeployWorld) -> None:
    world.start("job-1")
    outcome = world.ring("job-1")
    assert outcome.waiting == ["job-1"]
    assert world.clock.now_ms() == NOON + 2 * MINUTE
    world.complete("job-1")
    assert world.watch().deployed == ["job-1"]


@pytest.mark.parametrize("name", ["other-1", "job-that-nobody-started"])
def test_a_doorbell_of_somebody_else_is_passed_by(world: DeployWorld, name: str) -> None:
    world.start("other-1", noted=False)
    world.complete("other-1")
    assert world.ring(name).unknown == [name]
    assert world.ledger.all() == []


def test_a_second_run_leaves_all_to_the_first(world: DeployWorld) -> None:
    world.train("job-1")
    with world.ledger.only_one("deploy"):
        assert not world.ring("job-1").ran
    assert world.state("job-1") == "training"


# --- models that nobody noted


def test_a_model_of_a_notebook_on_an_exported_dataset_is_deployed(live: DeployWorld) -> None:
    live.train("job-by-hand", 0.7, noted=False)
    assert live.watch().deployed == ["job-by-hand"]
    record = live.record("job-by-hand")
    assert record.manifest_uri == "s3://exports/exports/job-by-hand/manifest.json"
    assert record.parameters == ()


def test_a_model_that_rang_without_a_dataset_of_ours_is_told(world: DeployWorld) -> None:
    world.train("job-1", noted=False)
    world.objects.put("s3://exports/exports/job-1/manifest.json", b"{}", content_type="x")
    assert world.watch().refused == []
    assert world.ring("job-1").refused == ["job-1"]


def test_jobs_from_before_the_newest_one_noted_are_history(world: DeployWorld) -> None:
    world.train("job-0", noted=False)
    world.train("job-1", 0.9)
    world.ring("job-1")
    assert world.watch().deployed == []
    assert world.ledger.get("job-0") is None


def test_names_that_merely_contain_the_prefix_are_nobodys(world: DeployWorld) -> None:
    world.train("my-job-1", noted=False)
    assert world.watch().deployed == []
    assert world.ledger.all() == []


def test_a_model_of_somebody_elses_export_is_not_ours_though_its_name_is(
    world: DeployWorld,
) -> None:
    world.train("job-1", noted=False, bucket="others")
    assert world.watch().deployed == []
    assert world.ring("job-1").refused == ["job-1"]
    assert "not trained on an export of ours" in world.record("job-1").reasons[0]


# --- what is kept


def deployed(world: DeployWorld, *numbers: int) -> None:
    for number in numbers:
        world.train(f"job-{number}", 0.8, until_ms=NOON + number * DAY)
        assert world.ring(f"job-{number}").deployed == [f"job-{number}"]


def test_the_live_model_and_the_last_two_are_kept(world: DeployWorld) -> None:
    deployed(world, 1, 2, 3, 4)
    assert sorted(world.host.models(containing="job")) == ["job-2", "job-3", "job-4"]
    kept = {world.record(f"job-{number}").config for number in (2, 3, 4)}
    assert set(world.host.configs(containing="job")) == kept
    assert world.objects.look(world.record("job-1").artifact_uri) is not None


def test_what_is_in_use_or_not_ours_is_kept(world: DeployWorld) -> None:
    deployed(world, 1)
    first = world.record("job-1").config
    assert world.host.create_endpoint("another", first)
    world.host.add_model(HostedModel("job-of-somebody", "image", "s3://a/b", "role"))
    deployed(world, 2, 3, 4)
    assert {"job-1", "job-of-somebody"} <= set(world.host.models(containing="job"))
    assert first in world.host.configs(containing="job")


def test_a_refused_model_costs_no_place(world: DeployWorld) -> None:
    deployed(world, 1, 2)
    world.train("job-3", 2.0, until_ms=NOON + 3 * DAY)
    world.ring("job-3")
    deployed(world, 4)
    assert sorted(world.host.models(containing="job")) == ["job-1", "job-2", "job-4"]


def test_what_cannot_be_cleaned_up_is_no_reason_to_fail(
    world: DeployWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(world, 1, 2, 3)

    def refused(_: Any) -> None:
        raise Misconfigured(["not allowed: sagemaker:ListEndpoints"])

    monkeypatch.setattr(type(world.host), "in_use", refused)
    world.train("job-4", until_ms=NOON + 4 * DAY)
    outcome = world.ring("job-4")
    assert outcome.deployed == ["job-4"]
    assert "ListEndpoints" in outcome.left
    assert world.state("job-4") == ModelState.LIVE
    assert world.host.endpoint(ENDPOINT) is not None
