"""A person lets the endpoint serve an earlier model again."""

import pytest
from msgspec.structs import replace

from tests.support.deploy_world import DAY, NOON, DeployWorld, live_world
from tidegauge.domain.endpoint import EndpointStatus
from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.model_record import ModelState


@pytest.fixture
def world() -> DeployWorld:
    return DeployWorld()


@pytest.fixture
def live() -> DeployWorld:
    return live_world()


def train_next(world: DeployWorld, version: str = "job-2") -> None:
    world.train(version, 0.8, until_ms=NOON + int(version[-1]) * DAY)


@pytest.fixture
def two(live: DeployWorld) -> DeployWorld:
    """A world in which job-2 is live, and job-1 was before."""
    train_next(live)
    live.ring("job-2")
    return live


def test_a_person_brings_an_earlier_model_back(two: DeployWorld) -> None:
    record = two.put_back("job-1")
    assert record.state is ModelState.LIVE
    assert two.serves() == "job-1"
    assert (two.state("job-1"), two.state("job-2")) == ("live", "retired")
    told = two.told()[-1]
    assert told["subject"] == (
        "model job-1 is live again, by hand: error 0.8, before 0.8, baseline 1"
    )
    assert told["json"]["by_hand"] is True
    assert two.put_back("job-2").state is ModelState.LIVE


def test_what_was_cleaned_up_is_made_again(two: DeployWorld) -> None:
    two.host.delete_config(two.record("job-1").config)
    two.host.delete_model("job-1")
    assert two.put_back("job-1").state is ModelState.LIVE
    assert two.host.artifact_of("job-1") == two.record("job-1").artifact_uri


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("nobody", "there is no model nobody"),
        ("job-2", "model job-2 is live already"),
        ("job-3", "model job-3 is refused: only one that was live"),
        ("job-4", "model job-4 is training"),
    ],
)
def test_what_cannot_be_brought_back_is_refused(two: DeployWorld, version: str, words: str) -> None:
    two.train("job-3", 3.0, until_ms=NOON + 3 * DAY)
    two.start("job-4")
    two.watch()
    before = two.ledger.all()
    with pytest.raises(InvalidInput, match=words):
        two.put_back(version)
    assert two.ledger.all() == before


def test_a_copy_that_was_tampered_with_is_not_brought_back(two: DeployWorld) -> None:
    two.objects.put(two.record("job-1").artifact_uri, b"evil", content_type="x")
    with pytest.raises(InvalidInput, match="was tampered with"):
        two.put_back("job-1")
    assert two.serves() == "job-2"


def test_a_copy_that_is_gone_is_not_brought_back(two: DeployWorld) -> None:
    two.remove(two.record("job-1").artifact_uri)
    with pytest.raises(InvalidInput, match="is not there any more"):
        two.put_back("job-1")


def test_a_model_whose_job_nobody_knows_any_more_stays_what_it_was(two: DeployWorld) -> None:
    del two.jobs._jobs["job-1"]  # noqa: SLF001 - the service forgets no job, an account may change
    record = two.put_back("job-1")
    assert record.state is ModelState.RETIRED
    assert "what image its training ran" in record.reasons[0]
    assert two.serves() == "job-2"


def test_a_busy_endpoint_or_another_deployment_is_not_disturbed(two: DeployWorld) -> None:
    before = two.endpoint()
    assert before is not None
    two.host.place(replace(before, status=EndpointStatus.UPDATING))
    with pytest.raises(InvalidInput, match="endpoint gauge is Updating"):
        two.put_back("job-1")
    two.host.place(before)
    with two.ledger.only_one("deploy"), pytest.raises(InvalidInput, match="another deployment"):
        two.put_back("job-1")
    train_next(two, "job-3")
    two.ring("job-3", minutes=1)
    with pytest.raises(InvalidInput, match="job-3 is being deployed"):
        two.put_back("job-1")


def test_the_live_model_is_brought_back_where_nothing_serves(two: DeployWorld) -> None:
    before = two.endpoint()
    assert before is not None
    two.host.place(replace(before, status=EndpointStatus.FAILED))
    assert two.put_back("job-2").state is ModelState.LIVE
    assert two.serves() == "job-2"


def test_one_that_answers_no_longer_goes_back_again(two: DeployWorld) -> None:
    two.predictor.offsets["job-1"] = float("nan")
    assert two.put_back("job-1").state is ModelState.ROLLED_BACK
    assert two.serves() == "job-2"
    assert two.state("job-2") == "live"


def test_one_whose_dataset_is_gone_is_asked_about_the_live_ones(two: DeployWorld) -> None:
    two.objects.put("s3://exports/exports/job-1/manifest.json", b"", content_type="x")
    assert two.put_back("job-1").state is ModelState.LIVE


def test_a_wish_longer_than_the_wait_is_finished_by_the_schedule(two: DeployWorld) -> None:
    assert two.put_back("job-1", minutes=1).state is ModelState.DEPLOYING
    assert two.watch().deployed == ["job-1"]
    assert two.told()[-1]["json"]["by_hand"] is True
