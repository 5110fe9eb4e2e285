"""predict: what is asked of the model, what its answers become, and what is done again."""

import math
from collections.abc import Sequence

import pytest

from tests.support.judged_worlds import BASE, SIZE, YOUNG, announced, seasonal_counts, window
from tidegauge.adapters.memory_judging import MemoryJudgingStore
from tidegauge.adapters.seasonal import SeasonalPredictor
from tidegauge.domain.announcement import announce
from tidegauge.domain.count import Quality
from tidegauge.domain.errors import NoModel, Rejected, Transient, UnusableAnswer
from tidegauge.domain.judging import JudgedSeries
from tidegauge.domain.prediction import PredictionStatus
from tidegauge.domain.verdict import Reason, Verdict
from tidegauge.ports import OutboxMessage, Predictor, Scores
from tidegauge.steps.predict import Doorbell, PredictStep, read_doorbell, series_of

# A day of noise, then silence.
COUNTS = [*seasonal_counts(280), *[0] * 6]


class World:
    """A store that holds one series, and the messages it decided to send."""

    def __init__(self) -> None:
        self.messages: list[OutboxMessage] = []
        self.store = MemoryJudgingStore(self.messages.extend)
        self.store.announce(announced(COUNTS))

    def step(self, predictor: Predictor | None, *, max_steps: int = 2000) -> PredictStep:
        return PredictStep(self.store, predictor, YOUNG, max_steps=max_steps)


class Model:
    """Answers every row alike, and keeps what it was asked."""

    def __init__(self, score: float = 11.0, *, more: int = 0) -> None:
        self._score = score
        self._more = more
        self.asked: list[int] = []

    def predict(self, rows: Sequence[Sequence[float]]) -> Scores:
        self.asked.append(len(rows))
        assert all(math.isfinite(value) for row in rows for value in row)
        return Scores((self._score,) * (len(rows) + self._more), "model-7")


class Failing:
    """Raises instead of answering."""

    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error

    def predict(self, rows: Sequence[Sequence[float]]) -> Scores:
        if self.error is not None:
            raise self.error
        return SeasonalPredictor().predict(rows)


def test_a_slice_asks_the_model_once_for_all_series_that_have_history() -> None:
    world = World()
    world.store.announce(announced(COUNTS[:100], series="b"))
    world.store.announce(announced([1, 2, 3], series="young"))
    model = Model()
    outcome = world.step(model).run({1: {"a", "b", "young"}})
    enough = YOUNG.enough_windows
    assert model.asked == [len(COUNTS) - enough + 100 - enough]
    assert (outcome.windows, outcome.slices) == (len(COUNTS) + 103, 1)


def test_silence_raises_one_alert() -> None:
    world = World()
    outcome = world.step(SeasonalPredictor()).run({1: {"a"}})
    assert outcome.alerts == len(world.messages) == 1
    assert b"silent" in world.messages[0].payload


def test_without_a_model_nothing_is_judged_and_nothing_waits() -> None:
    world = World()
    outcome = world.step(None).run({1: {"a"}})
    assert outcome.not_judged == outcome.windows == len(COUNTS)
    rows = world.store.predictions(1)["a"]
    assert {row.reason for row in rows} == {Reason.NO_MODEL}
    assert {row.status for row in rows} == {PredictionStatus.NONE}
    assert world.step(None).run({1: {"a"}}).windows == 0


def test_until_the_first_model_nothing_is_judged_and_then_what_is_new() -> None:
    waiting, never = World(), World()
    first = Failing(NoModel("endpoint waits for its first model"))
    waiting.step(first).run({1: {"a"}})
    never.step(None).run({1: {"a"}})
    assert waiting.store.predictions(1) == never.store.predictions(1)
    first.error = None
    waiting.store.announce(announced([9], first=len(COUNTS)))
    assert waiting.step(first).run({1: {"a"}}).windows == 1
    assert waiting.store.predictions(1)["a"][-1].status is PredictionStatus.OK


def test_a_model_that_has_answered_a_series_is_waited_for_whoever_says_there_never_was_one() -> (
    None
):
    world = World()
    gone = Failing(NoModel("endpoint waits for its first model"))
    gone.error, error = None, gone.error
    world.step(gone).run({1: {"a"}})
    gone.error = error
    world.store.announce(announced([9], first=len(COUNTS)))
    with pytest.raises(Transient, match="first model"):
        world.step(gone).run({1: {"a"}})
    assert len(world.store.predictions(1)["a"]) == len(COUNTS)


