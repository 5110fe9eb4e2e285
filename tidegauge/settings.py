"""Settings: one frozen dataclass per concern, read once from a mapping such as the environment.

A field's name in upper case is the variable's name. Faults are collected and reported together, as
sentences that never repeat a secret. Nothing is read at import.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Self, TypeVar, overload

from tidegauge.database_address import DatabaseAddress as DatabaseAddress
from tidegauge.domain.close import CloseRules
from tidegauge.domain.errors import Misconfigured
from tidegauge.domain.fold import CountRules
from tidegauge.setting_reader import Reader

if TYPE_CHECKING:
    from tidegauge.domain.judging import JudgingRules

_DAY_SECONDS = 86_400
_WEEK_SECONDS = 7 * _DAY_SECONDS
_SERIES_FIELD = re.compile(r"type|source|subject|data(\.[^.\s]+)+")
_STREAM_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_ENDPOINT_NAME = re.compile(r"[A-Za-z0-9](-*[A-Za-z0-9]){0,62}")
_TOPIC_ARN = re.compile(r"arn:[a-z-]+:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}")
_SECRET_ARN = re.compile(r"arn:[a-z-]+:secretsmanager:[a-z0-9-]+:\d{12}:secret:.+")


class Clocks(StrEnum):
    """Who puts heartbeats on the stream: the sweep, or the producer of a replay."""

    SWEEP = "sweep"
    PRODUCER = "producer"


class Settings:
    """One concern's settings; each kind is a frozen dataclass."""

    __slots__ = ()

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take this concern's variables; faults stay with the reader."""
        raise NotImplementedError

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read this concern alone. Raises Misconfigured with all its faults."""
        reader = Reader(env)
        settings = cls.read(reader)
        reader.raise_faults()
        return settings


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


@dataclass(frozen=True, slots=True)
class StreamSettings(Settings):
    """The streams and their clock.

    Attributes:
        events_stream: Name of the stream that producers write to.
        windows_stream: Name of the stream of announcements.
        heartbeats: Who is the clock of the events stream.
        clock_source: The CloudEvents `source` that its heartbeats bear.
    """

    events_stream: str
    windows_stream: str
    heartbeats: Clocks = Clocks.SWEEP
    clock_source: str = "/tidegauge/clock"

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take the variables of this concern."""
        name = "the name of a Kinesis stream"
        return cls(
            events_stream=reader.text("EVENTS_STREAM", None, _STREAM_NAME, name),
            windows_stream=reader.text("WINDOWS_STREAM", None, _STREAM_NAME, name),
            heartbeats=Clocks(
                reader.choice("HEARTBEATS", Clocks.SWEEP, (Clocks.SWEEP, Clocks.PRODUCER))
            ),
            clock_source=reader.text("CLOCK_SOURCE", "/tidegauge/clock", None, ""),
        )


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
    """

    endpoint_name: str = ""
    false_alerts_per_week: float = 0.5
    clear_windows: int = 12
    history_days: int = 14
    dashboard_url: str = ""
    interval_level: float = 0.95

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
            dashboard_url=self.dashboard_url,
        )

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take the variables of this concern."""
        return cls(
            endpoint_name=reader.text(
                "ENDPOINT_NAME", "", _ENDPOINT_NAME, "the name of a SageMaker endpoint"
            ),
            false_alerts_per_week=reader.real("FALSE_ALERTS_PER_WEEK", 0.5, 0.001, 1000.0),
            clear_windows=reader.whole("CLEAR_WINDOWS", 12, 1, 10_000),
            history_days=reader.whole("HISTORY_DAYS", 14, 1, 28),
            dashboard_url=reader.text(
                "DASHBOARD_URL", "", re.compile(r"https?://\S+"), "an http or https address"
            ),
            interval_level=reader.real("INTERVAL_LEVEL", 0.95, 0.5, 0.9999),
        )


