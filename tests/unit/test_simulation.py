"""The simulator's events: near their rate, with a season that can be seen, spread over keys."""

import json
import math
from collections import Counter

import pytest

from tidegauge.domain.decode import SeriesBy, decode
from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.event import Event
from tidegauge.domain.simulation import Fault, FaultKind, SimulatedType, Simulation

MONDAY_MS = 1_795_392_000_000  # 2026-11-23T00:00:00Z
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def test_a_second_holds_the_same_events_for_ever() -> None:
    # who changes a draw changes what recorded fixtures and running simulators agree on
    simulation = Simulation(1, [SimulatedType("order.placed", 60)])
    events = list(simulation.events_between(MONDAY_MS, MONDAY_MS + 8_000))
    assert events[0].data.decode() == (
        '{"specversion":"1.0","type":"order.placed","source":"/tidegauge/simulator/1",'
        '"id":"order.placed-1795392002-0","time":"2026-11-23T00:00:02.863Z","subject":"customer-4663","d'
        'ata":{"country":"GB","channel":"web"}}'
    )
    assert [event.time_ms - MONDAY_MS for event in events] == [
        2863,
        3091,
        3278,
        3951,
        5273,
        6374,
        7660,
        7702,
    ]


@pytest.mark.parametrize("per_minute", [3.0, 60.0, 6_000.0])
def test_counts_lie_near_the_rate_and_vary_as_poisson_does(per_minute: float) -> None:
    simulation = Simulation(7, [SimulatedType("a", per_minute)], season=0.0)
    minutes = 60 * 8 if per_minute < 1000 else 60
    found = simulation.events_between(MONDAY_MS, MONDAY_MS + minutes * 60_000)
    counts = Counter(event.time_ms // 60_000 for event in found)
    total = sum(counts.values())
    expected = per_minute * minutes
    assert abs(total - expected) < 4 * math.sqrt(expected)
    mean = total / minutes
    variance = sum((counts[MONDAY_MS // 60_000 + n] - mean) ** 2 for n in range(minutes)) / minutes
    assert 0.6 < variance / mean < 1.5


def test_days_and_weeks_can_be_seen_in_the_counts() -> None:
    simulation = Simulation(3, [SimulatedType("a", 12)])
    counts = Counter(
        (event.time_ms - MONDAY_MS) // HOUR_MS
        for event in simulation.events_between(MONDAY_MS, MONDAY_MS + 7 * DAY_MS)
    )
    wednesday = [counts[2 * 24 + hour] for hour in range(24)]
    assert max(wednesday) > 2.5 * min(wednesday)
    assert abs(wednesday.index(max(wednesday)) - 15) <= 3
    by_day = [sum(counts[day * 24 + hour] for hour in range(24)) for day in range(7)]
    assert max(by_day[5:]) < 0.85 * min(by_day[:5])
    assert abs(sum(by_day) - 7 * 24 * 60 * 12) < 4 * math.sqrt(sum(by_day))


def test_the_expected_rate_follows_season_and_faults() -> None:
    fault = Fault(FaultKind.DROP, "a", MONDAY_MS, MONDAY_MS + 60_000, 0.5)
    simulation = Simulation(1, [SimulatedType("a", 60)], faults=[fault], season=0.0)
    rates = [simulation.per_minute_at("a", MONDAY_MS + s) for s in (-1, 0, 59_999, 60_000)]
    assert rates == pytest.approx([60, 30, 30, 60])


def test_overlapping_faults_multiply() -> None:
    faults = [
        Fault(FaultKind.SPIKE, "a", MONDAY_MS, MONDAY_MS + 60_000, 4.0),
        Fault(FaultKind.DROP, "a", MONDAY_MS + 30_000, MONDAY_MS + 90_000, 0.5),
    ]
    simulation = Simulation(1, [SimulatedType("a", 60)], faults=faults, season=0.0)
    rates = [simulation.per_minute_at("a", MONDAY_MS + s) for s in (0, 30_000, 60_000)]
    assert rates == pytest.approx([240, 120, 30])


def test_keys_are_many_and_none_is_much_heavier_than_the_rest() -> None:
    simulation = Simulation(1, [SimulatedType("a", 60_000)], season=0.0)
    events = list(simulation.events_between(MONDAY_MS, MONDAY_MS + 60_000))
    keys = Counter(event.partition_key for event in events)
    assert len(keys) > 8_000
    assert 0.0004 < keys.most_common(1)[0][1] / len(events) < 0.004
    assert all(json.loads(e.data)["subject"] == e.partition_key for e in events[:100])


def test_series_by_country_splits_a_type_unevenly() -> None:
    simulation = Simulation(1, [SimulatedType("a", 6_000)], season=0.0)
    series_by = SeriesBy(("type", "data.country"))
    found = Counter(
        item.series
        for event in simulation.events_between(MONDAY_MS, MONDAY_MS + 60_000)
        for item in decode(event.data, series_by)
        if isinstance(item, Event)
    )
    assert len(found) == 7
    assert found['["a","DE"]'] > 3 * found['["a","PL"]'] > 0


def test_a_rate_that_no_second_could_hold_is_refused_and_many_faults_are_not() -> None:
    spikes = [
        Fault(FaultKind.SPIKE, "a", MONDAY_MS + n * 60_000, MONDAY_MS + (n + 1) * 60_000, 10.0)
        for n in range(50)
    ]
    Simulation(1, [SimulatedType("a", 60)], faults=spikes)
    within = [
        Fault(FaultKind.DROP, "a", MONDAY_MS, MONDAY_MS + 60_000, 0.1),
        Fault(FaultKind.SPIKE, "a", MONDAY_MS, MONDAY_MS + 120_000, 1000.0),
    ]
    with pytest.raises(InvalidInput, match="a could reach more than 1,200,000 events a minute"):
        Simulation(1, [SimulatedType("a", 1000)], faults=within)


def test_times_that_no_event_may_have_are_refused() -> None:
    simulation = Simulation(1, [SimulatedType("a", 60)])
    with pytest.raises(InvalidInput, match="in the years 1001 to 9998"):
        list(simulation.events_between(0, 10**18))
    assert not list(simulation.events_between(10**18, 10**18))


def test_odd_type_names_stay_what_they_are() -> None:
    name = 'a "b"\\ é'
    simulation = Simulation(1, [SimulatedType(name, 600)])
    event = next(iter(simulation.events_between(MONDAY_MS, MONDAY_MS + 10_000)))
    assert json.loads(event.data)["type"] == name
    assert json.loads(event.data)["id"].startswith(name + "-")
