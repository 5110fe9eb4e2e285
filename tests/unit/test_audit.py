"""Holding a recount against the books: differences, known losses, what cannot be compared."""

from collections import Counter
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.audited import FixedStream, places
from tests.support.events import event_json
from tests.support.oracle import SIZE, SKEW
from tests.support.worlds import BASE, RULES
from tidegauge.domain.audit import (
    LEAST_RETENTION_MS,
    Announced,
    Audit,
    Books,
    CountedShard,
    Held,
    KnownGap,
    audit,
    forgotten_until_ms,
)
from tidegauge.domain.count import Quality
from tidegauge.domain.decode import SeriesBy
from tidegauge.domain.errors import InvalidInput, Transient
from tidegauge.domain.event import Event, Rejection, RejectReason
from tidegauge.domain.fold import NO_FENCE
from tidegauge.domain.heartbeat import heartbeat_record
from tidegauge.domain.offered import Offered
from tidegauge.domain.record import DecodedRecord, Record
from tidegauge.domain.recount import Counts, Recounted, Span
from tidegauge.ports import StreamIdentity
from tidegauge.steps.audit import SHARD_PARTS, Auditor
from tidegauge.steps.recorded_clock import RecordedLine
from tidegauge.steps.replay import SetAside

ASKED = Span(BASE, BASE + 10 * SIZE, SIZE)
DAY = LEAST_RETENTION_MS
NOW = BASE + 30 * DAY


def counts_of(*counts: tuple[int, str, int]) -> Counts:
    made: Counts = {}
    for window, series, n in counts:
        made.setdefault(BASE + window * SIZE, {})[series] = n
    return made


def books_of(*counts: tuple[int, str, int], **more: Any) -> Books:
    """Return books in which the first 8 of the 10 windows are closed."""
    made = Books(
        generation=3, stream_arn="arn:x/s", created_ms=NOW - DAY, next_window_ms=BASE + 8 * SIZE,
        shards=[CountedShard("s", (), 1000, BASE)], gaps=[], rulings=[],
        announced=Announced(counts_of(*counts), Counter(), {}),
    )  # fmt: skip
    return replace(made, **more)


def compared(books: Books, *counts: tuple[int, str, int], covered_from: int = 0) -> Audit:
    recounted = Recounted(counts_of(*counts), Counter(), Counter(), Counter())
    span = Span(BASE + covered_from * SIZE, BASE + 8 * SIZE, SIZE)
    return audit(books, recounted, ASKED, span)


