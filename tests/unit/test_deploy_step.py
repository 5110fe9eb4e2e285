"""The deploy step: what is deployed, what is not, and that every doorbell may be wrong."""

import io
import itertools
import tarfile
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.deploy_world import DAY, MINUTE, NOON, DeployWorld, live_world
from tidegauge.domain.errors import Transient
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
    return live_world()


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
