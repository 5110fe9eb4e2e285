"""Who looks once is told only what a second look confirms."""

from collections.abc import Sequence

import pytest

from tests.support.diagnosis import ManualClock
from tests.support.snapshots import PRODUCER, SWEEP, at, shard, snapshot
from tidegauge.domain.errors import Misconfigured
from tidegauge.domain.health import HealthRules, State
from tidegauge.domain.snapshot import Snapshot
from tidegauge.steps.health import SECOND_LOOK_MS, health_rules, look

FINE = snapshot(shard("s0", 60))
STALLED = snapshot(shard("s0", 20, beat=600), next_window_ms=at(10))
MOVED = snapshot(shard("s0", 25, beat=600), next_window_ms=at(10))
PASSED = snapshot(shard("s0", 61), next_window_ms=at(50))
CLOSED = snapshot(shard("s0", 61), next_window_ms=at(60))


class Readings:
    """Gives readings in turn, the last one for ever."""

    def __init__(self, *readings: Snapshot | None) -> None:
        self._readings = list(readings)
        self.taken = 0

    def read(self) -> Snapshot | None:
        self.taken += 1
        return self._readings[min(self.taken, len(self._readings)) - 1]


@pytest.mark.parametrize(
    ("readings", "rules", "state"),
    [
        ([FINE], SWEEP, State.COUNTING),
        ([STALLED], SWEEP, State.STALLED),
        ([STALLED, STALLED, MOVED], SWEEP, State.BEHIND),
        ([PASSED], PRODUCER, State.STALLED),
        ([PASSED, CLOSED], PRODUCER, State.COUNTING),  # a replay between batch and closing
    ],
)
def test_a_stall_is_confirmed_by_a_second_look(
    readings: Sequence[Snapshot], rules: HealthRules, state: State
) -> None:
    health = look(Readings(*readings), rules, ManualClock())
    assert health is not None
    assert health.state is state


def test_a_sound_stream_is_read_once_and_a_stall_until_the_time_is_up() -> None:
    sound, stalled, clock = Readings(FINE), Readings(STALLED), ManualClock(7)
    look(sound, SWEEP, clock)
    assert (sound.taken, clock.time_ms) == (1, 7)
    look(stalled, SWEEP, clock)
    assert stalled.taken > 2
    assert clock.time_ms == 7 + SECOND_LOOK_MS


def test_a_stream_of_which_nothing_was_counted_has_no_state() -> None:
    assert look(Readings(None), SWEEP, ManualClock()) is None


def test_the_rules_come_from_the_settings_of_the_functions() -> None:
    assert health_rules({}) == HealthRules()
    variables = {
        "WINDOW_SECONDS": "20", "ALLOWED_LATENESS_SECONDS": "10", "HEARTBEATS_PER_MINUTE": "12",
        "HEARTBEATS": "producer", "EVENTS_STREAM": "no name of a stream",
    }  # fmt: skip
    assert health_rules(variables) == HealthRules(20_000, 10_000, 5_000, clock_is_sweep=False)
    assert not health_rules(variables).with_earlier
    with pytest.raises(Misconfigured) as raised:
        health_rules({"WINDOW_SECONDS": "7", "HEARTBEATS": "sun"})
    assert len(raised.value.problems) == 2


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        ("", True),
        ("https://vpce-1.kinesis.eu-central-1.vpce.amazonaws.com", True),
        ("http://[", True),
        ("http://127.0.0.1:4566", False),
        ("http://localhost:4566", False),
        ("http://[::1]:4566", False),
    ],
)
def test_what_streams_lost_before_they_were_made_anew_matters_where_streams_last(
    endpoint: str, told: bool
) -> None:
    rules = health_rules({"AWS_ENDPOINT_URL": endpoint})
    assert (rules.streams_last, rules.with_earlier) == (told, told)
