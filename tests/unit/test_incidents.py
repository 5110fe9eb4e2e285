"""Incidents: when they open, worsen, clear, are withdrawn; and what the alerts then say."""

from collections.abc import Sequence

import msgspec
import pytest

from tests.support.judged_worlds import BASE, SIZE, window
from tidegauge.domain.alert import alert_of, odds
from tidegauge.domain.count import Quality
from tidegauge.domain.incident import AlertKind, Finding, Incident, IncidentStatus, follow
from tidegauge.domain.verdict import Judgement, Reason, Verdict, not_judged

ALPHA = 1e-4
CLEAR = 3


def low(actual: float = 5.0, probability: float = 1e-5) -> Judgement:
    return Judgement(
        Verdict.TOO_LOW, Reason.NONE, 6, actual, 30.0, 20.0, 41.0, probability, True, True
    )


HIGH = Judgement(Verdict.TOO_HIGH, Reason.NONE, 1, 50.0, 5.0, 1.0, 9.0, 1e-6, False, True)
NORMAL = Judgement(Verdict.NORMAL, Reason.NONE, 6, 29.0, 30.0, 20.0, 41.0, 0.4, True, True)
WEAK = Judgement(Verdict.NOT_JUDGED, Reason.TOO_WEAK, 1, 0.0, 0.3, 0.0, 2.0, 0.7, False, True)
GAP = not_judged(Reason.GAP)


def fold(
    judgements: Sequence[Judgement], incident: Incident | None = None, *, first: int = 0
) -> tuple[Incident | None, list[AlertKind | None]]:
    """Follow on-time windows one after the other."""
    told: list[AlertKind | None] = []
    for index, judgement in enumerate(judgements, start=first):
        finding = Finding(window(index, int(judgement.actual)), judgement, False)
        incident, kind = follow(incident, finding, clear_windows=CLEAR, alpha=ALPHA)
        told.append(kind)
    return incident, told


def correct(
    incident: Incident | None, index: int, judgement: Judgement, *, was_anomalous: bool
) -> tuple[Incident | None, AlertKind | None]:
    late = window(index, int(judgement.actual), revision=2, step=20)
    return follow(
        incident, Finding(late, judgement, was_anomalous), clear_windows=CLEAR, alpha=ALPHA
    )


def opened(*judgements: Judgement) -> Incident:
    incident, _ = fold(judgements)
    assert incident is not None
    return incident


def test_it_opens_once_and_clears_after_normal_windows_in_a_row() -> None:
    # low low normal low normal normal normal normal
    incident, told = fold([low(), low(), NORMAL, low(), NORMAL, NORMAL, NORMAL, NORMAL])
    assert [kind for kind in told if kind] == [AlertKind.OPENED, AlertKind.CLEARED]
    assert told[6] is AlertKind.CLEARED
    assert incident is not None
    assert incident.anomalous_windows == 3
    assert (incident.first_window_ms, incident.last_window_ms) == (BASE, BASE + 3 * SIZE)


def test_a_quiet_night_neither_opens_nor_clears_a_drop() -> None:
    incident, told = fold([WEAK, GAP, low(), NORMAL, NORMAL, *[WEAK] * 50, *[GAP] * 50])
    assert [kind for kind in told if kind] == [AlertKind.OPENED]
    assert incident is not None
    assert incident.clear_run == 2


def test_a_count_below_its_band_does_not_clear_a_drop_though_no_alert_rests_on_it() -> None:
    recovering = msgspec.structs.replace(NORMAL, actual=19.0)
    incident, told = fold([low(), NORMAL, NORMAL, *[recovering] * 9, NORMAL])
    assert [kind for kind in told if kind] == [AlertKind.OPENED, AlertKind.CLEARED]
    assert told[-1] is AlertKind.CLEARED
    assert incident is not None
    assert incident.last_window_ms == BASE


def test_a_quiet_night_does_clear_a_spike() -> None:
    _, told = fold([HIGH, WEAK, WEAK, WEAK])
    assert told == [AlertKind.OPENED, None, None, AlertKind.CLEARED]


def test_it_gets_worse_once() -> None:
    _, told = fold([low(), low(0.0), low(0.0), low(5.0), low(0.0)])
    assert told == [AlertKind.OPENED, AlertKind.WORSE, None, None, None]
    _, told = fold([low(0.0), low(0.0, 1e-20)])
    assert told == [AlertKind.OPENED, None]
    _, told = fold([low(), low(4.0, ALPHA**2)])
    assert told == [AlertKind.OPENED, AlertKind.WORSE]


def test_late_events_that_put_its_only_window_right_withdraw_it() -> None:
    incident, kind = correct(opened(low(), NORMAL), 0, NORMAL, was_anomalous=True)
    assert kind is AlertKind.RETRACTED
    assert incident is not None
    assert incident.status is IncidentStatus.RETRACTED
    # and once only
    assert correct(incident, 0, NORMAL, was_anomalous=False)[1] is None


