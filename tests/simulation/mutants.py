"""Negative controls: rules broken on purpose, each of which the simulation must notice.

A mutant replaces one piece of the real steps, of the store, or of the mapping while a seed is
played. One that no seed notices says that the simulation is blind there.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from tests.simulation.mapping import Mapping as EventSourceMapping
from tests.simulation.stores import Collecting, ProcessStore, ReadingClose
from tests.simulation.world import World
from tidegauge.adapters import memory_state
from tidegauge.domain import fold, lineage
from tidegauge.domain.close import StepCount, _Closer
from tidegauge.domain.errors import Transient
from tidegauge.domain.event import Heartbeat
from tidegauge.domain.fold import NO_FENCE, BatchCount, Partial, ShardState
from tidegauge.domain.record import DecodedRecord, Record
from tidegauge.ports import CollectTransaction, ShardTimes
from tidegauge.steps import collect as collect_step
from tidegauge.steps.sweep import Sweep

Broken = Callable[[], AbstractContextManager[object]]
LAST_MS = 1 << 60


@dataclass(frozen=True)
class Mutant:
    """A rule broken on purpose.

    Attributes:
        name: As it is asked for.
        breaks: The rule, in words.
        broken: Breaks it until the block ends.
    """

    name: str
    breaks: str
    broken: Broken


MUTANTS: dict[str, Mutant] = {}


def _mutant(breaks: str) -> Callable[[Broken], Broken]:
    def register(broken: Broken) -> Broken:
        name = broken.__name__.replace("_", "-")
        MUTANTS[name] = Mutant(name, breaks, broken)
        return broken

    return register


def _writing(change: Callable[[Collecting, BatchCount], BatchCount]) -> Any:
    """Patch what collect writes."""
    write = Collecting.write

    def changed(self: Collecting, batch: BatchCount) -> None:
        write(self, change(self, batch))

    return patch.object(Collecting, "write", changed)


def _renamed(batch: BatchCount, name: Callable[[Partial], Partial]) -> BatchCount:
    """Return a batch whose partials have other names; those of one name are one."""
    counts: dict[Partial, int] = {}
    spans: dict[Partial, tuple[int, int]] = {}
    for partial, n in batch.partials.items():
        one = name(partial)
        first, last = spans.get(one, batch.spans[partial])
        counts[one] = counts.get(one, 0) + n
        spans[one] = (min(first, batch.spans[partial][0]), max(last, batch.spans[partial][1]))
    return replace(batch, partials=counts, spans=spans)


# --- collect


@_mutant("records at or before the fence are skipped")
def no_fence() -> Any:
    def state(self: Collecting) -> ShardState:
        return replace(self._before, fence=NO_FENCE)

    return patch.object(Collecting, "state", property(state))


@_mutant("an event counts only if no ledger holds its key")
def no_ids() -> Any:
    def known(_self: Collecting, _windows: Set[int]) -> Mapping[int, Set[int]]:
        return {}

    return patch.object(Collecting, "known", known)


@_mutant("the first statement of a batch is the locking read")
def plain_read_first() -> Any:
    collecting = ProcessStore._collecting  # noqa: SLF001

    @contextmanager
    def stale(self: ProcessStore, generation: int, shard_id: str) -> Iterator[CollectTransaction]:
        held = self._counts.held(generation)
        shard = held.shards.get(shard_id)
        state = shard.line.state if shard is not None else ShardState()
        # the snapshot that such a read fixes holds the ledgers too
        ledgers = {name: dict(one.ledger) for name, one in held.shards.items()}
        frozen = {
            window: {key for ledger in ledgers.values() for key in ledger.get(window, ())}
            for window in {window for ledger in ledgers.values() for window in ledger}
        }
        with collecting(self, generation, shard_id) as batch:
            yield _Stale(batch, state, frozen)

    return patch.object(ProcessStore, "_collecting", stale)


class _Stale:
    """A batch that believes what it read before it had the lock."""

    def __init__(
        self, batch: CollectTransaction, state: ShardState, ledgers: Mapping[int, Set[int]]
    ) -> None:
        self._batch = batch
        self._ledgers = ledgers
        self.state = state
        self.drained = batch.drained

    def known(self, windows: Set[int]) -> Mapping[int, Set[int]]:
        return {window: self._ledgers.get(window, set()) for window in windows}

    def write(self, batch: BatchCount) -> None:
        self._batch.write(batch)


@_mutant("kept sets grow only after COMMIT has answered, and go on any error")
@contextmanager
def sets_kept_after_rollback() -> Iterator[None]:
    write = Collecting.write

    def eager(self: Collecting, batch: BatchCount) -> None:
        number = self._numbers.get(self._shard, 0)
        self._process.warm.committed(
            self._shard,
            self._known,
            batch.keys,
            fence=self._before.fence,
            ledger_number=number,
        )
        write(self, batch)

    forgotten = patch("tests.simulation.database.Process.roll_back", lambda _self, _shard: None)
    with patch.object(Collecting, "write", eager), forgotten:
        yield


@_mutant("lateness is decided by stream time at the record's position in its shard")
def lateness_by_database() -> Any:
    def change(self: Collecting, batch: BatchCount) -> BatchCount:
        generation, _ = self._shard
        counts = self._process.server.counts
        next_ms = counts.held(generation).frontier.next_window_ms or 0
        return _renamed(batch, lambda one: replace(one, step_ms=max(one.window_start_ms, next_ms)))

    return _writing(change)


@_mutant("sequence numbers are compared as integers")
def fence_as_text() -> Any:
    count_batch = fold.count_batch

    def as_text(
        state: ShardState, records: Sequence[DecodedRecord], *args: Any, **names: Any
    ) -> BatchCount:
        fence = str(state.fence) if state.fence != NO_FENCE else ""
        behind = [record for record in records if str(record.sequence_number) > fence]
        counted = count_batch(replace(state, fence=NO_FENCE), behind, *args, **names)
        moved = state.fence if counted.first_sequence_number is None else counted.state.fence
        return replace(counted, state=replace(counted.state, fence=moved))

    return patch.object(collect_step, "count_batch", as_text)


@_mutant("series are told apart by their bytes")
def series_by_case() -> Any:
    def change(_self: Collecting, batch: BatchCount) -> BatchCount:
        return _renamed(batch, lambda one: replace(one, series=_folded(one.series)))

    return _writing(change)


def _folded(series: str) -> str:
    return series.casefold().rstrip().replace("é", "e")


@_mutant("only heartbeats of the stream's own clock count")
def rogue_clock_believed() -> Any:
    beat = fold._Fold.beat  # noqa: SLF001

    def believed(self: Any, record: DecodedRecord, sub_index: int, one: Heartbeat) -> None:
        beat(self, record, sub_index, replace(one, source=self._rules.clock_source))

    return patch.object(fold._Fold, "beat", believed)  # noqa: SLF001


@_mutant("a heartbeat counts with the earlier of its time and its arrival")
def fast_clock_believed() -> Any:
    beat = fold._Fold.beat  # noqa: SLF001

    def believed(self: Any, record: DecodedRecord, sub_index: int, one: Heartbeat) -> None:
        beat(self, replace(record, arrival_time_ms=None), sub_index, one)

    return patch.object(fold._Fold, "beat", believed)  # noqa: SLF001


@_mutant("a heartbeat whose predecessor was not processed proves a loss")
def losses_unnoticed() -> Any:
    def forget(self: Any, _sequence_number: int, _until_ms: int) -> None:
        self._lost_from_ms = None

    return patch.object(fold._Fold, "_note_gap", forget)  # noqa: SLF001


# --- lineage


@_mutant("a shard waits until its parents are drained")
def no_lineage_rule() -> Any:
    return patch.object(memory_state, "is_waiting", lambda _shard, _shards: False)


@_mutant("a child starts at the greatest of its parents' stream times")
def child_without_stream_time() -> Any:
    return patch.object(lineage, "_greatest_ms", lambda _states: None)


@_mutant("a key is looked for in the ledgers of all ancestors")
def ledger_of_parents_only() -> Any:
    def near(shard_id: str, parents: Mapping[str, Sequence[str]]) -> list[str]:
        return [shard_id, *(one for one in parents[shard_id] if one in parents)]

    return patch.object(memory_state, "ancestry", near)


# --- close


@_mutant("only stream time closes a window")
def closing_by_wall_clock() -> Any:
    shard_times = ReadingClose.shard_times

    def by_clock(self: ReadingClose) -> list[ShardTimes]:
        now_ms = self._process.server.now_ms
        return [replace(one, stream_time_ms=now_ms) for one in shard_times(self)]

    return patch.object(ReadingClose, "shard_times", by_clock)


@_mutant("a closing reads stream times first, partial counts after")
@contextmanager
def partials_before_stream_times() -> Iterator[None]:
    shard_times, early = ReadingClose.shard_times, "_early"

    def late_times(self: ReadingClose) -> list[ShardTimes]:
        inner = self._inner
        setattr(self, early, inner.counts(None, LAST_MS))
        shard_times(self)  # whoever has a turn here commits behind what was summed
        return inner.shard_times()

    def summed(self: ReadingClose, first_ms: int | None, until_ms: int) -> list[StepCount]:
        counts: list[StepCount] = getattr(self, early)
        first = -LAST_MS if first_ms is None else first_ms
        return [count for count in counts if first <= count.step_ms < until_ms]

    with (
        patch.object(ReadingClose, "shard_times", late_times),
        patch.object(ReadingClose, "counts", summed),
    ):
        yield


@_mutant("a silent window is announced with count 0")
def silence_left_out() -> Any:
    announce = _Closer._announce  # noqa: SLF001

    def quiet(self: Any, step_ms: int, window_ms: int, name: str, n: int, quality: Any) -> None:
        if n:
            announce(self, step_ms, window_ms, name, n, quality)

    return patch.object(_Closer, "_announce", quiet)


# --- the clock, the outbox, the mapping


@_mutant("the stream carries its own clock")
def no_heartbeats() -> Any:
    return patch.object(Sweep, "_beat", lambda _self, _lineage, _listing: None)


@_mutant("a message is noted as sent only once it was accepted")
def sent_before_accepted() -> Any:
    take = ProcessStore.take

    def noted(self: ProcessStore, *args: Any) -> Any:
        taken = take(self, *args)
        self._counts.mark_sent([one.number for one in taken])
        return taken

    return patch.object(ProcessStore, "take", noted)


@_mutant("each shard is read by one process at a time (ParallelizationFactor 1)")
def parallelization_factor_2() -> Any:
    deliver = EventSourceMapping._deliver  # noqa: SLF001

    def in_lanes(self: EventSourceMapping, shard_id: str, batch: Sequence[Record]) -> bool:
        lanes = [[r for r in batch if hash_of(r.partition_key) == lane] for lane in (0, 1)]
        if self._chance.random() < 0.5:
            lanes.reverse()
        taken = [deliver(self, shard_id, lane) for lane in lanes if lane]
        return all(taken)

    return patch.object(EventSourceMapping, "_deliver", in_lanes)


def hash_of(key: str) -> int:
    """Return the lane of a partition key; the same in each process."""
    return sum(key.encode()) % 2


@_mutant("a batch that fails is delivered whole again, never answered in part")
def partial_batch_answers() -> Any:
    count = World.count

    def answered(self: World, shard_id: str, batch: Sequence[Record]) -> None:
        try:
            count(self, shard_id, batch)
        except Transient:
            return  # a list of failures, which the mapping takes for success

    return patch.object(World, "count", answered)


@contextmanager
def broken(name: str | None) -> Iterator[None]:
    """Break the rule of a mutant until the block ends; None breaks nothing."""
    if name is None:
        yield
        return
    with MUTANTS[name].broken():
        yield
