"""Settings of the simulator: every fault of them at once, in sentences; faults to inject."""

import pytest

from tidegauge.domain.errors import InvalidInput, Misconfigured
from tidegauge.domain.event_time import parse_time_ms
from tidegauge.domain.simulation import Fault, FaultKind, SimulatedType
from tidegauge.simulator_settings import (
    SimulatorSettings,
    duration_ms_of,
    fault_of,
    types_of,
    written,
)

START = "2026-11-24T10:00:00Z"
START_MS = parse_time_ms(START)
TYPES = ["order.placed", "box5", "a"]


def test_only_the_stream_must_be_set() -> None:
    settings = SimulatorSettings.from_env({"EVENTS_STREAM": "events"})
    assert settings == SimulatorSettings("events")
    assert [kind.name for kind in settings.types()] == [
        "order.placed",
        "payment.taken",
        "user.signed_up",
    ]


def test_all_faults_are_told_together() -> None:
    with pytest.raises(Misconfigured) as raised:
        SimulatorSettings.from_env(
            {
                "SIMULATOR_SEED": "x",
                "SIMULATOR_TYPES": "order.placed",
                "SIMULATOR_RATE": "-1",
                "SIMULATOR_SEASON": "2",
                "SIMULATOR_TICK_SECONDS": "61",
                "SIMULATOR_FAULTS": f"silence:order.placed@{START}+10m,flood:a@{START}+1m,"
                f"drop:a@noon+1m,drop:a@{START}+5x",
            }
        )
    names = [problem.split(" ")[0] for problem in raised.value.problems]
    assert names == [
        "EVENTS_STREAM", "SIMULATOR_SEED", "SIMULATOR_RATE", "SIMULATOR_SEASON",
        "SIMULATOR_TICK_SECONDS", "SIMULATOR_TYPES", "SIMULATOR_FAULTS", "SIMULATOR_FAULTS",
        "SIMULATOR_FAULTS",
    ]  # fmt: skip


def test_a_rate_multiplies_all_types_and_may_not_make_too_many_events() -> None:
    env = {"EVENTS_STREAM": "e", "SIMULATOR_TYPES": "a:2,b:0.5", "SIMULATOR_RATE": "3"}
    assert SimulatorSettings.from_env(env).types() == [
        SimulatedType("a", 6.0),
        SimulatedType("b", 1.5),
    ]
    too_many = {**env, "SIMULATOR_TYPES": "a:999999", "SIMULATOR_RATE": "1000"}
    with pytest.raises(Misconfigured, match="SIMULATOR_TYPES: a could reach more than"):
        SimulatorSettings.from_env(too_many)


def test_the_faults_of_the_settings_are_simulated() -> None:
    settings = SimulatorSettings(
        "e",
        simulator_types="a:60,b:60",
        simulator_season=0.0,
        simulator_faults=f"silence:a@{START}+60, spike:bx3@{START}+1m,",
    )
    simulation = settings.simulation()
    rates = [simulation.per_minute_at(name, START_MS + 59_999) for name in "ab"]
    assert rates == pytest.approx([0, 180])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (f"silence:order.placed@{START}+10m", ("silence", "order.placed", 0, 600, 0.0)),
        (f"spike:a@{START}+90", ("spike", "a", 0, 90, 5.0)),
        (f"drop:a@{START}+2h", ("drop", "a", 0, 7200, 0.2)),
        (f"spike:ax2.5@{START}+1d", ("spike", "a", 0, 86_400, 2.5)),
        (f"spike:box5@{START}+1s", ("spike", "box5", 0, 1, 5.0)),
        (f"spike:box5x7@{START}+1s", ("spike", "box5", 0, 1, 7.0)),
        (f"drop:ax0@{START}+1s", ("drop", "a", 0, 1, 0.0)),
        ("drop:a@2026-11-24T11:00:00.9+01:00+1s", ("drop", "a", 0, 1, 0.2)),
        ("drop:a@+30+1s", ("drop", "a", 30, 1, 0.2)),
        ("drop:a@+2m+1s", ("drop", "a", 120, 1, 0.2)),
        ("drop:a@+0+1s", ("drop", "a", 0, 1, 0.2)),
    ],
)
def test_a_fault_is_read(text: str, fault: tuple[str, str, int, int, float]) -> None:
    kind, name, start_s, seconds, factor = fault
    start_ms = START_MS + start_s * 1000
    expected = Fault(FaultKind(kind), name, start_ms, start_ms + seconds * 1000, factor)
    assert fault_of(text, TYPES, now_ms=START_MS + 999) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("silence", "must have the form"),
        (f"flood:a@{START}+1m", "KIND spike, drop, silence"),
        (f"silence:other@{START}+1m", "the types are order.placed, box5, a"),
        (f"silence:ax2@{START}+1m", "none for silence"),
        (f"spike:ax0.5@{START}+1m", "above 1"),
        (f"spike:ax1001@{START}+1m", "up to 1000"),
        (f"drop:ax2@{START}+1m", "below 1"),
        (f"drop:a@{START}+0", "needs a duration"),
        (f"drop:a@{START}+1 fortnight", "needs a duration"),
        ("drop:a@2026-11-24+1m", "needs a start in RFC 3339"),
        ("drop:a@10:00+1m", "needs a start in RFC 3339"),
        ("drop:a@+x+1m", "needs a duration"),
        ("drop:a@9999-12-21T00:00:00Z+2d", "needs an end before 9999-12-22"),
    ],
)
def test_a_fault_that_is_none_is_told_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        fault_of(text, TYPES, now_ms=START_MS)


def test_a_start_from_now_is_refused_where_there_is_no_now() -> None:
    with pytest.raises(InvalidInput, match="needs a start in RFC 3339"):
        fault_of("drop:a@+30+1s", TYPES)


@pytest.mark.parametrize(
    "text",
    [
        "silence:order.placed@+0+1s", "spike:box5@+7+90", "spike:box5x7@+2m+999999d",
        "drop:ax0@+1+25h", "drop:ax0.000001@+1+61m", "spike:ax1000@+1+60",
    ],
)  # fmt: skip
def test_a_fault_is_written_as_what_reads_the_same_at_any_time(text: str) -> None:
    fault = fault_of(text, TYPES, now_ms=START_MS)
    assert fault_of(written(fault), TYPES) == fault


def test_nobody_simulates_heartbeats() -> None:
    with pytest.raises(InvalidInput, match="come from the stream's clock alone"):
        types_of("a:60,tidegauge.heartbeat:1")


@pytest.mark.parametrize("text", ["", "a", "a:", ":5", "a:-1", "a:x", "a b:1", "a:1,a:2", "a:1e9"])
def test_types_that_are_none_are_told_in_a_sentence(text: str) -> None:
    with pytest.raises(InvalidInput, match="must name"):
        types_of(text)


def test_durations_have_units() -> None:
    assert [duration_ms_of(text) for text in ("5", "5s", "5m", "5h", "5d")] == [
        5_000, 5_000, 300_000, 18_000_000, 432_000_000,
    ]  # fmt: skip
