"""The live view: what a screen, a line and a JSON line say of a reading."""

import io
import json
from typing import cast

import pytest
from rich.console import Console

from embedded.live_lines import Lines, plain
from embedded.live_reading import LiveFeed, LiveReading, OpenIncident
from embedded.live_view import screen, sparkline
from embedded.live_watch import Form, watch
from embedded.report import AlertLine, WindowLine
from tidegauge.domain.errors import Transient
from tidegauge.domain.health import Health, Silence, Stall, StallCause, State

SIZE_MS = 20_000
START_MS = 1_700_000_000_000
ALERT = AlertLine(
    "2023-11-14T22:13:20Z", "opened", "[critical] order.placed: silent for 20 s, 200 expected"
)


def health(
    state: State, *, silent: tuple[Silence, ...] = (), stalls: tuple[Stall, ...] = ()
) -> Health:
    return Health(
        states=(state,),
        clock_is_sweep=True,
        watermark_ms=START_MS,
        lag_ms=4_000,
        counted_until_ms=START_MS,
        silent=silent,
        stalls=stalls,
        n_series=3,
    )


COUNTING = health(State.COUNTING)


def window(number: int, count: int, verdict: str = "NORMAL", revision: int = 1) -> WindowLine:
    judged = verdict in ("NORMAL", "TOO_LOW", "TOO_HIGH")
    reason = "too little history" if verdict == "NOT_JUDGED" else ""
    expected, lower, upper = (200.0, 160.0, 240.0) if judged else (None, None, None)
    start_ms = START_MS + number * SIZE_MS
    return WindowLine(
        start_ms, count, revision, "complete", verdict, expected, lower, upper, reason
    )


def reading(
    *lines: WindowLine, state: Health = COUNTING, alerts: tuple[AlertLine, ...] = ()
) -> LiveReading:
    last = lines[-1] if lines else None
    low = last is not None and last.verdict == "TOO_LOW"
    return LiveReading(
        now_ms=START_MS + 100_000,
        health=state,
        open_windows=2,
        windows={"order.placed": list(lines)} if lines else {},
        announced=[("order.placed", line) for line in lines],
        incidents={"order.placed": OpenIncident("TOO_LOW", "critical", START_MS)} if low else {},
        alerts=alerts,
        new_alerts=alerts,
    )


def shown(look: LiveReading, *, width: int) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=False)
    console.print(screen(look, size_ms=SIZE_MS, width=width, hints=["Ctrl-C leaves it running"]))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 110, 200])
def test_a_screen_fits_its_width_and_tells_what_matters(width: int) -> None:
    lines = [window(n, 200 + n) for n in range(60)] + [window(60, 0, "TOO_LOW")]
    told = shown(reading(*lines), width=width)
    assert told.count("silent") == 1
    silence = Silence("order.placed", START_MS, START_MS + SIZE_MS, 1, incident=True)
    state = health(State.SILENT, silent=(silence,))
    text = shown(reading(*lines, state=state, alerts=(ALERT,)), width=width)
    assert max(len(line) for line in text.splitlines()) <= width
    for expected in (
        "windows of 20 s",
        "silent",
        "order.placed",
        "160 to 240",
        "watermark 4 s behind · 2 open windows · 3 series",
        "opened",
        "Ctrl-C leaves it running",
    ):
        assert expected in text
    assert ("▼ critical" in text) is (width >= 100)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (window(0, 200), "normal"),
        (window(0, 20, "TOO_LOW"), "too few"),
        (window(0, 900, "TOO_HIGH"), "too many"),
        (window(0, 5, "NOT_JUDGED"), "too young"),
        (window(0, 5, ""), "waits"),
    ],
)
def test_a_row_tells_its_verdict_in_a_word_or_two(line: WindowLine, word: str) -> None:
    assert word in shown(reading(line), width=80)


def test_a_stall_says_what_to_look_at() -> None:
    stall = Stall(StallCause.NO_HEARTBEATS, ("shard-1",), since_ms=START_MS)
    state = health(State.STALLED, stalls=(stall,))
    text = " ".join(shown(reading(window(0, 200), state=state), width=110).split())
    assert "stalled" in text
    assert "no heartbeat was put on shard shard-1" in text
    assert "schedule" in text


def test_before_the_first_sweep_there_is_something_to_read() -> None:
    text = shown(LiveReading(), width=80)
    assert "waiting for the first sweep" in text
    assert "No alert has come yet" in text


def test_bars_tell_silence_from_a_low_count_and_colour_what_is_beyond_the_band() -> None:
    bars = sparkline(
        [window(0, 200), window(1, 3, "TOO_LOW"), window(2, 0, "TOO_LOW"), window(3, 150)]
    )
    assert bars.plain == "▇▁·▆"
    styles = [str(span.style) for span in bars.spans]
    assert styles == ["cyan", "bold red", "bold red", "yellow"]


def test_a_window_is_told_once_when_it_is_judged_and_a_correction_again() -> None:
    lines = Lines(size_ms=SIZE_MS)
    first = list(lines.new(reading(window(0, 200))))
    assert [told["kind"] for told in first] == ["state", "window"]
    assert first[1]["window_end"] == "2023-11-14T22:13:40Z"
    assert list(lines.new(reading(window(0, 200)))) == []
    corrected = list(lines.new(reading(window(0, 200), window(0, 201, revision=2))))
    assert [(told["count"], told["revision"]) for told in corrected] == [(201, 2)]


def test_an_unjudged_window_waits_for_one_more_look() -> None:
    lines = Lines(size_ms=SIZE_MS)
    assert [told["kind"] for told in lines.new(reading(window(0, 200, "")))] == ["state"]
    (told,) = lines.new(reading(window(0, 200, "")))
    assert told["verdict"] is None
    assert plain(told) == "window  22:13:20 order.placed: 200, not judged yet"
    assert list(lines.new(reading(window(0, 200)))) == []


def test_lines_for_people_say_state_window_and_alert() -> None:
    lines = Lines(size_ms=SIZE_MS)
    look = reading(window(0, 5, "NOT_JUDGED"), window(1, 0, "TOO_LOW"), alerts=(ALERT,))
    told = [plain(one) for one in lines.new(look)]
    assert told[0].startswith("state   counting: 3 series, complete until 2023-11-14T22:13:20")
    assert told[1:] == [
        "window  22:13:20 order.placed: 5, not judged (too little history)",
        "window  22:13:40 order.placed: 0, expected 160 to 240, too low",
        "alert   22:13:20 opened: [critical] order.placed: silent for 20 s, 200 expected",
    ]


def test_a_line_for_programs_is_json_that_names_its_kind() -> None:
    told = list(Lines(size_ms=SIZE_MS).new(reading(window(0, 0, "TOO_LOW"), alerts=(ALERT,))))
    read = [json.loads(json.dumps(one)) for one in told]
    assert [one["kind"] for one in read] == ["state", "window", "alert"]
    assert read[0]["states"] == ["counting"]
    assert read[1]["lower"] == 160.0
    assert read[2]["alert"] == "opened"


def test_a_database_that_dies_ends_the_view_and_it_says_how_to_come_back() -> None:
    class Dead:
        def read(self) -> LiveReading:
            msg = "no database"
            raise Transient(msg)

    with pytest.raises(Transient, match="no database; `make live` brings back"):
        watch(cast("LiveFeed", Dead()), Form.LINES, size_ms=SIZE_MS, seconds=None)
