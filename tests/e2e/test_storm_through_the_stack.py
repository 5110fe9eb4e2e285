"""The recorded storm through the built and deployed functions: Kinesis in, SNS out."""

from collections import Counter

import pytest
from rich.console import Console

from embedded.local import Running
from embedded.places import Places
from embedded.progress import Phases
from embedded.report import Report
from embedded.run import learn_and_report

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


def test_the_second_time_everything_is_as_it_was_the_first(
    storm: Report, stack: Running, places: Places
) -> None:
    again = learn_and_report(stack, places, Phases(Console(stderr=True)))
    assert again.check.holds
    assert again.windows == storm.windows
    # A dataset says which generations of the stream it is of: its name and its model's are others.
    ((first,), (second,)) = storm.models, again.models
    assert (second.error, second.baseline_error) == (first.error, first.baseline_error)
    assert (second.windows, second.until) == (first.windows, first.until)
    assert len(again.notices) == len(storm.notices) == 1
    assert again.alerts == storm.alerts
