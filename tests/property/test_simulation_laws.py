"""Laws of the simulator: a pure function of seed and time; rate, season and faults as told."""

from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tidegauge.domain.decode import SeriesBy, decode
from tidegauge.domain.event import Event
from tidegauge.domain.season import MAX_SEASON, season_at
from tidegauge.domain.simulation import (
    Fault,
    FaultKind,
    SimulatedEvent,
    SimulatedType,
    Simulation,
    source_of,
)

MONDAY_MS = 1_795_392_000_000  # 2026-11-23T00:00:00Z
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
TYPES = [SimulatedType("order.placed", 60.0), SimulatedType("user.signed_up", 6.0)]

seeds = st.integers(0, 2**53)
starts = st.integers(MONDAY_MS, MONDAY_MS + 7 * DAY_MS)
rates = st.sampled_from([0.3, 6.0, 60.0, 900.0, 6_000.0])


def drawn(simulation: Simulation, start_ms: int, end_ms: int) -> list[SimulatedEvent]:
    return list(simulation.events_between(start_ms, end_ms))


@given(seeds, starts, st.lists(st.integers(0, 20_000), max_size=6), rates)
def test_any_cutting_of_a_span_gives_the_same_events(
    seed: int, start_ms: int, cuts: list[int], rate: float
) -> None:
    types = [*TYPES, SimulatedType("busy", rate)]
    whole = drawn(Simulation(seed, types), start_ms, start_ms + 20_000)
    edges = [start_ms, *sorted(start_ms + cut for cut in cuts), start_ms + 20_000]
    again = Simulation(seed, types)
    parts = [event for a, b in pairwise(edges) for event in drawn(again, a, b)]
    assert parts == whole
    assert [event.time_ms for event in whole] == sorted(event.time_ms for event in whole)
    assert all(start_ms <= event.time_ms < start_ms + 20_000 for event in whole)


@given(seeds, starts)
@example(1, MONDAY_MS)
def test_every_event_is_decoded_as_what_it_says_and_has_an_id_of_its_own(
    seed: int, start_ms: int
) -> None:
    events = drawn(Simulation(seed, TYPES), start_ms, start_ms + 120_000)
    keys = set()
    for event in events:
        (found,) = decode(event.data, SeriesBy(("type",)))
        assert isinstance(found, Event)
        assert (found.series, found.event_time_ms) == (event.type, event.time_ms)
        keys.add(found.key)
    assert len(keys) == len(events)


@given(seeds, starts, st.floats(0, 1), st.floats(1, 9), rates)
def test_a_fault_only_takes_away_or_adds_and_only_in_its_span_and_type(
    seed: int, start_ms: int, low: float, high: float, rate: float
) -> None:
    types = [SimulatedType("a", rate), SimulatedType("b", rate)]
    from_ms = start_ms - start_ms % 1000 + 5_000
    to_ms = from_ms + 4_000

    def with_fault(factor: float) -> list[SimulatedEvent]:
        fault = Fault(FaultKind.SPIKE, "a", from_ms, to_ms, factor)
        return drawn(Simulation(seed, types, faults=[fault]), start_ms, start_ms + 15_000)

    def parted(events: list[SimulatedEvent]) -> tuple[set[bytes], list[bytes]]:
        within = [e.type == "a" and from_ms <= e.time_ms < to_ms for e in events]
        inside = {e.data for e, is_within in zip(events, within, strict=True) if is_within}
        return inside, [e.data for e, is_in in zip(events, within, strict=True) if not is_in]

    plain, rest = parted(drawn(Simulation(seed, types), start_ms, start_ms + 15_000))
    (dropped, rest_1), (spiked, rest_2), (silent, rest_3) = map(
        parted, (with_fault(low), with_fault(high), with_fault(0))
    )
    assert silent == set()
    assert dropped <= plain <= spiked
    assert rest == rest_1 == rest_2 == rest_3


@given(st.floats(0, 1), starts)
def test_a_season_is_smooth_bounded_and_never_below_zero(strength: float, time_ms: int) -> None:
    now, soon = (season_at(moment, strength) for moment in (time_ms, time_ms + 60_000))
    assert -1e-9 <= now <= MAX_SEASON + 1e-9
    assert abs(soon - now) < 0.03


@given(st.floats(0, 1))
def test_a_season_neither_adds_nor_takes_events_over_a_week(strength: float) -> None:
    minutes = range(MONDAY_MS, MONDAY_MS + 7 * DAY_MS, 600_000)
    factors = [season_at(moment, strength) for moment in minutes]
    assert abs(sum(factors) / len(factors) - 1) < 1e-6


@settings(max_examples=10)
@given(seeds.filter(lambda seed: seed > 0))
def test_another_seed_is_another_source_with_other_times(seed: int) -> None:
    one, other = Simulation(seed, TYPES), Simulation(seed - 1, TYPES)
    times = [
        {e.time_ms for e in drawn(s, MONDAY_MS, MONDAY_MS + HOUR_MS // 2)} for s in (one, other)
    ]
    assert len(times[0] & times[1]) < len(times[0]) / 10
    assert source_of(seed) != source_of(seed - 1)
