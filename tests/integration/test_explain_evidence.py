"""`tidegauge explain`: evidence that adds up, that is gone, that was moved, and that does not."""

import pytest
from msgspec.structs import replace

from tests.support.command import Command
from tests.support.explained import (
    BASE,
    BUSY,
    NUMBERS,
    Explained,
    at,
    beat,
    event,
    shard_of,
)
from tests.support.judged_worlds import YOUNG
from tests.support.oracle import SIZE, Beat, Told
from tests.support.worlds import records

pytestmark = pytest.mark.database


def test_a_count_that_the_evidence_does_not_bear_out_is_found_wrong(
    explain: Command, explained: Explained
) -> None:
    explained.count({"s0": BUSY, "s1": [Beat(BASE), beat(3)]})
    explained.close()
    explained.judge("a", YOUNG)
    explained.execute("UPDATE partial_count SET events = events + 1 WHERE step = window_start")
    ran = explain("explain", "a", at(0), "--json")
    assert (ran.code, ran.told["check"]["result"]) == (1, "differs")
    assert (
        "the shards gave 4, and 3 were told: that is a fault" in explain("explain", "a", at(0)).out
    )
    assert explained.purge().windows == 1
    assert explain("explain", "a", at(0), "--json").told["check"]["result"] == "differs"
    explained.execute("UPDATE evidence SET on_time = on_time - 2")
    assert explain("explain", "a", at(0)).code == 1


@pytest.mark.parametrize("gone", ["purged", "before"])
def test_evidence_that_is_gone_or_was_never_kept_accuses_nobody(
    explain: Command, explained: Explained, gone: str
) -> None:
    explained.count({"s0": BUSY, "s1": [Beat(BASE), beat(3)]})
    explained.close()
    explained.judge("a", YOUNG)
    explained.execute("DELETE FROM partial_count")
    explained.execute("DELETE FROM evidence")
    assert explain("explain", "a", at(0)).code == 1  # judged just now, and there is no evidence
    if gone == "purged":
        explained.execute("UPDATE prediction SET judged_at = judged_at - INTERVAL 15 DAY")
    else:
        explained.execute("UPDATE generation SET first_seen_at = first_seen_at - INTERVAL 1 DAY")
    ran = explain("explain", "a", at(0), "--json")
    assert (ran.code, ran.told["check"]["result"]) == (0, "evidence may be gone")
    assert "Check     not possible: evidence of 0 is left, 3 were told; it is kept for 14 days" in (
        explain("explain", "a", at(0)).out
    )


def test_a_window_is_told_in_the_same_words_before_and_after_its_purge(
    explain: Command, explained: Explained
) -> None:
    log = [*BUSY, event(0, 7), event(2, 8, "b")]
    explained.count({"s0": log, "s1": [Beat(BASE), event(0, 9), beat(3)]})
    explained.close()
    before = explain("explain", "a", at(0)).out
    told = explain("explain", "a", at(0), "--json").told
    (first, second) = (shard_of(told, name) for name in ("s0", "s1"))
    assert [first[name] for name in NUMBERS] == [2, 2, 1, "2", "9"]
    assert [second[name] for name in NUMBERS] == [1, 0, 0, "2", "2"]
    assert told["check"]["result"] == "adds up"
    assert explained.purge().windows == 2
    assert explain("explain", "a", at(0), "--json").told["shards"] == told["shards"]
    assert explain("explain", "a", at(0)).out == before


def test_late_events_that_no_closing_has_told_yet_are_part_of_the_sum(
    explain: Command, explained: Explained
) -> None:
    explained.count({"s0": [Beat(BASE), event(0, 1), beat(1)], "s1": [Beat(BASE), beat(1)]})
    explained.close()
    explained.count({"s0": [Beat(BASE), event(0, 1), beat(1), event(0, 2), event(0, 3)]})
    ran = explain("explain", "a", at(0), "--json")
    assert (ran.code, ran.told["count"], ran.told["check"]["to_be_told"]) == (0, 1, 2)
    assert ran.told["check"]["result"] == "adds up"
    assert (
        "the shards gave 3: as many as were told and 2 to be told yet"
        in explain("explain", "a", at(0)).out
    )


def test_what_a_retry_counts_is_in_the_evidence_and_is_told_with_the_next_closing(
    explain: Command, explained: Explained, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = (
        b'{"specversion":"1.0","id":"ahead","source":"/s","type":"a","time":"%s"}' % at(5).encode()
    )
    (early,) = records("s0", [Told("ahead", "a", BASE + 5 * SIZE)])
    ahead = replace(early, sequence_number=2, data=data)
    (first, *rest) = records("s0", [Beat(BASE), event(0, 1), event(0, 1), beat(2), beat(5)])
    explained.count({"s0": [first, ahead, *rest[1:]], "s1": [Beat(BASE), beat(5)]})
    explained.close()
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
    explained.count({"s0": more, "s1": [Beat(BASE), beat(5), beat(6)]})
    explained.close()
    told = explain("explain", "a", at(5), "--json").told
    assert (told["count"], told["check"]["result"]) == (1, "adds up")
