"""The storm of 8-9 February 2013 over New York, judged by the seasonal baseline alone."""

import gzip
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from tidegauge.domain.event_time import format_time, parse_time_ms
from tidegauge.domain.verdict import Reason, Verdict
from tidegauge.testing import Tide

SIZE = 300_000
DEPARTED = "flight.departed"
FIXTURE = Path(__file__).parents[1] / "fixtures" / "departures-2013-storm.jsonl.gz"


class Departure(msgspec.Struct):
    """What the test needs of a fixture's line."""

    time: str


@pytest.fixture(scope="module")
def tide() -> Tide:
    """The fixture's departures, all airports together, counted and judged."""
    with gzip.open(FIXTURE) as lines:
        times = [parse_time_ms(msgspec.json.decode(line, type=Departure).time) for line in lines]
    counts = Counter(time_ms // SIZE for time_ms in times)
    first, last = min(counts), max(counts)
    tide = Tide()
    tide.fill(
        {DEPARTED: [counts[at] for at in range(first, last + 1)]}, start=format_time(first * SIZE)
    )
    return tide


def test_the_storm_is_one_incident_and_the_calm_weeks_before_it_have_none(tide: Tide) -> None:
    storm = [alert for alert in tide.alerts if alert.json["since"] < "2013-02-10"]
    assert [alert.kind for alert in storm] == ["opened", "worse", "cleared"]
    assert {alert.direction for alert in storm} == {"low"}
    # Departures thinned out from 19:00 UTC on the 8th and were back to normal on the 9th at 19:30.
    assert "2013-02-08T19" < storm[0].json["window_end"] < "2013-02-08T21:30"
    assert "2013-02-09T17" < storm[2].json["window_end"] < "2013-02-09T21"


def test_after_the_storm_windows_are_judged_as_closely_as_before_it(tide: Tide) -> None:
    # The storm in the memory of residuals would make the noise look so wild that nothing is odd.
    before, after = (
        sum(
            window.verdict is not Verdict.NOT_JUDGED
            for window in tide.windows(DEPARTED)
            if first_day <= window.start.day < next_day
        )
        for first_day, next_day in ((5, 8), (10, 13))
    )
    assert after > 0.9 * before


def test_quiet_nights_are_too_weak_to_judge(tide: Tide) -> None:
    after_four_days = tide.windows(DEPARTED)[288 * 4 :]
    nights = [window for window in after_four_days if window.start.hour in (7, 8)]
    assert len(nights) > 400
    assert {(one.verdict, one.reason) for one in nights} == {(Verdict.NOT_JUDGED, Reason.TOO_WEAK)}