@pytest.mark.parametrize(
    "predictor",
    [
        Model(math.nan),
        Model(math.inf),
        Model(1e200),
        Model(more=1),
        Model(more=-1),
        Failing(UnusableAnswer("not JSON")),
    ],
    ids=["nan", "infinite", "absurd", "too many", "too few", "unusable"],
)
def test_nonsense_is_stored_as_an_error_and_alerts_nobody(predictor: Predictor) -> None:
    world = World()
    outcome = world.step(predictor).run({1: {"a"}})
    assert outcome.errors == len(COUNTS) - YOUNG.enough_windows
    assert world.messages == []
    row = world.store.predictions(1)["a"][-1]
    assert (row.status, row.verdict) == (PredictionStatus.ERROR, Verdict.NOT_JUDGED)
    assert (row.expected, row.reason) == (None, Reason.ERROR)


def test_a_failing_endpoint_skips_nothing() -> None:
    world, undisturbed = World(), World()
    failing = Failing(Transient("endpoint is updating"))
    with pytest.raises(Transient):
        world.step(failing).run({1: {"a"}})
    assert world.store.predictions(1)["a"] == []
    failing.error = None
    world.step(failing).run({1: {"a"}})
    undisturbed.step(SeasonalPredictor()).run({1: {"a"}})
    assert world.store.predictions(1) == undisturbed.store.predictions(1)
    assert world.messages == undisturbed.messages


def test_what_was_judged_before_a_failure_is_kept() -> None:
    world = World()

    class FailsLater(Model):
        def predict(self, rows: Sequence[Sequence[float]]) -> Scores:
            if len(self.asked) == 2:
                msg = "throttled"
                raise Transient(msg)
            return super().predict(rows)

    with pytest.raises(Transient):
        world.step(FailsLater(), max_steps=100).run({1: {"a"}})
    assert len(world.store.predictions(1)["a"]) == 200


def test_a_series_that_somebody_else_judged_meanwhile_is_read_again() -> None:
    world = World()
    inner = world.store

    class Overtaken(MemoryJudgingStore):
        """Lets another process judge the same just before the first write."""

        overtaken = False

        def write(self, judged: Sequence[JudgedSeries]) -> list[str]:
            if not self.overtaken:
                self.overtaken = True
                PredictStep(self, SeasonalPredictor(), YOUNG, max_steps=50).run({1: {"a"}})
            return super().write(judged)

    messages: list[OutboxMessage] = []
    store = Overtaken(messages.extend)
    store.announce(announced(COUNTS))
    outcome = PredictStep(store, Model(), YOUNG).run({1: {"a"}})
    assert outcome.windows == 0
    world.step(SeasonalPredictor()).run({1: {"a"}})
    assert store.predictions(1) == inner.predictions(1)
    assert messages == world.messages


def test_counts_not_to_be_trusted_are_predicted_but_not_judged() -> None:
    world = World()
    world.step(SeasonalPredictor()).run({1: {"a"}})
    for index, quality in enumerate(Quality, start=len(COUNTS)):
        world.store.announce([window(index, 0, quality=quality)])
    world.step(SeasonalPredictor()).run({1: {"a"}})
    rows = world.store.predictions(1)["a"][-len(Quality) :]
    assert [row.reason.value for row in rows[1:]] == ["partial", "gap", "suspect", "retired"]
    assert all(row.expected is not None for row in rows)
    assert rows[0].verdict is Verdict.TOO_LOW


def test_a_doorbell_names_generation_and_series() -> None:
    rows = [window(3, 5, series=name, generation=2) for name in ("a", "é")]
    (announcement,) = announce(rows, size_ms=SIZE)
    doorbell = read_doorbell(announcement.payload)
    assert doorbell.generation == 2
    assert set(doorbell.series) == {"a", "é"}
    assert series_of(rows) == {2: {"a", "é"}}


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b"[1]", b"\xff\xfe", b'{"data": {"generation": "x"}}']
)
def test_what_is_no_announcement_is_rejected(payload: bytes) -> None:
    with pytest.raises(Rejected):
        read_doorbell(payload)


def test_doorbells_ring_for_each_generation_by_itself() -> None:
    world = World()
    world.store.announce(announced(COUNTS[:5], series="a", generation=2, first=300))
    bells = [Doorbell(2, ("a",)), Doorbell(1, ("a", "nobody")), Doorbell(1, ("a",))]
    outcome = world.step(SeasonalPredictor()).ring(bells)
    assert outcome.windows == len(COUNTS) + 5
    later = world.store.predictions(2)["a"]
    assert later[0].window.window_start_ms == BASE + 300 * SIZE
    # the new generation reads on where the old one ended
    assert later[-1].expected is not None