def found(result: Audit) -> dict[tuple[int, str], int]:
    return {((at - BASE) // SIZE, name): n for (at, name), n in places(result.differences).items()}


def test_equal_counts_are_no_difference() -> None:
    result = compared(books_of((0, "a", 2), (1, "b", 3)), (0, "a", 2), (1, "b", 3))
    assert found(result) == {}
    assert (result.recounted, result.counted, result.n_open, result.n_series) == (5, 5, 2, 2)


def test_too_many_too_few_and_what_only_one_side_knows_are_differences() -> None:
    books = books_of((0, "a", 2), (1, "b", 3), (2, "a", 1))
    result = compared(books, (0, "a", 3), (1, "b", 1), (3, "a", 4))
    assert found(result) == {(0, "a"): -1, (1, "b"): 2, (2, "a"): 1, (3, "a"): -4}
    assert [one.quality for one in result.differences] == [Quality.COMPLETE] * 4


def test_what_is_open_or_not_covered_is_no_difference() -> None:
    result = compared(books_of((0, "a", 2)), (1, "a", 9), (8, "a", 9), (9, "a", 9), covered_from=2)
    assert found(result) == {}
    assert (result.n_open, result.n_uncovered, result.compared.n_windows) == (2, 2, 6)
    assert (result.recounted, result.counted) == (0, 0)


def test_a_difference_in_a_window_of_a_known_gap_is_told_apart() -> None:
    gap = KnownGap(BASE + SIZE + 1, BASE + 2 * SIZE, "batch_skipped", "s")
    books = books_of((0, "a", 1), (1, "a", 1), (2, "a", 1), gaps=[gap])
    result = compared(books, (0, "a", 2), (1, "a", 5), (2, "a", 2))
    assert found(result) == {(0, "a"): -1, (2, "a"): -1}
    assert [(one.window_start_ms, one.difference) for one in result.known_losses] == [
        (BASE + SIZE, -4)
    ]
    assert result.gaps == [gap]


def test_a_window_that_was_told_as_one_with_a_gap_is_known_too_unless_it_is_suspect() -> None:
    books = books_of((0, "a", 1), (1, "a", 1), (2, "a", 1))
    books.announced.qualities[BASE] = {Quality.GAP}
    books.announced.qualities[BASE + SIZE] = {Quality.GAP, Quality.SUSPECT}
    books.announced.qualities[BASE + 2 * SIZE] = {Quality.PARTIAL}
    result = compared(books, (0, "a", 2), (1, "a", 2), (2, "a", 2))
    assert [one.window_start_ms for one in result.known_losses] == [BASE]
    assert [(one.window_start_ms, one.quality) for one in result.differences] == [
        (BASE + SIZE, Quality.SUSPECT),
        (BASE + 2 * SIZE, Quality.PARTIAL),
    ]


def test_series_beyond_the_limit_are_counted_as_others() -> None:
    books = books_of((0, "a", 2), (0, "__other__", 5))
    assert found(compared(books, (0, "a", 2), (0, "x", 3), (0, "y", 2))) == {}
    # one of them came in as itself later, and its late events count under its own name
    books = books_of((0, "a", 2), (0, "x", 1), (0, "__other__", 4))
    assert found(compared(books, (0, "a", 2), (0, "x", 3), (0, "y", 2))) == {}


def test_what_the_others_do_not_explain_keeps_its_name() -> None:
    books = books_of((0, "a", 2), (0, "__other__", 3))
    assert found(compared(books, (0, "a", 3), (0, "x", 3))) == {(0, "a"): -1}
    assert found(compared(books, (0, "a", 2), (0, "x", 2))) == {(0, "__other__"): 1}
    assert found(compared(books, (0, "a", 2), (0, "x", 4))) == {(0, "x"): -1}
    assert found(compared(books_of((0, "a", 2)), (0, "a", 2), (0, "x", 4))) == {(0, "x"): -4}


def test_sums_are_those_of_the_compared_windows() -> None:
    books = books_of((0, "a", 3), (5, "a", 4))
    books.announced.late.update({BASE: 2, BASE + 5 * SIZE: 1})
    recounted = Recounted(
        counts_of((0, "a", 3), (5, "a", 4)),
        Counter({BASE: 7, BASE + 5 * SIZE: 2}),
        Counter({(BASE, "too_old"): 4, (BASE + 5 * SIZE, "too_old"): 1}),
        Counter({"empty": 2}),
    )
    result = audit(books, recounted, ASKED, Span(BASE + SIZE, BASE + 8 * SIZE, SIZE))
    assert (result.recounted, result.counted, result.late) == (4, 4, 1)
    assert (result.duplicates, result.set_aside, result.no_events) == (
        2, {"too_old": 1}, {"empty": 2},
    )  # fmt: skip


# --- what a stream may have forgotten


def held(
    name: str,
    *parents: str,
    fence: int = 5,
    arrival: int | None = None,
    beat: int | None = None,
    time: int | None = None,
    broken: bool = False,
) -> Held:
    return Held(CountedShard(name, parents, fence, time), arrival, beat, broken)


def forgotten(*shards: Held, sweep: bool = True, latest: int = 1000) -> float | None:
    return forgotten_until_ms(
        {one.shard.shard_id: one for one in shards}, clock_is_sweep=sweep, latest_ms=latest
    )


def test_a_root_may_have_forgotten_what_came_before_its_first_record() -> None:
    assert forgotten(held("a", arrival=300), held("b", arrival=200)) == 300


def test_nothing_is_forgotten_that_arrived_within_a_day() -> None:
    assert forgotten(held("a", arrival=3000)) == 1000


def test_a_child_whose_parent_is_still_held_is_whole() -> None:
    assert forgotten(held("a", arrival=300), held("b", "a", arrival=900)) == 300
    assert forgotten(held("a", arrival=300), held("b", "a"), held("c", "b", arrival=900)) == 300
    assert forgotten(held("a", arrival=300), held("b", "a", arrival=900, broken=True)) == 900


def test_a_shard_of_which_nothing_is_left_ended_before_its_children_began() -> None:
    assert forgotten(held("a"), held("b", "a", arrival=500), held("c", "a", arrival=400)) == 500
    assert forgotten(held("a"), held("b", "a"), held("c", "b", arrival=700)) == 700
    assert forgotten(held("a")) == 1000


def test_a_shard_that_nobody_counted_has_lost_nothing_that_was() -> None:
    assert forgotten(held("a", fence=NO_FENCE)) is None


def test_where_a_producer_is_the_clock_its_heartbeats_tell() -> None:
    shards = (held("a", arrival=3, beat=70, time=90), held("b", time=80))
    assert forgotten(*shards, sweep=False) == 80
    assert forgotten(held("a", arrival=3), sweep=False) == float("inf")


# --- the step


class Keeper:
    """Keeps fixed books."""

    def __init__(self, books: Books | None) -> None:
        self._books = books

    def books(self, span: Span, generation: int | None) -> Books | None:
        assert span == ASKED
        assert generation is None
        return self._books


class Clock:
    """Stands still."""

    def now_ms(self) -> int:
        return NOW


def auditor(books: Books | None, *, asked: Span = ASKED, sweep: bool = False) -> Auditor:
    return Auditor(Keeper(books), replace(RULES, clock_is_sweep=sweep), SeriesBy(), asked)


def of_stream(books: Books, stream: FixedStream, *, sweep: bool = False) -> Audit:
    return auditor(books, sweep=sweep).of_stream(stream, Clock())


def record(number: int, window: int, *, arrival: int = NOW, shard_id: str = "s") -> Record:
    data = event_json(f"id-{shard_id}-{number}", BASE + window * SIZE, series="a")
    return Record(shard_id, number, arrival, "k", data)


def beat(number: int, window: int, *, shard_id: str = "s", arrival: int = NOW) -> Record:
    time_ms = BASE + window * SIZE
    data = heartbeat_record(
        source="/clock", event_time_ms=time_ms, shard_id=shard_id, previous=None
    )
    return Record(shard_id, number, arrival, "k", data)


IDENTITY = StreamIdentity("arn:x/s", NOW - DAY)


@pytest.mark.parametrize(
    ("books", "says"),
    [
        (None, "nothing of this stream was ever counted in this database"),
        (books_of(next_window_ms=None), "no window of this stream is closed yet"),
        (books_of(next_window_ms=BASE), "the first open one starts at 1970"),
    ],
)
def test_where_there_is_nothing_to_compare_it_says_why(books: Books | None, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        auditor(books)


def test_a_span_without_a_window_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no window of 300 seconds starts"):
        auditor(books_of(), asked=Span.between(BASE + 1, BASE + 2, size_ms=SIZE))


def test_a_young_stream_has_forgotten_nothing() -> None:
    stream = FixedStream(IDENTITY, {"s": [[record(1, 0), record(2, 7)], [record(2000, 1)]]})
    result = of_stream(books_of((0, "a", 1), (7, "a", 1)), stream)
    assert found(result) == {}  # what lies behind the fence is on neither side
    assert (result.n_uncovered, result.recounted) == (0, 2)


def test_of_an_older_one_windows_are_left_out_that_may_lack_records() -> None:
    books = books_of((0, "a", 9), (3, "a", 1), created_ms=NOW - DAY - 1)
    stream = FixedStream(
        replace(IDENTITY, created_ms=NOW - DAY - 1), {"s": [[beat(1, 1), beat(2, 3), record(3, 3)]]}
    )
    result = of_stream(books, stream)
    assert found(result) == {}
    assert result.n_uncovered == 3  # an event may lie one window ahead of its heartbeat
    assert result.compared.from_ms == BASE + SIZE + SKEW + SIZE


def test_where_all_may_be_forgotten_there_is_nothing_to_compare() -> None:
    old = NOW - DAY - 1
    for log in ([], [record(1, 3)]):
        books = books_of((0, "a", 9), created_ms=old, shards=[CountedShard("s", (), 9, None)])
        stream = FixedStream(replace(IDENTITY, created_ms=old), {"s": [log]})
        with pytest.raises(InvalidInput, match="later FROM, or audit with --fixture"):
            of_stream(books, stream)


def test_a_page_that_may_lack_something_before_it_begins_anew() -> None:
    old = NOW - 2 * DAY
    pages = [[beat(1, 0), record(2, 1)], [beat(3, 3), beat(4, 5), record(5, 6)]]
    books = books_of((2, "a", 7), (6, "a", 1), created_ms=old)
    stream = FixedStream(replace(IDENTITY, created_ms=old), {"s": pages}, broken=[("s", 1)])
    result = of_stream(books, stream)
    assert (found(result), result.n_uncovered) == ({}, 5)


def test_where_the_sweep_is_the_clock_arrival_tells_what_is_covered() -> None:
    old = NOW - 9 * DAY
    log = [record(n, n, arrival=BASE + n * SIZE) for n in range(2, 8)]
    books = books_of(*((n, "a", 1) for n in range(8)), created_ms=old)
    stream = FixedStream(replace(IDENTITY, created_ms=old), {"s": [log]})
    result = of_stream(books, stream, sweep=True)
    assert (found(result), result.n_uncovered, result.recounted) == ({}, 4, 4)


def test_another_stream_of_the_name_is_none_that_was_counted() -> None:
    stream = FixedStream(replace(IDENTITY, created_ms=NOW), {})
    with pytest.raises(InvalidInput, match="audit with --fixture"):
        of_stream(books_of(), stream)
    assert stream.reads == []


def test_a_stream_that_is_made_anew_while_it_is_read_is_asked_for_again() -> None:
    class Remade(FixedStream):
        def pages(self, shard_id: str, until: int) -> Any:
            self.now = replace(IDENTITY, created_ms=NOW)
            return super().pages(shard_id, until)

    with pytest.raises(Transient, match="made anew under its name while it was read"):
        of_stream(books_of(), Remade(IDENTITY, {}))


def test_shards_that_were_never_counted_are_not_read_and_progress_reaches_its_end() -> None:
    shards = [
        CountedShard("s", (), 11, BASE), CountedShard("t", (), NO_FENCE, None),
        CountedShard("u", ("s",), 3, BASE),
    ]  # fmt: skip
    pages = {
        "s": [[record(1, 1)], [record(6, 1)], [record(11, 1)]],
        "t": [[record(1, 1, shard_id="t")]],
        "u": [[record(1, 1, shard_id="u")]],
    }
    stream = FixedStream(IDENTITY, pages)
    told: list[int] = []
    books = books_of((1, "a", 4), shards=shards)
    result = auditor(books).of_stream(stream, Clock(), told.append)
    assert found(result) == {}
    assert stream.reads == ["s", "u"]
    assert told == [0, 500, 1000, 1000, 2000, 2000, 3000]
    assert max(told) == 3 * SHARD_PARTS


def line(shard_id: str, number: int, *items: Event | Rejection) -> RecordedLine:
    return RecordedLine(1, shard_id, "", DecodedRecord(number, None, items, b""))


def test_a_recording_of_other_shards_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"of other shards \(t, u\)"):
        auditor(books_of()).of_recording([line("u", 1), line("t", 1)], {})


def test_lines_of_a_recording_that_hold_no_record_are_told() -> None:
    bad = Rejection(RejectReason.WRONG_TYPE, b"")
    lines: list[RecordedLine | SetAside] = [SetAside(1, bad)]
    lines.append(line("s", 1, Event(1, "a", BASE), bad))
    result = auditor(books_of((0, "a", 1))).of_recording(lines, {})
    assert (found(result), result.no_events) == ({}, {"wrong_type": 2})


def test_a_file_is_held_against_the_books_as_it_is() -> None:
    told = [Offered(1, Event(key, "a", BASE), b"") for key in (1, 2, 2)]
    result = auditor(books_of((0, "a", 1))).of_file(told)
    assert (found(result), result.duplicates) == ({(0, "a"): -1}, 1)
