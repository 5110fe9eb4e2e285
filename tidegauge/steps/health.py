"""The health step: reads a stream's state, twice where one reading does not decide.

What looks stalled may be about to move: a backlog that is read, a replay between two batches. So
somebody who looks once is told only what a second look confirms.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from tidegauge.domain.health import Health, HealthRules, State, health_of
from tidegauge.domain.window import MINUTE_MS
from tidegauge.ports import PatientClock
from tidegauge.ports.diagnosis import Snapshots
from tidegauge.setting_reader import Reader
from tidegauge.settings import Clocks, StreamSettings, WindowSettings

# The settings that decide what is a stall.
RULE_VARIABLES = (
    "WINDOW_SECONDS",
    "ALLOWED_LATENESS_SECONDS",
    "HEARTBEATS",
    "HEARTBEATS_PER_MINUTE",
    "AWS_ENDPOINT_URL",
)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

# A function that works commits a batch within seconds.
SECOND_LOOK_MS = 6_000
_BETWEEN_MS = 500


def look(
    snapshots: Snapshots,
    rules: HealthRules,
    clock: PatientClock,
    *,
    second_look_ms: int = SECOND_LOOK_MS,
) -> Health | None:
    """Return the state of a stream; None if none of it was ever counted.

    Takes up to `second_look_ms` longer where something looks stalled and does not move.

    Raises:
        Transient: the store cannot answer now.
        Misconfigured: it cannot be used as it is set.
    """
    first = snapshots.read()
    if first is None:
        return None
    health = health_of(first, rules)
    deadline_ms = clock.now_ms() + second_look_ms
    while health.state is State.STALLED and clock.now_ms() < deadline_ms:
        clock.wait_until_ms(clock.now_ms() + _BETWEEN_MS)
        now = snapshots.read()
        if now is None:
            return None
        health = health_of(now, rules, first)
    return health


def health_rules(variables: Mapping[str, str]) -> HealthRules:
    """Return what is a stall, by the settings of windows, of the stream's clock and of its engine.

    Args:
        variables: `RULE_VARIABLES` as they are set, others are not read.

    Raises:
        Misconfigured: with one sentence for each faulty variable.
    """
    set_here = {name: variables.get(name, "") for name in RULE_VARIABLES}
    # Which streams they are makes no difference.
    reader = Reader({**set_here, **dict.fromkeys(("EVENTS_STREAM", "WINDOWS_STREAM"), "any")})
    windows, streams = WindowSettings.read(reader), StreamSettings.read(reader)
    reader.raise_faults()
    return HealthRules(
        size_ms=windows.size_ms,
        lateness_ms=windows.lateness_ms,
        beat_ms=MINUTE_MS // streams.heartbeats_per_minute,
        clock_is_sweep=streams.heartbeats is Clocks.SWEEP,
        streams_last=not _is_here(set_here["AWS_ENDPOINT_URL"]),
    )


def _is_here(url: str) -> bool:
    """Whether an AWS endpoint is an engine on this machine."""
    try:
        return urlsplit(url.strip()).hostname in _LOOPBACK
    except ValueError:  # no address at all; whoever connects there says so
        return False
