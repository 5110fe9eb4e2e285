"""Every reason and every refusal in words, and bytes that are safe on a terminal."""

import pytest

from tests.support.events import NOON_MS
from tidegauge.cli.quarantine_outcomes import Outcomes, outcome_words
from tidegauge.cli.quarantine_shown import print_item, table_lines
from tidegauge.cli.terminal_text import terminal_bytes, terminal_text
from tidegauge.domain.event import RejectReason
from tidegauge.domain.evidence import Evidence
from tidegauge.domain.quarantine_words import reason_words, refusal_words
from tidegauge.domain.retry import ItemState, Refusal, Refused
from tidegauge.ports.quarantine import QuarantinedItem
from tidegauge.steps.quarantine import Outcome


@pytest.mark.parametrize("reason", RejectReason)
def test_each_reason_says_what_causes_it_and_what_to_do(reason: RejectReason) -> None:
    words = reason_words(reason)
    assert all((words.says, words.cause, words.do))
    assert "does not know" not in words.says
    assert "retry" in words.do or "discard" in words.do


def test_a_reason_of_a_newer_version_is_told_as_such() -> None:
    assert reason_words("moonlight").says == "moonlight, which this version does not know"


@pytest.mark.parametrize("refusal", Refusal)
def test_each_refusal_says_why_and_what_to_do(refusal: Refusal) -> None:
    words = refusal_words(Refused(refusal, RejectReason.BAD_TIME, NOON_MS, NOON_MS + 1000))
    assert "; " in words
    assert not words.endswith(".")
    if refusal in (Refusal.TOO_OLD, Refusal.TOO_FAR_AHEAD):
        assert "2013-02-08T12:00:00Z" in words
        assert "2013-02-08T12:00:01Z" in words


def test_nothing_steers_the_terminal() -> None:
    assert terminal_text("plain \u00e9 \u6f6e [bold]") == "plain \u00e9 \u6f6e [bold]"
    assert terminal_text("\x1b[2J\r\n\t\x9b\u202e\u2028\ud800") == (
        "\\x1b[2J\\r\\n\\t\\x9b\\u202e\\u2028\\ud800"
    )
    assert terminal_bytes(b"\xff\x1b\xc3\xa9") == "\\xff\\x1b\u00e9"


def item(data: bytes) -> QuarantinedItem:
    return QuarantinedItem(
        item_id=9,
        generation=1,
        shard_id="shardId-000000000007",
        sequence_number=10**55 + 123,
        sub_index=2,
        arrival_time_ms=NOON_MS + 5,
        reason="empty",
        size_bytes=len(data),
        sha256=b"\x01" * 32,
        beginning=data[:120],
    )


def test_a_table_has_what_an_item_holds_beside_the_rest_where_there_is_room() -> None:
    wide = list(table_lines([item(b"{" + b"x" * 300)], 120))
    assert len(wide) == 2
    assert wide[1].split()[:6] == [
        "9", "empty", "\u202600000007", "\u202600000123", "2013-02-08", "12:00:00",
    ]  # fmt: skip
    assert len(wide[1]) == 120
    assert wide[1].endswith("\u2026")
    narrow = "\n".join(table_lines([item(b"{" + b"x" * 300)], 60)).split("\n")
    assert len(narrow) == 4
    assert narrow[3].startswith("  {xxx")
    assert max(map(len, narrow)) <= 60


def shown(data: bytes | None, capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_item(item(data or b""), data)
    return capsys.readouterr().out.split("\n\n", 1)[1].splitlines()


def test_text_is_shown_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown("a\r\n\tb\u202e".encode(), capsys) == ["a", "\\tb\\u202e"]


def test_what_is_no_text_is_shown_in_hex(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(bytes(range(240, 256)) + b"ab", capsys)
    assert lines == [
        "00000000  f0 f1 f2 f3 f4 f5 f6 f7 f8 f9 fa fb fc fd fe ff  ................",
        "00000010  61 62                                            ab",
    ]


def test_very_long_bytes_are_cut_even_in_the_middle_of_a_character(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = shown(b"a" * 65_535 + "\u00e9".encode() * 10, capsys)
    assert lines == ["a" * 65_535, "\u2026 19 more bytes; --raw writes them all"]


def test_bytes_that_are_not_there_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(None, capsys) == ["(its bytes were not kept, only the hash)"]


def test_outcomes_of_many_items_are_told_in_bounded_room() -> None:
    outcomes = Outcomes("retry")
    for number in range(5_000):
        outcomes.add(
            Outcome(number, ItemState.COUNTED, changed=True, counted=Evidence(1, 1, late=1))
        )
    assert outcomes.all_done
    outcomes.add(Outcome(5_000, ItemState.HELD, refused=Refused(Refusal.HEARTBEAT)))
    assert not outcomes.all_done
    told = outcomes.told()
    assert told["outcomes"] == {
        "counted": 5_000, "known": 0, "discarded": 0, "refused": 1, "settled_before": 0,
    }  # fmt: skip
    assert told["refused"] == {"heartbeat": 1}
    assert told["items_left_out"] == 4_001
    assert outcomes.counted.late == 5_000


def test_an_outcome_names_how_many_events_it_added() -> None:
    some = Evidence(1, 1, on_time=1, late=2, duplicates=1)
    words = outcome_words(Outcome(1, ItemState.COUNTED, changed=True, counted=some))
    assert words == "counted: 3 events, 2 late, 1 known already"
