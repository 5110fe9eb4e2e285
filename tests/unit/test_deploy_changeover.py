"""An endpoint on its way to a model and back: every way ends, wherever a run breaks off."""

from contextlib import suppress

import pytest
from msgspec.structs import replace

from tests.support.deploy_world import (
    CHANGE_MS,
    DAY,
    ENDPOINT,
    NOON,
    DeployWorld,
    Fault,
    live_world,
)
from tidegauge.domain.endpoint import Endpoint, EndpointStatus
from tidegauge.domain.errors import Misconfigured, Transient
from tidegauge.domain.model_record import ModelState, Phase
from tidegauge.ports import ModelChange

INSTANCES = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 2}


@pytest.fixture
def world() -> DeployWorld:
    return DeployWorld()


@pytest.fixture
def live() -> DeployWorld:
    return live_world()


def train_next(world: DeployWorld, version: str = "job-2") -> None:
    world.train(version, 0.8, until_ms=NOON + int(version[-1]) * DAY)


# --- waiting


@pytest.mark.parametrize(
    "status",
    [
        EndpointStatus.CREATING,
        EndpointStatus.UPDATING,
        EndpointStatus.SYSTEM_UPDATING,
        EndpointStatus.ROLLING_BACK,
    ],
)
def test_a_busy_endpoint_is_waited_for_and_left_to_the_next_run(
    live: DeployWorld, status: EndpointStatus
) -> None:
    before = live.endpoint()
    assert before is not None
    live.host.place(replace(before, status=status))
    train_next(live)
    assert live.ring("job-2", minutes=3).waiting == ["job-2"]
    assert live.state("job-2") == "deploying"
    live.host.place(before)
    assert live.watch().deployed == ["job-2"]


