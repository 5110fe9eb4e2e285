"""Events put on the stream of an address, and what is in MySQL then."""

from typing import Any

import pytest

from tests.support.address import Address
from tests.support.address_line import Counted, Line
from tests.support.live import until

pytestmark = pytest.mark.stack

SECONDS = 90


def test_events_become_exact_windows_and_silence_is_announced(line: Line) -> None:
    series = line.series("exact")
    first_ms = line.next_window()
    expected = {}
    for number in (5, 0, 0, 41, 1):
        expected[line.window_ms] = number
        line.put(line.events(series, number))
        line.next_window()
    assert expected == line.recount(series)

    until(
        lambda: expected.keys() <= line.counts(series).keys(),
        seconds=SECONDS,
        what=f"{len(expected)} windows of {series}",
    )
    counted = {start: told for start, told in line.counted(series).items() if start in expected}
    assert counted == {start: [Counted(n, 0, "complete")] for start, n in expected.items()}
    assert min(line.counts(series)) == first_ms
    # Announcements were heard: each window has a verdict.
    until(
        lambda: expected.keys() <= line.predictions(series).keys(),
        seconds=SECONDS,
        what=f"verdicts on {series}",
    )


def test_what_comes_twice_counts_once_and_what_comes_late_makes_a_revision(line: Line) -> None:
    series = line.series("late")
    start_ms = line.next_window()
    on_time = line.events(series, 7)
    for _ in range(3):
        line.put(on_time, key=line.token)
    behind = line.events(series, 2)  # of this window, and put when it is closed
    line.next_window()
    line.put([*behind, *on_time, *behind], key=line.token)
    line.next_window()

    def revisions() -> list[Counted] | None:
        told = line.counted(series).get(start_ms, [])
        return told if len(told) > 1 else None

    told = until(revisions, seconds=SECONDS, what="a revision of the window")
    assert told == [Counted(7, 0, "complete"), Counted(9, 2, "complete")]
    assert line.recount(series) == {start_ms: 9}


def test_a_record_that_is_no_event_is_kept_with_its_bytes_and_holds_up_nothing(
    line: Line, address: Address
) -> None:
    series = line.series("beside")
    start_ms = line.next_window()
    hostile = b'{"id": "' + line.token.encode() + b"\x1b[31m\x00\xff"
    line.put([hostile, *line.events(series, 3)], key=line.token)
    line.next_window()

    def set_aside() -> list[tuple[Any, ...]]:
        return address.rows(
            "SELECT reason, data FROM quarantine WHERE generation = %s AND data LIKE %s",
            line.generation,
            b"%" + line.token.encode() + b"%",
        )

    (found,) = until(set_aside, seconds=SECONDS, what="the record in quarantine")
    assert found == ("not_utf8", hostile)
    until(
        lambda: line.counts(series).get(start_ms) == 3,
        seconds=SECONDS,
        what="the events beside it",
    )
