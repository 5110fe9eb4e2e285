"""`tidegauge explain`: a window's certificate on a real database, in words and as JSON."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.command import Command
from tests.support.explained import BASE, Explained, MakeExplained, at, beat
from tests.support.judged_worlds import YOUNG, seasonal_counts
from tests.support.oracle import SIZE, Beat, Log, Told
from tests.support.worlds import CLOSE_RULES, records
from tidegauge.domain.event import Rejection, RejectReason

pytestmark = pytest.mark.database


def event(window: int, ident: int, series: str = "a") -> Told:
    return Told(f"id-{ident}", series, BASE + window * SIZE + ident % 1000)


@pytest.fixture
def explain(
    fresh_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Command:
    """The command, with a stream and a database in its environment and no local stack."""
    for name in ("DATABASE_SECRET_ARN", "WINDOW_SECONDS", "ALLOWED_LATENESS_SECONDS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABASE_URL", fresh_database_url)
    monkeypatch.setenv("EVENTS_STREAM", "events")
    monkeypatch.setenv("TIDEGAUGE_STATE", str(tmp_path / "run"))
    monkeypatch.setenv("TIDEGAUGE_LIVE_STATE", str(tmp_path / "live"))
    return Command(monkeypatch, capsys)


@pytest.fixture
def make(fresh_database_url: str) -> Iterator[MakeExplained]:
    """Makes generations of the stream."""
    made: list[Explained] = []

    def one(*, created_ms: int = 0) -> Explained:
        made.append(Explained(fresh_database_url, created_ms=created_ms))
        return made[-1]

    yield one
    for stream in made:
        stream.end()


@pytest.fixture
def stream(make: MakeExplained) -> Explained:
    """A generation with two shards."""
    one = make()
    one.listing({"s0": (), "s1": ()})
    return one


def shard_of(told: dict[str, object], shard_id: str) -> dict[str, object]:
    shards = told["shards"]
    assert isinstance(shards, list)
    (found,) = [shard for shard in shards if shard["shard"] == shard_id]
    assert isinstance(found, dict)
    return found


NUMBERS = ("on_time", "late", "duplicates", "first_sequence_number", "last_sequence_number")


BUSY: Log = [
    Beat(BASE),
    event(0, 1),  # record 2
    event(0, 2),
    event(0, 1),  # again
    beat(1),
    event(0, 3),  # record 6, late
    event(-290, 4),  # too old
    beat(3),
]


def test_a_window_is_told_from_its_records_to_its_last_revision(
    explain: Command, stream: Explained
) -> None:
    stream.count({"s0": BUSY[:5], "s1": [Beat(BASE), event(0, 7), beat(1)]})
    stream.close()
    whole = records("s0", BUSY)
    stream.count({"s0": whole, "s1": records("s1", [Beat(BASE), event(0, 7), beat(1), beat(3)])})
    stream.close()
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
    stream.publish()
    told = explain("explain", "a", at(0), "--json").told
    assert {one["announcement"] for one in told["revisions"]} == {"sent"}
    assert told["revisions"][0]["judgement"] is None
    shown = explain("explain", "a", at(0)).out
    assert "Count     4 events, 1 of them late (revision 2); complete:" in shown
    assert "Check     the shards gave 4: as many as were told" in shown
    assert "    2 on time, 1 late, 1 duplicate, records 2 to 6\n" in shown


def test_what_was_set_aside_is_told_for_its_own_window_and_for_that_of_its_records(
    explain: Command, stream: Explained
) -> None:
    log = records("s0", [*BUSY[:4], BUSY[1], beat(3)])
    unreadable = replace(log[2], items=(Rejection(RejectReason.BAD_TIME, b"{}"),))
    old = records("s0", BUSY)[6]
    stream.count({"s0": [*log[:2], unreadable, *log[3:], old], "s1": [Beat(BASE), beat(3)]})
    stream.close()
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
    stream.count({"s0": [replace(later, sequence_number=9), between, last, behind]})
    told = explain("explain", "a", at(3), "--json").told
    ((aside),) = told["quarantined_of_no_series"]
    assert (aside["reason"], aside["count"], told["standing"]) == ("bad_time", 1, "open")
    shown = explain("quarantine", "show", *aside["ids"]).out
    assert "bad_time" in shown


def test_a_verdict_names_its_band_model_incident_and_alert(
    explain: Command, stream: Explained
) -> None:
    counts = seasonal_counts(280)
    log: Log = [Beat(BASE)]
    number = 0
    for window, count in enumerate(counts):
        log += [*(event(window, number + i) for i in range(count)), beat(window + 1)]
        number += count
    stream.count({"s0": [*log, beat(286)], "s1": [Beat(BASE), beat(286)]})
    stream.close()
    stream.judge("a", YOUNG)
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
    stream.publish()
    (alert,) = explain("explain", "a", at(280), "--json").told["alerts"]
    assert alert["sent_at"] is not None
    shown = explain("explain", "a", at(280)).out
    assert "Count     silent, 0 events (first and only revision)" in shown
    assert "TOO_LOW: normal noise does this" in shown
    assert "expected (usually " in shown
    assert f"Incident  {silent['incident']['id']}: TOO_LOW, critical, open" in shown
    assert "Alert     opened, sent " in shown


def test_an_open_window_says_which_shards_it_waits_for(explain: Command, stream: Explained) -> None:
    stream.count({"s0": [beat(0), event(1, 1), beat(2)], "s1": [Beat(BASE + SIZE)]})
    stream.close()
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
    explain: Command, stream: Explained
) -> None:
    late_start: Log = [Beat(BASE + 2 * SIZE + 60_000), event(3, 1), beat(9), event(9, 2), beat(14)]
    stream.count({"s0": late_start, "s1": late_start[:1]})
    stream.count({"s1": [*late_start[:1], beat(10)]})
    idle = replace(CLOSE_RULES, series_idle_ms=2 * SIZE)
    stream.close(idle)
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
    stream.count({"s1": [*late_start[:1], beat(10), beat(13)]})
    stream.close(idle)
    last = explain("explain", "a", at(11), "--json").told
    assert (last["standing"], last["quality"]) == ("told", "retired")
    after = explain("explain", "a", at(12))
    assert f"the series was retired with the window of {at(11)}\n" in after.out


def test_a_series_beyond_the_limit_is_told_to_be_among_the_others(
    explain: Command, stream: Explained
) -> None:
    log: Log = [Beat(BASE), *(event(0, n, name) for n, name in enumerate("abc")), beat(1)]
    stream.count({"s0": log, "s1": [Beat(BASE), beat(1)]})
    stream.close(replace(CLOSE_RULES, max_series=2))
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
    explain: Command, stream: Explained, arguments: tuple[str, ...], says: str
) -> None:
    stream.count({"s0": [Beat(BASE), event(0, 1, "order.placed"), beat(1)], "s1": [beat(1)]})
    stream.close()
    ran = explain("explain", *arguments)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert says in ran.err


def test_a_stream_that_was_never_counted_and_a_database_without_a_schema_are_told(
    explain: Command, stream: Explained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTS_STREAM", "another")
    ran = explain("explain", "a", at(0))
    assert (ran.code, "nothing of stream another was ever counted" in ran.err) == (2, True)
    stream.execute("DROP TABLE evidence")
    monkeypatch.setenv("EVENTS_STREAM", "events")
    ran = explain("explain", "a", at(0))
    assert (ran.code, "tidegauge migrate" in ran.err) == (2, True)


def test_a_count_that_the_evidence_does_not_bear_out_is_found_wrong(
    explain: Command, stream: Explained
) -> None:
    stream.count({"s0": BUSY, "s1": [Beat(BASE), beat(3)]})
    stream.close()
    stream.judge("a", YOUNG)
    stream.execute("UPDATE partial_count SET events = events + 1 WHERE step = window_start")
    ran = explain("explain", "a", at(0), "--json")
    assert (ran.code, ran.told["check"]["result"]) == (1, "differs")
    assert (
        "the shards gave 4, and 3 were told: that is a fault" in explain("explain", "a", at(0)).out
    )
    assert stream.purge().windows == 1
    assert explain("explain", "a", at(0), "--json").told["check"]["result"] == "differs"
    stream.execute("UPDATE evidence SET on_time = on_time - 2")
    assert explain("explain", "a", at(0)).code == 1


@pytest.mark.parametrize("gone", ["purged", "before"])
def test_evidence_that_is_gone_or_was_never_kept_accuses_nobody(
    explain: Command, stream: Explained, gone: str
) -> None:
    stream.count({"s0": BUSY, "s1": [Beat(BASE), beat(3)]})
    stream.close()
    stream.judge("a", YOUNG)
    stream.execute("DELETE FROM partial_count")
    stream.execute("DELETE FROM evidence")
    assert explain("explain", "a", at(0)).code == 1  # judged just now, and there is no evidence
    if gone == "purged":
        stream.execute("UPDATE prediction SET judged_at = judged_at - INTERVAL 15 DAY")
    else:
        stream.execute("UPDATE generation SET first_seen_at = first_seen_at - INTERVAL 1 DAY")
    ran = explain("explain", "a", at(0), "--json")
    assert (ran.code, ran.told["check"]["result"]) == (0, "evidence may be gone")
    assert "Check     not possible: evidence of 0 is left, 3 were told; it is kept for 14 days" in (
        explain("explain", "a", at(0)).out
    )


def test_a_window_is_told_in_the_same_words_before_and_after_its_purge(
    explain: Command, stream: Explained
) -> None:
    log = [*BUSY, event(0, 7), event(2, 8, "b")]
    stream.count({"s0": log, "s1": [Beat(BASE), event(0, 9), beat(3)]})
    stream.close()
    before = explain("explain", "a", at(0)).out
    told = explain("explain", "a", at(0), "--json").told
    (first, second) = (shard_of(told, name) for name in ("s0", "s1"))
    assert [first[name] for name in NUMBERS] == [2, 2, 1, "2", "9"]
    assert [second[name] for name in NUMBERS] == [1, 0, 0, "2", "2"]
    assert told["check"]["result"] == "adds up"
    assert stream.purge().windows == 2
    assert explain("explain", "a", at(0), "--json").told["shards"] == told["shards"]
    assert explain("explain", "a", at(0)).out == before


def test_late_events_that_no_closing_has_told_yet_are_part_of_the_sum(
    explain: Command, stream: Explained
) -> None:
    stream.count({"s0": [Beat(BASE), event(0, 1), beat(1)], "s1": [Beat(BASE), beat(1)]})
    stream.close()
    stream.count({"s0": [Beat(BASE), event(0, 1), beat(1), event(0, 2), event(0, 3)]})
    ran = explain("explain", "a", at(0), "--json")
    assert (ran.code, ran.told["count"], ran.told["check"]["to_be_told"]) == (0, 1, 2)
    assert ran.told["check"]["result"] == "adds up"
    assert (
        "the shards gave 3: as many as were told and 2 to be told yet"
        in explain("explain", "a", at(0)).out
    )


def test_what_a_retry_counts_is_in_the_evidence_and_is_told_with_the_next_closing(
    explain: Command, stream: Explained, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = (
        b'{"specversion":"1.0","id":"ahead","source":"/s","type":"a","time":"%s"}' % at(5).encode()
    )
    (early,) = records("s0", [Told("ahead", "a", BASE + 5 * SIZE)])
    ahead = replace(early, sequence_number=2, data=data)
    (first, *rest) = records("s0", [Beat(BASE), event(0, 1), event(0, 1), beat(2), beat(5)])
    stream.count({"s0": [first, ahead, *rest[1:]], "s1": [Beat(BASE), beat(5)]})
    stream.close()
    told = explain("explain", "a", at(5), "--json").told
    ((aside),) = told["quarantined"]
    assert (aside["reason"], aside["state"]) == ("too_far_ahead", "held")
    monkeypatch.setenv("WINDOW_SECONDS", "300")
    monkeypatch.setenv("SERIES_BY", "type")
    monkeypatch.setenv("CLOCK_SOURCE", "/clock")
    assert explain("quarantine", "retry", *aside["ids"]).code == 0
    told = explain("explain", "a", at(5), "--json").told
    assert [one["state"] for one in told["quarantined"]] == ["counted"]
    assert (told["standing"], shard_of(told, "s0")["on_time"]) == ("open", 1)
    more = [first, ahead, *rest[1:], *records("s0", [beat(6)] * 9)[5:]]
    stream.count({"s0": more, "s1": [Beat(BASE), beat(5), beat(6)]})
    stream.close()
    told = explain("explain", "a", at(5), "--json").told
    assert (told["count"], told["check"]["result"]) == (1, "adds up")


def test_names_steer_no_terminal_and_are_whole_in_json(explain: Command, stream: Explained) -> None:
    name = "[bold]x\x1b]0;title\x07\n\u202eé"
    stream.count({"s0": [Beat(BASE), event(0, 1, name), beat(1)], "s1": [Beat(BASE), beat(1)]})
    stream.close()
    assert explain("explain", name, at(0), "--json").told["series"] == name
    shown = explain("explain", name, at(0))
    assert shown.code == 0
    assert "Series    [bold]x\\x1b]0;title\\x07\\n\\u202eé\n" in shown.out
    assert not set(shown.out) & {"\x1b", "\x07", "\u202e"}


def test_losses_that_touch_the_window_are_told_with_their_reason(
    explain: Command, stream: Explained
) -> None:
    log = records("s0", [Beat(BASE), event(0, 1), beat(1), event(1, 2), beat(2), beat(4)])
    (heartbeat,) = log[4].items
    lost = replace(log[4], items=(replace(heartbeat, previous=4),))
    stream.count({"s0": [*log[:4], lost, log[5]], "s1": [Beat(BASE), beat(4)]})
    stream.close()
    told = explain("explain", "a", at(1), "--json").told
    assert told["quality"] == "gap"
    assert [(gap["reason"], gap["shard"]) for gap in told["gaps"]] == [("heartbeat_missing", "s0")]
    assert explain("explain", "a", at(3), "--json").told["gaps"] == []


def test_an_older_generation_is_asked_for_by_its_number(
    explain: Command, stream: Explained, make: MakeExplained
) -> None:
    both: dict[str, Log] = {"s0": [Beat(BASE), event(0, 1), beat(1)], "s1": [Beat(BASE), beat(1)]}
    stream.count(both)
    stream.close()
    newer = make(created_ms=1)
    newer.listing({"s0": (), "s1": ()})
    newer.count({"s0": [*both["s0"][:2], event(0, 2), beat(1)], "s1": both["s1"]})
    newer.close()
    told = explain("explain", "a", at(0), "--json").told
    assert (told["generation"], told["count"], told["other_generations"]) == (2, 2, [1])
    told = explain("explain", "a", at(0), "--generation", 1, "--json").told
    assert (told["generation"], told["count"], told["other_generations"]) == (1, 1, [2])
    third = make(created_ms=2)
    third.listing({"s0": (), "s1": ()})
    # of a generation that has not got to it nobody asks
    assert explain("explain", "a", at(0), "--json").told["generation"] == 2


def test_a_child_shard_names_its_parents_and_a_drained_one_says_so(
    explain: Command, make: MakeExplained
) -> None:
    stream = make()
    stream.listing({"p": (), "left": ("p",), "right": ("p",)})
    stream.count({"p": [Beat(BASE), event(0, 1)]})
    assert stream.stores.sweeps.drain(stream.generation, "p", 2)
    stream.count({"left": [event(0, 1), event(0, 2)], "right": [beat(2)]})
    told = explain("explain", "a", at(0), "--json").told
    assert [(s["shard"], s["drained"], s["parents"]) for s in told["shards"]] == [
        ("left", False, ["p"]), ("p", True, []), ("right", False, ["p"]),
    ]  # fmt: skip
    left = shard_of(told, "left")
    assert (left["on_time"], left["duplicates"], left["first_sequence_number"]) == (1, 1, "2")
    assert told["held_back_by"] == ["left"]
    assert "  left, child of p\n" in explain("explain", "a", at(0)).out
