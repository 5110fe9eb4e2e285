"""A simulated source: event types with a rate, a season and injected faults, drawn from a seed.

Takes settings and a span of event time, gives the events in it. Time is cut into seconds, and what
happens in one is drawn from a hash of seed, type and second alone: the same second holds the same
events, with the same ids, however often and in whatever spans it is asked for. Knows no clock.
"""

import math
from collections.abc import Iterator, Sequence
from enum import StrEnum
from hashlib import blake2b
from struct import Struct as Layout

import msgspec

from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.event_time import EARLIEST_TIME_MS, LATEST_TIME_MS, format_time
from tidegauge.domain.season import MAX_SEASON, season_at

CELL_MS = 1000
MAX_PER_MINUTE = 1_200_000.0  # of one type at its peak: a second must fit into memory
N_KEYS = 10_000

# One draw has a mean of at most this: above some 700, exp(-mean) is 0.
MAX_POISSON_MEAN = 32.0
_MOST_OF_ONE_DRAW = 250  # never reached: a mean of 32 exceeds it once in 10**100
_WORDS = Layout("<8Q")
_PLACE = Layout("<qI")
_UNIT = 1.0 / (1 << 53)
# Some customers come more often than others, yet none so often that a shard feels it.
_KEY_SKEW = 1.25
_COUNTRIES = (
    b"DE", b"DE", b"DE", b"DE", b"DE", b"FR", b"FR", b"FR", b"GB", b"GB", b"NL", b"NL", b"ES",
    b"ES", b"IT", b"PL",
)  # fmt: skip
_TAIL = b'%d-%d","time":"%b.%03dZ","subject":"customer-%d","data":{"country":"%b","channel":"%b"}}'
_CHANNELS = (b"web", b"web", b"app", b"partner")


class FaultKind(StrEnum):
    """What may be injected."""

    SPIKE = "spike"
    DROP = "drop"
    SILENCE = "silence"


class Fault(msgspec.Struct, frozen=True):
    """A span of event time in which a type's rate is another one.

    Attributes:
        kind: What it is called.
        type: The event type that has it.
        start_ms: Its first second, ms since the epoch; a fraction of a second is cut off.
        end_ms: The second after its last.
        factor: What the rate is multiplied by: above 1 for a spike, below 1 for a drop, 0 for
            silence.
    """

    kind: FaultKind
    type: str
    start_ms: int
    end_ms: int
    factor: float


class SimulatedType(msgspec.Struct, frozen=True):
    """An event type, and how many events of it a minute has on average over a week."""

    name: str
    per_minute: float


class SimulatedEvent(msgspec.Struct, frozen=True, gc=False):
    """One event.

    Attributes:
        time_ms: When it happens, ms since the epoch.
        type: Its CloudEvents type.
        partition_key: Whom it concerns; also its subject.
        data: The CloudEvent as JSON without line breaks.
    """

    time_ms: int
    type: str
    partition_key: str
    data: bytes


class Simulation:
    """Draws events.

    Args:
        seed: Another one gives other events, of another source.
        types: What happens; names are unique.
        faults: What goes wrong; where several overlap, their factors are multiplied.
        season: How much day and week matter: 0 for an even rate, 1 for nights without events.

    Raises:
        InvalidInput: a type's rate may become too high to simulate.
    """

    def __init__(
        self,
        seed: int,
        types: Sequence[SimulatedType],
        *,
        faults: Sequence[Fault] = (),
        season: float = 0.5,
    ) -> None:
        self.source = source_of(seed)
        self._season = season
        self._drawn = [
            _Drawn(seed, self.source, kind, [f for f in faults if f.type == kind.name])
            for kind in types
        ]
        for drawn in self._drawn:
            if drawn.highest_mean > MAX_PER_MINUTE * CELL_MS / 60_000:
                msg = (
                    f"{drawn.name} could reach more than {MAX_PER_MINUTE:,.0f} events a minute "
                    "with its season and faults; lower its rate"
                )
                raise InvalidInput(msg)

    def per_minute_at(self, name: str, time_ms: int) -> float:
        """Return how many events of a type a minute would have if all of it were as this moment.

        Raises:
            KeyError: there is no such type.
        """
        of_type = {drawn.name: drawn for drawn in self._drawn}[name]
        cell_ms = time_ms - time_ms % CELL_MS
        return of_type.mean_in(cell_ms, season_at(cell_ms, self._season)) * 60_000 / CELL_MS

    def events_between(self, start_ms: int, end_ms: int) -> Iterator[SimulatedEvent]:
        """Yield the events of `[start_ms, end_ms)` in order of time; a pure function of the span.

        Raises:
            InvalidInput: the span reaches beyond the years that an event's time may have.
        """
        if start_ms < end_ms and not EARLIEST_TIME_MS <= start_ms <= end_ms <= LATEST_TIME_MS:
            msg = "events can be simulated in the years 1001 to 9998"
            raise InvalidInput(msg)
        for cell_ms in range(start_ms - start_ms % CELL_MS, end_ms, CELL_MS):
            season = season_at(cell_ms, self._season)
            found = [event for drawn in self._drawn for event in drawn.events(cell_ms, season)]
            found.sort(key=_time_of)  # stable: at one time in order of the types
            for event in found:
                if start_ms <= event.time_ms < end_ms:
                    yield event


