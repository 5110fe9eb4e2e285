"""What a simulation was asked for: options and environment as one goal."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from tidegauge.domain.errors import InvalidInput, Misconfigured, Rejected
from tidegauge.domain.event_time import format_time, parse_time_ms
from tidegauge.domain.simulation import Fault, SimulatedType, Simulation
from tidegauge.simulator_settings import SimulatorSettings, duration_ms_of, fault_of

_DEFAULT_TICK = "1"
_FLAGS = {"start": "--from", "lasting": "--for"}
# Options that stand for a setting; its name in a complaint is replaced by theirs.
_VARIABLES = {
    "seed": "SIMULATOR_SEED",
    "types": "SIMULATOR_TYPES",
    "rate": "SIMULATOR_RATE",
    "season": "SIMULATOR_SEASON",
    "tick": "SIMULATOR_TICK_SECONDS",
    "inject": "SIMULATOR_FAULTS",
}


class Source(StrEnum):
    """Where events come from."""

    SIMULATOR = "simulator"
    DATABASE = "database"


class SimulateOptions(msgspec.Struct, frozen=True):
    """The options of the command as they were written; None where one was not."""

    seed: str | None = None
    types: str | None = None
    rate: str | None = None
    season: str | None = None
    inject: tuple[str, ...] = ()
    start: str | None = None
    until: str | None = None
    lasting: str | None = None
    tick: str | None = None
    source: Source = Source.SIMULATOR
    as_json: bool = False

    @property
    def of_simulation(self) -> tuple[str, ...]:
        """The options that only a simulation has a use for."""
        return ("seed", "types", "rate", "season", "inject", "start")

    def is_given(self, name: str) -> bool:
        """Whether an option differs from its default."""
        return bool(getattr(self, name) != getattr(SimulateOptions(), name))

    def flag(self, name: str) -> str:
        """Return an option as people write it."""
        return _FLAGS.get(name, f"--{name}")


class Goal(msgspec.Struct, frozen=True):
    """What is to be done.

    Attributes:
        stream: Where events go; a fixture has none.
        settings: What is simulated, but for the faults.
        faults: What goes wrong.
        start_ms: Where the span of event time begins.
        end_ms: Where it ends; None for never.
        as_json: Print sums as JSON and no progress.
        source: Where events come from.
    """

    stream: str
    settings: SimulatorSettings
    faults: tuple[Fault, ...]
    start_ms: int
    end_ms: int | None
    as_json: bool
    source: Source

    def simulation(self) -> Simulation:
        """Return what draws the events. Raises InvalidInput."""
        types: list[SimulatedType] = self.settings.types()
        return Simulation(
            self.settings.simulator_seed,
            types,
            faults=self.faults,
            season=self.settings.simulator_season,
        )


def goal_of(
    options: SimulateOptions,
    env: Mapping[str, str],
    *,
    stream: str,
    now_ms: int | None,
    simulated: bool = True,
) -> Goal:
    """Return what options and environment ask for together.

    Args:
        options: Go before the environment.
        env: The settings of the simulator.
        stream: Where events go.
        now_ms: Where the span begins without `--from`; None where that must be given.
        simulated: Whether the simulator's settings matter.

    Raises:
        InvalidInput: some option is none.
        Misconfigured: some option or setting of the simulator is none; all of them.
    """
    start_ms, end_ms = _span(options, now_ms)
    settings = _settings(options, env if simulated else {}, stream)
    names = [kind.name for kind in settings.types()]
    faults = []
    for text in options.inject or _listed(settings.simulator_faults):
        try:
            fault = fault_of(text, names, now_ms=start_ms)
            if options.inject:  # those of the environment may be meant for another day
                _refuse_outside(fault, text, start_ms, end_ms)
            faults.append(fault)
        except InvalidInput as error:
            msg = f"--inject {error}"
            raise InvalidInput(msg) from None
    goal = Goal(stream, settings, tuple(faults), start_ms, end_ms, options.as_json, options.source)
    goal.simulation()  # faults and rates together may ask for too much
    return goal


def _refuse_outside(fault: Fault, text: str, start_ms: int, end_ms: int | None) -> None:
    if fault.end_ms <= start_ms or (end_ms is not None and fault.start_ms >= end_ms):
        until = "" if end_ms is None else f" until {format_time(end_ms)}"
        msg = f"{text} would change nothing: the span goes from {format_time(start_ms)}{until}"
        raise InvalidInput(msg)


def _span(options: SimulateOptions, now_ms: int | None) -> tuple[int, int | None]:
    start_ms = now_ms if options.start is None else _time_of("--from", options.start)
    if start_ms is None:
        msg = "--from TIME is missing"
        raise InvalidInput(msg)
    if options.until is not None and options.lasting is not None:
        msg = "give --until or --for, not both"
        raise InvalidInput(msg)
    if options.until is not None:
        end_ms = _time_of("--until", options.until)
    elif options.lasting is not None:
        try:
            end_ms = start_ms + duration_ms_of(options.lasting)
        except InvalidInput as error:
            msg = f"--for {error}"
            raise InvalidInput(msg) from None
    else:
        return start_ms, None
    if end_ms <= start_ms:
        msg = "--until must lie behind --from, or ahead of now"
        raise InvalidInput(msg)
    return start_ms, end_ms


def _time_of(flag: str, text: str) -> int:
    try:
        return parse_time_ms(text)
    except Rejected:
        msg = f"{flag} needs a time in RFC 3339, such as 2026-11-24T10:00:00Z, not {text!r}"
        raise InvalidInput(msg) from None


def _settings(options: SimulateOptions, env: Mapping[str, str], stream: str) -> SimulatorSettings:
    given = {
        variable: str(getattr(options, name))
        for name, variable in _VARIABLES.items()
        if name != "inject" and getattr(options, name) is not None
    }
    if options.inject:
        given["SIMULATOR_FAULTS"] = ""
    # The setting is for a function of a minute; a command in the foreground is in more of a hurry.
    given.setdefault("SIMULATOR_TICK_SECONDS", _DEFAULT_TICK)
    for name in ("seed", "types", "rate", "season", "tick"):
        if getattr(options, name) is not None and not getattr(options, name).strip():
            msg = f"{options.flag(name)} is empty; leave it out for its default"
            raise InvalidInput(msg)
    try:
        return SimulatorSettings.from_env({**env, **given, "EVENTS_STREAM": stream})
    except Misconfigured as error:
        raise Misconfigured([_by_flag(problem, given) for problem in error.problems]) from None


def _by_flag(problem: str, given: Mapping[str, str]) -> str:
    for name, variable in _VARIABLES.items():
        if variable in given:
            problem = problem.replace(variable, f"--{name}")
    return problem.replace("EVENTS_STREAM", "--to")


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
