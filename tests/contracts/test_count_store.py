"""The contract of `ports.CountStore` and `ports.Outbox`, on memory and on a real database."""

import random
import secrets
from collections.abc import Iterator, Sequence
from typing import cast

import pytest
from msgspec.structs import replace

from tests.support.closing import close_all
from tests.support.count_stores import MemoryStores, MysqlStores, Stores
from tests.support.oracle import SIZE, Beat, Log, Told, recount
from tests.support.worlds import (
    BASE,
    CLOSE_RULES,
    RULES,
    Delivery,
    as_tuples,
    deliver,
    records,
    told,
)
from tidegauge.domain.count import OTHER_SERIES, CompletedWindow, Quality
from tidegauge.domain.event import Heartbeat, Rejection, RejectReason
from tidegauge.domain.fold import NO_FENCE, count_batch
from tidegauge.domain.record import DecodedRecord
from tidegauge.ports import (
    CountStore,
    Destination,
    ShardListing,
    StreamIdentity,
    UnknownShard,
)
from tidegauge.steps.close import close_once
from tidegauge.steps.collect import collect


@pytest.fixture(params=["memory", pytest.param("mysql", marks=pytest.mark.database)])
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    """Each implementation in turn."""
    if request.param == "memory":
        made: Stores = MemoryStores()
    else:
        made = MysqlStores(cast("str", request.getfixturevalue("database_url")))
    yield made
    made.close()


@pytest.fixture
def stream() -> StreamIdentity:
    """A stream that no other test has used."""
    return StreamIdentity(f"arn:aws:kinesis:eu-west-1:1:stream/{secrets.token_hex(6)}", BASE)


def listing(*shard_ids: str) -> list[ShardListing]:
    return [ShardListing(shard_id, (), 0, 0, closed=False) for shard_id in shard_ids]


def registered(store: CountStore, stream: StreamIdentity, *shard_ids: str) -> int:
    generation = store.generation(stream)
    store.register_shards(generation, listing(*shard_ids))
    return generation