def source_of(seed: int) -> str:
    """Return the CloudEvents source of a seed's events."""
    return f"/tidegauge/simulator/{seed}"


def _time_of(event: SimulatedEvent) -> int:
    return event.time_ms


class _Drawn:
    """The events of one type."""

    def __init__(
        self, seed: int, source: str, kind: SimulatedType, faults: Sequence[Fault]
    ) -> None:
        self.name = kind.name
        self._mean = kind.per_minute * CELL_MS / 60_000
        self._faults = [
            (fault.start_ms - fault.start_ms % CELL_MS, fault.end_ms, fault.factor)
            for fault in faults
        ]
        name = kind.name.encode()
        # Lengths keep one seed's or type's digits from being taken for another's.
        place = b"%d:%d %d:%b " % (len(str(seed)), seed, len(name), name)
        self._how_many = blake2b(b"n " + place, digest_size=64)
        self._which = blake2b(b"e " + place, digest_size=64)
        texts = [msgspec.json.encode(text) for text in (kind.name, source)]
        self._head = b'{"specversion":"1.0","type":%b,"source":%b,"id":%b-' % (
            *texts,
            texts[0][:-1],  # its end comes with the number
        )

    @property
    def highest_mean(self) -> float:
        """The highest mean number of events that a cell may have."""
        turns = [moment for start_ms, end_ms, _ in self._faults for moment in (start_ms, end_ms)]
        return max(self.mean_in(turn_ms, MAX_SEASON) for turn_ms in (*turns, EARLIEST_TIME_MS))

    def mean_in(self, cell_ms: int, season: float) -> float:
        """Return the mean number of events in a cell."""
        mean = self._mean * season
        for start_ms, end_ms, factor in self._faults:
            if start_ms <= cell_ms < end_ms:
                mean *= factor
        return mean

    def events(self, cell_ms: int, season: float) -> Iterator[SimulatedEvent]:
        """Yield the events of one cell, in no order of time."""
        number = self._number(cell_ms, self.mean_in(cell_ms, season))
        if not number:
            return
        cell = cell_ms // CELL_MS
        second = format_time(cell_ms)[:-1].encode()
        for n, word in zip(range(number), _words(self._which, cell), strict=False):
            # 20 bits for the moment, 24 for the customer, 4 for the country, 2 for the channel
            offset_ms = (word & 0xFFFFF) * CELL_MS >> 20
            customer = int(N_KEYS * ((word >> 20 & 0xFFFFFF) / 0x1000000) ** _KEY_SKEW)
            data = self._head + _TAIL % (
                cell,
                n,
                second,
                offset_ms,
                customer,
                _COUNTRIES[word >> 44 & 15],
                _CHANNELS[word >> 48 & 3],
            )
            yield SimulatedEvent(cell_ms + offset_ms, self.name, f"customer-{customer}", data)

    def _number(self, cell_ms: int, mean: float) -> int:
        """Return how many events a cell has: Poisson, and no fewer where the mean is higher."""
        if mean <= 0:
            return 0
        number = 0
        # The sum of draws is Poisson too, with the sum of their means.
        for word in _words(self._how_many, cell_ms // CELL_MS):
            number += poisson(min(mean, MAX_POISSON_MEAN), (word >> 11) * _UNIT)
            mean -= MAX_POISSON_MEAN
            if mean <= 0:
                break
        return number


def _words(hashed: "blake2b", cell: int) -> Iterator[int]:
    """Yield 64-bit words without end: random in all but that they are always the same."""
    block = 0
    while True:
        state = hashed.copy()
        state.update(_PLACE.pack(cell, block))
        yield from _WORDS.unpack(state.digest())
        block += 1


def poisson(mean: float, uniform: float) -> int:
    """Return the least number whose Poisson distribution function exceeds a uniform draw.

    Args:
        mean: At most `MAX_POISSON_MEAN`; sum draws of parts of a larger one.
        uniform: In [0, 1).

    >>> [poisson(2.0, u) for u in (0.0, 0.2, 0.5, 0.99)]
    [0, 1, 2, 6]
    """
    density = math.exp(-mean)
    reached = density
    number = 0
    while uniform >= reached and number < _MOST_OF_ONE_DRAW:
        number += 1
        density *= mean / number
        reached += density
    return number
