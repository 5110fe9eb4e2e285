"""Judging a series: from revisions and their expected counts to verdicts, incidents and alerts.

A pure fold in the order of step, window and revision: each revision is judged by what was judged
before it, and by nothing else, so the size of a batch never shows. Knows no store and no clock.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.domain.alert import Alert, alert_of
from tidegauge.domain.count import CompletedWindow, Quality
from tidegauge.domain.few_residuals import fit_few
from tidegauge.domain.history import CountHistory, ResidualHistory
from tidegauge.domain.incident import Finding, Incident, follow
from tidegauge.domain.prediction import (
    UNTRUSTED,
    Position,
    Prediction,
    PredictionStatus,
    position_of,
)
from tidegauge.domain.residual import (
    MEMORY_DAYS,
    MIN_RESIDUALS,
    SUM_LENGTHS,
    Fit,
    fit_residuals,
    fit_step_ms,
    memory_windows,
)
from tidegauge.domain.sums import WindowSum, alert_level, interval, judge
from tidegauge.domain.verdict import Judgement, Reason, Verdict, not_judged

_QUALITY_REASONS: Final = {
    Quality.GAP: Reason.GAP,
    Quality.PARTIAL: Reason.PARTIAL,
    Quality.SUSPECT: Reason.SUSPECT,
    Quality.RETIRED: Reason.RETIRED,
}


class JudgingRules(msgspec.Struct, frozen=True):
    """The settings that decide verdicts.

    Attributes:
        size_ms: Window length.
        false_alerts_per_week: The one dial: false alerts to expect per series-week.
        clear_windows: Normal windows that end an incident.
        interval_level: Coverage of the prediction interval, in (0, 1).
        memory_days: How far back the residuals reach that noise and interval are taken from.
        enough_windows: Known counts that a model must have to look back on: a day of 5 minutes.
            Fewer than `MIN_RESIDUALS` ask for no more residuals than that either.
        dashboard_url: Linked in alerts if not empty.
    """

    size_ms: int = 300_000
    false_alerts_per_week: float = 0.5
    clear_windows: int = 12
    interval_level: float = 0.95
    memory_days: int = MEMORY_DAYS
    enough_windows: int = 288
    dashboard_url: str = ""

    @property
    def alpha(self) -> float:
        """The tail probability at which one test calls a window anomalous."""
        return alert_level(false_alerts_per_week=self.false_alerts_per_week, size_ms=self.size_ms)

    @property
    def judges_early(self) -> bool:
        """Whether fewer residuals than show a distribution are judged by."""
        return self.enough_windows < MIN_RESIDUALS


class SeriesBacklog(msgspec.Struct, frozen=True):
    """What is unjudged of one series, and what it is judged by.

    Attributes:
        generation: The stream generation's number in the store.
        series: The series.
        cursor: The last revision judged; None before the first.
        incident: The series' latest incident.
        items: Unjudged revisions in the order of judging, whole steps, at least one.
        last_step_ms: The last step announced, which may lie beyond the items.
        counts: What was announced before the first item's step.
        residuals: What was judged before the first item.
    """

    generation: int
    series: str
    cursor: Position | None
    incident: Incident | None
    items: tuple[CompletedWindow, ...]
    last_step_ms: int
    counts: CountHistory
    residuals: ResidualHistory

    @property
    def goes_on(self) -> bool:
        """Whether there is more to judge than these items."""
        return self.items[-1].step_ms < self.last_step_ms


class Answer(NamedTuple):
    """What was expected of one revision, or why nothing was."""

    status: PredictionStatus
    expected: float | None = None
    model_version: str = ""
    reason: Reason = Reason.NONE


class JudgedSeries(msgspec.Struct, frozen=True):
    """What a batch writes for one series, in one transaction with the others.

    Attributes:
        generation: The stream generation's number in the store.
        series: The series.
        follows: The cursor this was judged from: it may be written only where that still stands.
        cursor: The last revision judged.
        predictions: In the order of judging.
        incidents: Those that changed, as they stand now; the latest last.
        alerts: What people must be told, in order.
    """

    generation: int
    series: str
    follows: Position | None
    cursor: Position
    predictions: tuple[Prediction, ...]
    incidents: tuple[Incident, ...]
    alerts: tuple[Alert, ...]


def judge_series(
    backlog: SeriesBacklog, answers: Sequence[Answer], rules: JudgingRules
) -> JudgedSeries:
    """Judge the items of a series.

    Args:
        backlog: The items and what they are judged by.
        answers: One an item, in the same order.
        rules: The settings.
    """
    fold = _Fold(backlog, rules)
    predictions = tuple(
        fold.take(item, answer) for item, answer in zip(backlog.items, answers, strict=True)
    )
    return JudgedSeries(
        backlog.generation,
        backlog.series,
        backlog.cursor,
        position_of(backlog.items[-1]),
        predictions,
        tuple(fold.changed.values()),
        tuple(fold.alerts),
    )


def oldest_residual_ms(first_step_ms: int, *, size_ms: int, memory_days: int) -> int:
    """Return the start of the oldest window whose residual matters from a step on."""
    memory_ms = memory_windows(size_ms, memory_days) * size_ms
    return fit_step_ms(first_step_ms, size_ms=size_ms) - memory_ms


class _Fold:
    """The memory of a series while its items are judged one after the other."""

    def __init__(self, backlog: SeriesBacklog, rules: JudgingRules) -> None:
        self._rules = rules
        self._alpha = rules.alpha
        self._incident = backlog.incident
        self.changed: dict[str, Incident] = {}
        self.alerts: list[Alert] = []
        size_ms = rules.size_ms
        self._memory = memory_windows(size_ms, rules.memory_days)
        first_step_ms, last_step_ms = backlog.items[0].step_ms, backlog.items[-1].step_ms
        self._base_ms = oldest_residual_ms(
            first_step_ms, size_ms=size_ms, memory_days=rules.memory_days
        )
        n_windows = (last_step_ms - self._base_ms) // size_ms + 1
        self._actual = np.full(n_windows, np.nan)
        self._expected = np.full(n_windows, np.nan)
        self._anomalous = np.zeros(n_windows, dtype=np.bool_)
        self._whole_fit: Fit | None = None
        self._fit: Fit | None = None
        self._fit_step_ms = fit_step_ms(first_step_ms, size_ms=size_ms)
        self._step_ms = first_step_ms
        # The fit must not see what was judged since its own step.
        earlier = backlog.residuals.step_ms < self._fit_step_ms
        self._remember(backlog.residuals, earlier)
        self._refit()
        self._remember(backlog.residuals, ~earlier)
        self._begin()

    def _remember(self, past: ResidualHistory, chosen: NDArray[np.bool_]) -> None:
        index = (past.window_start_ms - self._base_ms) // self._rules.size_ms
        chosen = chosen & (index >= 0) & (index < len(self._actual))
        index = index[chosen]
        self._actual[index] = past.actual[chosen]
        self._expected[index] = past.expected[chosen]
        found = past.anomalous[chosen]
        self._anomalous[index[found >= 0]] = found[found >= 0] == 1

    def _refit(self) -> None:
        """Take the fit at its own step."""
        memory = self._memory_before(self._fit_step_ms)
        self._whole_fit = fit_residuals(
            self._actual[memory],
            self._expected[memory],
            self._anomalous[memory],
            level=self._rules.interval_level,
        )

    def _begin(self) -> None:
        """Choose what to judge a step by: a short memory changes too much to wait for its fit."""
        self._fit = self._whole_fit
        if self._fit is None and self._rules.judges_early:
            memory = self._memory_before(self._step_ms)
            self._fit = fit_few(
                self._actual[memory],
                self._expected[memory],
                self._anomalous[memory],
                level=self._rules.interval_level,
                alpha=self._alpha,
                least=self._rules.enough_windows,
            )

    def _memory_before(self, step_ms: int) -> slice:
        until = (step_ms - self._base_ms) // self._rules.size_ms
        return slice(until - self._memory, until)

    def take(self, item: CompletedWindow, answer: Answer) -> Prediction:
        """Judge one revision, remember it and follow the series' incident."""
        step_ms = fit_step_ms(item.step_ms, size_ms=self._rules.size_ms)
        if step_ms != self._fit_step_ms:
            self._fit_step_ms = step_ms
            self._refit()
        if item.step_ms != self._step_ms:
            self._step_ms = item.step_ms
            self._begin()
        reason = _QUALITY_REASONS.get(item.quality, answer.reason)
        usable = answer.expected is not None and reason not in UNTRUSTED
        index = (item.window_start_ms - self._base_ms) // self._rules.size_ms
        oldest = (step_ms - self._base_ms) // self._rules.size_ms - self._memory
        remembered = index >= oldest
        was_anomalous = bool(remembered and self._anomalous[index])
        if remembered:
            self._actual[index] = item.count if usable else np.nan
            self._expected[index] = answer.expected if usable else np.nan
        judgement = self._judge(item, answer, reason, index, oldest)
        found = found_either_way(judgement.verdict, judgement.reason)
        if remembered and found >= 0:
            self._anomalous[index] = found == 1
        self._follow(Finding(item, judgement, was_anomalous))
        return self._prediction(item, answer, judgement)

    def _judge(
        self, item: CompletedWindow, answer: Answer, reason: Reason, index: int, oldest: int
    ) -> Judgement:
        if reason is not Reason.NONE:
            return not_judged(reason)
        if answer.expected is None or self._fit is None:
            return not_judged(Reason.TOO_LITTLE_HISTORY)
        sums = [WindowSum(1, float(item.count), answer.expected)]
        for length in SUM_LENGTHS[1:]:
            first = index + 1 - length
            if first < oldest:
                continue
            expected = sum(self._expected[first : index + 1].tolist())
            actual = sum(self._actual[first : index + 1].tolist())
            if math.isfinite(expected):  # NaN where one of the windows is not usable
                sums.append(WindowSum(length, actual, expected))
        return judge(sums, self._fit, alpha=self._alpha)

    def _follow(self, finding: Finding) -> None:
        before = self._incident
        after, kind = follow(
            before, finding, clear_windows=self._rules.clear_windows, alpha=self._alpha
        )
        if after is None or after is before:
            return
        self._incident = after
        # An incident that another one replaces is complete; the dict keeps the order of opening.
        self.changed[after.incident_id] = after
        if kind is not None:
            alert = alert_of(
                kind,
                after,
                finding,
                size_ms=self._rules.size_ms,
                dashboard_url=self._rules.dashboard_url,
            )
            self.alerts.append(alert)

    def _prediction(
        self, item: CompletedWindow, answer: Answer, judgement: Judgement
    ) -> Prediction:
        lower = upper = None
        if answer.expected is not None and self._fit is not None:
            lower, upper = interval(answer.expected, self._fit.sums[0])
        return Prediction(
            item,
            answer.status,
            answer.expected,
            lower,
            upper,
            judgement.verdict,
            judgement.reason,
            judgement.windows,
            judgement.tail_probability if judgement.windows else None,
            answer.model_version,
        )


def found_either_way(verdict: Verdict, reason: Reason) -> int:
    """Return 1 for an anomalous window, 0 for one that is not, -1 where nothing was found.

    A window too weak to show a drop was still not too high.
    """
    if verdict in (Verdict.TOO_HIGH, Verdict.TOO_LOW):
        return 1
    return 0 if verdict is Verdict.NORMAL or reason is Reason.TOO_WEAK else -1
