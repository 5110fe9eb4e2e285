"""The recorded storm through the built and deployed functions: Kinesis in, SNS out."""

from collections import Counter

import pytest
from rich.console import Console

from embedded.local import Running
from embedded.places import Places
from embedded.progress import Phases
from embedded.report import Report
from embedded.run import replay_and_report

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


def test_every_window_in_mysql_equals_a_plain_recount(storm: Report) -> None:
    assert storm.check.holds, list(storm.check.differences)[:5]
    assert storm.check.events == 21_954
    assert len(storm.windows) == 27 * 288
    assert storm.quarantined == 0
    assert {line.revision for line in storm.windows} == {1}


def test_the_storm_alerts_people_and_the_calm_days_before_it_do_not(storm: Report) -> None:
    days = Counter(alert.window_start[:10] for alert in storm.alerts)
    assert storm.alerts[0].kind == "opened"
    assert "too few" in storm.alerts[0].subject
    assert days["2013-02-08"] >= 1
    assert not [day for day in days if day < "2013-02-08"]
    assert sum(days.values()) <= 6


def test_a_second_replay_is_a_generation_of_its_own_and_counts_the_same(
    storm: Report, stack: Running, places: Places
) -> None:
    again = replay_and_report(stack, places, Phases(Console(stderr=True)))
    assert again.check.holds
    assert [line.count for line in again.windows] == [line.count for line in storm.windows]
    assert [line.verdict for line in again.windows] == [line.verdict for line in storm.windows]
    assert again.alerts == storm.alerts
