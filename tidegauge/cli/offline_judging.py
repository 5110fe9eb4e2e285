"""Judging of an offline replay: the predict step on the judging store in memory."""

from collections.abc import Callable, Sequence

from tidegauge.adapters.memory import MemoryCountStore
from tidegauge.adapters.memory_judging import MemoryJudgingStore
from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.judging import JudgedSeries, JudgingRules
from tidegauge.domain.prediction import Prediction
from tidegauge.ports import OutboxMessage, Predictor
from tidegauge.steps.predict import PredictStep, series_of


class OfflineJudging:
    """Implements `steps.replay.Judging`."""

    def __init__(self, counts: MemoryCountStore, predictor: Predictor, rules: JudgingRules) -> None:
        self._store = _WatchedStore(counts.put_messages)
        self._step = PredictStep(self._store, predictor, rules)

    def judge(self, announced: Sequence[CompletedWindow]) -> None:
        """Judge all that was announced and not judged yet."""
        self._store.announce(announced)
        self._step.run(series_of(announced))

    def prediction_of(self, row: CompletedWindow) -> Prediction | None:
        """Return how a revision was judged."""
        return self._store.latest.get(row.window_start_ms, {}).get(row.series)

    def forget(self, before_ms: int) -> None:
        """Drop predictions of windows before a time; the store keeps what it judges later by."""
        self._store.forget(before_ms)
        latest = self._store.latest
        for window_ms in [w for w in latest if w < before_ms]:
            del latest[window_ms]


class _WatchedStore(MemoryJudgingStore):
    """Keeps the last prediction of each window at hand until it was given out."""

    def __init__(self, put_messages: Callable[[Sequence[OutboxMessage]], None]) -> None:
        super().__init__(put_messages)
        self.latest: dict[int, dict[str, Prediction]] = {}

    def write(self, judged: Sequence[JudgedSeries]) -> list[str]:
        written = super().write(judged)
        for one in judged:
            if one.series in written:
                for prediction in one.predictions:
                    at = self.latest.setdefault(prediction.window.window_start_ms, {})
                    at[one.series] = prediction
        return written
