"""How events are cut into windows, and what is set aside."""

import re
from dataclasses import dataclass
from typing import Self

from tidegauge.domain.close import CloseRules
from tidegauge.domain.fold import CountRules
from tidegauge.setting_reader import Reader
from tidegauge.settings.concern import Settings

_DAY_SECONDS = 86_400
_WEEK_SECONDS = 7 * _DAY_SECONDS
_SERIES_FIELD = re.compile(r"type|source|subject|data(\.[^.\s]+)+")


@dataclass(frozen=True, slots=True)
class WindowSettings(Settings):
    """How events are cut into windows, and what is set aside.

    Attributes:
        window_seconds: Length of a window; divides a day, or is whole days up to a week.
        allowed_lateness_seconds: How long after its end a window waits for its events.
        series_by: The fields whose values name an event's series, joined by commas.
        max_future_skew_seconds: How far ahead of stream time an event may lie.
        max_event_age_hours: How far behind stream time an event may lie.
        series_idle_days: A series without events for so long is retired.
        max_series: Active series at once; events of further ones count as `__other__`.
        max_rows_per_close: Announced rows in one closing transaction.
        quarantine_max_mb: Bytes kept of rejected records; beyond it, their hashes only.
    """

    window_seconds: int = 300
    allowed_lateness_seconds: int = 60
    series_by: str = "type"
    max_future_skew_seconds: int = 300
    max_event_age_hours: int = 24
    series_idle_days: int = 14
    max_series: int = 10_000
    max_rows_per_close: int = 20_000
    quarantine_max_mb: int = 512

    @property
    def size_ms(self) -> int:
        """Length of a window, ms."""
        return self.window_seconds * 1000

    @property
    def lateness_ms(self) -> int:
        """Allowed lateness, ms."""
        return self.allowed_lateness_seconds * 1000

    @property
    def series_fields(self) -> tuple[str, ...]:
        """The fields of `series_by`, in order."""
        return tuple(part.strip() for part in self.series_by.split(","))

    @property
    def max_future_skew_ms(self) -> int:
        """How far ahead of stream time an event may lie, ms."""
        return self.max_future_skew_seconds * 1000

    @property
    def max_event_age_ms(self) -> int:
        """How far behind stream time an event may lie, ms."""
        return self.max_event_age_hours * 3_600_000

    @property
    def series_idle_ms(self) -> int:
        """Silence after which a series is retired, ms."""
        return self.series_idle_days * _DAY_SECONDS * 1000

    def close_rules(self) -> CloseRules:
        """Return what decides which windows are announced."""
        return CloseRules(
            size_ms=self.size_ms,
            lateness_ms=self.lateness_ms,
            max_event_age_ms=self.max_event_age_ms,
            series_idle_ms=self.series_idle_ms,
            max_series=self.max_series,
            max_rows=self.max_rows_per_close,
        )

    def count_rules(self, *, clock_source: str, clock_is_sweep: bool) -> CountRules:
        """Return what decides which events are counted where.

        Args:
            clock_source: The CloudEvents `source` of the stream's heartbeats.
            clock_is_sweep: Whether they come from the sweep and not from a replay.
        """
        return CountRules(
            size_ms=self.size_ms,
            lateness_ms=self.lateness_ms,
            max_future_skew_ms=self.max_future_skew_ms,
            max_event_age_ms=self.max_event_age_ms,
            clock_source=clock_source,
            clock_is_sweep=clock_is_sweep,
        )

    @property
    def quarantine_max_bytes(self) -> int:
        """Bytes kept of rejected records."""
        return self.quarantine_max_mb * 1_000_000

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take the variables of this concern."""
        settings = cls(
            window_seconds=reader.whole("WINDOW_SECONDS", 300, 1, _WEEK_SECONDS),
            allowed_lateness_seconds=reader.whole("ALLOWED_LATENESS_SECONDS", 60, 0, _DAY_SECONDS),
            series_by=reader.text("SERIES_BY", "type", None, ""),
            max_future_skew_seconds=reader.whole("MAX_FUTURE_SKEW_SECONDS", 300, 60, _DAY_SECONDS),
            max_event_age_hours=reader.whole("MAX_EVENT_AGE_HOURS", 24, 1, 24 * 366),
            series_idle_days=reader.whole("SERIES_IDLE_DAYS", 14, 1, 3_660),
            max_series=reader.whole("MAX_SERIES", 10_000, 1, 1_000_000),
            max_rows_per_close=reader.whole("MAX_ROWS_PER_CLOSE", 20_000, 1, 1_000_000),
            quarantine_max_mb=reader.whole("QUARANTINE_MAX_MB", 512, 0, 1_000_000),
        )
        size = settings.window_seconds
        reader.require(
            _DAY_SECONDS % size == 0 or size % _DAY_SECONDS == 0,
            "WINDOW_SECONDS must divide a day (86400 seconds) or be whole days, so that the same "
            f"time of day always falls into the same window; {size} does neither",
        )
        paths = settings.series_fields
        reader.require(
            all(_SERIES_FIELD.fullmatch(path) for path in paths) and len(set(paths)) == len(paths),
            "SERIES_BY must name different fields joined by commas, out of type, source, subject "
            f"and fields below data, such as type,data.country, not {settings.series_by!r}",
        )
        reader.require(
            settings.max_event_age_ms >= settings.size_ms + settings.lateness_ms,
            "MAX_EVENT_AGE_HOURS must cover WINDOW_SECONDS and ALLOWED_LATENESS_SECONDS together, "
            "else events that are on time would be set aside as too old",
        )
        reader.require(
            settings.series_idle_days * 24 >= settings.max_event_age_hours,
            "SERIES_IDLE_DAYS must be no shorter than MAX_EVENT_AGE_HOURS, else a series could "
            "retire before its late events are counted",
        )
        return settings
