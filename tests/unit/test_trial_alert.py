"""A test alert: a test in every word, with the attributes and fields of a real one."""

from typing import Any

import pytest

from tidegauge.domain.alert import Alert, trial_alert
from tidegauge.domain.incident import Severity


def alert(**changes: Any) -> Alert:
    values: dict[str, Any] = {
        "series": "order.placed", "direction": "high", "severity": Severity.CRITICAL,
        "at_ms": 1_360_339_500_000, "nonce": "n1",
    }  # fmt: skip
    values.update(changes)
    return trial_alert(
        values.pop("series"), values.pop("direction"), values.pop("severity"), **values
    )


def test_nobody_can_take_it_for_a_real_one() -> None:
    made = alert()
    assert made.subject == "TEST, nothing is wrong: order.placed"
    assert made.text.startswith("This is a test")
    assert made.attributes == {
        "series": "order.placed", "direction": "high", "severity": "critical", "kind": "test",
    }  # fmt: skip
    assert made.json["kind"] == "test"


def test_each_sending_has_an_id_of_its_own() -> None:
    assert alert().id == alert().id
    ids = {alert().id, alert(nonce="n2").id, alert(at_ms=0).id, alert(series="b").id}
    assert len(ids) == 4


@pytest.mark.parametrize("series", ["s" * 255, "vols annulés\n", "雪"])
def test_its_subject_is_one_that_a_phone_shows(series: str) -> None:
    subject = alert(series=series).subject
    assert subject.startswith("TEST")
    assert subject.isascii()
    assert len(subject) < 100
