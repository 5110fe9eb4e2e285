"""`tidegauge explain`: a window's certificate on a real database, in words and as JSON."""

import pytest
from msgspec.structs import replace

from tests.support.command import Command
from tests.support.explained import (
    BASE,
    BUSY,
    Explained,
    MakeExplained,
    at,
    beat,
    event,
    shard_of,
)
from tests.support.judged_worlds import YOUNG, seasonal_counts
from tests.support.oracle import SIZE, Beat, Log
from tests.support.worlds import CLOSE_RULES, records
from tidegauge.domain.event import Rejection, RejectReason

pytestmark = pytest.mark.database


def test_a_window_is_told_from_its_records_to_its_last_revision(
    explain: Command, explained: Explained
) -> None:
    explained.count({"s0": BUSY[:5], "s1": [Beat(BASE), event(0, 7), beat(1)]})
    explained.close()
    whole = records("s0", BUSY)
    explained.count({"s0": whole, "s1": records("s1", [Beat(BASE), event(0, 7), beat(1), beat(3)])})
    explained.close()
    ran = explain("explain", "a", at(0, 299_999), "--json")
    assert (ran.code, ran.err) == (0, "")
    told = ran.told
    assert (told["window_start"], told["window_end"]) == (at(0), at(1))
    assert told["closing_time"] == at(1, 60_000)
    assert (told["standing"], told["count"], told["late"]) == ("told", 4, 1)
    assert told["check"]["result"] == "adds up"
    assert shard_of(told, "s0") == {
        "shard": "s0",
        "parents": [],
        "drained": False,
        "waiting": False,
        "stream_time": at(3, 60_000),
        "passed_closing_time": True,
        "first_sequence_number": "2",
        "last_sequence_number": "6",
        "on_time": 2,
        "late": 1,
        "duplicates": 1,
    }
    assert [(one["revision"], one["count"], one["step"]) for one in told["revisions"]] == [
        (1, 3, at(0)), (2, 4, at(1)),
    ]  # fmt: skip
    assert {one["announcement"] for one in told["revisions"]} == {"waiting"}
    explained.publish()
    told = explain("explain", "a", at(0), "--json").told
    assert {one["announcement"] for one in told["revisions"]} == {"sent"}
    assert told["revisions"][0]["judgement"] is None
    shown = explain("explain", "a", at(0)).out
    assert "Count     4 events, 1 of them late (revision 2); complete:" in shown
    assert "Check     the shards gave 4: as many as were told" in shown
    assert "    2 on time, 1 late, 1 duplicate, records 2 to 6\n" in shown


def test_what_was_set_aside_is_told_for_its_own_window_and_for_that_of_its_records(
    explain: Command, explained: Explained
) -> None:
    log = records("s0", [*BUSY[:4], BUSY[1], beat(3)])
    unreadable = replace(log[2], items=(Rejection(RejectReason.BAD_TIME, b"{}"),))
    old = records("s0", BUSY)[6]
    explained.count({"s0": [*log[:2], unreadable, *log[3:], old], "s1": [Beat(BASE), beat(3)]})
    explained.close()
    told = explain("explain", "a", at(-290), "--json").told
    assert told["standing"] == "before observation"
    ((aside),) = told["quarantined"]
    assert (aside["reason"], aside["state"], aside["count"]) == ("too_old", "held", 1)
    assert told["quarantined_of_no_series"] == []
    told = explain("explain", "a", at(0), "--json").told
    assert told["quarantined"] == []
    # record 3 lies behind record 2, the only one that was counted
    assert told["quarantined_of_no_series"] == []
    later = replace(records("s0", [*BUSY, beat(3), event(3, 9)])[9])
    between = replace(later, sequence_number=10, items=unreadable.items)
    behind = replace(later, sequence_number=101, items=unreadable.items)
    last = replace(later, sequence_number=100, items=(records("s0", [event(3, 8)])[0].items))
    explained.count({"s0": [replace(later, sequence_number=9), between, last, behind]})
    told = explain("explain", "a", at(3), "--json").told
    ((aside),) = told["quarantined_of_no_series"]
    assert (aside["reason"], aside["count"], told["standing"]) == ("bad_time", 1, "open")
    shown = explain("quarantine", "show", *aside["ids"]).out
    assert "bad_time" in shown


