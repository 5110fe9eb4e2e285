"""Audits of a stream that is split, merged, redelivered and trimmed while it is counted.

The stream is a Kinesis that reshards, the database is a real one, and what is counted was counted
by collect and sweep themselves.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from tests.support.audited import places
from tests.support.events import event_json
from tests.support.oracle import SIZE
from tests.support.races import connection_to
from tests.support.resharded_world import MINUTE, MovableClock, ReshardedWorld
from tidegauge.adapters.kinesis_pages import KinesisPages
from tidegauge.adapters.mysql.audit import MysqlBooks
from tidegauge.adapters.mysql.quarantine_store import MysqlQuarantine
from tidegauge.domain.audit import Audit
from tidegauge.domain.decode import SeriesBy
from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.heartbeat import heartbeat_record
from tidegauge.domain.offered import Offered, offered_in
from tidegauge.domain.recount import Span
from tidegauge.domain.retry import ItemState
from tidegauge.ports import StreamEntry
from tidegauge.ports.quarantine import ItemFilter
from tidegauge.steps.audit import Auditor
from tidegauge.steps.quarantine import retry
from tidegauge.steps.replay_clock import with_beats
from tidegauge.steps.replay_stream import StreamReplay, Unhurried

pytestmark = [pytest.mark.database, pytest.mark.kinesis]

FIRST, SECOND = "shardId-000000000000", "shardId-000000000001"
DAY = 24 * 60 * MINUTE
Make = Callable[..., ReshardedWorld]
AuditOf = Callable[..., Audit]


@pytest.fixture
def audit_of(fresh_database_url: str) -> AuditOf:
    """Audits a world against its stream; `later_ms` from now."""

    def audited(world: ReshardedWorld, *, later_ms: int = 0) -> Audit:
        name = world.stream.name
        span = Span.between(world.base_ms - DAY, world.base_ms + DAY, size_ms=SIZE)
        now_ms = world.base_ms + DAY // 2 + later_ms
        pages = KinesisPages(
            name, client=cast("Any", world.client), clock=MovableClock(now_ms),
            sleep=lambda _seconds: None,
        )  # fmt: skip
        with connection_to(fresh_database_url) as database:
            auditor = Auditor(MysqlBooks(database, name), world.count_rules, SeriesBy(), span)
        return auditor.of_stream(pages, MovableClock(now_ms))

    return audited


def assert_equal(found: Audit, *, events: int = 1) -> None:
    assert places(found.differences) == places(found.known_losses) == {}
    assert found.recounted == found.counted >= events


def put_odd(world: ReshardedWorld) -> None:
    """Put what is no event, what is too old, and what another clock sends."""
    old = event_json("old", world.clock.now_ms() - 25 * 60 * MINUTE)
    foreign = heartbeat_record(
        source="/other", event_time_ms=world.clock.now_ms() + DAY, shard_id=FIRST, previous=None
    )
    lines = event_json("one", world.clock.now_ms()) + b"\n" + event_json("one", world.base_ms)
    world.adapter.put(
        [StreamEntry(data, str(n)) for n, data in enumerate([old, foreign, b"{", lines])]
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_at_any_moment_of_splits_and_merges_counts_are_what_the_stream_holds(
    make_world: Make, audit_of: AuditOf, seed: int
) -> None:
    world = make_world(shards=2, seed=seed, children_first=seed == 2)
    world.minutes(8, events=40)
    audits: list[Audit] = []
    for round_ in range(10):
        world.put(40, late=0.4)
        if round_ % 4 == 2:
            put_odd(world)
        world.reshard()
        world.put(40)
        world.mapping.enabled = round_ % 3 != 1
        if round_ == 7:
            world.resend()
        for _ in range(3):
            world.minute(10)
        if round_ % 2:
            audits.append(audit_of(world))
    world.mapping.enabled = True
    world.come_to_an_end()
    audits.append(audit_of(world))
    for found in audits:
        assert_equal(found)
        assert found.n_uncovered == 0
    assert len(world.closed_shards()) > 4
    last = audits[-1]
    assert last.counted > 1_000
    assert last.late > 50
    assert last.duplicates > 500
    assert last.no_events == {"foreign_heartbeat": 2, "malformed_json": 2}


def test_whatever_is_changed_in_the_database_is_found_and_nothing_else(
    make_world: Make, audit_of: AuditOf, fresh_database_url: str
) -> None:
    world = make_world(shards=2)
    world.minutes(10, events=40)
    world.stream.split(FIRST)
    world.minutes(10, events=40)
    world.come_to_an_end()
    assert_equal(audit_of(world))
    rows = [row for row in world.stores.rows(world.generation) if row.count > 1]
    doubled, gone = rows[3], rows[-3]
    with connection_to(fresh_database_url) as database, database.transaction() as cursor:
        for statement, row in (
            ("UPDATE completed_window SET count = count + 1", doubled),
            ("UPDATE completed_window SET count = 0", gone),
        ):
            cursor.execute(
                f"{statement} WHERE series = %s AND window_start ="
                " '1970-01-01' + INTERVAL %s SECOND",
                (row.series, row.window_start_ms // 1000),
            )
            assert cursor.rowcount >= 1
    found = places(audit_of(world).differences)
    assert found[(doubled.window_start_ms, doubled.series)] == 1
    assert found[(gone.window_start_ms, gone.series)] <= -gone.count
    assert len(found) == 2


def events_of(world: ReshardedWorld, n_windows: int) -> Sequence[Offered]:
    lines = [
        event_json(f"e{n}", world.base_ms + n * SIZE // 20, series="ab"[n % 2])
        for n in range(n_windows * 20)
    ]
    return [one for n, line in enumerate(lines) for one in offered_in(n, line, SeriesBy())]


def put(world: ReshardedWorld, events: Sequence[Offered]) -> int:
    """Put events with the heartbeats of a replay; return the last one's time."""
    replay = StreamReplay(world.adapter, world.count_rules, pace=Unhurried())
    sent = replay.run(with_beats(events, world.count_rules))
    assert sent.n_unsent == 0
    assert sent.stream_time_ms is not None
    return sent.stream_time_ms


