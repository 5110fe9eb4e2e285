"""Names and times that a stream may bring, the whole way through a real database."""

import pytest
from msgspec.structs import replace

from tests.support.judged_worlds import YOUNG
from tests.support.races import Smooth, connection_to
from tests.support.worlds import CLOSE_RULES, RULES
from tidegauge.adapters.kinesis import MAX_RECORD_BYTES
from tidegauge.adapters.mysql.counting import MysqlCountStore
from tidegauge.adapters.mysql.judging import MysqlJudgingStore
from tidegauge.adapters.mysql.migrate import migrate
from tidegauge.adapters.mysql.outbox import MysqlOutbox
from tidegauge.domain.event import Event, Heartbeat
from tidegauge.domain.event_time import EARLIEST_TIME_MS, LATEST_TIME_MS
from tidegauge.domain.record import DecodedRecord
from tidegauge.ports import Destination, ShardListing, StreamIdentity
from tidegauge.steps.close import close_once
from tidegauge.steps.collect import collect
from tidegauge.steps.predict import PredictStep, read_doorbell

pytestmark = pytest.mark.database

SIZE = RULES.size_ms
NOW = 1_700_000_100_000
SHARD = "shard-0"
NAMES = [
    "",
    "\x00",
    "\x00" * 255,
    "'",
    '"; DROP TABLE series; --',
    "\\" * 255,
    "%s %(series)s %%",
    "\U0001f6eb" * 63,
    "a",
    "a ",
    "a\x00",
    "A",
    "\u00e4",
    "a\u0308",
    "\ufffe",
    "\n\r\t",
    "__other__",
]


def records(*batch: list[Event | Heartbeat]) -> list[DecodedRecord]:
    return [DecodedRecord(n, None, tuple(items), b"") for n, items in enumerate(batch, start=1)]


def beat(time_ms: int) -> Heartbeat:
    return Heartbeat("/clock", time_ms, SHARD, None)


def test_any_name_is_counted_announced_and_judged_as_itself(fresh_database_url: str) -> None:
    log = records(
        [beat(NOW)],
        [Event(n, name, NOW + 1) for n, name in enumerate(NAMES)],
        [beat(NOW + 3 * SIZE)],
    )
    with connection_to(fresh_database_url) as database:
        migrate(database)
        store = MysqlCountStore(database)
        generation = store.generation(StreamIdentity("arn", 0))
        store.register_shards(generation, [ShardListing(SHARD, (), 0, 0, closed=False)])
        collect(store, generation, SHARD, log, RULES)
        rows = close_once(store, generation, CLOSE_RULES).rows
        first = [row for row in rows if row.count]
        assert sorted(row.series for row in first) == sorted(NAMES)
        bells = MysqlOutbox(database).take(Destination.WINDOWS, 100)
        step = PredictStep(MysqlJudgingStore(database, interval_level=0.95), Smooth(), YOUNG)
        outcome = step.ring([read_doorbell(bell.message.payload) for bell in bells])
        assert outcome.windows == len(rows)


def test_two_hundred_names_of_nothing_but_escapes_fit_a_record(fresh_database_url: str) -> None:
    names = ["\x00" * 253 + f"{n:02x}" for n in range(256)]
    log = records(
        [beat(NOW)],
        [Event(n, name, NOW + 1) for n, name in enumerate(names)],
        [beat(NOW + 2 * SIZE)],
    )
    with connection_to(fresh_database_url) as database:
        migrate(database)
        store = MysqlCountStore(database)
        generation = store.generation(StreamIdentity("arn", 0))
        store.register_shards(generation, [ShardListing(SHARD, (), 0, 0, closed=False)])
        collect(store, generation, SHARD, log, RULES)
        close_once(store, generation, CLOSE_RULES)
        bells = MysqlOutbox(database).take(Destination.WINDOWS, 100)
        assert bells
        assert max(len(bell.message.payload) for bell in bells) < MAX_RECORD_BYTES
        assert all(len(bell.message.message_key) <= 64 for bell in bells)


def test_events_of_all_centuries_before_the_first_heartbeat_close_and_judge_in_one_go(
    fresh_database_url: str,
) -> None:
    scattered = [
        Event(n, f"s{n % 5}", EARLIEST_TIME_MS + n * (NOW - EARLIEST_TIME_MS) // 6_000)
        for n in range(6_000)
    ]
    edges = [Event(10_000, "edge", EARLIEST_TIME_MS), Event(10_001, "edge", LATEST_TIME_MS)]
    log = records([*edges, *scattered], [beat(NOW)], [beat(NOW + 2 * SIZE)])
    with connection_to(fresh_database_url) as database:
        migrate(database)
        store = MysqlCountStore(database)
        generation = store.generation(StreamIdentity("arn", 0))
        store.register_shards(generation, [ShardListing(SHARD, (), 0, 0, closed=False)])
        assert collect(store, generation, SHARD, log, RULES).batch.distinct == 6_002
        outcome = close_once(store, generation, CLOSE_RULES)
        assert outcome.finished
        assert sum(row.count for row in outcome.rows) == 6_001  # the last one's window is open
        assert len(outcome.rows) < 6_001 + 6 * 300  # zeros a day back, not for centuries
        step = PredictStep(MysqlJudgingStore(database, interval_level=0.95), Smooth(), YOUNG)
        names = {row.series for row in outcome.rows}
        assert step.run({generation: names}).windows == len(outcome.rows)


@pytest.mark.parametrize("now_ms", [EARLIEST_TIME_MS, LATEST_TIME_MS - 1])
@pytest.mark.parametrize("size_ms", [SIZE, 7 * 86_400_000])
def test_a_stream_at_either_border_of_time_closes_and_judges(
    fresh_database_url: str, now_ms: int, size_ms: int
) -> None:
    rules = replace(RULES, size_ms=size_ms, lateness_ms=86_400_000, max_event_age_ms=10 * size_ms)
    close_rules = replace(CLOSE_RULES, size_ms=size_ms, lateness_ms=86_400_000)
    first_ms = max(EARLIEST_TIME_MS, now_ms - 3 * size_ms - 86_400_000)
    log = records([beat(first_ms), Event(1, "a", first_ms), Event(2, "a", now_ms)], [beat(now_ms)])
    judging = replace(YOUNG, size_ms=size_ms)
    with connection_to(fresh_database_url) as database:
        migrate(database)
        store = MysqlCountStore(database)
        generation = store.generation(StreamIdentity("arn", 0))
        store.register_shards(generation, [ShardListing(SHARD, (), 0, 0, closed=False)])
        collect(store, generation, SHARD, log, rules)
        rows = close_once(store, generation, close_rules).rows
        assert bool(rows) == (now_ms > first_ms)
        step = PredictStep(MysqlJudgingStore(database, interval_level=0.95), Smooth(), judging)
        assert step.run({generation: {"a"}}).windows == len(rows)