def test_it_is_withdrawn_after_it_was_cleared_too() -> None:
    cleared = opened(low(), NORMAL, NORMAL, NORMAL)
    assert cleared.status is IncidentStatus.CLEARED
    assert correct(cleared, 0, NORMAL, was_anomalous=True)[1] is AlertKind.RETRACTED


def test_with_other_anomalous_windows_left_it_stands() -> None:
    incident, kind = correct(opened(low(), low()), 0, NORMAL, was_anomalous=True)
    assert kind is None
    assert incident is not None
    assert incident.is_open
    assert incident.anomalous_windows == 1


def test_what_cannot_be_judged_withdraws_nothing() -> None:
    for judgement in (GAP, WEAK, not_judged(Reason.ERROR)):
        assert correct(opened(low()), 0, judgement, was_anomalous=True)[1] is None


def test_a_correction_does_not_count_towards_clearing() -> None:
    incident = opened(low(), low(), NORMAL, NORMAL)
    after, kind = correct(incident, 2, NORMAL, was_anomalous=False)
    assert kind is None
    assert after == incident


def test_late_events_can_open_and_worsen_one() -> None:
    incident, kind = correct(None, 0, HIGH, was_anomalous=False)
    assert kind is AlertKind.OPENED
    far = msgspec.structs.replace(HIGH, tail_probability=1e-30)
    assert correct(incident, 0, far, was_anomalous=True)[1] is AlertKind.WORSE


def test_a_retired_series_ends_its_incident() -> None:
    retired = window(9, 0, quality=Quality.RETIRED)
    finding = Finding(retired, not_judged(Reason.RETIRED), False)
    incident, kind = follow(opened(low()), finding, clear_windows=CLEAR, alpha=ALPHA)
    assert kind is AlertKind.EXPIRED
    assert incident is not None
    assert not incident.is_open
    assert follow(incident, finding, clear_windows=CLEAR, alpha=ALPHA) == (incident, None)


def test_an_alert_says_what_when_actual_expected_and_how_unusual() -> None:
    finding = Finding(window(5, 1, series="flight.departed"), low(), False)
    incident = opened(low())
    alert = alert_of(
        AlertKind.OPENED, incident, finding, size_ms=SIZE, dashboard_url="https://tide.example/"
    )
    assert alert.subject == "flight.departed: too few, 5 in 30 min, 30 expected"
    assert alert.text == (
        "flight.departed: too few, 5 in 30 min, 30 expected\n"
        "\n"
        "What      opened (warning), series flight.departed\n"
        "When      2013-01-07T00:00:00Z to 2013-01-07T00:30:00Z, "
        "incident since 2013-01-07T00:00:00Z\n"
        "Actual    5\n"
        "Expected  30 (usually 20 to 41)\n"
        "Unusual   normal noise does this about once in 100,000 windows\n"
        f"Incident  {incident.incident_id}\n"
        "See       https://tide.example/\n"
    )
    assert alert.attributes == {
        "series": "flight.departed",
        "direction": "low",
        "severity": "warning",
        "kind": "opened",
    }
    assert (alert.json["actual"], alert.json["expected"]) == (5, 30.0)
    assert (alert.json["lower"], alert.json["upper"]) == (20.0, 41.0)


def test_silence_is_said_as_silence() -> None:
    finding = Finding(window(5, 0), low(0.0), False)
    alert = alert_of(AlertKind.OPENED, opened(low(0.0)), finding, size_ms=SIZE, dashboard_url="")
    assert alert.subject == "a: silent for 30 min, 30 expected"
    assert "See" not in alert.text


def test_an_alerts_id_follows_what_it_says_and_nothing_else() -> None:
    incident = opened(low())
    finding = Finding(window(5, 1), low(), False)
    again = Finding(window(5, 1, generation=2), low(), True)
    other = Finding(window(5, 1), low(4.0), False)

    def id_of(one: Finding) -> str:
        return alert_of(AlertKind.OPENED, incident, one, size_ms=SIZE, dashboard_url="").id

    assert id_of(finding) == id_of(again) != id_of(other)


@pytest.mark.parametrize("kind", list(AlertKind))
@pytest.mark.parametrize("series", ["é" * 120, "line\nbreak", "", "\U0001f6eb"])
def test_a_subject_fits_a_phone_and_the_topic(kind: AlertKind, series: str) -> None:
    finding = Finding(window(5, 1, series=series), low(), False)
    alert = alert_of(kind, opened(low()), finding, size_ms=SIZE, dashboard_url="")
    assert len(alert.subject) < 100
    assert alert.subject.isascii()
    assert alert.subject.isprintable()


def test_what_is_all_but_impossible_is_put_into_words() -> None:
    assert odds(0.0) == "normal noise does this less than once in 10^12 windows"
