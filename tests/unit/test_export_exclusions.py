"""What a dataset leaves out of training, and how it tells of it."""

import numpy as np
import pytest

from tests.support.dataset_stores import completed
from tests.support.exported import DAY, HOUR, SIZE, START, Exported, days_of
from tidegauge.domain.count import Quality
from tidegauge.domain.dataset import SeriesIncident
from tidegauge.domain.incident import IncidentStatus
from tidegauge.domain.verdict import Verdict

DAYS = 20


@pytest.fixture
def exported() -> Exported:
    """A stream with 20 days of one series."""
    made = Exported()
    made.store.announce(days_of(DAYS))
    made.closed(DAYS)
    return made


def shown(window_start_ms: int) -> str:
    return str(np.datetime64(window_start_ms // 1000, "s")) + "Z"


def excluded(made: Exported) -> dict[tuple[str, str], str]:
    """Return what windows are left out for, by series and start."""
    return {
        (row["series"], row["window_start"]): row["excluded"]
        for row in made.counts()
        if row["excluded"]
    }


def windows_of(series: str, from_ms: int, until_ms: int, kind: str) -> dict[tuple[str, str], str]:
    return {(series, shown(at_ms)): kind for at_ms in range(from_ms, until_ms, SIZE)}


def test_untrusted_windows_are_left_out_in_periods() -> None:
    made = Exported()
    at = START + 10 * DAY
    quality = {
        **{at + n * SIZE: Quality.GAP for n in range(3)},
        **{at + n * SIZE: Quality.SUSPECT for n in range(3, 5)},
        at + 10 * SIZE: Quality.GAP,
        **{START + n * SIZE: Quality.PARTIAL for n in range(4)},
        START + DAYS * DAY - SIZE: Quality.RETIRED,
    }
    for name in ("a", "b"):
        rows = days_of(DAYS, series=name)
        made.store.announce(
            completed(1, name, one.window_start_ms, one.count,
                      quality=quality.get(one.window_start_ms, Quality.COMPLETE)
                      if name == "a" or one.window_start_ms < at else Quality.COMPLETE)
            for one in rows
        )  # fmt: skip
    made.closed(DAYS)
    made.forced()
    card = made.card()
    assert [
        (one["series"], one["from"], one["until"], one["kind"], one["windows"])
        for one in card["exclusions"]
    ] == [
        (None, shown(START), shown(START + 4 * SIZE), "gap", 8),
        ("a", shown(at), shown(at + 3 * SIZE), "gap", 3),
        ("a", shown(at + 3 * SIZE), shown(at + 5 * SIZE), "gap", 2),
        ("a", shown(at + 10 * SIZE), shown(at + 11 * SIZE), "gap", 1),
        ("a", shown(START + DAYS * DAY - SIZE), shown(START + DAYS * DAY), "retired", 1),
    ]
    assert card["excluded_windows"] == 15 == len(excluded(made))
    assert card["exclusions"][1]["why"] == "records of the window are known to be lost"


def test_what_a_person_excludes_is_left_out(exported: Exported) -> None:
    exported.store.announce(days_of(DAYS, series="b"))
    at = START + 10 * DAY
    # A window that is touched at all is left out.
    exported.store.add("b", at + 1, at + SIZE + 1, "load test")
    exported.store.add(None, at + DAY, at + DAY + HOUR, "holiday")
    exported.store.add("c", at, at + DAY, "nobody's")
    exported.forced()
    assert excluded(exported) == {
        **windows_of("b", at, at + 2 * SIZE, "user"),
        **windows_of("a", at + DAY, at + DAY + HOUR, "user"),
        **windows_of("b", at + DAY, at + DAY + HOUR, "user"),
    }
    card = exported.card()
    assert [(one["series"], one["why"], one["windows"]) for one in card["exclusions"]] == [
        ("b", "load test", 2),
        (None, "holiday", 24),
    ]
    assert card["rows"]["train"] == 2 * 9 * 288 - 26


def test_outages_and_open_incidents_are_left_out_but_no_spike_that_is_over(
    exported: Exported,
) -> None:
    at = START + 9 * DAY

    def incident(
        number: int, status: IncidentStatus, direction: Verdict = Verdict.TOO_LOW
    ) -> SeriesIncident:
        first = at + number * DAY
        closed = None if status is IncidentStatus.OPEN else first + HOUR
        return SeriesIncident(1, "a", f"{number:016x}", direction, status, first, closed)

    exported.store.add_incident(incident(0, IncidentStatus.CLEARED))
    exported.store.add_incident(incident(1, IncidentStatus.CLEARED, Verdict.TOO_HIGH))
    exported.store.add_incident(incident(2, IncidentStatus.EXPIRED))
    exported.store.add_incident(incident(3, IncidentStatus.RETRACTED))
    exported.store.add_incident(incident(10, IncidentStatus.OPEN, Verdict.TOO_HIGH))
    exported.forced()
    assert excluded(exported) == {
        **windows_of("a", at, at + HOUR + SIZE, "outage"),
        **windows_of("a", at + 2 * DAY, at + 2 * DAY + HOUR + SIZE, "outage"),
        **windows_of("a", at + 10 * DAY, START + DAYS * DAY, "open-incident"),
    }
    kinds = [(one["kind"], one["windows"]) for one in exported.card()["exclusions"]]
    assert kinds == [("outage", 13), ("outage", 13), ("open-incident", 288)]


def test_an_incident_is_about_the_windows_of_its_own_generation() -> None:
    made = Exported()
    made.store.announce(days_of(10))
    made.store.announce(days_of(10, generation=2, from_ms=START + 10 * DAY))
    made.closed(10)
    made.closed(DAYS, generation=2)
    open_for_ever = SeriesIncident(
        1, "a", "0" * 16, Verdict.TOO_LOW, IncidentStatus.OPEN, START + 9 * DAY, None
    )
    made.store.add_incident(open_for_ever)
    made.forced()
    assert excluded(made) == windows_of("a", START + 9 * DAY, START + 10 * DAY, "open-incident")


def test_later_rows_see_the_counts_of_what_is_left_out(exported: Exported) -> None:
    exported.forced()
    before = set(map(tuple, exported.rows("train")))
    exported.store.add(None, START + 10 * DAY, START + 11 * DAY, "marathon")
    exported.forced()
    after = set(map(tuple, exported.rows("train")))
    assert after < before
    assert len(before) - len(after) == 288


def test_a_window_is_left_out_for_one_reason_only(exported: Exported) -> None:
    at = START + 10 * DAY
    exported.store.announce(
        completed(1, "a", at + n * SIZE, 0, revision=2, step_ms=at + 5 * SIZE, quality=Quality.GAP)
        for n in range(4)
    )
    exported.store.add("a", at, at + 2 * SIZE, "mine")
    exported.store.add_incident(
        SeriesIncident(
            1, "a", "1" * 16, Verdict.TOO_LOW, IncidentStatus.CLEARED, at + SIZE, at + 2 * SIZE
        )
    )
    exported.forced()
    assert list(excluded(exported).values()) == ["user", "user", "outage", "gap"]
    assert [one["windows"] for one in exported.card()["exclusions"]] == [2, 1, 1]
    assert exported.card()["excluded_windows"] == 4
