"""The predict step: judge what is announced and unjudged of the series that a doorbell names.

Takes generation and series, gives predictions, verdicts, incidents and alerts in the store. Asks
the predictor once for each slice, before any lock. What it does is decided by the store alone:
doorbells may come twice, late or in any order.
"""

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import islice
from typing import Final

import msgspec
import numpy as np

from tidegauge.domain.announcement import read_announcement
from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.errors import NoModel, Rejected, Transient, UnusableAnswer
from tidegauge.domain.event import RejectReason
from tidegauge.domain.history import FeatureRows, feature_rows
from tidegauge.domain.judging import Answer, JudgedSeries, JudgingRules, SeriesBacklog, judge_series
from tidegauge.domain.prediction import PredictionStatus, expected_of
from tidegauge.domain.verdict import Reason, Verdict
from tidegauge.ports import JudgingStore, Predictor, Scores, SliceLimits

MAX_SERIES_PER_SLICE: Final = 200
MAX_STEPS_PER_SLICE: Final = 2_000
MAX_ROWS_PER_SLICE: Final = 4_000  # but for corrections, which belong to their step

# A year of windows of 20 seconds in slices of 2,000, twice over.
_MAX_SLICES: Final = 1_600


class Doorbell(msgspec.Struct, frozen=True):
    """What a message on the stream of windows says to the judging side."""

    generation: int
    series: tuple[str, ...]


class PredictOutcome(msgspec.Struct):
    """What one run judged.

    Attributes:
        windows: Revisions judged or found not to be judged.
        anomalous: Those of them that were too high or too low.
        not_judged: Those that were not judged.
        errors: Those for which the predictor answered nonsense.
        alerts: Alerts written to the outbox.
        slices: Slices read, each with at most one call of the predictor.
    """

    windows: int = 0
    anomalous: int = 0
    not_judged: int = 0
    errors: int = 0
    alerts: int = 0
    slices: int = 0


def read_doorbell(payload: bytes) -> Doorbell:
    """Return the generation and the series that an announcement names.

    Raises:
        Rejected: it is no announcement. Nothing is lost: the sweep rings for what is unjudged.
    """
    try:
        window = read_announcement(payload)
        for item in window.series:
            item.series.encode()
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Rejected(RejectReason.NOT_AN_EVENT) from error
    return Doorbell(window.generation, tuple(item.series for item in window.series))


