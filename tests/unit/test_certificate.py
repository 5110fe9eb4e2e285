"""Where a window stands, whether its parts add up, and how both are said."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from tidegauge.adapters.mysql.certificate_rows import nobodys_ranges, set_aside_of
from tidegauge.cli.explain import like
from tidegauge.cli.explain_shown import lines_of, told_of
from tidegauge.domain.certificate import (
    Certificate,
    Check,
    Generation,
    Judged,
    RevisionCertificate,
    Sent,
    SetAside,
    ShardCertificate,
    Standing,
)
from tidegauge.domain.certificate_words import (
    QUALITY_WORDS,
    check_words,
    judged_words,
    shard_words,
    standing_words,
)
from tidegauge.domain.close import SeriesState
from tidegauge.domain.count import OTHER_SERIES, CompletedWindow, Quality
from tidegauge.domain.evidence import Evidence
from tidegauge.domain.prediction import Prediction, PredictionStatus
from tidegauge.domain.verdict import Reason, Verdict

SIZE, DAY = 300_000, 86_400_000
NOW = 2_000_000_000_000
START = NOW - NOW % SIZE - 3 * SIZE
CLOSING = START + SIZE + 60_000


def shard(
    evidence: Evidence | None = None, *, name: str = "s0", at: int | None = NOW, **changes: Any
) -> ShardCertificate:
    one = ShardCertificate(
        shard_id=name,
        parent_ids=(),
        drained=False,
        waiting=False,
        stream_time_ms=at,
        closes_ms=at,
        active=True,
        evidence=evidence,
    )
    return replace(one, **changes)


def revision(
    count: int, *, number: int = 1, late: int = 0, judged_ms: int | None = None
) -> RevisionCertificate:
    window = CompletedWindow(1, "a", START, number, START, count, late, Quality.COMPLETE)
    found = Prediction(
        window, PredictionStatus.OK, 9.5, 4.0, 1234.0, Verdict.NORMAL, Reason.NONE, 1, 0.5, "m-1"
    )
    judged = None if judged_ms is None else Judged(found, 0.95, judged_ms)
    return RevisionCertificate(number, START, count, late, Quality.COMPLETE, Sent.SENT, judged)


def certificate(
    shards: Sequence[ShardCertificate] = (), counts: Sequence[int] = (), **changes: Any
) -> Certificate:
    """A window that a stream of today closed a quarter of an hour ago."""
    generation = Generation(1, "arn:stream/events", 0, NOW - 30 * DAY, NOW, 0, ended=False)
    one = Certificate(
        generation=generation,
        series="a",
        window_start_ms=START,
        size_ms=SIZE,
        lateness_ms=60_000,
        now_ms=NOW,
        evidence_since_ms=NOW - 30 * DAY,
        evidence_noted_ms=NOW - SIZE if any(one.evidence for one in shards) else None,
        state=SeriesState(START - DAY, START),
        shards=shards,
        shards_beside=0,
        gaps=[],
        revisions=[revision(count, number=n) for n, count in enumerate(counts, start=1)],
        untold=0,
        other_count=None,
        set_aside=[],
        nobodys=[],
        incident=None,
        alerts=[],
    )
    return replace(one, **changes)


def test_shards_add_up_to_the_last_revision_whatever_the_first_was() -> None:
    shards = [shard(Evidence(1, 9, on_time=3)), shard(Evidence(2, 8, 1, 2), name="s1")]
    told = certificate(shards, [4, 6])
    assert (told.check, told.sum.counted) == (Check.ADDS_UP, 6)
    assert check_words(told) == "the shards gave 6: as many as were told"
    assert certificate(shards, [4, 5], untold=1).check is Check.ADDS_UP


def test_too_few_or_too_many_are_a_fault_where_all_evidence_must_be_there() -> None:
    for count in (2, 4):
        told = certificate([shard(Evidence(1, 1, on_time=3))], [count])
        assert told.check is Check.DIFFERS
        assert "that is a fault" in check_words(told)


def test_what_was_counted_in_a_closed_window_must_be_told_or_wait_to_be() -> None:
    shards = [shard(Evidence(1, 2, 0, 2))]
    assert certificate(shards).check is Check.DIFFERS
    waiting = certificate(shards, untold=2)
    assert (waiting.standing, waiting.check) == (Standing.NOT_TOLD, Check.NOT_TOLD)
    assert standing_words(waiting).startswith("2 events came after it had closed")


def test_a_silent_window_needs_no_evidence_to_add_up() -> None:
    assert certificate([shard()], [0]).check is Check.ADDS_UP


@pytest.mark.parametrize(
    ("noted_days_ago", "check"), [(12.5, Check.DIFFERS), (13.5, Check.TOO_OLD)]
)
def test_what_two_weeks_may_have_taken_is_missed_by_nobody(
    noted_days_ago: float, check: Check
) -> None:
    noted_ms = NOW - int(noted_days_ago * DAY)
    told = certificate([shard(Evidence(1, 1, 2))], [3], evidence_noted_ms=noted_ms)
    assert told.check is check


def test_what_was_judged_before_two_weeks_has_lost_its_first_evidence() -> None:
    # what is left came late, by a retry
    old = revision(3, judged_ms=NOW - 20 * DAY)
    told = certificate([shard(Evidence(9, 9, 0, 1))], revisions=[old, revision(4, number=2)])
    assert told.check is Check.TOO_OLD


def test_evidence_that_is_too_much_is_a_fault_at_any_age() -> None:
    told = certificate([shard(Evidence(1, 1, 9))], [3], evidence_noted_ms=NOW - 20 * DAY)
    assert told.check is Check.DIFFERS


def test_a_stream_that_was_counted_before_evidence_was_kept_gets_a_day_of_grace() -> None:
    young = certificate([shard(Evidence(1, 1, 2))], [3], evidence_since_ms=NOW - DAY // 2)
    assert young.check is Check.TOO_OLD
    newer = replace(young.generation, first_seen_ms=NOW - DAY // 4)
    assert replace(young, generation=newer).check is Check.DIFFERS
    assert certificate([shard()], [3], evidence_since_ms=None).check is Check.TOO_OLD


def test_series_beyond_the_limit_cannot_be_held_against_what_was_told_of_all() -> None:
    told = certificate([shard(Evidence(1, 1, 2))], [1], other_count=5)
    assert told.check is Check.SHARED
    assert certificate([shard()], [5], series=OTHER_SERIES).check is Check.SHARED


def test_a_shard_holds_a_window_back_until_its_stream_time_reaches_the_closing_time() -> None:
    assert shard(at=CLOSING - 1).holds_back(CLOSING)
    assert shard(at=None).holds_back(CLOSING)
    assert not shard(at=CLOSING).holds_back(CLOSING)
    assert not shard(at=None, active=False, drained=True).holds_back(CLOSING)


def open_window(*shards: ShardCertificate, **changes: Any) -> Certificate:
    told = certificate(shards, **changes)
    return replace(told, generation=replace(told.generation, next_window_ms=START))


def test_an_open_window_names_who_it_waits_for_and_how_long() -> None:
    told = open_window(
        shard(Evidence(1, 2, 2), at=CLOSING - 120_000), shard(name="s1", at=None), shard(name="s2")
    )
    assert told.standing is Standing.OPEN
    assert standing_words(told).endswith("on s0 (2 min short), s1 (no stream time yet)")
    assert "2 counted so far" in standing_words(told)
    told = open_window(shard(Evidence(1, 2, 2), at=CLOSING))
    assert "the next closing tells it" in standing_words(told)
    many = open_window(*(shard(name=f"s{n}", at=START) for n in range(9)))
    assert standing_words(many).endswith("s2 (6 min short) and 6 more")


def test_what_no_shard_has_reached_lies_ahead() -> None:
    told = open_window(shard(at=START - 1))
    assert told.standing is Standing.AHEAD
    assert "no shard has come further than" in standing_words(told)
    assert "no shard has a stream time yet" in standing_words(open_window(shard(at=None)))


def test_each_reason_why_nothing_was_told_has_its_words() -> None:
    state = SeriesState(START - DAY, START)
    nothing = certificate([shard()])
    observed_later = replace(nothing.generation, observed_from_ms=START + SIZE)
    later = replace(state, first_window_ms=START + SIZE)
    retired = replace(state, retired_window_ms=START - SIZE, active=False)
    back = replace(later, retired_window_ms=START - SIZE)
    ended = replace(nothing.generation, ended=True)
    cases = {
        Standing.BEFORE_OBSERVATION: replace(nothing, generation=observed_later),
        Standing.BEFORE_SERIES: replace(nothing, state=later),
        Standing.AFTER_SERIES: replace(nothing, state=retired),
        Standing.OTHER: certificate([shard(Evidence(1, 1, 1))], other_count=4),
        Standing.NOT_TOLD: nothing,
        Standing.UNKNOWN_SERIES: replace(nothing, state=None),
    }
    assert {case.standing for case in cases.values()} == set(cases)
    words = {standing_words(case) for case in cases.values()}
    assert len(words) == len(cases)
    assert "came back" in standing_words(replace(nothing, state=back))
    assert "made anew" in standing_words(replace(nothing, generation=ended))
    aside = [SetAside("too_old", "held", 1, (7,))]
    only_aside = replace(nothing, state=None, set_aside=aside)
    assert only_aside.standing is Standing.BEFORE_SERIES
    assert "no event of the series is counted yet" in standing_words(only_aside)


def test_every_quality_and_every_reason_of_no_verdict_is_explained() -> None:
    assert set(QUALITY_WORDS) == set(Quality)
    judged = revision(3, judged_ms=NOW).judged
    assert judged is not None
    for reason in Reason:
        if reason is Reason.NONE:
            continue
        found = replace(judged.prediction, verdict=Verdict.NOT_JUDGED, reason=reason, expected=None)
        first, second = judged_words(replace(judged, prediction=found))
        assert first.startswith("NOT_JUDGED: ")
        assert reason.value != first.removeprefix("NOT_JUDGED: ")
        assert second.startswith("nothing expected, judged at")
    assert judged_words(judged)[1].startswith(
        "9.5 expected (usually 4.0 to 1,234, level 95 %) by model m-1, judged at"
    )
    assert judged_words(None) == ["not judged yet"]


def test_a_shards_words_tell_how_it_stands_towards_the_window() -> None:
    assert "drained" in shard_words(shard(drained=True, active=False), CLOSING)
    assert "waits for its parents" in shard_words(shard(waiting=True, active=False), CLOSING)
    assert "holds the window back" in shard_words(shard(at=None), CLOSING)
    assert shard_words(shard(at=CLOSING - 60_000), CLOSING).endswith("1 min short of closing it")
    assert shard_words(shard(at=CLOSING), CLOSING).endswith("just at the closing time")


def test_a_person_is_shown_twenty_shards_and_a_program_all() -> None:
    shards = [shard(Evidence(n, n, on_time=1), name=f"s{n}") for n in range(30)]
    told = certificate(shards, [30])
    lines = list(lines_of(told, stream="events"))
    assert sum("on time" in line for line in lines) == 21  # with the sum
    assert "  … and 10 more; --json tells all of them" in lines
    shown = told_of(told, stream="events")["shards"]
    assert isinstance(shown, list)
    assert len(shown) == 30


def test_sequence_numbers_are_sought_length_by_length() -> None:
    parts, values = nobodys_ranges([("s0", "98", "101"), ("s0", "9", "9"), ("s1", "7", "7")])
    spans = [
        (values[f"shard_{n}"], values[f"from_{n}"], values[f"until_{n}"]) for n in range(len(parts))
    ]
    assert spans == [
        ("s0", "9", "9"), ("s0", "10", "99"), ("s0", "100", "101"), ("s1", "7", "7"),
    ]  # fmt: skip
    assert nobodys_ranges([]) == ([], {})


def test_what_was_set_aside_is_told_by_reason_and_state_with_its_first_numbers() -> None:
    rows = [(9, "too_old", "held"), (3, "too_old", "held"), (4, "too_old", "counted")]
    rows += [(n, "too_old", "held") for n in (5, 6)]
    assert set_aside_of(rows) == [
        SetAside("too_old", "held", 4, (3, 5, 6)),
        SetAside("too_old", "counted", 1, (4,)),
    ]


def test_names_are_alike_whatever_their_case() -> None:
    assert like("ORDER", ["login", "Order", "order"]) == ["Order", "order"]
    assert like("zzz", ["login"]) == []
