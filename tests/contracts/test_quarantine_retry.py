"""The contract of `ports.QuarantineStore`: counting anew, exactly once, and giving up."""

import pytest
from msgspec.structs import replace

from tests.support.count_stores import Stores
from tests.support.lineage_worlds import WIDE
from tests.support.oracle import SIZE, Beat
from tests.support.quarantined import (
    BY_TYPE,
    STREAM_NAME,
    Aside,
    AsideLine,
    MixedLog,
    aside,
)
from tests.support.shard_line import MINUTE, beat
from tests.support.worlds import BASE, CLOSE_RULES, told
from tidegauge.domain.decode import SeriesBy
from tidegauge.domain.evidence import Evidence
from tidegauge.domain.heartbeat import heartbeat_record
from tidegauge.domain.retry import ItemState, Refusal
from tidegauge.ports import StreamIdentity
from tidegauge.ports.quarantine import UnknownItem
from tidegauge.steps.close import end_once
from tidegauge.steps.quarantine import discard, retry

OLD = replace(WIDE, max_event_age_ms=2 * SIZE)
OLD_CLOSE = replace(CLOSE_RULES, max_event_age_ms=2 * SIZE)


@pytest.fixture
def line(empty_stores: Stores) -> AsideLine:
    """A stream of each implementation in turn, in a store that nobody else uses."""
    return AsideLine(empty_stores)


# --- what is counted, and where it is told


def test_an_event_of_a_closed_window_is_told_at_the_next_closing_as_a_correction(
    line: AsideLine,
) -> None:
    log: MixedLog = [Beat(BASE), told(1, "a", 1), aside(2, "a", 2), beat(2)]
    line.listing("p").counted("p", log)
    assert line.close() == [(0, 1, 1, "complete"), (1, 1, 0, "complete")]
    outcome = line.retry(1)
    assert (outcome.state, outcome.changed) == (ItemState.COUNTED, True)
    assert outcome.counted == Evidence(3, 3, late=1)
    assert line.close() == []  # the command closes nothing, and no window has passed since
    line.counted("p", [*log, beat(3)])
    assert line.close() == [(0, 2, 2, "complete"), (2, 1, 0, "complete")]


def test_an_event_of_an_open_window_is_on_time_though_its_shard_has_passed_it(
    line: AsideLine,
) -> None:
    line.listing("p", "slow").counted("p", [Beat(BASE), aside(2, "a", 2), beat(3)])
    line.counted("slow", [Beat(BASE)])
    assert line.close() == []
    line.counted("slow", [Beat(BASE), told(1, "a", 7), beat(0)])
    line.close()  # the frontier stands at the base now
    assert line.retry(1).counted == Evidence(2, 2, on_time=1)
    line.counted("slow", [Beat(BASE), told(1, "a", 7), beat(0), beat(1)])
    assert line.close() == [(0, 1, 2, "complete")]


def test_before_the_first_closing_a_shards_own_stream_time_decides(line: AsideLine) -> None:
    line.listing("p").counted("p", [Beat(BASE), aside(2, "a", 1), aside(SIZE, "a", 2), beat(1)])
    assert line.retry(1).counted.late == 1
    assert line.retry(2).counted.on_time == 1
    # told at the step of the window behind it, and never announced in its own
    assert line.close() == []
    line.counted("p", [Beat(BASE), aside(2, "a", 1), aside(SIZE, "a", 2), beat(1), beat(2)])
    assert line.close() == [(0, 1, 1, "complete"), (1, 1, 1, "complete")]


def test_before_any_stream_time_an_event_is_counted_as_it_stands(line: AsideLine) -> None:
    line.listing("p").counted("p", [aside(2, "a", 1)])
    assert line.retry(1).counted.on_time == 1
    line.counted("p", [aside(2, "a", 1), Beat(BASE), beat(1)])
    assert line.close() == [(0, 1, 1, "complete")]


def test_all_events_of_an_item_are_counted_each_once(line: AsideLine) -> None:
    parts = [aside(offset, series, ident).data for offset, series, ident in (
        (1, "a", 1), (2, "a", 2), (2, "a", 2), (SIZE + 1, "b", 3), (4, "a", 4),
    )]  # fmt: skip
    log: MixedLog = [Beat(BASE), told(4, "a", 4), Aside(b"[" + b",".join(parts) + b"]")]
    line.listing("p").counted("p", log)
    assert line.retry(1).counted == Evidence(3, 3, on_time=3, duplicates=2)
    line.counted("p", [*log, told(1, "a", 1), told(SIZE + 1, "b", 3), beat(2)])
    assert sorted(line.close()) == [
        (0, 1, 3, "complete"),
        (1, 1, 0, "complete"),
        (1, 1, 1, "complete"),
    ]


