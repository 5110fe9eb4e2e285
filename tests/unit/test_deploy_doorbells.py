"""What deploy is told and not told of: failed trainings, doorbells, strangers, and what is kept."""

from typing import Any

import pytest

from tests.support.deploy_world import DAY, ENDPOINT, MINUTE, NOON, DeployWorld, live_world
from tidegauge.domain.errors import Misconfigured
from tidegauge.domain.model_record import ModelState
from tidegauge.domain.training_job import JobStatus
from tidegauge.ports.serving import HostedModel


@pytest.fixture
def world() -> DeployWorld:
    return DeployWorld()


@pytest.fixture
def live() -> DeployWorld:
    return live_world()


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
