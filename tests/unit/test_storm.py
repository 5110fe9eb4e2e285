"""The storm of 8-9 February 2013 over New York, judged by the seasonal baseline alone."""

import gzip
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from tidegauge.adapters.memory import MemoryCountStore
from tidegauge.adapters.memory_judging import MemoryJudgingStore
from tidegauge.adapters.seasonal import SeasonalPredictor
from tidegauge.domain.alert import Alert
from tidegauge.domain.count import CompletedWindow, Quality
from tidegauge.domain.event_time import format_time, parse_time_ms
from tidegauge.domain.judging import JudgingRules
from tidegauge.domain.prediction import Prediction
from tidegauge.domain.verdict import Reason, Verdict
from tidegauge.ports import Destination
from tidegauge.steps.predict import PredictStep

SIZE = 300_000
FIXTURE = Path(__file__).parents[1] / "fixtures" / "departures-2013-storm.jsonl.gz"


class Departure(msgspec.Struct):
    """What the test needs of a fixture's line."""

    time: str


@pytest.fixture(scope="module")
def judged() -> tuple[list[Prediction], list[Alert]]:
    """Count the fixture's departures in windows, all airports together, and judge them."""
    with gzip.open(FIXTURE) as lines:
        times = [parse_time_ms(msgspec.json.decode(line, type=Departure).time) for line in lines]
    counts = Counter(time_ms // SIZE for time_ms in times)
    counting = MemoryCountStore()
    store = MemoryJudgingStore(counting.put_messages)
    store.announce(
        [
            CompletedWindow(
                1, "flight.departed", at * SIZE, 1, at * SIZE, counts[at], 0, Quality.COMPLETE
            )
            for at in range(min(counts), max(counts) + 1)
        ]
    )
    PredictStep(store, SeasonalPredictor(), JudgingRules()).run({1: {"flight.departed"}})
    alerts = [
        msgspec.json.decode(stored.message.payload, type=Alert)
        for stored in counting.take(Destination.ALERTS, 100)
    ]
    return list(store.predictions(1)["flight.departed"]), alerts


def test_the_storm_is_one_incident_and_the_calm_weeks_before_it_have_none(
    judged: tuple[list[Prediction], list[Alert]],
) -> None:
    _, alerts = judged
    storm = [alert for alert in alerts if alert.json["since"] < "2013-02-10"]
    assert [alert.attributes["kind"] for alert in storm] == ["opened", "worse", "cleared"]
    assert {alert.attributes["direction"] for alert in storm} == {"low"}
    # Departures thinned out from 19:00 UTC on the 8th and were back to normal on the 9th at 19:30.
    assert "2013-02-08T19" < storm[0].json["window_end"] < "2013-02-08T21:30"
    assert "2013-02-09T17" < storm[2].json["window_end"] < "2013-02-09T21"


def test_after_the_storm_windows_are_judged_as_closely_as_before_it(
    judged: tuple[list[Prediction], list[Alert]],
) -> None:
    # The storm in the memory of residuals would make the noise look so wild that nothing is odd.
    predictions, _ = judged
    before, after = (
        sum(
            row.verdict is not Verdict.NOT_JUDGED
            for row in predictions
            if day <= format_time(row.window.window_start_ms)[:10] < next_day
        )
        for day, next_day in (("2013-02-05", "2013-02-08"), ("2013-02-10", "2013-02-13"))
    )
    assert after > 0.9 * before


def test_quiet_nights_are_too_weak_to_judge(judged: tuple[list[Prediction], list[Alert]]) -> None:
    predictions, _ = judged
    nights = [
        row
        for row in predictions[288 * 4 :]
        if datetime.fromtimestamp(row.window.window_start_ms / 1000, UTC).hour in (7, 8)
    ]
    assert len(nights) > 400
    assert {(row.verdict, row.reason) for row in nights} == {(Verdict.NOT_JUDGED, Reason.TOO_WEAK)}