def test_the_present_rules_name_the_series(line: AsideLine) -> None:
    line.listing("p").counted("p", [Beat(BASE), aside(1, "x" * 300, 1)])
    refused = line.retry(1).refused
    assert refused is not None
    assert (refused.refusal, refused.reason) == (Refusal.NO_EVENT, "series_too_long")
    assert line.retry(1, by=SeriesBy(("source",))).state is ItemState.COUNTED
    line.counted("p", [Beat(BASE), aside(1, "x" * 300, 1), beat(1)])
    assert line.close() == [(0, 1, 1, "complete")]


def test_a_retry_moves_neither_fence_nor_stream_time_nor_heartbeat(line: AsideLine) -> None:
    line.listing("p", "c<p").counted("p", [Beat(BASE), aside(1, "a", 1), told(2, "a", 2), beat(1)])
    line.drain("p")
    before = line.shards()
    assert line.retry(1).state is ItemState.COUNTED
    assert line.shards() == before
    assert line.gaps() == 0


# --- exactly once


def test_an_event_that_the_shard_has_counted_is_known(line: AsideLine) -> None:
    log: MixedLog = [Beat(BASE), aside(1, "a", 1), told(1, "a", 1)]
    line.listing("p").counted("p", log)
    outcome = line.retry(1)
    assert (outcome.state, outcome.changed) == (ItemState.KNOWN, True)
    assert outcome.counted == Evidence(duplicates=1)
    line.counted("p", [*log, beat(1)])
    assert line.close() == [(0, 1, 1, "complete")]


@pytest.mark.parametrize("fresh", [False, True], ids=["kept keys", "read keys"])
def test_an_event_that_comes_again_after_its_retry_is_a_duplicate(
    line: AsideLine, *, fresh: bool
) -> None:
    log: MixedLog = [Beat(BASE), aside(1, "a", 1), told(2, "a", 2)]
    line.listing("p").counted("p", log)  # and keeps the keys of the window
    line.retry(1)
    again: MixedLog = [*log, told(1, "a", 1), told(2, "a", 2)]
    assert line.counted("p", again, fresh=fresh).batch.duplicates == 2
    line.counted("p", [*again, beat(1)])
    assert line.close() == [(0, 1, 2, "complete")]


def family(line: AsideLine) -> AsideLine:
    """A shard that has split; its children have merged again."""
    line.listing("g", "p<g", "q<g", "c<p,q")
    line.counted("g", [Beat(BASE), told(1, "a", 1), aside(11, "a", 11)])
    line.drain("g")
    line.counted("p", [told(2, "a", 2), aside(12, "a", 12)])
    line.counted("q", [told(3, "a", 3), aside(13, "a", 13)])
    line.drain("p")
    line.drain("q")
    line.counted("c", [told(4, "a", 4), aside(14, "a", 14)])
    return line


@pytest.mark.parametrize("fresh", [False, True], ids=["kept keys", "read keys"])
def test_an_event_that_comes_again_to_a_descendant_after_its_retry_is_a_duplicate(
    line: AsideLine, *, fresh: bool
) -> None:
    family(line)
    for item_id in range(1, 5):
        assert line.retry(item_id).state is ItemState.COUNTED
    again: MixedLog = [
        told(4, "a", 4),
        aside(14, "a", 14),
        *(told(n, "a", n) for n in (11, 12, 13, 14)),
    ]
    assert line.counted("c", again, fresh=fresh).batch.duplicates == 4
    line.counted("c", [*again, beat(1)])
    assert line.close() == [(0, 1, 8, "complete")]


def test_an_event_that_a_descendant_has_counted_meanwhile_is_known(line: AsideLine) -> None:
    family(line)
    sent_again: MixedLog = [
        told(4, "a", 4),
        aside(14, "a", 14),
        *(told(n, "a", n) for n in (11, 12)),
    ]
    line.counted("c", sent_again)
    assert [line.retry(item_id).state for item_id in (1, 2, 3)] == ["known", "known", "counted"]
    line.counted("c", [*sent_again, beat(1)])
    assert line.close() == [(0, 1, 7, "complete")]


def test_an_event_that_an_ancestor_has_counted_is_known(line: AsideLine) -> None:
    line.listing("g", "p<g", "c<p").counted("g", [Beat(BASE), told(1, "a", 1)])
    line.drain("g")
    line.counted("p", [])
    line.drain("p")
    line.counted("c", [aside(1, "a", 1)])
    assert line.retry(1).state is ItemState.KNOWN