class PredictStep:
    """Judges backlogs; holds nothing between runs.

    Args:
        store: Completed windows in, judgements out.
        predictor: Answers feature rows; None while there is no model.
        rules: The settings.
        max_steps: Steps of a series in one slice at most; changes no verdict.
    """

    def __init__(
        self,
        store: JudgingStore,
        predictor: Predictor | None,
        rules: JudgingRules,
        *,
        max_steps: int = MAX_STEPS_PER_SLICE,
    ) -> None:
        self._store = store
        self._predictor = predictor
        self._rules = rules
        self._max_steps = max_steps

    def ring(self, doorbells: Sequence[Doorbell]) -> PredictOutcome:
        """Judge all series that the doorbells of a batch name, each generation by itself."""
        wanted: dict[int, set[str]] = {}
        for doorbell in doorbells:
            wanted.setdefault(doorbell.generation, set()).update(doorbell.series)
        return self.run(wanted)

    def run(self, wanted: Mapping[int, Set[str]]) -> PredictOutcome:
        """Judge until nothing is left unjudged of the series wanted, by generation.

        Raises:
            Transient: store or predictor ask for another try; what was judged is kept, nothing is
                skipped.
        """
        outcome = PredictOutcome()
        for generation in sorted(wanted):
            self._judge_all(generation, sorted(wanted[generation], key=str.encode), outcome)
        return outcome

    def _judge_all(self, generation: int, series: list[str], outcome: PredictOutcome) -> None:
        """Judge what is new of many series together, then what is old of few at a time.

        Each slice reads weeks of history for each of its series: a backlog has to make the most of
        that, and a new window of many series wants one call of the predictor.
        """
        for at_most in (MAX_SERIES_PER_SLICE, 1):
            together = max(1, min(at_most, len(series)))
            steps = min(self._max_steps, MAX_ROWS_PER_SLICE // together)
            limits = SliceLimits(self._rules.size_ms, steps, self._rules.memory_days)
            left: list[str] = []
            for first in range(0, len(series), together):
                left += self._judge_some(
                    generation, series[first : first + together], limits, outcome
                )
            series = left
        if series:
            msg = f"others judge {series[0]} at the same time, again and again"
            raise Transient(msg)

    def _judge_some(
        self, generation: int, series: list[str], limits: SliceLimits, outcome: PredictOutcome
    ) -> list[str]:
        """Judge one slice of several series, or of one series all; return what may be left."""
        for _ in range(_MAX_SLICES):
            backlogs = self._store.backlog(generation, series, limits)
            if not backlogs:
                return []
            outcome.slices += 1
            judged = self._judge(backlogs)
            written = set(self._store.write(judged))
            _note(outcome, (one for one in judged if one.series in written))
            if len(series) > 1:
                return [one.series for one in backlogs if one.series not in written or one.goes_on]
        return series

    def _judge(self, backlogs: Sequence[SeriesBacklog]) -> list[JudgedSeries]:
        features = [
            feature_rows(backlog.counts, backlog.items, size_ms=self._rules.size_ms)
            for backlog in backlogs
        ]
        try:
            answers = self._answers(features)
        except NoModel as error:
            if any(np.isfinite(backlog.residuals.expected).any() for backlog in backlogs):
                # Somebody's model has answered, so it is down, and what it owes is waited for.
                raise Transient(str(error)) from error
            answers = iter([_NO_MODEL] * sum(len(backlog.items) for backlog in backlogs))
        return [
            judge_series(backlog, list(islice(answers, len(backlog.items))), self._rules)
            for backlog in backlogs
        ]

    def _answers(self, features: Sequence[FeatureRows]) -> Iterator[Answer]:
        """Ask the predictor once for all rows with enough history; one answer a row, in order."""
        known = np.concatenate([one.known for one in features])
        if self._predictor is None:
            return iter([_NO_MODEL] * len(known))
        enough = known >= self._rules.enough_windows
        rows = np.vstack([one.rows for one in features])[enough].tolist()
        scores = _ask(self._predictor, rows) if rows else Scores((), "")
        scored = iter(scores.values)
        return (
            _answer(next(scored), scores.model_version) if asked else _TOO_LITTLE
            for asked in enough.tolist()
        )


_NO_MODEL: Final = Answer(PredictionStatus.NONE, reason=Reason.NO_MODEL)
_TOO_LITTLE: Final = Answer(PredictionStatus.NONE, reason=Reason.TOO_LITTLE_HISTORY)


def _ask(predictor: Predictor, rows: list[list[float]]) -> Scores:
    """Return one score a row; NaN for all where the answer fits no row."""
    try:
        scores = predictor.predict(rows)
    except UnusableAnswer:
        return Scores((math.nan,) * len(rows), "")
    if len(scores.values) != len(rows):
        return Scores((math.nan,) * len(rows), scores.model_version)
    return scores


def _answer(score: float, model_version: str) -> Answer:
    expected = expected_of(score)
    if expected is None:
        return Answer(PredictionStatus.ERROR, None, model_version, Reason.ERROR)
    return Answer(PredictionStatus.OK, expected, model_version)


def _note(outcome: PredictOutcome, judged: Iterator[JudgedSeries]) -> None:
    for series in judged:
        outcome.windows += len(series.predictions)
        outcome.alerts += len(series.alerts)
        for prediction in series.predictions:
            outcome.not_judged += prediction.verdict is Verdict.NOT_JUDGED
            outcome.anomalous += prediction.verdict in (Verdict.TOO_HIGH, Verdict.TOO_LOW)
            outcome.errors += prediction.status is PredictionStatus.ERROR


def series_of(rows: Sequence[CompletedWindow]) -> dict[int, set[str]]:
    """Return the series that completed windows name, by generation: what to `run`."""
    wanted: dict[int, set[str]] = {}
    for row in rows:
        wanted.setdefault(row.generation, set()).add(row.series)
    return wanted
