"""`tidegauge retrain --wait`: which model it waits for, and when it gives up."""

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from tidegauge.adapters.memory_models import MemoryModelLedger
from tidegauge.cli.retrain import await_model
from tidegauge.domain.model_record import SETTLED, ModelRecord, ModelState
from tidegauge.ports import ModelChange

if TYPE_CHECKING:
    from collections.abc import Callable

URI = "s3://exports/exports/20130212T000000Z-0123456789ab/manifest.json"
MODEL = ModelRecord(
    version="linear-learner-20130212-0a1b2c3d",
    endpoint="tidegauge",
    state=ModelState.TRAINING,
    until_ms=1_360_627_200_000,
    manifest_uri=URI,
)
MINUTE_MS = 60_000


class Story:
    """A clock whose waiting lets things happen to a ledger."""

    def __init__(self) -> None:
        self.time_ms = 1_000_000
        self.ledger = MemoryModelLedger(self)
        self.shown: list[str] = []
        self._happens: list[tuple[int, Callable[[], object]]] = []

    def now_ms(self) -> int:
        return self.time_ms

    def wait_until_ms(self, time_ms: int) -> None:
        self.time_ms = max(self.time_ms, time_ms)
        for due_ms, happens in list(self._happens):
            if due_ms <= self.time_ms:
                happens()
                self._happens.remove((due_ms, happens))

    def later(self, after_ms: int, record: ModelRecord, was: ModelState | None) -> None:
        change = ModelChange(record, was)
        self._happens.append((self.time_ms + after_ms, lambda: self.ledger.write([change])))

    def now(self, record: ModelRecord) -> None:
        assert self.ledger.write([ModelChange(record, None)])

    def awaited(self, wait_ms: int = 60 * MINUTE_MS) -> ModelRecord | None:
        return await_model(
            self.ledger, URI, self, wait_ms=wait_ms, show=lambda text: self.shown.append(text)
        )


@pytest.mark.parametrize("end", sorted(SETTLED))
def test_it_waits_until_the_model_of_this_very_dataset_is_settled(end: ModelState) -> None:
    story = Story()
    story.now(replace(MODEL, version="other", manifest_uri=URI.replace("01", "99")))
    story.later(3_000, MODEL, None)
    story.later(9_000, replace(MODEL, state=ModelState.DEPLOYING), ModelState.TRAINING)
    story.later(20_000, replace(MODEL, state=end), ModelState.DEPLOYING)
    record = story.awaited()
    assert record is not None
    assert (record.version, record.state) == (MODEL.version, end)
    assert list(dict.fromkeys(story.shown)) == [
        "training starts",
        f"{MODEL.version} is training",
        f"{MODEL.version} is deploying",
    ]


def test_a_dataset_that_was_trained_on_before_is_answered_at_once() -> None:
    story = Story()
    story.now(replace(MODEL, state=ModelState.LIVE))
    began_ms = story.time_ms
    record = story.awaited()
    assert record is not None
    assert record.state is ModelState.LIVE
    assert story.time_ms == began_ms


def test_an_attempt_that_had_failed_before_is_not_the_answer() -> None:
    story = Story()
    story.now(replace(MODEL, state=ModelState.FAILED))
    second = replace(MODEL, version=f"{MODEL.version}-2")
    story.later(2_000, second, None)
    story.later(4_000, replace(second, state=ModelState.LIVE), ModelState.TRAINING)
    record = story.awaited()
    assert record is not None
    assert record.version == second.version


def test_where_no_training_starts_it_ends_after_minutes_and_not_after_the_whole_wait() -> None:
    story = Story()
    began_ms = story.time_ms
    assert story.awaited() is None
    assert 5 * MINUTE_MS <= story.time_ms - began_ms < 6 * MINUTE_MS


def test_a_training_that_goes_on_is_left_when_the_wait_is_over() -> None:
    story = Story()
    story.now(MODEL)
    began_ms = story.time_ms
    record = story.awaited(wait_ms=10 * MINUTE_MS)
    assert record is not None
    assert record.state is ModelState.TRAINING
    assert story.time_ms - began_ms == 10 * MINUTE_MS