def test_what_was_counted_or_retried_between_two_retries_is_known(line: AsideLine) -> None:
    line.listing("g", "p<g", "c<p")
    line.counted("g", [Beat(BASE), aside(1, "a", 1)])
    line.drain("g")
    line.counted("p", [aside(n, "a", n) for n in (2, 1, 3, 4, 5)])
    assert line.retry(2).state is ItemState.COUNTED  # and the keys are kept
    other = line.stores.quarantine(STREAM_NAME)
    assert retry(other, 1, BY_TYPE, WIDE).state is ItemState.COUNTED  # of an ancestor
    assert line.retry(3).state is ItemState.KNOWN
    line.counted("p", [*[aside(n, "a", n) for n in (2, 1, 3, 4, 5)], told(3, "a", 3)])
    assert line.retry(4).state is ItemState.KNOWN
    line.drain("p")
    line.counted("c", [told(4, "a", 4)])  # a descendant
    assert line.retry(5).state is ItemState.KNOWN
    assert line.retry(6).state is ItemState.COUNTED


def test_the_same_event_set_aside_twice_counts_once(line: AsideLine) -> None:
    line.listing("p", "c<p").counted("p", [Beat(BASE), aside(1, "a", 1), aside(1, "a", 1)])
    line.drain("p")
    line.counted("c", [aside(1, "a", 1)])
    assert [line.retry(item_id).state for item_id in (3, 1, 2)] == ["counted", "known", "known"]
    line.counted("c", [aside(1, "a", 1), beat(1)])
    assert line.close() == [(0, 1, 1, "complete")]


def test_keys_join_those_of_the_batch_that_begins_with_the_item(line: AsideLine) -> None:
    # the batch's ledger row has the number of its first record, which is the item's
    log: MixedLog = [aside(1, "a", 1), told(2, "a", 2), Beat(BASE)]
    line.listing("p").counted("p", log)
    assert line.retry(1).state is ItemState.COUNTED
    again: MixedLog = [*log, told(1, "a", 1), told(2, "a", 2)]
    assert line.counted("p", again, fresh=True).batch.duplicates == 2
    line.counted("p", [*again, beat(1)])
    assert line.close() == [(0, 1, 2, "complete")]  # and not suspect


def test_a_second_retry_changes_nothing(line: AsideLine) -> None:
    log: MixedLog = [Beat(BASE), aside(1, "a", 1)]
    line.listing("p").counted("p", log)
    line.retry(1)
    again = line.retry(1)
    assert (again.state, again.changed, again.counted) == (ItemState.COUNTED, False, Evidence())
    assert list(discard(line.quarantine, [1], "")) == [again]
    line.counted("p", [*log, beat(1)])
    assert line.close() == [(0, 1, 1, "complete")]


# --- what is refused


def refusal(line: AsideLine, item_id: int = 1) -> Refusal:
    outcome = line.retry(item_id, OLD)
    assert (outcome.state, outcome.changed) == (ItemState.HELD, False)
    assert outcome.refused is not None
    return outcome.refused.refusal


def test_nothing_of_an_item_is_counted_unless_all_of_it_can_be(line: AsideLine) -> None:
    good = aside(1, "a", 1).data
    clock = heartbeat_record(source="/clock", event_time_ms=BASE, shard_id="p", previous=None)
    items = [good + b"\n{", good + b"\n" + clock, clock, b"", b"[" + good + b",{}]", b"[]"]
    log: MixedLog = [Beat(BASE), *map(Aside, items)]
    line.listing("p").counted("p", log)
    refused = [line.retry(n).refused for n in range(1, len(items) + 1)]
    told_as = [(one.refusal, one.reason) for one in refused if one is not None]
    assert told_as == [
        (Refusal.NO_EVENT, "malformed_json"),
        (Refusal.HEARTBEAT, None),
        (Refusal.HEARTBEAT, None),
        (Refusal.NO_EVENT, "empty"),
        (Refusal.NO_EVENT, "not_an_event"),
        (Refusal.NO_EVENT, "empty"),
    ]
    line.counted("p", [*log, told(1, "a", 1), beat(1)])
    assert line.close() == [(0, 1, 1, "complete")]


