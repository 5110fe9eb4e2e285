"""Which job a training copies its parameters from, and which it passes over."""

import pytest

from tests.support.training import TUNED, TrainingWorld
from tests.unit.test_train_step import NEWER, NEWER_URI
from tidegauge.domain.training_job import JobStatus
from tidegauge.steps.train import MAX_CANDIDATES


@pytest.fixture
def world() -> TrainingWorld:
    return TrainingWorld()


def test_the_latest_completed_job_is_copied(world: TrainingWorld) -> None:
    world.completed("linear-learner-first")
    world.completed("linear-learner-last")
    world.store()
    outcome = world.run()
    assert outcome.predecessor == "linear-learner-last"
    assert world.record(outcome.job).predecessor == "linear-learner-last"
    assert {one.origin for one in outcome.parameters} == {
        "linear-learner-last",
        "settings",
        "data",
    }


def test_jobs_that_merely_contain_the_prefix_are_passed_over(world: TrainingWorld) -> None:
    world.completed("linear-learner-ours")
    world.completed("old-linear-learner-theirs")
    world.store()
    assert world.run().predecessor == "linear-learner-ours"


@pytest.mark.parametrize("status", [one for one in JobStatus if one is not JobStatus.COMPLETED])
def test_jobs_that_did_not_end_well_are_passed_over(
    world: TrainingWorld, status: JobStatus
) -> None:
    world.completed("linear-learner-good")
    assert world.jobs.start("linear-learner-bad", TUNED.spec)
    world.jobs.break_off("linear-learner-bad", status)
    world.store()
    assert world.run().predecessor == "linear-learner-good"


def test_jobs_of_another_kind_are_passed_over_and_named(world: TrainingWorld) -> None:
    world.completed("linear-learner-good")
    world.completed("linear-learner-other", hyperparameters={"predictor_type": "classifier"})
    world.store()
    outcome = world.run()
    assert outcome.predecessor == "linear-learner-good"
    assert [(one.job, one.reason) for one in outcome.passed_over] == [
        ("linear-learner-other", "its predictor_type is 'classifier', not 'regressor'")
    ]


def test_without_a_fit_one_the_defaults_are_taken(world: TrainingWorld) -> None:
    for number in range(MAX_CANDIDATES + 1):
        world.completed(f"linear-learner-{number}", hyperparameters={})
    world.store()
    outcome = world.run()
    assert outcome.predecessor == ""
    assert len(outcome.passed_over) == MAX_CANDIDATES


def test_a_model_follows_the_one_before_it(world: TrainingWorld) -> None:
    world.store()
    first = world.run()
    world.jobs.complete(first.job)
    world.store(NEWER_URI, **NEWER)
    second = world.run(NEWER_URI)
    assert (first.predecessor, second.predecessor) == ("", first.job)
    assert {"data", "settings", first.job} == {one.origin for one in second.parameters}
