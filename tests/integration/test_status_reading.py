"""What MySQL tells of a stream's counting: what was counted, no more, and cheaply."""

from collections.abc import Iterator

import pytest

from tests.support.closing import close_all
from tests.support.count_stores import MysqlStores
from tests.support.oracle import SIZE, Beat, Log
from tests.support.races import connection_to
from tests.support.rows_read import rows_read
from tests.support.worlds import BASE, CLOSE_RULES, RULES, records, told
from tidegauge.adapters.clock import SystemClock
from tidegauge.adapters.mysql.look import MysqlLook
from tidegauge.adapters.mysql.status import MysqlSnapshots
from tidegauge.adapters.mysql.times import to_sql
from tidegauge.domain.count import Quality
from tidegauge.domain.health import HealthRules, State, health_of
from tidegauge.domain.snapshot import MANY, Loss, Snapshot
from tidegauge.ports import ShardListing, StreamIdentity
from tidegauge.steps.close import end_once
from tidegauge.steps.collect import collect

pytestmark = pytest.mark.database

PRODUCER = HealthRules(clock_is_sweep=False)
CLOSED = Beat(BASE + 8 * SIZE + 60_000)


class World:
    """A database of this test alone, and streams in it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.stores = MysqlStores(url)

    def stream(self, name: str = "events", created_ms: int = 0, *shards: ShardListing) -> int:
        """Make a stream of two shards, unless others are given; return its generation."""
        identity = StreamIdentity(f"arn:aws:kinesis:eu-west-1:1:stream/{name}", created_ms)
        generation = self.stores.counts.generation(identity)
        listing = shards or [ShardListing(f"s{n}", (), 0, 0, closed=False) for n in range(2)]
        self.stores.counts.register_shards(generation, listing)
        return generation

    def collect(self, generation: int, shard_id: str, log: Log) -> None:
        collect(self.stores.counts, generation, shard_id, records(shard_id, log), RULES)

    def close(self, generation: int) -> None:
        close_all(self.stores.counts, generation, CLOSE_RULES)

    def execute(self, statement: str, **values: object) -> None:
        with connection_to(self.url) as database, database.transaction() as cursor:
            cursor.execute(statement, values)

    def read(self, name: str = "events", *, earlier: bool = False) -> Snapshot | None:
        with connection_to(self.url) as database:
            return MysqlSnapshots(database, name, with_earlier=earlier).read()

    def seen(self, name: str = "events", *, earlier: bool = False) -> Snapshot:
        snapshot = self.read(name, earlier=earlier)
        assert snapshot is not None
        return snapshot


@pytest.fixture
def world(fresh_database_url: str) -> Iterator[World]:
    made = World(fresh_database_url)
    yield made
    made.stores.close()


def test_a_stream_that_nobody_has_counted_is_none(world: World) -> None:
    world.stream("events")
    assert world.read("event_") is None  # no wildcard
    assert world.read("vents") is None


def test_shards_tell_how_far_they_are_counted(world: World) -> None:
    generation = world.stream()
    world.collect(generation, "s0", [Beat(BASE), told(1, "a", 1), Beat(BASE + 5)])
    world.stores.sweeps.note_beats(generation, {"s0": 10, "s1": 7})
    counted, untouched = world.seen().shards
    assert (counted.fence, counted.heartbeat, counted.beat) == (3, 3, 10)
    assert (counted.first_ms, counted.stream_time_ms) == (BASE, BASE + 5)
    assert (untouched.fence, untouched.stream_time_ms, untouched.beat) == (-1, None, 7)
    assert not untouched.drained


def test_lineage_and_drained_shards_are_told(world: World) -> None:
    parent, child = (
        ShardListing("s0", (), 0, 0, closed=True),
        ShardListing("s1", ("s0", "gone"), 0, 0, closed=False),
    )
    generation = world.stream("events", 0, parent, child)
    world.collect(generation, "s0", [Beat(BASE)])
    assert world.stores.sweeps.drain(generation, "s0", 1)
    drained, heir = world.seen().shards
    assert (drained.drained, heir.parent_ids) == (True, ("s0", "gone"))
    assert heir.stream_time_ms == BASE


def test_the_newest_window_of_each_active_series_is_told_with_its_last_revision(
    world: World,
) -> None:
    generation = world.stream()
    # "a" has an event in the last window, and one that comes late into it; "b" only in the first
    log: Log = [Beat(BASE), told(1, "a", 1), told(2, "b", 2), Beat(BASE + 7 * SIZE)]
    log += [told(7 * SIZE, "a", 3), CLOSED]
    world.collect(generation, "s0", log)
    world.collect(generation, "s1", [Beat(BASE), CLOSED])
    world.close(generation)
    late: Log = [*log, told(7 * SIZE + 9, "a", 4), Beat(BASE + 9 * SIZE + 60_000)]
    world.collect(generation, "s0", late)
    world.collect(generation, "s1", [Beat(BASE), CLOSED, Beat(BASE + 9 * SIZE + 60_000)])
    world.close(generation)
    snapshot = world.seen()
    assert snapshot.next_window_ms == BASE + 9 * SIZE
    a, b = snapshot.series
    assert (a.name, a.count, a.last_event_window_ms) == ("a", 0, BASE + 7 * SIZE)
    assert (b.name, b.count, b.last_event_window_ms) == ("b", 0, BASE)
    assert a.window_start_ms == b.window_start_ms == BASE + 8 * SIZE
    assert a.quality is Quality.COMPLETE
    world.execute(
        "INSERT INTO completed_window SELECT generation, series, window_start, revision + 1,"
        " step, 5, 5, quality FROM completed_window WHERE window_start = %(newest)s"
        " AND series = 'a'",
        newest=to_sql(BASE + 8 * SIZE),
    )
    assert [series.count for series in world.seen().series] == [5, 0]


def test_a_retired_series_is_not_told(world: World) -> None:
    generation = world.stream()
    for shard_id in ("s0", "s1"):
        world.collect(generation, shard_id, [Beat(BASE), told(1, "a", 1), CLOSED])
    world.close(generation)
    world.execute("UPDATE series SET active = FALSE")
    assert world.seen().series == []


def test_how_far_a_series_is_judged_and_whether_people_know(world: World) -> None:
    generation = world.stream()
    for shard_id in ("s0", "s1"):
        world.collect(generation, shard_id, [Beat(BASE), told(1, "a", 1), CLOSED])
    world.close(generation)
    (unjudged,) = world.seen().series
    assert (unjudged.judged_step_ms, unjudged.incident) == (BASE, False)
    told_of: dict[str, object] = {"generation": generation, "step": to_sql(BASE + 5 * SIZE)}
    world.execute(
        "INSERT INTO judging (generation, series, step, window_start, revision, incident_id)"
        " VALUES (%(generation)s, 'a', %(step)s, %(step)s, 1, 'i')",
        **told_of,
    )
    world.execute(
        "INSERT INTO incident (generation, incident_id, series, direction, severity, status,"
        " first_window, last_window, anomalous_windows, clear_run) VALUES"
        " (%(generation)s, 'i', 'a', 'TOO_LOW', 'critical', 'open', %(step)s, %(step)s, 1, 0)",
        **told_of,
    )
    (judged,) = world.seen().series
    assert (judged.judged_step_ms, judged.incident) == (BASE + 5 * SIZE, True)
    world.execute("UPDATE incident SET status = 'cleared'")
    assert not world.seen().series[0].incident


def test_losses_are_told_newest_first_and_open_ones_too(world: World) -> None:
    generation = world.stream()
    for number, reason in ((1, "heartbeat_missing"), (2, "batch_skipped")):
        world.execute(
            "INSERT INTO gap (generation, shard_id, sequence_number, starts_at, ends_at, reason)"
            " VALUES (%(generation)s, 's0', %(number)s, %(day)s, %(day)s + INTERVAL 1 HOUR,"
            " %(why)s)",
            generation=generation,
            number=str(number),
            day=f"2026-01-0{number}",
            why=reason,
        )
    world.execute("UPDATE shard SET lost_from = '2026-01-02' WHERE shard_id = 's1'")
    snapshot = world.seen()
    day_ms, second_ms = 86_400_000, 1_767_312_000_000
    assert snapshot.losses == [
        Loss(second_ms, second_ms + 3_600_000, "batch_skipped", "s0"),
        Loss(second_ms - day_ms, second_ms - day_ms + 3_600_000, "heartbeat_missing", "s0"),
    ]
    assert [shard.lost_from_ms for shard in snapshot.shards] == [None, second_ms]
    assert State.INCOMPLETE in health_of(snapshot, PRODUCER).states


def test_the_newest_generation_is_read_and_what_an_older_one_lost_if_that_is_wanted(
    world: World,
) -> None:
    older, newer = world.stream(created_ms=1), world.stream(created_ms=2)
    other = world.stream("others", created_ms=3)
    for shard_id in ("s0", "s1"):
        world.collect(older, shard_id, [Beat(BASE), told(1, "a", 1), Beat(BASE + 2 * SIZE)])
    end_once(world.stores.counts, older, CLOSE_RULES)
    assert (world.seen().generation, world.seen("others").generation) == (newer, other)
    assert [loss.reason for loss in world.seen(earlier=True).losses] == ["stream_recreated"]
    assert world.seen(earlier=False).losses == []
    assert world.seen("others", earlier=True).losses == []


def test_what_waits_and_what_was_set_aside_are_counted_no_further_than_is_worth_telling(
    world: World,
) -> None:
    generation = world.stream()
    assert (world.seen().unsent, world.seen().quarantined) == (0, {})
    with connection_to(world.url) as database, database.transaction() as cursor:
        for destination in ("windows", "alerts"):
            cursor.executemany(
                "INSERT INTO outbox (generation, destination, message_key, payload, created_at)"
                " VALUES (%s, %s, %s, '', UTC_TIMESTAMP(3) - INTERVAL 900 SECOND)",
                [(generation, destination, str(number)) for number in range(MANY)],
            )
    world.execute(
        "INSERT INTO quarantine (generation, shard_id, sequence_number, sub_index, reason,"
        " size_bytes, sha256) VALUES (%(generation)s, 's0', '1', 0, 'bad_time', 1, ''),"
        " (%(generation)s, 's0', '2', 0, 'empty', 1, '')",
        generation=generation,
    )
    snapshot = world.seen()
    assert snapshot.unsent == MANY
    assert 900_000 <= snapshot.unsent_age_ms < 1_000_000
    assert snapshot.quarantined == {"bad_time": 1, "empty": 1}
    world.execute("UPDATE quarantine SET state = 'discarded' WHERE reason = 'empty'")
    assert world.seen().quarantined == {"bad_time": 1}  # what is settled helps nobody


def test_a_message_that_was_sent_waits_no_more(world: World) -> None:
    generation = world.stream()
    for shard_id in ("s0", "s1"):
        world.collect(generation, shard_id, [Beat(BASE), told(1, "a", 1), CLOSED])
    world.close(generation)
    assert world.seen().unsent > 0
    world.execute("UPDATE outbox SET sent_at = UTC_TIMESTAMP(3)")
    assert (world.seen().unsent, world.seen().unsent_age_ms) == (0, 0)


def test_a_reading_costs_a_few_rows_a_series_however_many_windows_there_are(
    world: World,
) -> None:
    generation = world.stream()
    n_series, n_windows = 20, 500
    log: Log = [Beat(BASE), *(told(1, f"series-{n}", n) for n in range(n_series))]
    end = Beat(BASE + n_windows * SIZE + 60_000)
    world.collect(generation, "s0", [*log, end])
    world.collect(generation, "s1", [Beat(BASE), end])
    world.close(generation)
    with connection_to(world.url) as database:
        with database.transaction() as cursor:
            cursor.execute("ANALYZE TABLE completed_window")
            cursor.fetchall()
        snapshots = MysqlSnapshots(database, "events", with_earlier=True)
        before = rows_read(database)
        snapshot = snapshots.read()
        read = rows_read(database) - before
    assert snapshot is not None
    assert len(snapshot.series) == n_series
    assert read < 20 * n_series + 1_000  # and 10,000 windows lie there


def test_the_server_tells_its_version_its_clock_and_how_far_the_schema_is(world: World) -> None:
    with connection_to(world.url) as database:
        clock = SystemClock()
        look = MysqlLook(database, "events", with_earlier=True, clock=clock)
        facts = look.server()
        assert facts.version[0].isdigit()
        assert abs(facts.clock_ahead_ms) < 60_000  # one machine, perhaps a busy one
        assert not facts.encrypted
        assert (look.schema().missing, look.schema().unknown) == ([], [])
        world.execute("INSERT INTO schema_migration (number, name) VALUES (9000, '9000_later')")
        world.execute("UPDATE schema_migration SET finished_at = NULL WHERE number = 2")
        assert look.schema().missing == ["0002_judging"]
        assert look.schema().unknown == ["9000_later"]