@dataclass(frozen=True, slots=True)
class AlertSettings(Settings):
    """Where alerts go.

    Attributes:
        alerts_topic_arn: The SNS topic that people subscribe to.
    """

    alerts_topic_arn: str

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take the variables of this concern."""
        return cls(
            reader.text("ALERTS_TOPIC_ARN", None, _TOPIC_ARN, "the ARN of an SNS topic"),
        )


@dataclass(frozen=True, slots=True)
class DatabaseSettings(Settings):
    """How to reach the database: by a secret in the cloud, by an address on a laptop.

    Attributes:
        database_secret_arn: Secrets Manager secret with address and account; empty for a URL.
        database_url: `mysql://user:password@host:port/database`; empty for a secret.
        database_tls: `required` or `off`; empty for off on this machine and required elsewhere.
    """

    database_secret_arn: str = ""
    database_url: str = field(default="", repr=False)
    database_tls: str = ""

    def address(self) -> DatabaseAddress | None:
        """Return the address of `database_url`, or None where a secret holds it."""
        return DatabaseAddress.from_url(self.database_url) if self.database_url else None

    def needs_tls(self, address: DatabaseAddress) -> bool:
        """Whether a connection to this address must be encrypted."""
        if self.database_tls:
            return self.database_tls == "required"
        return not address.is_loopback

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take the variables of this concern."""
        settings = cls(
            database_secret_arn=reader.text(
                "DATABASE_SECRET_ARN", "", _SECRET_ARN, "the ARN of a Secrets Manager secret"
            ),
            database_url=reader.secret("DATABASE_URL"),
            database_tls=reader.choice("DATABASE_TLS", "", ("", "required", "off")),
        )
        given = bool(settings.database_secret_arn) + bool(settings.database_url)
        reader.require(
            given == 1,
            "set one of DATABASE_SECRET_ARN and DATABASE_URL, not "
            + ("both" if given else "neither"),
        )
        try:
            settings.address()
        except Misconfigured as fault:
            reader.problems.extend(fault.problems)
        return settings


S1 = TypeVar("S1", bound=Settings)
S2 = TypeVar("S2", bound=Settings)
S3 = TypeVar("S3", bound=Settings)
S4 = TypeVar("S4", bound=Settings)
S5 = TypeVar("S5", bound=Settings)


@overload
def read_settings(env: Mapping[str, str], kind1: type[S1], /) -> tuple[S1]: ...
@overload
def read_settings(env: Mapping[str, str], kind1: type[S1], kind2: type[S2], /) -> tuple[S1, S2]: ...
@overload
def read_settings(
    env: Mapping[str, str], kind1: type[S1], kind2: type[S2], kind3: type[S3], /
) -> tuple[S1, S2, S3]: ...
@overload
def read_settings(
    env: Mapping[str, str], kind1: type[S1], kind2: type[S2], kind3: type[S3], kind4: type[S4], /
) -> tuple[S1, S2, S3, S4]: ...
@overload
def read_settings(
    env: Mapping[str, str],
    kind1: type[S1],
    kind2: type[S2],
    kind3: type[S3],
    kind4: type[S4],
    kind5: type[S5],
    /,
) -> tuple[S1, S2, S3, S4, S5]: ...


def read_settings(env: Mapping[str, str], /, *kinds: type[Settings]) -> tuple[Settings, ...]:
    """Read several concerns and report the faults of all of them together.

    Args:
        env: Usually the environment.
        kinds: The concerns, for example `WindowSettings, DatabaseSettings`.

    Raises:
        Misconfigured: with one sentence for each faulty variable of any of them.
    """
    reader = Reader(env)
    settings = tuple(kind.read(reader) for kind in kinds)
    reader.raise_faults()
    return settings


def variable_names(kind: type[Settings]) -> tuple[str, ...]:
    """Return the environment variables of one concern, in order of its fields."""
    return tuple(entry.name.upper() for entry in fields(kind))  # type: ignore[arg-type]
