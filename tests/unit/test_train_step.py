"""The training step: one job for a dataset, whatever becomes of the events that ask for it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.datasets import DATA, EXPORTS, FOLDER, MANIFEST, MANIFEST_URI
from tests.support.training import ENDPOINT, RULES, TUNED, TrainingWorld
from tidegauge.adapters.memory_models import MemoryModelLedger
from tidegauge.adapters.memory_objects import MemoryObjectStore
from tidegauge.domain.errors import Misconfigured, TidegaugeError, Transient
from tidegauge.domain.manifest import MAX_BYTES
from tidegauge.domain.model_record import ModelState
from tidegauge.domain.training import MAX_ATTEMPTS
from tidegauge.domain.training_job import JobStatus
from tidegauge.steps.train import TrainDecision, TrainOutcome, TrainStep

STARTED, KNOWN = TrainDecision.STARTED, TrainDecision.KNOWN
PASSED_BY, REFUSED = TrainDecision.PASSED_BY, TrainDecision.REFUSED


@pytest.fixture
def world() -> TrainingWorld:
    return TrainingWorld()


# --- one dataset, one job


def test_a_dataset_starts_a_job_and_its_record_says_all(world: TrainingWorld) -> None:
    world.store()
    outcome = world.run()
    assert outcome.decision is STARTED
    assert outcome.job.startswith("linear-learner-20130212-")
    job = world.jobs.describe(outcome.job)
    assert job is not None
    assert job.spec.channel_uri("train") == f"{FOLDER}/train.csv"
    record = world.record(outcome.job)
    assert record.state is ModelState.TRAINING
    assert record.endpoint == ENDPOINT
    assert record.until_ms == MANIFEST.until_ms
    assert record.manifest_uri == MANIFEST_URI
    assert record.parameters == outcome.parameters
    assert record.baseline_error == MANIFEST.baseline_error


def test_an_event_that_comes_again_starts_nothing(world: TrainingWorld) -> None:
    world.store()
    first = world.run()
    for _ in range(3):
        again = world.run()
        assert (again.decision, again.job, again.reason) == (KNOWN, first.job, "it is training")
    assert world.started() == [first.job]


@pytest.mark.parametrize("state", list(ModelState))
def test_an_event_that_comes_late_starts_nothing(world: TrainingWorld, state: ModelState) -> None:
    world.store()
    first = world.run()
    world.jobs.complete(first.job)
    world.settle(first.job, state)
    assert world.run().decision is KNOWN
    assert world.started() == []


def test_the_same_manifest_stored_again_starts_nothing_while_all_is_well(
    world: TrainingWorld,
) -> None:
    world.store()
    first = world.run()
    world.store()
    assert world.run().decision is KNOWN
    assert world.started() == [first.job]


def test_two_runs_at_once_start_one_job(world: TrainingWorld) -> None:
    """The second run of the same event reads the ledger before the first has written it."""
    world.store()
    inner: list[TrainOutcome] = []
    write = world.ledger.write

    class Overtaken(MemoryModelLedger):
        def write(self, changes: Any, notices: Any = ()) -> bool:
            if not inner:
                inner.append(world.step.run(MANIFEST_URI))
            return write(changes, notices)

        def get(self, version: str) -> Any:
            return world.ledger.get(version)

        def all(self, *states: ModelState) -> Any:
            return world.ledger.all(*states)

    overtaken = TrainStep(
        world.objects, world.jobs, Overtaken(world.clock), RULES, endpoint=ENDPOINT
    )
    outcome = overtaken.run(MANIFEST_URI)
    assert inner[0].decision is STARTED
    assert (outcome.decision, outcome.reason) == (KNOWN, "another run has just noted it")
    assert world.started() == [inner[0].job]


# --- where a run dies between the record and the job


@pytest.mark.parametrize("failure", [Transient("throttled"), Misconfigured(["no such role"])])
def test_a_job_that_could_not_be_started_is_started_by_the_next_event(
    world: TrainingWorld, failure: TidegaugeError
) -> None:
    world.store()
    world.jobs.failures = [failure]
    with pytest.raises(type(failure)):
        world.run()
    (noted,) = world.ledger.all()
    assert noted.record.state is ModelState.TRAINING
    outcome = world.run()
    assert (outcome.decision, outcome.job) == (STARTED, noted.record.version)
    assert world.started() == [noted.record.version]


def test_it_is_started_with_what_was_noted_of_it(world: TrainingWorld) -> None:
    """The run that noted it may be at work still: both must ask for the same."""
    world.completed("linear-learner-first", hyperparameters={"predictor_type": "regressor"})
    world.store()
    world.jobs.failures = [Transient("throttled")]
    with pytest.raises(Transient):
        world.run()
    world.completed("linear-learner-second")
    outcome = world.run()
    assert outcome.predecessor == "linear-learner-first"
    assert world.record(outcome.job).parameters == outcome.parameters


def test_defaults_that_were_noted_stay_defaults(world: TrainingWorld) -> None:
    world.store()
    world.jobs.failures = [Transient("throttled")]
    with pytest.raises(Transient):
        world.run()
    world.completed("linear-learner-second")
    assert world.run().predecessor == ""


def test_settings_that_changed_since_are_taken_and_noted(world: TrainingWorld) -> None:
    world.store()
    world.jobs.failures = [Misconfigured(["no such role"])]
    with pytest.raises(Misconfigured):
        world.run()
    rules = replace(RULES, role_arn="arn:aws:iam::000000000000:role/mended")
    world.step = TrainStep(world.objects, world.jobs, world.ledger, rules, endpoint=ENDPOINT)
    outcome = world.run()
    job = world.jobs.describe(outcome.job)
    assert job is not None
    assert job.spec.role_arn == rules.role_arn
    assert world.record(outcome.job).parameters == outcome.parameters


def test_a_job_that_somebody_else_started_is_no_fault(world: TrainingWorld) -> None:
    world.store()
    name = world.run().job
    other = TrainingWorld()  # its ledger knows nothing
    other.store()
    assert other.jobs.start(name, TUNED.spec)
    outcome = other.run()
    assert (outcome.decision, outcome.job) == (KNOWN, name)
    assert other.record(name).state is ModelState.TRAINING


# --- attempts


def test_a_failed_job_is_tried_again_once_the_manifest_is_stored_again(
    world: TrainingWorld,
) -> None:
    world.store()
    first = world.run()
    world.fail(first.job)
    late = world.run()
    assert (late.decision, late.reason) == (KNOWN, "it failed")
    world.store()
    again = world.run()
    assert (again.decision, again.job) == (STARTED, f"{first.job}-2")
    assert world.run().decision is KNOWN
    assert world.started() == [f"{first.job}-2"]


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.STOPPED, JobStatus.STOPPING])
def test_a_job_that_broke_off_is_failed_before_anybody_notes_it(
    world: TrainingWorld, status: JobStatus
) -> None:
    world.store()
    first = world.run()
    world.jobs.break_off(first.job, status)
    assert world.run().decision is KNOWN
    world.store()
    assert world.run().job == f"{first.job}-2"


def test_a_dataset_is_tried_so_often_and_no_oftener(world: TrainingWorld) -> None:
    for _ in range(MAX_ATTEMPTS):
        world.store()
        outcome = world.run()
        assert outcome.decision is STARTED
        world.fail(outcome.job)
    world.store()
    outcome = world.run()
    assert outcome.decision is REFUSED
    assert "export the windows anew" in outcome.reason
    assert len(world.ledger.all()) == MAX_ATTEMPTS


# --- order

NEWER_URI = f"s3://{EXPORTS}/exports/20130219T000000Z-ba9876543210/manifest.json"
NEWER = {"until": "2013-02-19T00:00:00Z"}


@pytest.mark.parametrize("state", [one for one in ModelState if one is not ModelState.FAILED])
def test_an_older_dataset_that_comes_after_a_newer_one_is_passed_by(
    world: TrainingWorld, state: ModelState
) -> None:
    world.store()
    world.store(NEWER_URI, **NEWER)
    newer = world.run(NEWER_URI)
    world.settle(newer.job, state)
    outcome = world.run()
    assert outcome.decision is PASSED_BY
    assert outcome.reason == f"{newer.job} is made of windows until 2013-02-19T00:00:00Z"
    assert world.started() == [newer.job]


def test_a_newer_one_that_failed_keeps_no_older_one_back(world: TrainingWorld) -> None:
    world.store()
    world.store(NEWER_URI, **NEWER)
    world.fail(world.run(NEWER_URI).job)
    assert world.run().decision is STARTED


def test_a_dataset_of_the_same_time_with_other_content_is_trained_on(world: TrainingWorld) -> None:
    world.store()
    world.store(NEWER_URI)
    first, second = world.run(), world.run(NEWER_URI)
    assert (first.decision, second.decision) == (STARTED, STARTED)
    assert first.job != second.job


def test_a_job_that_was_never_started_stays_so_once_a_newer_one_runs(world: TrainingWorld) -> None:
    world.store()
    world.jobs.failures = [Transient("throttled")]
    with pytest.raises(Transient):
        world.run()
    world.store(NEWER_URI, **NEWER)
    newer = world.run(NEWER_URI)
    assert world.run().decision is PASSED_BY
    assert world.started() == [newer.job]


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.booleans()), max_size=12))
def test_whatever_the_order_of_events_each_dataset_has_one_job_at_most(
    rings: list[tuple[str, bool]],
) -> None:
    """Two datasets, any repetition and order, any of the starts failing."""
    world = TrainingWorld()
    uris = {"a": MANIFEST_URI, "b": NEWER_URI}
    world.store()
    world.store(NEWER_URI, **NEWER)
    for dataset, fails in rings:
        if fails:
            world.jobs.failures = [Transient("throttled")]
        try:
            world.run(uris[dataset])
        except Transient:
            continue
        finally:
            world.jobs.failures = []
    manifests = [one.record.manifest_uri for one in world.ledger.all()]
    assert len(manifests) == len(set(manifests))
    runs = {world.record(version).manifest_uri for version in world.started()}
    assert (NEWER_URI in runs) == (("b", False) in rings)


# --- what cannot be trained on


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "it is not there any more"),
        (b"", "no manifest"),
        (b"{}", "no manifest"),
        (b"[" * 50_000, "no manifest"),
        (b"x" * (MAX_BYTES + 1), "larger than"),
        (replace(MANIFEST, format="tidegauge-dataset/2").to_json(), "its format is"),
        (replace(MANIFEST, until="yesterday").to_json(), "one of its times is none"),
        (replace(MANIFEST, feature_names=("hour",)).to_json(), "not those that this version"),
    ],
)
def test_a_manifest_that_is_none_is_refused_with_the_reason(
    world: TrainingWorld, data: bytes | None, reason: str
) -> None:
    world.store()
    if data is None:
        world.objects = MemoryObjectStore(EXPORTS, clock=world.clock)
        world.step = TrainStep(world.objects, world.jobs, world.ledger, RULES, endpoint=ENDPOINT)
    else:
        world.objects.put(MANIFEST_URI, data, content_type="application/json")
    outcome = world.run()
    assert outcome.decision is REFUSED
    assert reason in outcome.reason
    assert world.ledger.all() == []


@pytest.mark.parametrize("name", DATA)
def test_a_dataset_with_a_file_of_another_size_is_refused(world: TrainingWorld, name: str) -> None:
    world.store()
    world.objects.put(f"{FOLDER}/{name}", b"shorter", content_type="text/csv")
    outcome = world.run()
    assert outcome.decision is REFUSED
    assert outcome.reason.startswith(f"{name} has 7 bytes, and should have")


def test_a_dataset_without_one_of_its_files_is_refused(world: TrainingWorld) -> None:
    world.objects.put(MANIFEST_URI, MANIFEST.to_json(), content_type="application/json")
    assert world.run().reason.startswith("train.csv is not there, and should have")