def test_an_event_is_taken_as_long_as_its_ledger_is_kept_and_no_longer(line: AsideLine) -> None:
    # stream time 5 windows and a minute, age 2 windows: 0..2 are purged, of 3 the first minute is
    # too old for the shard as well
    offsets = (3 * SIZE - 1, 3 * SIZE + MINUTE - 1, 3 * SIZE + MINUTE)
    log: MixedLog = [Beat(BASE), *(aside(at, "a", at) for at in offsets)]
    log = [*log, told(3 * SIZE + MINUTE, "b", 9), *(beat(n) for n in range(1, 6))]
    line.listing("p").counted("p", log[:1])
    for end in range(2, len(log) + 1):
        line.counted("p", log[:end], OLD)
    line.close()
    line.stores.sweeps.purge(line.generation, OLD_CLOSE)
    assert [refusal(line, n) for n in (1, 2)] == [Refusal.TOO_OLD] * 2
    assert line.retry(3, OLD).state is ItemState.COUNTED


def test_a_drained_shards_item_is_refused_once_its_window_is_purged(line: AsideLine) -> None:
    line.listing("p", "c<p").counted("p", [Beat(BASE), aside(1, "a", 1), told(1, "a", 1)], OLD)
    line.drain("p")
    line.counted("c", [beat(3)], OLD)  # 0 is 2 windows old: it is still kept
    line.close()
    line.stores.sweeps.purge(line.generation, OLD_CLOSE)
    line.counted("c", [beat(3), beat(4)], OLD)
    line.close()
    line.stores.sweeps.purge(line.generation, OLD_CLOSE)
    assert refusal(line) is Refusal.TOO_OLD


def test_a_greater_age_does_not_bring_back_keys_that_were_purged(line: AsideLine) -> None:
    log: MixedLog = [Beat(BASE), told(1, "a", 1), aside(1, "a", 1), aside(SIZE, "a", 2)]
    line.listing("p").counted("p", [*log, beat(6)])
    line.close()
    line.stores.sweeps.purge(line.generation, OLD_CLOSE)
    outcome = line.retry(1)  # a day may pass by these rules
    assert outcome.refused is not None
    assert outcome.refused.refusal is Refusal.FORGOTTEN
    assert line.retry(2).state is ItemState.COUNTED  # nobody has counted in that window
    line.counted("p", [*log, beat(6), beat(7)])
    assert line.close() == [(1, 2, 1, "complete"), (6, 1, 0, "complete")]


def test_an_event_may_be_ahead_of_the_streams_greatest_time_by_the_skew(line: AsideLine) -> None:
    rules = replace(WIDE, max_future_skew_ms=MINUTE)
    line.listing("p", "fast").counted("p", [Beat(BASE), aside(SIZE, "a", 1)])
    line.counted("p", [Beat(BASE), aside(SIZE, "a", 1), aside(SIZE + 1, "a", 2)])
    line.counted("fast", [Beat(BASE + SIZE - MINUTE)])
    assert line.retry(1, rules).state is ItemState.COUNTED
    outcome = line.retry(2, rules)
    assert outcome.refused is not None
    assert outcome.refused.refusal is Refusal.TOO_FAR_AHEAD
    assert outcome.refused.limit_ms == BASE + SIZE
    line.counted("fast", [Beat(BASE + SIZE - MINUTE), Beat(BASE + SIZE)])
    assert line.retry(2, rules).state is ItemState.COUNTED


def test_nothing_is_counted_on_a_generation_that_is_over(empty_stores: Stores) -> None:
    old, new = (AsideLine(empty_stores, created_ms=at) for at in (1, 2))
    log: MixedLog = [Beat(BASE), aside(1, "a", 1), told(2, "a", 2), beat(1)]
    old.listing("p").counted("p", log)
    new.listing("p").counted("p", log)
    assert refusal(old, 1) is Refusal.RECREATED
    assert end_once(empty_stores.counts, old.generation, CLOSE_RULES).finished
    assert refusal(old, 1) is Refusal.RECREATED
    assert new.retry(2).state is ItemState.COUNTED
    (given_up,) = discard(old.quarantine, [1], "it is over")
    assert given_up.state is ItemState.DISCARDED


def test_an_item_of_another_stream_is_unknown(line: AsideLine) -> None:
    line.listing("p").counted("p", [Beat(BASE), aside(1, "a", 1)])
    line.stores.counts.generation(StreamIdentity("arn:aws:kinesis:r:1:stream/other", 1))
    other = line.stores.quarantine("other")
    with pytest.raises(UnknownItem):
        other.item(1)
    with pytest.raises(UnknownItem), other.retrying(1):
        pass
    assert other.discard([1], "") == []
    assert line.retry(1).state is ItemState.COUNTED
