"""A plain recount: what it counts, what it leaves out, and by whose word."""

import random
from collections import Counter
from hashlib import sha256

import pytest
from msgspec.structs import replace

from tests.support.audited import ruling
from tests.support.events import event_json
from tests.support.oracle import AGE, SIZE, SKEW
from tests.support.worlds import BASE, RULES
from tidegauge.domain.decode import SeriesBy, event_key
from tidegauge.domain.event import Event, Heartbeat, Rejection, RejectReason
from tidegauge.domain.fold import CountRules, Quarantined
from tidegauge.domain.record import DecodedRecord
from tidegauge.domain.recount import FileRecount, Ruling, ShardRecount, Span, over_lineage
from tidegauge.domain.retry import ItemState

SPAN = Span(BASE - 400 * SIZE, BASE + 400 * SIZE, SIZE)
SWEPT = replace(RULES, clock_is_sweep=True)
Item = Event | Heartbeat | Rejection


def event(offset: int, key: int = 1, series: str = "a") -> Event:
    return Event(key, series, BASE + offset)


def beat(offset: int, *, shard_id: str = "s", source: str = "/clock") -> Heartbeat:
    return Heartbeat(source, BASE + offset, shard_id, None)


def record(number: int, *items: Item, arrival: int | None = None) -> DecodedRecord:
    return DecodedRecord(number, None if arrival is None else BASE + arrival, items, b"")


def recounted(
    *log: DecodedRecord,
    rules: CountRules = RULES,
    fence: int = 1000,
    inherited_ms: int | None = None,
    rulings: tuple[Ruling, ...] = (),
) -> ShardRecount:
    shard = ShardRecount(
        "s", rules, SPAN, SeriesBy(), fence=fence, inherited_ms=inherited_ms, rulings=rulings
    )
    for one in log:
        shard.take(one)
    return shard


def held(number: int, reason: RejectReason, state: ItemState = ItemState.HELD) -> Ruling:
    return ruling("s", Quarantined(number, 0, None, reason, b""), state)


