"""The recount of a run, and how its report looks in a terminal."""

import gzip
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from embedded.present import check_line, day_table, focus, show, window_table
from embedded.report import AlertLine, Check, Report, WindowLine, compare, recount
from embedded.results import Progress

WINDOW_MS = 300_000
START_MS = 1_360_281_600_000  # 2013-02-08T00:00:00Z


def event(time: str, number: int) -> str:
    return json.dumps({"source": "/airport/JFK", "id": f"flight {number}", "time": time})


def report_of(verdicts: str, *, alerts: tuple[AlertLine, ...] = ()) -> Report:
    """Make a report of consecutive windows: n normal, l too low, h too high, . not judged."""
    names = {"n": "NORMAL", "l": "TOO_LOW", "h": "TOO_HIGH", ".": "NOT_JUDGED"}
    lines = [
        WindowLine(
            START_MS + place * WINDOW_MS,
            count=0 if sign == "l" else 5,
            verdict=names[sign],
            expected=None if sign == "." else 5.5,
            lower=None if sign == "." else 1.0,
            upper=None if sign == "." else 10.0,
        )
        for place, sign in enumerate(verdicts)
    ]
    counts = {line.start_ms: line.count for line in lines}
    check = compare(counts, counts)
    return Report("orders", WINDOW_MS, lines, alerts, check, seconds={"database": 2.0})


def text_of(report: Report, width: int = 80) -> str:
    output = io.StringIO()
    console = Console(width=width, file=output)
    show(report, console, next_steps=[("make down", "stop everything")])
    return output.getvalue()


def test_a_recount_takes_each_event_once_in_its_window(tmp_path: Path) -> None:
    lines = [
        event("2013-02-08T00:04:59Z", 1),
        event("2013-02-08T00:04:59Z", 1),
        event("2013-02-08T00:05:00Z", 2),
        event("2013-02-08T01:09:59.999+01:00", 3),
    ]
    plain = tmp_path / "events.jsonl"
    plain.write_text("\n".join(lines) + "\n")
    packed = tmp_path / "events.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    expected = {START_MS: 1, START_MS + WINDOW_MS: 2}
    assert recount(plain, window_ms=WINDOW_MS) == expected
    assert recount(packed, window_ms=WINDOW_MS) == expected


def test_windows_without_events_may_be_missing_from_a_recount() -> None:
    check = compare({0: 2, 300_000: 0}, {0: 2})
    assert check.holds
    assert (check.events, check.windows) == (2, 2)


@pytest.mark.parametrize(
    ("counted", "recounted", "difference"),
    [({0: 2}, {0: 3}, (0, 2, 3)), ({0: 1}, {}, (0, 1, 0)), ({}, {0: 1}, (0, 0, 1))],
)
def test_one_event_more_or_less_is_a_difference(
    counted: dict[int, int], recounted: dict[int, int], difference: tuple[int, int, int]
) -> None:
    check = compare(counted, recounted)
    assert not check.holds
    assert list(check.differences) == [difference]


def test_a_difference_is_told_with_its_first_window() -> None:
    told = check_line(Check(events=9, windows=4, differences=[(START_MS, 2, 3)])).plain
    assert told.startswith("✗ 1 of 4 windows differ")
    assert told.endswith("the first at 2013-02-08 00:00: 2 in MySQL, 3 recounted")


def test_the_focus_is_where_the_longest_anomalous_stretch_begins() -> None:
    # Windows too weak to judge, as in a quiet night, do not end a stretch; normal ones do.
    assert focus(report_of("nnlnn..l.l.lnn")) == START_MS + 7 * WINDOW_MS


def test_without_an_anomaly_the_focus_is_the_last_window() -> None:
    assert focus(report_of("nnn")) == START_MS + 2 * WINDOW_MS


def test_the_whole_report_fits_its_width_and_says_what_matters() -> None:
    alert = AlertLine("2013-02-08T00:20:00Z", "opened", "orders: silent for 30 min, 33 expected")
    text = text_of(report_of("nnnn" + "l" * 30 + "n" * 300, alerts=(alert,)))
    lines = text.splitlines()
    chart = lines[1:14]
    assert max(map(len, chart)) <= 80
    assert any("▼" in line for line in chart)
    assert "silent for 30 min, 33 expected" in text
    assert "30 anomalous, 304 normal" in text
    assert "✓ counts in MySQL equal a plain recount of the fixture: 1,520 events" in text
    assert "database 2.0; 2.0 together" in text
    assert lines[-1].strip() == "make down"


def test_a_report_without_windows_says_so() -> None:
    text = text_of(report_of(""))
    assert "No window was closed." in text
    assert "No alert was published." in text


def test_unjudged_windows_show_no_band() -> None:
    output = io.StringIO()
    Console(width=100, file=output).print(window_table(report_of("..n"), START_MS))
    rows = [line for line in output.getvalue().splitlines() if "2013-02-08" in line]
    assert ["5.5" in row for row in rows] == [False, False, True]


def test_a_day_with_alerts_counts_them() -> None:
    alert = AlertLine("2013-02-08T00:00:00Z", "opened", "x")
    table = day_table(report_of("lll", alerts=(alert,)), START_MS)
    cells = [list(column.cells) for column in table.columns]
    assert [column[0] for column in cells] == ["2013-02-08", "3", "0", "16", "3", "", "1"]


@pytest.mark.parametrize(
    ("progress", "missing"),
    [
        (Progress(), "collect has not read"),
        (Progress(stream_time_ms=659_999), "collect has not read"),
        (Progress(660_000, 0), "not closed every window"),
        (Progress(660_000, 600_000, announced=2, judged=1), "predict has 1 of 2"),
        (Progress(660_000, 600_000, announced=2, judged=2, unsent=1), "1 messages wait"),
        (Progress(660_000, 600_000, announced=2, judged=2), None),
    ],
)
def test_a_run_is_done_when_all_is_read_closed_judged_and_sent(
    progress: Progress, missing: str | None
) -> None:
    told = progress.missing(660_000, window_ms=WINDOW_MS, lateness_ms=60_000)
    assert told is None if missing is None else missing in (told or "")