def test_what_a_retry_has_counted_is_no_difference(
    make_world: Make, audit_of: AuditOf, fresh_database_url: str
) -> None:
    world = make_world(shards=1, is_clock=False)
    world.sweep()
    events = events_of(world, 30)
    put(world, events[:200])
    far_ms = world.base_ms + 15 * SIZE
    ahead = [StreamEntry(event_json(name, far_ms), "k") for name in ("new", "again")]
    world.adapter.put(ahead)
    world.mapping.run()
    world.stream.split(FIRST)
    world.sweep()
    put(world, events[200:300])
    world.adapter.put(ahead[1:])  # by now it is its time, and a child takes it
    sent_ms = put(world, events[300:])
    world.come_to_an_end(sent_ms)
    before = audit_of(world)
    assert before.set_aside == {"too_far_ahead": 2}
    with connection_to(fresh_database_url) as database:
        items = MysqlQuarantine(database, world.stream.name)
        held, _ = items.held_ids(ItemFilter(), after=0, until=items.last_id())
        states = [retry(items, item_id, SeriesBy(), world.count_rules).state for item_id in held]
    assert states == [ItemState.COUNTED, ItemState.KNOWN]
    after = audit_of(world)
    assert_equal(before, events=600)
    assert_equal(after)
    assert (after.counted, after.set_aside) == (before.counted + 1, {})


def test_what_the_stream_has_forgotten_is_not_covered_and_the_rest_is_equal(
    make_world: Make, audit_of: AuditOf
) -> None:
    world = make_world(shards=2, is_clock=False)
    world.sweep()
    world.come_to_an_end(put(world, events_of(world, 30)))
    whole = audit_of(world, later_ms=2 * DAY)
    assert_equal(whole, events=500)
    assert whole.n_uncovered > 0  # nobody knows what stood before the first heartbeat
    log = world.logs()[FIRST]
    world.client.trim(FIRST, log[len(log) // 2].sequence_number)
    found = audit_of(world, later_ms=2 * DAY)
    assert_equal(found, events=200)
    assert found.n_uncovered > whole.n_uncovered + 10
    assert found.compared.n_windows > 10
    assert audit_of(world).differences  # within a day a stream forgets nothing: it must be ours
    world.client.trim(FIRST, log[-1].sequence_number)
    with pytest.raises(InvalidInput, match="may have forgotten records of every window"):
        audit_of(world, later_ms=2 * DAY)


def test_of_a_parent_that_has_expired_its_children_tell_until_when_it_was(
    make_world: Make, audit_of: AuditOf
) -> None:
    world = make_world(shards=1, is_clock=False)
    world.sweep()
    events = events_of(world, 30)
    put(world, events[:300])
    world.mapping.run()
    world.stream.split(FIRST)
    world.sweep()
    world.come_to_an_end(put(world, events[300:]))
    world.client.expire(FIRST)
    found = audit_of(world, later_ms=2 * DAY)
    assert_equal(found, events=200)
    assert 10 < found.compared.n_windows < 20


def test_a_stream_that_was_made_anew_is_not_the_one_that_was_counted(
    make_world: Make, audit_of: AuditOf
) -> None:
    world = make_world(shards=1)
    world.minutes(12, events=20)
    assert_equal(audit_of(world))
    world.begin_anew(shards=1)
    with pytest.raises(InvalidInput, match="whose records nobody can read any more"):
        audit_of(world)
