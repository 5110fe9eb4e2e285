"""What the simulator simulates, read from a mapping of texts, with all faults told together."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from tidegauge.domain.errors import InvalidInput, Rejected
from tidegauge.domain.event import HEARTBEAT_TYPE
from tidegauge.domain.event_time import LATEST_TIME_MS, format_time, parse_time_ms
from tidegauge.domain.simulation import Fault, FaultKind, SimulatedType, Simulation
from tidegauge.setting_reader import Reader
from tidegauge.settings import Settings

DEFAULT_TYPES = "order.placed:60,payment.taken:45,user.signed_up:6"
_STREAM_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_TYPE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_NUMBER = re.compile(r"\d{1,9}(\.\d{1,6})?", re.ASCII)
_FAULT = re.compile(r"([a-z]+):([^@]+)@(.+)\+([^+]+)")
_FACTOR = re.compile(r"(.+)x(\d{1,4}(?:\.\d{1,6})?)", re.ASCII)
_DURATION = re.compile(r"(\d{1,6})(s|m|h|d|)", re.ASCII)
_UNITS_MS = {"": 1000, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_FACTORS = {FaultKind.SPIKE: 5.0, FaultKind.DROP: 0.2, FaultKind.SILENCE: 0.0}
_MAX_FACTOR = 1000.0
_FAULT_FORM = "KIND:TYPE@START+DURATION, such as silence:order.placed@2026-11-24T10:00:00Z+10m"


@dataclass(frozen=True, slots=True)
class SimulatorSettings(Settings):
    """What is simulated, and where it goes.

    Attributes:
        events_stream: Name of the stream that events are put on.
        simulator_seed: Another seed gives other events, of another source.
        simulator_types: Each event type with its mean rate, events per minute, after a colon.
        simulator_rate: All rates are multiplied by it.
        simulator_season: How much day and week matter, 0 to 1.
        simulator_tick_seconds: How much event time is put at once.
        simulator_faults: Injected faults, separated by commas; see `fault_of`.
    """

    events_stream: str
    simulator_seed: int = 1
    simulator_types: str = DEFAULT_TYPES
    simulator_rate: float = 1.0
    simulator_season: float = 0.5
    simulator_tick_seconds: int = 60
    simulator_faults: str = ""

    @property
    def tick_ms(self) -> int:
        """How much event time is put at once, ms."""
        return self.simulator_tick_seconds * 1000

    def types(self) -> list[SimulatedType]:
        """Return the event types with their rates. Raises InvalidInput."""
        return [
            SimulatedType(kind.name, kind.per_minute * self.simulator_rate)
            for kind in types_of(self.simulator_types)
        ]

    def simulation(self) -> Simulation:
        """Return what draws the events. Raises InvalidInput."""
        types = self.types()
        names = [kind.name for kind in types]
        return Simulation(
            self.simulator_seed,
            types,
            faults=[fault_of(text, names) for text in _parts(self.simulator_faults)],
            season=self.simulator_season,
        )

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take the variables of this concern."""
        known = len(reader.problems)
        settings = cls(
            events_stream=reader.text(
                "EVENTS_STREAM", None, _STREAM_NAME, "the name of a Kinesis stream"
            ),
            simulator_seed=reader.whole("SIMULATOR_SEED", 1, 0, 2**53),
            simulator_types=reader.text("SIMULATOR_TYPES", DEFAULT_TYPES, None, ""),
            simulator_rate=reader.real("SIMULATOR_RATE", 1.0, 0.0, 1000.0),
            simulator_season=reader.real("SIMULATOR_SEASON", 0.5, 0.0, 1.0),
            simulator_tick_seconds=reader.whole("SIMULATOR_TICK_SECONDS", 60, 1, 60),
            simulator_faults=reader.text("SIMULATOR_FAULTS", "", None, ""),
        )
        names: list[str] | None = None
        try:
            names = [kind.name for kind in types_of(settings.simulator_types)]
        except InvalidInput as fault:
            reader.problems.append(f"SIMULATOR_TYPES {fault}")
        for text in _parts(settings.simulator_faults):
            try:
                fault_of(text, names)
            except InvalidInput as fault:
                reader.problems.append(f"SIMULATOR_FAULTS {fault}")
        if len(reader.problems) == known:
            try:
                settings.simulation()
            except InvalidInput as fault:
                reader.problems.append(f"SIMULATOR_TYPES: {fault}")
        return settings