def test_an_update_by_somebody_else_in_the_same_moment_is_waited_for(
    live: DeployWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Seen in service, and updating when we ask.
    update = live.host.update_endpoint
    refusals: list[object] = []

    def update_once_refused(*asked: object) -> bool:
        if not refusals:
            refusals.append(asked)
            return False
        return update(*asked)  # type: ignore[arg-type]

    monkeypatch.setattr(live.host, "update_endpoint", update_once_refused)
    train_next(live)
    assert live.ring("job-2").deployed == ["job-2"]
    assert len(refusals) == 1


def test_an_update_longer_than_a_run_is_finished_by_the_next_ones(live: DeployWorld) -> None:
    train_next(live)
    runs = 0
    while live.state("job-2") != "live":
        assert live.watch(minutes=1).failed == []
        runs += 1
        assert runs < 10
    assert runs > 2
    assert live.kinds() == [("model_deployed", "job-1"), ("model_deployed", "job-2")]


def test_the_next_model_waits_for_the_one_on_its_way(live: DeployWorld) -> None:
    train_next(live)
    assert live.ring("job-2", minutes=1).waiting == ["job-2"]
    train_next(live, "job-3")
    assert live.ring("job-3", minutes=1).waiting == ["job-2"]
    assert live.state("job-3") == "training"
    assert live.watch().deployed == ["job-2", "job-3"]
    assert live.record("job-3").champion == "job-2"


@pytest.mark.parametrize("before", [True, False], ids=["before it is done", "once it is done"])
@pytest.mark.parametrize("healthy", [True, False], ids=["deployed", "rolled back"])
@pytest.mark.parametrize("first", [True, False], ids=["first", "next"])
def test_wherever_a_run_breaks_off_the_next_ones_come_to_the_same_end(
    before: bool, healthy: bool, first: bool
) -> None:
    number = 0
    while True:
        number += 1
        world = DeployWorld()
        if not first:
            world.train("job-1")
            world.ring("job-1")
        world.train("job-2", 0.8, until_ms=NOON + 2 * DAY)
        if not healthy:
            world.predictor.offsets["job-2"] = 7.0
        fault = Fault(number, before=before)
        with suppress(Transient):
            world.step(fault).ring(["job-2"], until_ms=world.clock.now_ms() + 2 * CHANGE_MS)
        for _ in range(6):
            world.watch(minutes=8)
        assert world.state("job-2") == ("live" if healthy else "rolled_back"), number
        assert world.serves() == ("job-2" if healthy else "" if first else "job-1"), number
        told = [kind for kind, model in world.kinds() if model == "job-2"]
        assert told == ["model_deployed" if healthy else "model_rolled_back"], number
        assert len(world.ledger.all(ModelState.LIVE)) == (healthy or not first), number
        if not fault.happened:
            break
    assert number > 15


# --- the first answers


@pytest.mark.parametrize(
    ("offset", "words"),
    [
        (7.0, "an error of 7, not below the seasonal baseline's 1"),
        (1.0, "an error of 1, not below"),
        (float("nan"), "something else than numbers"),
    ],
)
def test_a_model_that_answers_worse_than_it_was_trained_is_taken_back(
    live: DeployWorld, offset: float, words: str
) -> None:
    train_next(live)
    live.predictor.offsets["job-2"] = offset
    assert live.ring("job-2").rolled_back == ["job-2"]
    assert live.serves() == "job-1"
    assert (live.state("job-1"), live.state("job-2")) == ("live", "rolled_back")
    assert words in live.record("job-2").reasons[0]
    told = live.told()[-1]
    assert told["json"]["kind"] == "model_rolled_back"
    assert told["json"]["serves"] == "job-1"
    assert told["subject"].startswith("model job-2 was rolled back: it answers")


def test_a_model_that_never_answers_is_taken_back_after_a_while(live: DeployWorld) -> None:
    train_next(live)
    live.predictor.mute.add("job-2")
    assert live.ring("job-2").rolled_back == ["job-2"]
    assert live.serves() == "job-1"
    assert live.record("job-2").reasons == (
        "it does not answer as it should: the endpoint does not answer",
    )


def test_an_endpoint_that_is_answered_by_another_model_goes_back(
    live: DeployWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_next(live)
    predict = live.predictor.predict
    monkeypatch.setattr(
        live.predictor, "predict", lambda rows: replace(predict(rows), model_version="job-1")
    )
    assert live.ring("job-2").rolled_back == ["job-2"]
    assert "the endpoint is answered by job-1" in live.record("job-2").reasons[0]


def test_a_model_whose_dataset_is_gone_by_then_goes_back(live: DeployWorld) -> None:
    train_next(live)
    assert live.ring("job-2", minutes=1).waiting == ["job-2"]
    live.remove("s3://exports/exports/job-2/validation.csv")
    assert live.watch().rolled_back == ["job-2"]
    assert "nothing can be asked of it" in live.record("job-2").reasons[0]
    assert live.serves() == "job-1"


def test_a_first_model_that_is_no_good_leaves_no_endpoint(world: DeployWorld) -> None:
    world.train("job-1")
    world.predictor.offsets["job-1"] = 7.0
    assert world.ring("job-1").rolled_back == ["job-1"]
    assert world.endpoint() is None
    assert not world.ledger.was_live()


# --- what the host does by itself


def test_an_update_that_an_alarm_turned_back_is_told(world: DeployWorld) -> None:
    world.rules = replace(world.rules, alarms=("errors",))
    config = world.serve("old", INSTANCES)
    world.host.alarmed.add("job-1")
    world.train("job-1")
    assert world.ring("job-1").rolled_back == ["job-1"]
    assert world.config() == config
    assert world.record("job-1").reasons == (
        f"the endpoint went back to {config.name}: the update was rolled back",
    )


def test_a_model_that_does_not_load_changes_nothing(live: DeployWorld) -> None:
    train_next(live)
    live.host.broken.add("job-2")
    assert live.ring("job-2").rolled_back == ["job-2"]
    assert live.serves() == "job-1"


@pytest.mark.parametrize("status", [EndpointStatus.FAILED, EndpointStatus.OUT_OF_SERVICE])
def test_an_endpoint_stuck_is_made_anew_by_the_next_model(
    live: DeployWorld, status: EndpointStatus
) -> None:
    before = live.endpoint()
    assert before is not None
    live.host.place(replace(before, status=status, failure="no capacity"))
    assert live.watch().deployed == []
    train_next(live)
    assert live.ring("job-2").deployed == ["job-2"]
    assert live.serves() == "job-2"
    words = f"the endpoint is {status.value}: no capacity; it was deleted and made anew"
    assert words in live.record("job-2").reasons
    assert words in live.told()[-1]["text"]


def test_a_first_endpoint_that_cannot_be_made_is_deleted(world: DeployWorld) -> None:
    world.train("job-1")
    world.host.broken.add("job-1")
    assert world.ring("job-1").rolled_back == ["job-1"]
    assert world.endpoint() is None
    assert world.record("job-1").reasons == ("the endpoint is Failed: the model did not load",)
    world.train("job-2", until_ms=NOON + DAY)
    assert world.ring("job-2").deployed == ["job-2"]


def test_where_the_new_model_fails_too_the_live_one_comes_back(live: DeployWorld) -> None:
    before = live.endpoint()
    assert before is not None
    live.host.place(replace(before, status=EndpointStatus.FAILED))
    train_next(live)
    live.host.broken.add("job-2")
    assert live.ring("job-2").rolled_back == ["job-2"]
    assert live.serves() == "job-1"
    assert live.state("job-1") == "live"


def test_where_nothing_can_be_made_any_more_it_ends_all_the_same(live: DeployWorld) -> None:
    before = live.endpoint()
    assert before is not None
    live.host.place(replace(before, status=EndpointStatus.FAILED))
    train_next(live)
    live.host.broken |= {"job-1", "job-2"}
    assert live.ring("job-2").rolled_back == ["job-2"]
    assert live.serves() == ""
    assert "it did not come back to" in live.record("job-2").reasons[-1]
    assert live.told()[-1]["json"]["serves"] == ""


def test_a_way_back_that_is_turned_back_itself_ends(live: DeployWorld) -> None:
    train_next(live)
    live.predictor.offsets["job-2"] = 7.0
    live.host.broken.add("job-1")
    assert live.ring("job-2").rolled_back == ["job-2"]
    assert live.serves() == "job-2"
    assert "it did not come back to" in live.record("job-2").reasons[-1]


def test_a_config_that_is_gone_cannot_be_gone_back_to(live: DeployWorld) -> None:
    train_next(live)
    live.predictor.offsets["job-2"] = 7.0
    assert live.ring("job-2", minutes=1).waiting == ["job-2"]
    live.clock.advance(CHANGE_MS)
    live.endpoint()
    assert live.host.delete_config(live.record("job-1").config)
    assert live.watch().rolled_back == ["job-2"]
    assert "is gone" in live.record("job-2").reasons[-1]


def test_an_endpoint_between_two_configs_is_left_to_a_person(live: DeployWorld) -> None:
    before = live.endpoint()
    assert before is not None
    mixed = replace(before, status=EndpointStatus.UPDATE_ROLLBACK_FAILED)
    live.host.place(mixed)
    train_next(live)
    assert live.ring("job-2").refused == ["job-2"]
    assert "UpdateRollbackFailed" in live.record("job-2").reasons[0]
    assert live.endpoint() == mixed


def test_an_update_that_ends_between_two_configs_is_told(live: DeployWorld) -> None:
    train_next(live)
    assert live.ring("job-2", minutes=1).waiting == ["job-2"]
    before = live.endpoint()
    assert before is not None
    live.host.place(replace(before, status=EndpointStatus.UPDATE_ROLLBACK_FAILED))
    assert live.watch().rolled_back == ["job-2"]


def test_an_endpoint_that_is_deleted_on_the_way_stays_deleted(live: DeployWorld) -> None:
    train_next(live)
    assert live.ring("job-2", minutes=1).waiting == ["job-2"]
    live.clock.advance(CHANGE_MS)
    live.endpoint()
    live.host.delete_endpoint(ENDPOINT)
    assert live.watch().rolled_back == ["job-2"]
    assert live.endpoint() is None


def test_an_endpoint_that_somebody_moved_on_stays_there(live: DeployWorld) -> None:
    train_next(live)
    assert live.ring("job-2", minutes=1).waiting == ["job-2"]
    record = live.record("job-2")
    back = replace(record, phase=Phase.BACK, reasons=("it was no good",))
    assert live.ledger.write([ModelChange(back, ModelState.DEPLOYING)])
    theirs = Endpoint(ENDPOINT, EndpointStatus.IN_SERVICE, "theirs")
    live.host.place(theirs)
    assert live.watch().rolled_back == ["job-2"]
    assert live.endpoint() == theirs
    assert live.record("job-2").reasons == (
        "it was no good",
        "somebody lets it serve theirs instead",
    )


def test_what_the_host_refuses_is_raised_until_somebody_mends_it(
    world: DeployWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.train("job-1")

    def refused(*_: object) -> bool:
        raise Misconfigured(["not allowed: sagemaker:CreateEndpoint"])

    with monkeypatch.context() as patched:
        patched.setattr(world.host, "create_endpoint", refused)
        for _ in range(2):
            with pytest.raises(Misconfigured):
                world.watch()
    assert world.record("job-1").phase is Phase.CHOSEN
    assert world.watch().deployed == ["job-1"]