def test_a_verdict_names_its_band_model_incident_and_alert(
    explain: Command, explained: Explained
) -> None:
    counts = seasonal_counts(280)
    log: Log = [Beat(BASE)]
    number = 0
    for window, count in enumerate(counts):
        log += [*(event(window, number + i) for i in range(count)), beat(window + 1)]
        number += count
    explained.count({"s0": [*log, beat(286)], "s1": [Beat(BASE), beat(286)]})
    explained.close()
    explained.judge("a", YOUNG)
    told = explain("explain", "a", at(279), "--json").told
    judged = told["revisions"][0]["judgement"]
    assert (judged["verdict"], judged["level"], judged["model_version"]) == (
        "NORMAL", 0.95, "seasonal-1",
    )  # fmt: skip
    assert judged["lower"] < counts[279] < judged["upper"]
    assert told["incident"] is None
    silent = explain("explain", "a", at(280), "--json").told
    assert (silent["count"], silent["check"]["result"]) == (0, "adds up")
    assert silent["revisions"][0]["judgement"]["verdict"] == "TOO_LOW"
    (alert,) = silent["alerts"]
    assert (alert["kind"], alert["sent_at"]) == ("opened", None)
    assert silent["incident"]["first_window"] == at(280)
    assert explain("explain", "a", at(283), "--json").told["alerts"] == []  # no second one
    explained.publish()
    (alert,) = explain("explain", "a", at(280), "--json").told["alerts"]
    assert alert["sent_at"] is not None
    shown = explain("explain", "a", at(280)).out
    assert "Count     silent, 0 events (first and only revision)" in shown
    assert "TOO_LOW: normal noise does this" in shown
    assert "expected (usually " in shown
    assert f"Incident  {silent['incident']['id']}: TOO_LOW, critical, open" in shown
    assert "Alert     opened, sent " in shown


def test_an_open_window_says_which_shards_it_waits_for(
    explain: Command, explained: Explained
) -> None:
    explained.count({"s0": [beat(0), event(1, 1), beat(2)], "s1": [Beat(BASE + SIZE)]})
    explained.close()
    ran = explain("explain", "a", at(1), "--json")
    assert (ran.code, ran.told["standing"]) == (0, "open")
    assert (ran.told["held_back_by"], ran.told["count"]) == (["s1"], None)
    assert ran.told["check"]["result"] == "nothing told yet"
    shown = explain("explain", "a", at(1)).out
    assert (
        "Count     still open, 1 counted so far: it waits until stream time "
        f"{at(2, 60_000)} on s1 (6 min short)"
    ) in shown


def test_times_of_which_nothing_was_told_each_have_their_reason(
    explain: Command, explained: Explained
) -> None:
    late_start: Log = [Beat(BASE + 2 * SIZE + 60_000), event(3, 1), beat(9), event(9, 2), beat(14)]
    explained.count({"s0": late_start, "s1": late_start[:1]})
    explained.count({"s1": [*late_start[:1], beat(10)]})
    idle = replace(CLOSE_RULES, series_idle_ms=2 * SIZE)
    explained.close(idle)
    said = {
        at(50): ("ahead", "it lies ahead of the stream: no shard has come further than"),
        at(0): ("before observation", f"observation of the stream begins with {at(2)}"),
        at(2): ("before the series", f"the series begins with the window of {at(9)}"),
        at(7): ("after the series", f"retired with the window of {at(5)}, and came back"),
    }
    for moment, (standing, words) in said.items():
        ran = explain("explain", "a", moment, "--json")
        assert (ran.code, ran.told["standing"]) == (0, standing)
        assert words in " ".join(explain("explain", "a", moment).out.split()), moment
    explained.count({"s1": [*late_start[:1], beat(10), beat(13)]})
    explained.close(idle)
    last = explain("explain", "a", at(11), "--json").told
    assert (last["standing"], last["quality"]) == ("told", "retired")
    after = explain("explain", "a", at(12))
    assert f"the series was retired with the window of {at(11)}\n" in after.out


def test_a_series_beyond_the_limit_is_told_to_be_among_the_others(
    explain: Command, explained: Explained
) -> None:
    log: Log = [Beat(BASE), *(event(0, n, name) for n, name in enumerate("abc")), beat(1)]
    explained.count({"s0": log, "s1": [Beat(BASE), beat(1)]})
    explained.close(replace(CLOSE_RULES, max_series=2))
    ran = explain("explain", "c", at(0), "--json")
    assert (ran.code, ran.told["standing"]) == (0, "counted as __other__")
    together = explain("explain", "__other__", at(0), "--json")
    assert (together.code, together.told["check"]["result"]) == (0, "counted together")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("Order.Place", at(0)), "did you mean 'order.placed'?"),
        (("nothing like it", at(0)), "is not known in stream events"),
        (("evil\x1b[31m", at(0)), "series 'evil\\x1b[31m' is not known"),
        (("a" * 256, at(0)), "SERIES has 256 bytes"),
        (("\udcff", at(0)), "SERIES is no UTF-8"),
        (("order.placed", "yesterday"), "WINDOW is no time"),
        (("order.placed", at(0), "--generation", "9"), "stream events has no generation 9"),
    ],
)
def test_what_cannot_be_asked_for_is_misuse_said_in_one_sentence(
    explain: Command, explained: Explained, arguments: tuple[str, ...], says: str
) -> None:
    explained.count({"s0": [Beat(BASE), event(0, 1, "order.placed"), beat(1)], "s1": [beat(1)]})
    explained.close()
    ran = explain("explain", *arguments)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert says in ran.err


