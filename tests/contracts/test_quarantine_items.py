"""The contract of `ports.QuarantineStore`: finding, reading and giving up what was set aside."""

from hashlib import sha256

import pytest

from tests.support.count_stores import Stores
from tests.support.oracle import Beat
from tests.support.quarantined import Aside, AsideLine, MixedLog, aside
from tests.support.shard_line import beat
from tests.support.worlds import BASE, RULES, told
from tidegauge.domain.event import Rejection, RejectReason
from tidegauge.domain.record import DecodedRecord
from tidegauge.domain.retry import ItemState
from tidegauge.ports.quarantine import BEGINNING_BYTES, ItemFilter, Page, UnknownItem
from tidegauge.steps.collect import collect
from tidegauge.steps.quarantine import discard, held, named

ANY = ItemFilter()
JSON, OLD = RejectReason.MALFORMED_JSON, RejectReason.TOO_OLD


@pytest.fixture
def line(empty_stores: Stores) -> AsideLine:
    """A stream of each implementation in turn, in a store that nobody else uses."""
    return AsideLine(empty_stores)


@pytest.fixture
def many(line: AsideLine) -> AsideLine:
    """Six items of two shards: 1 to 3 on p, 4 to 6 on q; 6 is an event that is too old."""
    line.listing("p", "q")
    line.counted("p", [Beat(BASE), Aside(b"{"), aside(1, "a", 1), Aside(b"[", JSON)])
    old = told(-RULES.max_event_age_ms - 1, "b\u00e4", 9)
    line.counted("q", [Aside(b"\xff", JSON, BASE + 7), Beat(BASE), Aside(b"", JSON), old], RULES)
    return line


def ids(page: Page) -> list[int]:
    return [item.item_id for item in page.items]


# --- single items


def test_an_item_tells_where_it_stood_why_and_what_it_held(many: AsideLine) -> None:
    item, data = many.quarantine.item(4)
    assert (item.generation, item.shard_id, item.sequence_number) == (many.generation, "q", 1)
    assert (item.sub_index, item.arrival_time_ms, item.reason) == (0, BASE + 7, "malformed_json")
    assert (data, item.beginning, item.size_bytes) == (b"\xff", b"\xff", 1)
    assert item.sha256 == sha256(b"\xff").digest()
    assert (item.series, item.event_time_ms) == (None, None)
    assert (item.state, item.settled_at_ms, item.why) == (ItemState.HELD, None, "")


def test_an_event_whose_time_forbids_to_count_it_has_series_and_time(many: AsideLine) -> None:
    item, _ = many.quarantine.item(6)
    assert item.reason == OLD
    assert (item.series, item.event_time_ms) == ("b\u00e4", BASE - RULES.max_event_age_ms - 1)


def test_an_item_begins_with_its_first_bytes(line: AsideLine) -> None:
    line.listing("p").counted("p", [Aside(bytes(range(256)))])
    item, data = line.quarantine.item(1)
    assert data == bytes(range(256))
    assert item.beginning == data[:BEGINNING_BYTES]


def test_parts_of_one_record_are_items_of_their_own(line: AsideLine) -> None:
    line.listing("p")
    parts = (Rejection(JSON, b"{"), Rejection(JSON, b"}"))
    record = DecodedRecord(10**50, None, parts, b"{\n}")
    collect(line.stores.counts, line.generation, "p", [record], RULES)
    items = [line.quarantine.item(item_id) for item_id in (1, 2)]
    assert [(item.sequence_number, item.sub_index, data) for item, data in items] == [
        (10**50, 0, b"{"),
        (10**50, 1, b"}"),
    ]


@pytest.mark.parametrize("item_id", [0, 7, 2**64, -1])
def test_a_number_that_names_nothing_is_told(many: AsideLine, item_id: int) -> None:
    with pytest.raises(UnknownItem, match=str(item_id)):
        many.quarantine.item(item_id)
    with pytest.raises(UnknownItem, match="has no item"):
        named(many.quarantine, [1, item_id])
    assert many.quarantine.known_ids([1, item_id]) == {1}


def test_numbers_that_are_named_twice_are_meant_once(many: AsideLine) -> None:
    assert named(many.quarantine, [3, 1, 3]) == [3, 1]


# --- pages


def test_a_page_has_the_newest_first_and_says_where_to_go_on(many: AsideLine) -> None:
    first = many.quarantine.page(ANY, limit=4)
    assert (ids(first), first.next_before) == ([6, 5, 4, 3], 3)
    second = many.quarantine.page(ANY, limit=4, before=3)
    assert (ids(second), second.next_before) == ([2, 1], None)


