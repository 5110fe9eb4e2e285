"""How counts are judged."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tidegauge.setting_reader import Reader
from tidegauge.settings.concern import Settings

if TYPE_CHECKING:
    from tidegauge.domain.judging import JudgingRules

ENDPOINT_NAME = re.compile(r"[A-Za-z0-9](-*[A-Za-z0-9]){0,62}")


@dataclass(frozen=True, slots=True)
class JudgingSettings(Settings):
    """How counts are judged.

    Attributes:
        endpoint_name: The SageMaker endpoint; empty while there is no model.
        false_alerts_per_week: The one dial: false alerts to expect per series-week.
        clear_windows: Normal windows in a row that end an incident.
        history_days: Days of residuals that the interval is built from.
        dashboard_url: Linked in alerts; empty for no link.
        interval_level: Nominal coverage of the prediction interval, in (0, 1).
        enough_windows: Known counts of a series before a model is asked about it; fewer than 72
            also judge by no more residuals than that, with a wider interval.
    """

    endpoint_name: str = ""
    false_alerts_per_week: float = 0.5
    clear_windows: int = 12
    history_days: int = 14
    dashboard_url: str = ""
    interval_level: float = 0.95
    enough_windows: int = 288

    def judging_rules(self, *, size_ms: int) -> "JudgingRules":
        """Return what decides verdicts. Needs numpy, which only judging deployables have.

        Args:
            size_ms: Window length.
        """
        from tidegauge.domain.judging import JudgingRules

        return JudgingRules(
            size_ms=size_ms,
            false_alerts_per_week=self.false_alerts_per_week,
            clear_windows=self.clear_windows,
            interval_level=self.interval_level,
            memory_days=self.history_days,
            enough_windows=self.enough_windows,
            dashboard_url=self.dashboard_url,
        )

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take the variables of this concern."""
        return cls(
            endpoint_name=reader.text(
                "ENDPOINT_NAME", "", ENDPOINT_NAME, "the name of a SageMaker endpoint"
            ),
            false_alerts_per_week=reader.real("FALSE_ALERTS_PER_WEEK", 0.5, 0.001, 1000.0),
            clear_windows=reader.whole("CLEAR_WINDOWS", 12, 1, 10_000),
            history_days=reader.whole("HISTORY_DAYS", 14, 1, 28),
            dashboard_url=reader.text(
                "DASHBOARD_URL", "", re.compile(r"https?://\S+"), "an http or https address"
            ),
            interval_level=reader.real("INTERVAL_LEVEL", 0.95, 0.5, 0.9999),
            enough_windows=reader.whole("ENOUGH_WINDOWS", 288, 6, 40_320),
        )