def counts_of(rows: Sequence[CompletedWindow]) -> list[tuple[int, str, int, int]]:
    return [((r.window_start_ms - BASE) // SIZE, r.series, r.revision, r.count) for r in rows]


def test_a_stream_keeps_its_number_and_a_recreated_one_gets_another(
    stores: Stores, stream: StreamIdentity
) -> None:
    number = stores.counts.generation(stream)
    assert stores.fresh().generation(stream) == number
    recreated = StreamIdentity(stream.arn, stream.created_ms + 1)
    assert stores.counts.generation(recreated) != number


def test_an_unknown_shard_is_refused(stores: Stores, stream: StreamIdentity) -> None:
    generation = registered(stores.counts, stream, "shard-0")
    with pytest.raises(UnknownShard):
        collect(stores.counts, generation, "shard-1", [], RULES)


def test_a_redelivered_batch_changes_nothing_in_this_process_or_another(
    stores: Stores, stream: StreamIdentity
) -> None:
    generation = registered(stores.counts, stream, "shard-0")
    log: Log = [Beat(BASE), told(10, "a", 1), told(20, "a", 2)]
    batch = records("shard-0", log)
    first = collect(stores.counts, generation, "shard-0", batch, RULES)
    again = collect(stores.counts, generation, "shard-0", batch, RULES)
    elsewhere = collect(stores.fresh(), generation, "shard-0", batch, RULES)
    assert first.batch.distinct == 2
    assert again.skipped
    assert elsewhere.skipped
    assert elsewhere.batch.state == first.batch.state


def test_a_producers_resend_is_known_to_the_next_batch_of_any_process(
    stores: Stores, stream: StreamIdentity
) -> None:
    generation = registered(stores.counts, stream, "shard-0")
    log: Log = [told(10, "a", 1), told(20, "a", 1), told(30, "a", 1)]
    batch = records("shard-0", log)
    collect(stores.counts, generation, "shard-0", batch[:1], RULES)
    warm = collect(stores.counts, generation, "shard-0", batch[1:2], RULES)
    cold = collect(stores.fresh(), generation, "shard-0", batch[2:], RULES)
    assert (warm.batch.distinct, warm.batch.duplicates) == (0, 1)
    assert (cold.batch.distinct, cold.batch.duplicates) == (0, 1)


def test_a_key_counted_in_a_parent_is_a_duplicate_in_its_grandchild(
    stores: Stores, stream: StreamIdentity
) -> None:
    generation = stores.counts.generation(stream)
    lineage = [
        ShardListing("shard-0", (), 0, 0, closed=True),
        ShardListing("shard-1", ("shard-0",), 0, 0, closed=True),
        ShardListing("shard-2", ("shard-1",), 0, 0, closed=False),
    ]
    stores.counts.register_shards(generation, lineage)
    collect(stores.counts, generation, "shard-0", records("shard-0", [told(1, "a", 1)]), RULES)
    assert stores.sweeps.drain(generation, "shard-0", 1)
    assert stores.sweeps.drain(generation, "shard-1", NO_FENCE)
    resent: Log = [told(1, "a", 1), told(1, "a", 2)]
    batch = records("shard-2", resent)
    counted = collect(stores.counts, generation, "shard-2", batch, RULES).batch
    assert (counted.distinct, counted.duplicates) == (1, 1)


def test_an_exception_in_the_batch_leaves_nothing_behind(
    stores: Stores, stream: StreamIdentity
) -> None:
    generation = registered(stores.counts, stream, "shard-0")
    batch = records("shard-0", [Beat(BASE), told(10, "a", 1)])

    class Crash(Exception):
        pass

    def crash_before_commit() -> None:
        with stores.counts.collecting(generation, "shard-0") as transaction:
            transaction.known({BASE})
            counted = count_batch(transaction.state, batch, {}, RULES, shard_id="shard-0")
            transaction.write(counted)
            raise Crash

    with pytest.raises(Crash):
        crash_before_commit()
    assert collect(stores.counts, generation, "shard-0", batch, RULES).batch.distinct == 1


def test_nothing_closes_before_a_listing_and_a_heartbeat_on_every_shard(
    stores: Stores, stream: StreamIdentity
) -> None:
    generation = stores.counts.generation(stream)
    assert close_once(stores.counts, generation, CLOSE_RULES).rows == []
    stores.counts.register_shards(generation, listing("shard-0", "shard-1"))
    log: Log = [Beat(BASE), told(1, "a", 1), Beat(BASE + 2 * SIZE)]
    collect(stores.counts, generation, "shard-0", records("shard-0", log), RULES)
    outcome = close_once(stores.counts, generation, CLOSE_RULES)
    assert (outcome.rows, outcome.watermark_ms) == ([], None)
    other: Log = [Beat(BASE + SIZE + 60_000)]
    collect(stores.counts, generation, "shard-1", records("shard-1", other), RULES)
    closed = close_once(stores.counts, generation, CLOSE_RULES)
    assert counts_of(closed.rows) == [(0, "a", 1, 1)]
    assert closed.watermark_ms == BASE + SIZE + 60_000


def test_a_silent_window_is_announced_with_zero_and_a_late_event_corrects_it(
    stores: Stores, stream: StreamIdentity
) -> None:
    generation = registered(stores.counts, stream, "shard-0")
    log: Log = [
        Beat(BASE),
        told(1, "a", 1),
        Beat(BASE + 2 * SIZE + 60_000),
        told(SIZE + 5, "a", 2),
        Beat(BASE + 3 * SIZE + 60_000),
    ]
    batch = records("shard-0", log)
    collect(stores.counts, generation, "shard-0", batch[:3], RULES)
    rows = close_all(stores.counts, generation, CLOSE_RULES)
    assert counts_of(rows) == [(0, "a", 1, 1), (1, "a", 1, 0)]
    collect(stores.fresh(), generation, "shard-0", batch[3:], RULES)
    rows = close_all(stores.fresh(), generation, CLOSE_RULES)
    assert counts_of(rows) == [(1, "a", 2, 1), (2, "a", 1, 0)]
    assert rows[0].late == 1


def test_closings_go_on_where_the_row_limit_stopped_them(
    stores: Stores, stream: StreamIdentity
) -> None:
    generation = registered(stores.counts, stream, "shard-0")
    log: Log = [Beat(BASE), told(1, "a", 1), told(2, "b", 2), Beat(BASE + 5 * SIZE + 60_000)]
    collect(stores.counts, generation, "shard-0", records("shard-0", log), RULES)

    few = replace(CLOSE_RULES, max_rows=3)
    first = close_once(stores.counts, generation, few)
    assert not first.finished
    rest = close_all(stores.counts, generation, few)
    assert counts_of([*first.rows, *rest]) == [
        (window, series, 1, int(window == 0)) for window in range(5) for series in ("a", "b")
    ]


def test_series_beyond_the_limit_are_counted_together(
    stores: Stores, stream: StreamIdentity
) -> None:
    generation = registered(stores.counts, stream, "shard-0")
    log: Log = [Beat(BASE), *(told(i, s, i) for i, s in enumerate("dcba")), Beat(BASE + 2 * SIZE)]
    collect(stores.counts, generation, "shard-0", records("shard-0", log), RULES)

    rows = close_all(stores.counts, generation, replace(CLOSE_RULES, max_series=2))
    assert counts_of(rows) == [(0, OTHER_SERIES, 1, 2), (0, "a", 1, 1), (0, "b", 1, 1)]


def test_a_series_that_falls_silent_retires_and_comes_back(
    stores: Stores, stream: StreamIdentity
) -> None:
    generation = registered(stores.counts, stream, "shard-0")

    rules = replace(CLOSE_RULES, series_idle_ms=2 * SIZE)
    log: Log = [
        Beat(BASE),
        told(1, "a", 1),
        Beat(BASE + 5 * SIZE + 60_000),
        told(5 * SIZE + 1, "a", 2),
        Beat(BASE + 6 * SIZE + 60_000),
    ]
    batch = records("shard-0", log)
    collect(stores.counts, generation, "shard-0", batch[:3], RULES)
    rows = close_all(stores.counts, generation, rules)
    assert counts_of(rows) == [(0, "a", 1, 1), (1, "a", 1, 0), (2, "a", 1, 0)]
    assert [row.quality for row in rows] == [Quality.COMPLETE, Quality.COMPLETE, Quality.RETIRED]
    collect(stores.counts, generation, "shard-0", batch[3:], RULES)
    assert counts_of(close_all(stores.counts, generation, rules)) == [(5, "a", 1, 1)]


def test_series_that_differ_by_case_space_or_accent_stay_apart(
    stores: Stores, stream: StreamIdentity
) -> None:
    generation = registered(stores.counts, stream, "shard-0")
    names = sorted(["Order", "order", "order ", "ordér"])
    log: Log = [Beat(BASE), *(told(i, n, i) for i, n in enumerate(names)), Beat(BASE + 2 * SIZE)]
    collect(stores.counts, generation, "shard-0", records("shard-0", log), RULES)
    rows = close_all(stores.counts, generation, CLOSE_RULES)
    assert counts_of(rows) == [(0, name, 1, 1) for name in names]


def test_a_missing_heartbeat_marks_the_windows_between_as_a_gap(
    stores: Stores, stream: StreamIdentity
) -> None:
    generation = registered(stores.counts, stream, "shard-0")
    log: Log = [Beat(BASE), told(1, "a", 1), Beat(BASE + 3 * SIZE), Beat(BASE + 4 * SIZE + 60_000)]
    batch = records("shard-0", log)

    lost = replace(batch[2], items=(Heartbeat("/clock", BASE + 3 * SIZE, "shard-0", previous=2),))
    collect(stores.counts, generation, "shard-0", [*batch[:2], lost, batch[3]], RULES)
    rows = close_all(stores.counts, generation, CLOSE_RULES)
    assert [row.quality for row in rows] == [Quality.GAP] * 3 + [Quality.COMPLETE]


def test_rejections_are_set_aside_once_with_any_bytes(
    stores: Stores, stream: StreamIdentity
) -> None:
    generation = registered(stores.counts, stream, "shard-0")
    huge = random.Random(0).randbytes(9 * 1024 * 1024)  # noqa: S311
    bad = [
        DecodedRecord(n, BASE, (Rejection(RejectReason.NOT_UTF8, data),), data)
        for n, data in enumerate([b"", b"\xff\x00'\"\\", huge], start=1)
    ]
    counted = collect(stores.counts, generation, "shard-0", bad, RULES).batch
    assert len(counted.quarantined) == 3
    assert collect(stores.counts, generation, "shard-0", bad, RULES).skipped


def test_announcements_wait_in_the_outbox_until_they_are_marked_sent(
    stores: Stores, stream: StreamIdentity
) -> None:
    generation = registered(stores.counts, stream, "shard-0")
    before = stores.outbox.take(Destination.WINDOWS, 10_000)
    stores.outbox.mark_sent([stored.number for stored in before])
    log: Log = [Beat(BASE), told(1, "a", 1), Beat(BASE + 3 * SIZE + 60_000)]
    collect(stores.counts, generation, "shard-0", records("shard-0", log), RULES)
    close_all(stores.counts, generation, CLOSE_RULES)
    first = stores.outbox.take(Destination.WINDOWS, 2)
    assert len(first) == 2
    assert [p.number for p in first] == sorted(p.number for p in first)
    assert b'"tidegauge.window.completed"' in first[0].message.payload
    stores.outbox.mark_sent([first[0].number])
    stores.outbox.release([first[1].number])
    rest = stores.outbox.take(Destination.WINDOWS, 10)
    assert rest[0] == first[1]
    assert len(rest) == 2
    assert stores.outbox.take(Destination.WINDOWS, 10) == []  # taken, and not by us again
    assert stores.outbox.take(Destination.ALERTS, 10) == []
    stores.outbox.mark_sent([stored.number for stored in rest])


def test_nothing_is_given_behind_what_another_has_taken(
    stores: Stores, stream: StreamIdentity
) -> None:
    generation = registered(stores.counts, stream, "shard-0")
    log: Log = [Beat(BASE), told(1, "a", 1), Beat(BASE + 3 * SIZE + 60_000)]
    collect(stores.counts, generation, "shard-0", records("shard-0", log), RULES)
    close_all(stores.counts, generation, CLOSE_RULES)
    (first,) = stores.outbox.take(Destination.WINDOWS, 1)
    assert stores.outbox.take(Destination.WINDOWS, 10) == []  # it would overtake the first
    stores.outbox.mark_sent([first.number])
    behind = stores.outbox.take(Destination.WINDOWS, 10)
    assert behind
    stores.outbox.mark_sent([stored.number for stored in behind])


@pytest.mark.parametrize("seed", range(5))
def test_both_stores_give_the_windows_of_a_plain_recount(
    stores: Stores, stream: StreamIdentity, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311
    world: dict[str, Log] = {}
    for shard in range(3):
        log: Log = []
        clock = 0
        for _ in range(60):
            if chance.random() < 0.2:
                clock += chance.choice([1, 2, 3, 5]) * 60_000
                log.append(Beat(BASE + clock))
            offset = clock + chance.randrange(-2 * SIZE, 300_000)
            log.append(Told(f"id-{chance.randrange(40)}", chance.choice("abc"), BASE + offset))
        log.append(Beat(BASE + 20 * SIZE))
        world[f"shard-{shard}"] = log
    plan: list[Delivery] = []
    position = dict.fromkeys(world, 0)
    while open_shards := [name for name in world if position[name] < len(world[name])]:
        name = chance.choice(open_shards)
        start = max(0, position[name] - chance.randrange(5))
        end = min(len(world[name]), position[name] + 1 + chance.randrange(10))
        plan.append(Delivery(name, start, end, chance.random() < 0.5))
        position[name] = end
    truth = recount(world)
    sums = deliver(stores.counts, world, plan, name=f"{stream.arn}-{seed}")
    assert as_tuples(sums.rows) == truth.rows
    assert truth.late > 0
    assert truth.duplicates > 0
    assert (sums.distinct, sums.duplicates, sums.late, sums.quarantined) == (
        truth.distinct,
        truth.duplicates,
        truth.late,
        truth.quarantined,
    )