def types_of(text: str) -> list[SimulatedType]:
    """Read `NAME:EVENTS_PER_MINUTE,…`.

    Raises:
        InvalidInput: it has another form; the sentence goes on behind the setting's name.

    >>> types_of("order.placed:60, user.signed_up:0.5")[1]
    SimulatedType(name='user.signed_up', per_minute=0.5)
    """
    found: list[SimulatedType] = []
    for part in _parts(text):
        name, _, rate = part.rpartition(":")
        if not _TYPE_NAME.fullmatch(name.strip()) or not _NUMBER.fullmatch(rate.strip()):
            msg = (
                "must name event types (up to 100 of A-Z a-z 0-9 . _ -) with their events per "
                f"minute, such as order.placed:60,user.signed_up:6, not {part!r}"
            )
            raise InvalidInput(msg)
        if name.strip() == HEARTBEAT_TYPE:
            msg = f"must not name {HEARTBEAT_TYPE}: those come from the stream's clock alone"
            raise InvalidInput(msg)
        found.append(SimulatedType(name.strip(), float(rate)))
    names = [kind.name for kind in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not found:
        msg = f"must name each type once, not {', '.join(twice) if twice else 'nothing'}" + (
            " twice" if twice else ""
        )
        raise InvalidInput(msg)
    return found


def fault_of(text: str, types: Sequence[str] | None, *, now_ms: int | None = None) -> Fault:
    """Read `KIND:TYPE@START+DURATION`, where KIND is spike, drop or silence.

    A spike or a drop may have its factor behind the type: `spike:order.placedx3@…`. START is in RFC
    3339, or `+SECONDS` from now; DURATION is seconds, or has a unit s, m, h or d.

    Args:
        text: For example `silence:order.placed@2026-11-24T10:00:00Z+10m`.
        types: The event types that there are; None where that is not known.
        now_ms: What `+SECONDS` counts from; None where only RFC 3339 will do.

    Raises:
        InvalidInput: it has another form; the sentence goes on behind the setting's name.

    >>> fault_of("drop:ax0.5@1970-01-01T00:00:10Z+5s", ["a"])
    Fault(kind=<FaultKind.DROP: 'drop'>, type='a', start_ms=10000, end_ms=15000, factor=0.5)
    """
    found = _FAULT.fullmatch(text)
    if found is None or found[1] not in tuple(FaultKind):
        kinds = ", ".join(FaultKind)
        msg = f"must have the form {_FAULT_FORM}, with KIND {kinds}, not {text!r}"
        raise InvalidInput(msg)
    kind = FaultKind(found[1])
    name, factor = _scaled(kind, found[2].strip(), types, text)
    start_ms = _start_of(found[3].strip(), text, now_ms)
    start_ms -= start_ms % 1000
    end_ms = start_ms + duration_ms_of(found[4].strip(), text)
    if end_ms > LATEST_TIME_MS:
        msg = f"needs an end before {format_time(LATEST_TIME_MS)}, not {text!r}"
        raise InvalidInput(msg)
    return Fault(kind, name, start_ms, end_ms, factor)


def written(fault: Fault) -> str:
    """Write a fault so that `fault_of` reads the same of it, whenever it does.

    >>> written(fault_of("drop:ax0.5@+10+1m", ["a"], now_ms=0))
    'drop:ax0.5@1970-01-01T00:00:10Z+1m'
    """
    factor = "" if fault.kind is FaultKind.SILENCE else f"x{fault.factor:.6f}".rstrip("0")
    lasting_ms = fault.end_ms - fault.start_ms
    # The longest unit, or there could be more digits than are read.
    unit = next(unit for unit in ("d", "h", "m", "s") if lasting_ms % _UNITS_MS[unit] == 0)
    span = f"{format_time(fault.start_ms)}+{lasting_ms // _UNITS_MS[unit]}{unit}"
    return f"{fault.kind}:{fault.type}{factor.rstrip('.')}@{span}"


def duration_ms_of(duration: str, where: str | None = None) -> int:
    """Read seconds, or a number with the unit s, m, h or d.

    Args:
        duration: For example `90`, `10m`.
        where: What it is a part of, to be shown.

    Raises:
        InvalidInput: it has another form.

    >>> duration_ms_of("2h")
    7200000
    """
    found = _DURATION.fullmatch(duration)
    if found is None or not int(found[1]):
        msg = f"needs a duration such as 90, 90s, 10m, 2h or 1d, not {duration!r}"
        raise InvalidInput(msg + (f" in {where!r}" if where is not None else ""))
    return int(found[1]) * _UNITS_MS[found[2]]


def _scaled(
    kind: FaultKind, name: str, types: Sequence[str] | None, text: str
) -> tuple[str, float]:
    factor = _FACTORS[kind]
    scaled = _FACTOR.fullmatch(name)
    if scaled is not None and (types is None or name not in types):
        name, factor = scaled[1].strip(), float(scaled[2])
        fits = {
            FaultKind.SPIKE: 1 < factor <= _MAX_FACTOR,
            FaultKind.DROP: 0 <= factor < 1,
            FaultKind.SILENCE: factor == 0,
        }
        if not fits[kind]:
            msg = (
                f"needs a factor above 1 and up to {_MAX_FACTOR:.0f} for a spike, below 1 for a "
                f"drop, and none for silence, not {text!r}"
            )
            raise InvalidInput(msg)
    if types is not None and name not in types:
        listed = ", ".join(types)
        msg = f"names the event type {name!r}, but the types are {listed}"
        raise InvalidInput(msg)
    return name, factor


def _start_of(start: str, text: str, now_ms: int | None) -> int:
    if now_ms is not None and start.startswith("+"):
        return now_ms + duration_ms_of(start[1:], text) if start != "+0" else now_ms
    try:
        return parse_time_ms(start)
    except Rejected:
        msg = f"needs a start in RFC 3339, such as 2026-11-24T10:00:00Z, not {start!r} in {text!r}"
        raise InvalidInput(msg) from None


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
