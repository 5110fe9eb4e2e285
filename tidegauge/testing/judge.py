"""The judging side of a pipeline in memory: the predict step on its store, told by doorbells."""

from collections.abc import Callable, Mapping, Sequence

from tidegauge.adapters.memory_judging import MemoryJudgingStore
from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.incident import Incident
from tidegauge.domain.judging import JudgingRules
from tidegauge.domain.prediction import Prediction
from tidegauge.ports import OutboxMessage, Predictor
from tidegauge.steps.predict import PredictStep, read_doorbell


class Judge:
    """Judges what is announced.

    Args:
        put_messages: Takes the alerts.
        predictor: Who says what is expected.
        rules: The settings.
    """

    def __init__(
        self,
        put_messages: Callable[[Sequence[OutboxMessage]], None],
        predictor: Predictor,
        rules: JudgingRules,
    ) -> None:
        self._store = MemoryJudgingStore(put_messages)
        self._step = PredictStep(self._store, predictor, rules)

    def announce(self, rows: Sequence[CompletedWindow]) -> None:
        """Take completed windows, as the table of windows would."""
        self._store.announce(rows)

    def ring(self, announcements: Sequence[OutboxMessage]) -> None:
        """Judge all series that announcements name."""
        self._step.ring([read_doorbell(message.payload) for message in announcements])

    def predictions(self, generation: int, series: str) -> Mapping[tuple[int, int], Prediction]:
        """Return how a series was judged, by window start and revision."""
        found = self._store.predictions(generation).get(series, ())
        return {(one.window.window_start_ms, one.window.revision): one for one in found}

    def incidents(self, generation: int, series: str) -> list[Incident]:
        """Return the incidents of a series, in the order of opening."""
        return list(self._store.incidents(generation).get(series, ()))
