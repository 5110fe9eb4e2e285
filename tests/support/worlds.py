"""Shard logs for Hypothesis, and ways to deliver them: any batches, twice, any interleaving."""

from dataclasses import dataclass

from hypothesis import strategies as st

from tests.support.closing import close_all
from tests.support.oracle import SIZE, Beat, Log, Told
from tidegauge.domain.close import CloseRules
from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.decode import event_key
from tidegauge.domain.event import Event, Heartbeat
from tidegauge.domain.fold import CountRules
from tidegauge.domain.record import DecodedRecord
from tidegauge.ports import CountStore, ShardListing, StreamIdentity
from tidegauge.steps.collect import collect

RULES = CountRules(clock_source="/clock")
CLOSE_RULES = CloseRules()
BASE = 2_000 * SIZE


def told(offset: int, series: str, ident: int) -> Told:
    """An event some ms after the base."""
    return Told(f"id-{ident}", series, BASE + offset)


_times = st.integers(-2 * SIZE, 8 * SIZE)
_events = st.builds(told, _times, st.sampled_from(["a", "b"]), st.integers(0, 6))
_beats = st.builds(lambda minute: Beat(BASE + minute * 60_000), st.integers(-5, 40))
_closing = Beat(BASE + 8 * SIZE + 60_000)


@st.composite
def logs(draw: st.DrawFn) -> dict[str, Log]:
    """One to three shards whose logs end with a heartbeat that closes all on-time windows."""
    shards = draw(st.integers(1, 3))
    made: dict[str, Log] = {}
    for shard in range(shards):
        body: Log = draw(st.lists(st.one_of(_events, _events, _beats), max_size=25))
        made[f"shard-{shard}"] = [*body, _closing]
    return made


def records(shard_id: str, log: Log) -> list[DecodedRecord]:
    """A log as decoded records, numbered from 1."""
    made = []
    for number, item in enumerate(log, start=1):
        found: Event | Heartbeat
        if isinstance(item, Beat):
            found = Heartbeat("/clock", item.time, shard_id, None)
        else:
            found = Event(event_key("/s", item.id), item.series, item.time)
        made.append(DecodedRecord(number, None, (found,), b""))
    return made


@dataclass(frozen=True)
class Delivery:
    """One batch: a shard, and the positions `[start, end)` of its log; `close` after it or not."""

    shard_id: str
    start: int
    end: int
    close: bool


@st.composite
def deliveries(draw: st.DrawFn, world: dict[str, Log]) -> list[Delivery]:
    """Every record at least once, in order of its shard; batches may come again or overlap."""
    position = dict.fromkeys(world, 0)
    plan: list[Delivery] = []
    while any(position[name] < len(world[name]) for name in world):
        name = draw(st.sampled_from([n for n in world if position[n] < len(world[n])]))
        start = draw(st.integers(max(0, position[name] - 4), position[name]))
        end = draw(st.integers(position[name] + 1, len(world[name])))
        plan.append(Delivery(name, start, end, draw(st.booleans())))
        position[name] = end
    return plan


@dataclass
class Sums:
    """What the batches of a delivery added up to."""

    rows: list[CompletedWindow]
    distinct: int = 0
    duplicates: int = 0
    late: int = 0
    quarantined: int = 0


def deliver(store: CountStore, world: dict[str, Log], plan: list[Delivery], *, name: str) -> Sums:
    """Run a delivery plan on a new generation of a store and close what can be closed."""
    generation = store.generation(StreamIdentity(name, 0))
    store.register_shards(generation, [ShardListing(s, (), 0, 0, closed=False) for s in world])
    all_records = {shard_id: records(shard_id, log) for shard_id, log in world.items()}
    sums = Sums([])
    for batch in plan:
        some = all_records[batch.shard_id][batch.start : batch.end]
        counted = collect(store, generation, batch.shard_id, some, RULES).batch
        sums.distinct += counted.distinct
        sums.duplicates += counted.duplicates
        sums.late += counted.late
        sums.quarantined += len(counted.quarantined)
        if batch.close:
            sums.rows.extend(close_all(store, generation, CLOSE_RULES))
    sums.rows.extend(close_all(store, generation, CLOSE_RULES))
    return sums


def as_tuples(rows: list[CompletedWindow]) -> list[tuple[int, int, str, int, int, int, bool]]:
    """Rows in the oracle's form and order."""
    return sorted(
        (
            row.step_ms,
            row.window_start_ms,
            row.series,
            row.revision,
            row.count,
            row.late,
            row.quality.value == "partial",
        )
        for row in rows
    )
