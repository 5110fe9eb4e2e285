"""`make live`: a stack of its own, with the sweep as clock and the simulator as source.

Takes the length of a window, gives everything that follows from it. Shares tools and artifacts with
the stack of `make run`, and no server, state folder or database.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from embedded.database import Database
from embedded.engine import Engine
from embedded.local import LocalStack, Ports, given_database
from embedded.places import Places
from embedded.stack import Wanted
from embedded.standin import FirstModel, StandIn
from tidegauge.domain.health import HealthRules
from tidegauge.domain.window import MINUTE_MS
from tidegauge.setting_reader import Reader
from tidegauge.settings import WindowSettings, variable_names
from tidegauge.simulator_settings import SimulatorSettings

# What a stack that is up keeps until another value is given.
SETTINGS = (
    "WINDOW_SECONDS",
    "ALLOWED_LATENESS_SECONDS",
    "HEARTBEATS_PER_MINUTE",
    "ENOUGH_WINDOWS",
    *(name for name in variable_names(SimulatorSettings) if name.startswith("SIMULATOR_")),
)
# Of the busiest series in one window: so many prove its silence by a memory of six windows.
EVENTS_PER_WINDOW = 300
# Each type with its share of those.
_TYPES = {"order.placed": 1.0, "payment.taken": 0.75, "user.signed_up": 0.3}
_SHORTEST_SECONDS, _LONGEST_SECONDS = 10, 3_600


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """What a live stack is deployed with.

    Attributes:
        windows: How events are cut into windows.
        heartbeats_per_minute: Rounds of the sweep's heartbeats in a minute.
        enough_windows: Windows of a series before it is judged.
        simulator: What is simulated.
    """

    windows: WindowSettings
    heartbeats_per_minute: int
    enough_windows: int
    simulator: SimulatorSettings

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "LiveSettings":
        """Read WINDOW_SECONDS, and of the rest what shall not follow from it.

        That is ALLOWED_LATENESS_SECONDS, HEARTBEATS_PER_MINUTE, ENOUGH_WINDOWS and the settings of
        the simulator.

        Raises:
            Misconfigured: some variable is not what it must be.
        """
        reader = Reader(env)
        size = reader.whole("WINDOW_SECONDS", 300, _SHORTEST_SECONDS, _LONGEST_SECONDS)
        reader.raise_faults()
        short = size < 60
        # Events are put a tick after they happened, and both must fit into the lateness.
        defaults = {
            "ALLOWED_LATENESS_SECONDS": str(min(60, max(10, size // 5))),
            "HEARTBEATS_PER_MINUTE": "12" if short else "4" if size < 300 else "1",
            "ENOUGH_WINDOWS": "6",
            "EVENTS_STREAM": "events",  # the template names the real one
            "SIMULATOR_TICK_SECONDS": "2" if short else "10",
            # Who looks on for minutes wants many events at night too.
            "SIMULATOR_SEASON": "0" if short else "0.5",
            "SIMULATOR_TYPES": ",".join(
                f"{name}:{share * EVENTS_PER_WINDOW * 60 / size:g}"
                for name, share in _TYPES.items()
            ),
        }
        reader = Reader({**defaults, **{name: text for name, text in env.items() if text.strip()}})
        settings = cls(
            WindowSettings.read(reader),
            reader.whole("HEARTBEATS_PER_MINUTE", 1, 1, 12),
            reader.whole("ENOUGH_WINDOWS", 6, 6, 40_320),
            SimulatorSettings.read(reader),
        )
        reader.raise_faults()
        return settings

    @property
    def size_ms(self) -> int:
        """Length of a window."""
        return self.windows.size_ms

    @property
    def wanted(self) -> Wanted:
        """What the template is deployed with."""
        return Wanted(
            heartbeats="sweep",
            retrains=True,
            settings={
                "HeartbeatsPerMinute": str(self.heartbeats_per_minute),
                "WindowSeconds": str(self.windows.window_seconds),
                "AllowedLatenessSeconds": str(self.windows.allowed_lateness_seconds),
                "EnoughWindows": str(self.enough_windows),
                "Simulator": "on",
                "SimulatorTypes": self.simulator.simulator_types,
                "SimulatorRate": f"{self.simulator.simulator_rate:g}",
                "SimulatorSeed": str(self.simulator.simulator_seed),
                "SimulatorSeason": f"{self.simulator.simulator_season:g}",
                "SimulatorTickSeconds": str(self.simulator.simulator_tick_seconds),
                "SimulatorFaults": self.simulator.simulator_faults,
            },
        )

    @property
    def model(self) -> FirstModel:
        """What the stand-in serves at first: a model for series without a past."""
        size = str(self.windows.window_seconds)
        return FirstModel(
            "sagemaker_standin.fit_young",
            ("--window-seconds", size),
            ("localstack/sagemaker_standin/fit_young.py",),
        )

    @property
    def health_rules(self) -> HealthRules:
        """What counts as a stall."""
        return HealthRules(
            size_ms=self.windows.size_ms,
            lateness_ms=self.windows.lateness_ms,
            beat_ms=MINUTE_MS // self.heartbeats_per_minute,
            clock_is_sweep=True,
            streams_last=False,
        )

    def stack(self, places: Places, env: Mapping[str, str] = os.environ) -> LocalStack:
        """Return the stack of these settings.

        Windows of another length are counted in another database: a history of both would be
        taken for one.

        Raises:
            InvalidInput: a port is none.
            Misconfigured: `DATABASE_URL` is none.
        """
        return LocalStack(
            places,
            self.wanted,
            ports=Ports.from_env(env, "LIVE_"),
            database=given_database(env),
            model=self.model,
            schema_suffix=f"_live_{self.windows.window_seconds}s",
        )


def settings_at(places: Places, env: Mapping[str, str] = os.environ) -> LiveSettings:
    """Return the settings of the stack of which a server is up, else those of `env` alone.

    Who comes back to a running stack need not repeat what it was started with, even if a part of it
    has died. Windows of another length have all that follows from them, as at the first start.

    Raises:
        Misconfigured: some variable is not what it must be.
    """
    kept: dict[str, str] = {}
    if any(_addresses(places)):
        with suppress(FileNotFoundError, msgspec.DecodeError):
            kept = msgspec.json.decode(_kept_at(places).read_bytes(), type=dict[str, str])
    given = _given(env)
    size = kept.get("WINDOW_SECONDS", "")
    if given.get("WINDOW_SECONDS", size).strip() != size:
        kept = {}
    return LiveSettings.from_env({**kept, **given})


def _addresses(places: Places) -> Iterator[object]:
    yield Engine(places).address()
    yield Database(places).address()
    yield StandIn(places).url


def keep_settings(places: Places, settings: LiveSettings) -> None:
    """Remember what a stack is started with."""
    simulator = settings.simulator
    values = {
        "WINDOW_SECONDS": settings.windows.window_seconds,
        "ALLOWED_LATENESS_SECONDS": settings.windows.allowed_lateness_seconds,
        "HEARTBEATS_PER_MINUTE": settings.heartbeats_per_minute,
        "ENOUGH_WINDOWS": settings.enough_windows,
        **{name: getattr(simulator, name.lower()) for name in SETTINGS if name.startswith("SIM")},
    }
    places.state.mkdir(parents=True, exist_ok=True)
    _kept_at(places).write_bytes(msgspec.json.encode({k: str(v) for k, v in values.items()}))


def _given(env: Mapping[str, str]) -> dict[str, str]:
    return {name: env[name] for name in SETTINGS if env.get(name, "").strip()}


def _kept_at(places: Places) -> Path:
    return places.state / "settings.json"