def test_a_page_may_be_of_a_reason_a_shard_or_a_series(many: AsideLine) -> None:
    of_reason = ItemFilter(frozenset([JSON]))
    assert ids(many.quarantine.page(of_reason, limit=9)) == [5, 4, 3]
    assert ids(many.quarantine.page(ItemFilter(frozenset([JSON, OLD])), limit=2)) == [6, 5]
    assert ids(many.quarantine.page(ItemFilter(shard_id="p"), limit=9)) == [3, 2, 1]
    assert ids(many.quarantine.page(ItemFilter(series="b\u00e4"), limit=9)) == [6]
    assert ids(many.quarantine.page(ItemFilter(series="ba\u0308"), limit=9)) == []
    both = ItemFilter(frozenset([JSON]), shard_id="p", series=None)
    assert ids(many.quarantine.page(both, limit=9)) == [3]


def test_what_is_settled_is_listed_only_where_it_is_asked_for(many: AsideLine) -> None:
    many.retry(2)
    many.quarantine.discard([4], "noise")
    assert ids(many.quarantine.page(ANY, limit=9)) == [6, 5, 3, 1]
    everything = many.quarantine.page(ItemFilter(settled=True), limit=9)
    assert ids(everything) == [6, 5, 4, 3, 2, 1]
    states = {item.item_id: item.state for item in everything.items}
    assert (states[2], states[4]) == (ItemState.COUNTED, ItemState.DISCARDED)


def test_sums_are_of_what_is_held(many: AsideLine) -> None:
    totals = many.quarantine.totals()
    assert totals.complete
    assert totals.by_reason == {"malformed_json": 3, "series_too_long": 2, "too_old": 1}
    many.retry(2)
    many.quarantine.discard([3, 4, 5], "")
    assert many.quarantine.totals().by_reason == {"series_too_long": 1, "too_old": 1}


def test_an_empty_quarantine(line: AsideLine) -> None:
    assert line.quarantine.page(ANY, limit=1) == Page([], None)
    assert line.quarantine.totals().by_reason == {}
    assert (line.quarantine.last_id(), list(held(line.quarantine, ANY, 0))) == (0, [])
    assert line.quarantine.discard([1], "") == []


def test_all_held_items_come_oldest_first_up_to_the_newest_of_the_beginning(
    many: AsideLine,
) -> None:
    until = many.quarantine.last_id()
    many.quarantine.discard([5], "")
    many.counted("q", [*[Beat(BASE)] * 4, Aside(b"{", JSON)])
    assert many.quarantine.last_id() == until + 1
    assert [one for some in held(many.quarantine, ANY, until) for one in some] == [1, 2, 3, 4, 6]
    of_reason = ItemFilter(frozenset([JSON]))
    assert [one for some in held(many.quarantine, of_reason, until) for one in some] == [3, 4]


# --- giving up


def test_what_is_given_up_loses_its_bytes_and_keeps_the_rest(many: AsideLine) -> None:
    before, _ = many.quarantine.item(4)
    assert list(many.quarantine.discard([4], "noise \U0001f6eb")) == [4]
    item, data = many.quarantine.item(4)
    assert (item.state, item.why) == (ItemState.DISCARDED, "noise \U0001f6eb")
    assert (data, item.beginning, item.kept) == (None, None, False)
    assert (item.sequence_number, item.reason, item.size_bytes, item.sha256) == (
        before.sequence_number, before.reason, before.size_bytes, before.sha256,
    )  # fmt: skip


def test_giving_up_passes_over_what_is_settled_and_tells_it(many: AsideLine) -> None:
    many.retry(2)
    many.quarantine.discard([4], "first")
    outcomes = list(discard(many.quarantine, [2, 4, 6, 1], "second"))
    told_of = [(one.item_id, one.state, one.changed) for one in outcomes]
    assert told_of == [
        (2, ItemState.COUNTED, False),
        (4, ItemState.DISCARDED, False),
        (6, ItemState.DISCARDED, True),
        (1, ItemState.DISCARDED, True),
    ]
    assert many.quarantine.item(4)[0].why == "first"


def test_what_was_given_up_is_never_counted(line: AsideLine) -> None:
    log: MixedLog = [Beat(BASE), aside(1, "a", 1)]
    line.listing("p").counted("p", log)
    line.quarantine.discard([1], "")
    outcome = line.retry(1)
    assert (outcome.state, outcome.changed) == (ItemState.DISCARDED, False)
    line.counted("p", [*log, told(1, "a", 1), beat(1)])  # sent again, it counts as new
    assert line.close() == [(0, 1, 1, "complete")]