def keys(shard: ShardRecount) -> dict[int, dict[int, str]]:
    return {(window - BASE) // SIZE: own for window, own in shard.keys.items() if own}


@pytest.mark.parametrize(
    ("from_ms", "until_ms", "n"),
    [(0, SIZE, 1), (1, SIZE, 0), (1, SIZE + 1, 1), (-SIZE, 3 * SIZE, 4), (5, 5, 0), (9, 3, 0)],
)
def test_a_span_holds_the_windows_that_start_in_it(from_ms: int, until_ms: int, n: int) -> None:
    assert Span.between(from_ms, until_ms, size_ms=SIZE).n_windows == n


def test_a_part_of_a_span_never_reaches_beyond_it() -> None:
    span = Span(2 * SIZE, 6 * SIZE, SIZE)
    assert span.cut(0, 3 * SIZE) == Span(2 * SIZE, 3 * SIZE, SIZE)
    assert span.cut(3 * SIZE + 1, 99 * SIZE) == Span(4 * SIZE, 6 * SIZE, SIZE)
    assert span.cut(-9, 0).n_windows == span.cut(7 * SIZE, 9 * SIZE).n_windows == 0


def test_an_event_counts_once_in_its_window_and_again_in_another() -> None:
    shard = recounted(record(1, event(0), event(1, 2)), record(2, event(5)), record(3, event(SIZE)))
    assert keys(shard) == {0: {1: "a", 2: "a"}, 1: {1: "a"}}
    assert shard.duplicates == {BASE: 1}


def test_what_is_redelivered_or_behind_the_fence_is_nothing() -> None:
    log = [record(1, event(0, 1)), record(2, event(0, 2)), record(3, event(0, 3))]
    shard = recounted(*log[:2], log[0], *log[1:], fence=2)
    assert keys(shard) == {0: {1: "a", 2: "a"}}
    assert not shard.duplicates
    assert shard.last == 2


def test_of_one_key_in_two_series_the_first_counts() -> None:
    assert keys(recounted(record(1, event(0, 1, "b")), record(2, event(1, 1, "a")))) == {
        0: {1: "b"}
    }


def test_the_log_itself_says_what_was_too_old_or_too_far_ahead() -> None:
    shard = recounted(
        record(1, beat(0)),
        record(2, event(SKEW, 1), event(SKEW + 1, 2), event(-AGE, 3), event(-AGE - 1, 4)),
    )
    assert sorted(key for own in keys(shard).values() for key in own) == [1, 3]
    reasons = Counter(reason for _, reason in shard.set_aside.elements())
    assert reasons == {"too_far_ahead": 1, "too_old": 1}


def test_where_the_sweep_is_the_clock_arrival_counts_too() -> None:
    late = record(2, event(2 * SKEW, 1), arrival=SKEW)
    shard = recounted(record(1, beat(60_000), arrival=0), late, rules=SWEPT)
    assert keys(shard) == {2: {1: "a"}}  # dead heartbeats set nothing aside
    assert shard.first_beat_ms == BASE  # a clock that is fast is not believed
    assert not keys(recounted(record(1, beat(60_000)), late))


def test_heartbeats_of_others_and_for_others_say_nothing() -> None:
    shard = recounted(
        record(1, beat(9 * AGE, source="/other")),
        record(2, beat(9 * AGE, shard_id="t")),
        record(3, event(0)),
    )
    assert keys(shard) == {0: {1: "a"}}
    assert shard.first_beat_ms is None
    assert shard.no_events == {"foreign_heartbeat": 1}


def test_before_its_first_heartbeat_quarantine_is_believed() -> None:
    log = [record(1, event(0, 1)), record(2, event(0, 2)), record(3, beat(0)),
           record(4, event(0, 3))]  # fmt: skip
    rulings = (held(2, RejectReason.TOO_OLD), held(4, RejectReason.TOO_OLD))
    shard = recounted(*log, rulings=rulings)
    assert keys(shard) == {0: {1: "a", 3: "a"}}  # the fourth should never have been set aside
    assert shard.set_aside == {(BASE, "too_old"): 1}


def test_as_long_as_stream_time_is_that_of_its_parents_quarantine_is_believed_too() -> None:
    log = [record(1, beat(-AGE)), record(2, event(0, 1)), record(3, beat(0)),
           record(4, event(0, 2)), record(5, event(9 * SIZE, 3))]  # fmt: skip
    assert keys(recounted(*log, inherited_ms=BASE)) == {0: {1: "a", 2: "a"}}
    assert keys(recounted(*log)) == {0: {2: "a"}}


def test_what_a_retry_has_counted_counts_and_what_it_found_known_does_not() -> None:
    log = [record(1, beat(0)), record(2, event(-2 * AGE, 1)), record(3, event(0, 2)),
           record(4, event(0, 3))]  # fmt: skip
    rulings = (
        held(2, RejectReason.TOO_OLD, ItemState.COUNTED),
        held(3, RejectReason.SERIES_TOO_LONG, ItemState.KNOWN),
        held(4, RejectReason.SERIES_TOO_LONG, ItemState.COUNTED),
    )
    shard = ShardRecount("s", RULES, Span(BASE - 3 * AGE, BASE + SIZE, SIZE), SeriesBy(), fence=9,
                         rulings=rulings)  # fmt: skip
    for one in log:
        shard.take(one)
    assert shard.keys == {BASE - 2 * AGE: {1: "a"}, BASE: {3: "a"}}
    assert shard.duplicates == {BASE: 1}


def test_what_is_no_event_belongs_to_no_window() -> None:
    bad = Rejection(RejectReason.MALFORMED_JSON, b"{")
    shard = recounted(record(1, bad, event(0), bad))
    assert shard.no_events == {"malformed_json": 2}
    assert keys(shard) == {0: {1: "a"}}


def test_events_outside_the_span_take_no_room() -> None:
    assert recounted(record(1, event(-500 * SIZE), event(400 * SIZE))).keys == {}


def test_after_a_hole_nothing_is_taken_from_before_it() -> None:
    shard = recounted(record(1, beat(0)), record(2, event(0, 1)))
    assert not shard.restarted
    shard.restart()
    assert shard.restarted
    assert (shard.first_beat_ms, shard.first_arrival_ms) == (None, None)
    shard.take(record(3, event(2 * SKEW, 2), arrival=7))
    assert keys(shard) == {0: {1: "a"}, 2: {2: "a"}}  # nobody knows that it was too far ahead
    assert shard.first_arrival_ms == BASE + 7


def test_an_event_that_an_ancestor_has_had_counts_there_alone() -> None:
    parents = {"grandchild": ("child",), "child": ("gone", "root"), "root": (), "other": ()}
    logs = {"grandchild": [1, 2, 3], "child": [2], "root": [1], "other": [1]}
    shards = {}
    for name, numbers in logs.items():
        shards[name] = ShardRecount(name, RULES, SPAN, SeriesBy(), fence=9)
        shards[name].take(record(1, *(event(0, key) for key in numbers)))
    total = over_lineage(shards, parents)
    assert total.counts == {BASE: {"a": 4}}  # 1 and 2 once in the family, 3, and 1 elsewhere
    assert total.duplicates == {BASE: 2}


def test_shards_may_come_in_any_order() -> None:
    chance = random.Random(1)  # noqa: S311
    parents = {"c": ("a", "b"), "a": (), "b": (), "d": ("c",)}
    found = []
    for _ in range(5):
        names = list("abcd")
        chance.shuffle(names)
        shards = {}
        for name in names:
            shards[name] = ShardRecount(name, RULES, SPAN, SeriesBy(), fence=9)
            numbers = {"a": (1, 2), "b": (2, 3), "c": (1, 4), "d": (4, 3, 5)}[name]
            shards[name].take(record(1, *(event(0, key) for key in numbers)))
        total = over_lineage(shards, parents)
        found.append((total.counts, total.duplicates.total()))
    assert found == [({BASE: {"a": 6}}, 3)] * 5


def test_a_file_is_one_space_of_keys() -> None:
    recount = FileRecount(SPAN, SeriesBy(), ())
    for item in (event(0), event(0, 2), event(1), beat(0), event(900 * SIZE),
                 Rejection(RejectReason.EMPTY, b"")):  # fmt: skip
        recount.take(item, b"")
    total = recount.result()
    assert (total.counts, total.duplicates) == ({BASE: {"a": 2}}, {BASE: 1})
    assert total.no_events == {"empty": 1}


def test_for_each_item_that_quarantine_holds_one_event_of_its_bytes_is_left_out() -> None:
    digest = sha256(b"x").digest()
    row = Ruling("s", 1, 0, "too_old", ItemState.HELD, digest)
    rows = [row, replace(row, sha256=sha256(b"y").digest(), state=ItemState.COUNTED)]
    recount = FileRecount(SPAN, SeriesBy(), rows)
    for data in (b"x", b"x", b"y", b"x"):
        recount.take(event(0, data[0]), data)
    total = recount.result()
    assert total.counts == {BASE: {"a": 2}}
    assert total.set_aside == {(BASE, "too_old"): 1}
    assert total.duplicates == {BASE: 1}


def test_what_a_replay_lets_nobody_count_is_left_out_whether_or_not_it_was_put() -> None:
    put = Ruling("s", 1, 0, "too_far_ahead", ItemState.HELD, sha256(b"x").digest())
    recount = FileRecount(SPAN, SeriesBy(), [put])
    recount.take(event(0), b"x", unconfirmed=True)
    recount.take(event(0), b"x", unconfirmed=True)
    recount.take(event(0), b"x")
    total = recount.result()
    assert total.counts == {BASE: {"a": 1}}
    assert total.set_aside == {(BASE, "too_far_ahead"): 1, (BASE, "unconfirmed_time"): 1}


# An array within a batch is no event; alone it is a batch of its own.
NESTED = b"[" + event_json("n", BASE, series="a") + b"]"


def test_what_a_retry_has_made_of_rejected_bytes_counts() -> None:
    rejected = Rejection(RejectReason.NOT_AN_EVENT, NESTED)
    row = replace(held(2, RejectReason.NOT_AN_EVENT), sha256=sha256(NESTED).digest())
    for state, n in ((ItemState.HELD, 0), (ItemState.KNOWN, 0), (ItemState.COUNTED, 1)):
        rows = (replace(row, state=state),)
        shard = recounted(record(2, rejected), record(3, rejected), rulings=rows)
        expected = {0: {event_key("/shop", "n"): "a"}} if n else {}
        assert keys(shard) == expected
        assert shard.no_events == {"not_an_event": 2 - n}
        recount = FileRecount(SPAN, SeriesBy(), rows)
        recount.take(rejected, NESTED)
        assert recount.result().counts == ({BASE: {"a": 1}} if n else {})
        assert recount.result().no_events == Counter({"not_an_event": 1 - n})
