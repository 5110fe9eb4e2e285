"""200,000 events over the wire, with all that can go wrong at once: none lost, none doubled.

Four producers put packed and single events through our adapter onto a Kinesis that refuses some
entries and loses some answers. Meanwhile its shards are split and merged, batches come again and
overlap, are counted by two processes at once, and are told as failed after they were counted. The
database is a real one. In the end what was announced equals what the producers made.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping

import msgspec
import pytest
from rich.console import Console

from tests.support.crowd import Crowd
from tests.support.faulty_kinesis import FaultyKinesis
from tests.support.lineage_oracle import ASTRAY, parts_of
from tests.support.packing_producer import Producer
from tests.support.resharded_world import MINUTE, ReshardedWorld
from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.event import RejectReason
from tidegauge.domain.record import Record

pytestmark = [pytest.mark.database, pytest.mark.kinesis, pytest.mark.timeout(600)]

N_EVENTS = 200_000
N_PRODUCERS = 4
N_ROUNDS = 80
MINUTES_A_ROUND = 3
ROUNDS_A_RESHARD = 5
MAX_BATCH = 120
PATIENCE_SECONDS = 240.0  # of a busy machine
Make = Callable[..., ReshardedWorld]


class Held(msgspec.Struct, frozen=True):
    """What the stream holds in the end.

    Attributes:
        records: All records, heartbeats too.
        events: Events that can be counted, once each.
        again: How often one of them was stored again.
        in_grandchildren: How often that was two generations of shards later, or more.
        astray: What has to be quarantined: shard, sequence number, place in its record, reason.
    """

    records: int
    events: int
    again: int
    in_grandchildren: int
    astray: set[tuple[str, int, int, str]]


def test_of_200_000_events_none_is_lost_and_none_is_doubled(make_world: Make) -> None:
    began = time.monotonic()
    world = make_world(shards=2, seed=7, max_batch=MAX_BATCH)
    faulty = FaultyKinesis(world.client, random.Random(8))  # noqa: S311
    world.adapter = faulty.adapter(world.stream.name)
    producers = [
        Producer(f"p{n}", world.adapter, world.clock.now_ms, size_ms=world.size_ms, seed=n)
        for n in range(N_PRODUCERS)
    ]
    crowd = Crowd(world, idle_s=0.2, sweep_s=0.1, minutes_a_sweep=0, lost_answers=0.05)
    put_under_load(world, crowd, producers)
    crowd.wait_until(lambda: closed_shards_are_read(world), seconds=PATIENCE_SECONDS)
    crowd.finish()
    world.come_to_an_end()

    truth = sum((producer.truth for producer in producers), Counter())
    rows = last_revisions(world)
    announced = Counter({place: row.count for place, row in rows.items()})
    lost, doubled = truth - announced, announced - truth
    late = sum(row.late for row in rows.values())
    reshards = n_reshards(world.stream.parents())
    held = held_by(world.logs(), world.stream.parents())
    tell(
        world,
        events=truth.total(),
        lost=lost.total(),
        doubled=doubled.total(),
        late=late,
        windows_and_series=len(rows),
        records=held.records,
        reshards=reshards,
        put_again=held.again,
        put_again_in_grandchildren=held.in_grandchildren,
        puts_throttled=faulty.throttled_calls,
        entries_refused=faulty.refused_entries,
        puts_without_answer=faulty.lost_answers,
        puts_begun_again=sum(producer.unanswered for producer in producers),
        batches_counted_twice_at_once=crowd.doubled,
        sweeps=crowd.swept,
        quarantined=len(held.astray),
        seconds=round(time.monotonic() - began),
    )
    assert not lost
    assert not doubled
    assert truth.total() == held.events == N_EVENTS
    world.check()  # each revision as a recount has it, told once, and no gap
    assert world.stores.quarantined(world.generation) == held.astray
    # and it was as hard as it says
    assert held.again >= N_EVENTS // 20
    assert held.in_grandchildren > N_EVENTS // 100
    assert reshards >= 12
    assert faulty.throttled_calls > 10
    assert faulty.refused_entries > 100
    assert faulty.lost_answers > 10
    assert world.mapping.redelivered > 50
    assert world.mapping.refused["WaitingShard"] > 50
    assert world.mapping.refused["Transient"] > 10
    assert crowd.doubled > 50
    assert late > N_EVENTS // 100
    reasons = {reason for *_, reason in held.astray}
    assert reasons == {RejectReason.MALFORMED_JSON, RejectReason.TOO_OLD}


def put_under_load(world: ReshardedWorld, crowd: Crowd, producers: list[Producer]) -> None:
    """Let the producers put all events while time passes and shards come and go."""
    crowd.wait_for_sweep(1)  # what is too old is so from each shard's first heartbeat on
    threads = [crowd.start(producer.run) for producer in producers]
    for number in range(1, N_ROUNDS + 1):
        crowd.wait_for_sweep(crowd.swept + 1)
        world.moved.time_ms += MINUTES_A_ROUND * MINUTE
        for producer in producers:
            producer.quotas.put(N_EVENTS // N_ROUNDS // N_PRODUCERS)
        if number % ROUNDS_A_RESHARD == 0:
            world.reshard()
        if number % (2 * ROUNDS_A_RESHARD) == 0:
            world.reshard()  # before anybody knows of the first
        crowd.read_new_shards()
    for producer in producers:
        producer.quotas.put(None)
    crowd.wait_until(
        lambda: not any(thread.is_alive() for thread in threads), seconds=PATIENCE_SECONDS
    )


def closed_shards_are_read(world: ReshardedWorld) -> bool:
    """Whether the mapping has come to the end of every closed shard."""
    closed = world.closed_shards()
    return all(poller.ended for poller in world.mapping.pollers() if poller.shard_id in closed)


def last_revisions(world: ReshardedWorld) -> dict[tuple[int, str], CompletedWindow]:
    """Return the last revision of each window and series."""
    rows = sorted(world.stores.rows(world.generation), key=lambda row: row.revision)
    return {(row.window_start_ms, row.series): row for row in rows}


def held_by(logs: Mapping[str, list[Record]], parents: Mapping[str, tuple[str, ...]]) -> Held:
    """Look through all that the stream holds, event by event."""
    first: dict[str, str] = {}
    stored = in_grandchildren = 0
    astray: set[tuple[str, int, int, str]] = set()
    for shard_id in parents:
        near = {shard_id, *parents[shard_id]}
        for record in logs[shard_id]:
            for place, fields in enumerate(parts_of(record.data)):
                position = (shard_id, record.sequence_number, place)
                if fields is None:
                    astray.add((*position, RejectReason.MALFORMED_JSON))
                elif fields["type"] == ASTRAY:
                    astray.add((*position, RejectReason.TOO_OLD))
                elif fields["type"] != "tidegauge.heartbeat":
                    stored += 1
                    # each time under the same key, so in a shard that descends from the first
                    in_grandchildren += first.setdefault(fields["id"], shard_id) not in near
    n_records = sum(len(log) for log in logs.values())
    return Held(n_records, len(first), stored - len(first), in_grandchildren, astray)


def n_reshards(parents: Mapping[str, tuple[str, ...]]) -> int:
    """Return how often shards were split or merged."""
    return len({above for above in parents.values() if above})


def tell(world: ReshardedWorld, **figures: int) -> None:
    """Print what the run came to."""
    mapping = world.mapping
    figures |= {
        "batches_taken": mapping.delivered,
        "batches_gone_back": mapping.redelivered,
        **{f"batches_refused_{name}": number for name, number in mapping.refused.items()},
    }
    lines = [f"{number:>9,} {name.replace('_', ' ')}" for name, number in figures.items()]
    Console(stderr=True).print("", *lines, sep="\n", highlight=False)