def test_a_stream_that_was_never_counted_and_a_database_without_a_schema_are_told(
    explain: Command, explained: Explained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTS_STREAM", "another")
    ran = explain("explain", "a", at(0))
    assert (ran.code, "nothing of stream another was ever counted" in ran.err) == (2, True)
    explained.execute("DROP TABLE evidence")
    monkeypatch.setenv("EVENTS_STREAM", "events")
    ran = explain("explain", "a", at(0))
    assert (ran.code, "tidegauge migrate" in ran.err) == (2, True)


def test_names_steer_no_terminal_and_are_whole_in_json(
    explain: Command, explained: Explained
) -> None:
    name = "[bold]x\x1b]0;title\x07\n\u202eé"
    explained.count({"s0": [Beat(BASE), event(0, 1, name), beat(1)], "s1": [Beat(BASE), beat(1)]})
    explained.close()
    assert explain("explain", name, at(0), "--json").told["series"] == name
    shown = explain("explain", name, at(0))
    assert shown.code == 0
    assert "Series    [bold]x\\x1b]0;title\\x07\\n\\u202eé\n" in shown.out
    assert not set(shown.out) & {"\x1b", "\x07", "\u202e"}


def test_losses_that_touch_the_window_are_told_with_their_reason(
    explain: Command, explained: Explained
) -> None:
    log = records("s0", [Beat(BASE), event(0, 1), beat(1), event(1, 2), beat(2), beat(4)])
    (heartbeat,) = log[4].items
    lost = replace(log[4], items=(replace(heartbeat, previous=4),))
    explained.count({"s0": [*log[:4], lost, log[5]], "s1": [Beat(BASE), beat(4)]})
    explained.close()
    told = explain("explain", "a", at(1), "--json").told
    assert told["quality"] == "gap"
    assert [(gap["reason"], gap["shard"]) for gap in told["gaps"]] == [("heartbeat_missing", "s0")]
    assert explain("explain", "a", at(3), "--json").told["gaps"] == []


def test_an_older_generation_is_asked_for_by_its_number(
    explain: Command, explained: Explained, make_explained: MakeExplained
) -> None:
    both: dict[str, Log] = {"s0": [Beat(BASE), event(0, 1), beat(1)], "s1": [Beat(BASE), beat(1)]}
    explained.count(both)
    explained.close()
    newer = make_explained(created_ms=1)
    newer.listing({"s0": (), "s1": ()})
    newer.count({"s0": [*both["s0"][:2], event(0, 2), beat(1)], "s1": both["s1"]})
    newer.close()
    told = explain("explain", "a", at(0), "--json").told
    assert (told["generation"], told["count"], told["other_generations"]) == (2, 2, [1])
    told = explain("explain", "a", at(0), "--generation", 1, "--json").told
    assert (told["generation"], told["count"], told["other_generations"]) == (1, 1, [2])
    third = make_explained(created_ms=2)
    third.listing({"s0": (), "s1": ()})
    # of a generation that has not got to it nobody asks
    assert explain("explain", "a", at(0), "--json").told["generation"] == 2


def test_a_child_shard_names_its_parents_and_a_drained_one_says_so(
    explain: Command, make_explained: MakeExplained
) -> None:
    explained = make_explained()
    explained.listing({"p": (), "left": ("p",), "right": ("p",)})
    explained.count({"p": [Beat(BASE), event(0, 1)]})
    assert explained.stores.sweeps.drain(explained.generation, "p", 2)
    explained.count({"left": [event(0, 1), event(0, 2)], "right": [beat(2)]})
    told = explain("explain", "a", at(0), "--json").told
    assert [(s["shard"], s["drained"], s["parents"]) for s in told["shards"]] == [
        ("left", False, ["p"]), ("p", True, []), ("right", False, ["p"]),
    ]  # fmt: skip
    left = shard_of(told, "left")
    assert (left["on_time"], left["duplicates"], left["first_sequence_number"]) == (1, 1, "2")
    assert told["held_back_by"] == ["left"]
    assert "  left, child of p\n" in explain("explain", "a", at(0)).out
