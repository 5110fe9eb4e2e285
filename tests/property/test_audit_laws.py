"""Laws of the audit: whatever the real steps have counted it finds right, and nothing else."""

import random
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest
from msgspec.structs import replace

from tests.support.audited import (
    Change,
    StoreBooks,
    audited,
    lines_of,
    places,
    ruling,
    rulings_in,
)
from tests.support.count_stores import MemoryStores
from tests.support.lineage_worlds import WIDE, Counting, Resharded, resharded
from tests.support.oracle import SIZE, Beat, Log, Told
from tests.support.quarantined import mixed_records
from tests.support.retried_worlds import RetriedCounting, retried_world
from tests.support.worlds import BASE, CLOSE_RULES, RULES, records, told
from tidegauge.adapters.memory import MemoryCountStore
from tidegauge.adapters.memory_sweeping import MemorySweepStore
from tidegauge.domain.audit import Audit, Books
from tidegauge.domain.count import OTHER_SERIES
from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.event import Event
from tidegauge.domain.fold import CountRules
from tidegauge.domain.recount import Span
from tidegauge.ports import ShardListing, StreamIdentity
from tidegauge.steps.close import close_once
from tidegauge.steps.collect import collect
from tidegauge.steps.recorded_clock import RecordedLine

N_WORLDS = 120
SPAN = Span.between(BASE - 4 * SIZE, BASE + 20 * SIZE, size_ms=SIZE)


class Watched(Counting):
    """Counts a world, and audits it now and then on the way."""

    def __init__(self, world: Resharded, rules: CountRules, chance: random.Random) -> None:
        self.counts = MemoryCountStore()
        sweeps = MemorySweepStore(self.counts)
        super().__init__(self.counts, sweeps, world, name="s", rules=rules)
        self._watching = chance
        self._audit_rules = rules
        self.lines = lines_of({name: records(name, log) for name, log in world.logs.items()})
        self.sweeps = sweeps
        self.audits: list[Audit] = []

    def audit(self, lines: list[RecordedLine] | None = None, change: Change | None = None) -> Audit:
        books = StoreBooks(
            self.counts,
            self.sweeps,
            self.generation,
            rulings=lambda: (
                ruling(name, item) for name, item in self.counts.quarantine(self.generation)
            ),
            change=change or (lambda _: None),
        )
        return audited(books, lines or self.lines, SPAN, rules=self._audit_rules)

    def _close(self) -> bool:
        again = super()._close()
        if self._watching.random() < 0.2:
            try:
                self.audits.append(self.audit())
            except InvalidInput:  # nothing is closed yet
                assert not self.rows
        return again


def counted(seed: int, rules: CountRules = WIDE) -> tuple[Resharded, Watched]:
    world = resharded(random.Random(seed))  # noqa: S311
    watched = Watched(world, rules, random.Random(seed))  # noqa: S311
    watched.run(random.Random(seed))  # noqa: S311
    return world, watched


def closed_worlds(rules: CountRules = WIDE) -> Iterator[tuple[int, Resharded, Watched]]:
    """Yield the worlds of which any window was closed."""
    for seed in range(N_WORLDS):
        world, watched = counted(seed, rules)
        if watched.rows:
            yield seed, world, watched


# The tighter rules set aside what lies ahead of stream time, or far behind it.
TIGHT = replace(RULES, max_future_skew_ms=60_000, max_event_age_ms=SIZE + 120_000)


@pytest.mark.parametrize("rules", [WIDE, TIGHT], ids=["wide", "tight"])
def test_what_the_steps_have_counted_is_what_a_plain_recount_finds_at_any_moment(
    rules: CountRules,
) -> None:
    seen: Counter[str] = Counter()
    for seed, _, watched in closed_worlds(rules):
        for found in [*watched.audits, watched.audit()]:
            assert places(found.differences) == {}, seed
            assert not found.known_losses
            assert found.recounted == found.counted
            seen["open"] += found.n_open > 8
            seen["events"] += found.counted
            seen["late"] += found.late
            seen["duplicates"] += found.duplicates
            seen["set aside"] += sum(found.set_aside.values())
    assert min(seen["open"], seen["late"], seen["duplicates"]) > 50
    assert seen["events"] > 2_000
    assert (seen["set aside"] > 500) is (rules is TIGHT)


def test_what_was_counted_anew_at_whatever_moment_is_no_difference() -> None:
    n_retried = 0
    for seed in range(N_WORLDS // 2):
        world = retried_world(random.Random(seed))  # noqa: S311
        stores, chance = MemoryStores(), random.Random(-seed)  # noqa: S311
        counting = RetriedCounting(stores, world, chance, name="s")
        counting.finish(chance)
        lines = lines_of({name: mixed_records(name, log) for name, log in world.logs.items()})
        books = StoreBooks(
            stores.counts,
            stores.sweeps,
            counting.generation,
            rulings=partial(rulings_in, stores.quarantine("s")),
        )
        found = audited(books, lines, SPAN, rules=WIDE)
        assert places(found.differences) == {}, seed
        assert found.recounted == found.counted
        n_retried += len(counting.outcomes)
    assert n_retried > 100


def test_series_that_come_and_go_beyond_the_limit_are_no_difference() -> None:
    few = replace(CLOSE_RULES, max_series=2, series_idle_ms=2 * SIZE)
    others = lost = 0
    for seed in range(N_WORLDS):
        chance = random.Random(seed)  # noqa: S311
        log: Log = []
        for number in range(chance.randrange(20, 60)):
            clock = number // 3
            if number % 3 == 0:
                log.append(Beat(BASE + clock * SIZE // 2))
            offset = clock * SIZE // 2 - chance.choice((0, 0, 0, SIZE, 3 * SIZE))
            log.append(told(offset, chance.choice("abcdef"), number))
        stores = MemoryStores()
        generation = stores.counts.generation(StreamIdentity("s", 0))
        stores.counts.register_shards(generation, [ShardListing("s", (), 0, 0, closed=False)])
        lines = lines_of({"s": records("s", log)})
        for line in lines:
            collect(stores.counts, generation, "s", [line.record], WIDE)
            while not close_once(stores.counts, generation, few).finished:
                pass
        books = StoreBooks(stores.counts, stores.sweeps, generation)
        found = audited(books, lines, SPAN, rules=WIDE)
        assert places(found.differences) == {}, seed
        at = chance.choice([n for n, item in enumerate(log) if isinstance(item, Told)])
        found = audited(books, [*lines[:at], *lines[at + 1 :]], SPAN, rules=WIDE)
        assert sum(places(found.differences).values()) in (0, 1)  # 0 where its window is open
        lost += len(found.differences) == 1
        others += OTHER_SERIES in stores.counts.completed(generation)
    assert min(others, lost) > 0.6 * N_WORLDS


def test_any_one_count_that_is_changed_is_found_and_nothing_else() -> None:
    tried = 0
    for seed, _, watched in closed_worlds():
        chance = random.Random(seed)  # noqa: S311
        window_ms = BASE + chance.randrange(-1, 10) * SIZE
        name, by = chance.choice("ab"), chance.choice((-1, 1, 7))

        def change(
            books: Books, window_ms: int = window_ms, name: str = name, by: int = by
        ) -> None:
            counts = books.announced.counts.setdefault(window_ms, {})
            counts[name] = max(0, counts.get(name, 0) + by)

        before = watched.audit()
        after = watched.audit(change=change)
        changed = after.counted - before.counted
        assert places(after.differences) == ({(window_ms, name): changed} if changed else {}), seed
        tried += changed != 0
    assert tried > 0.6 * N_WORLDS


def test_an_event_that_nobody_counted_or_that_the_source_never_had_is_found_alone() -> None:
    lost = invented = 0
    for seed, world, watched in closed_worlds():
        chance = random.Random(seed)  # noqa: S311
        unique = unique_events(world)
        if not unique:
            continue
        name, at = chance.choice(unique)
        event = world.logs[name][at]
        assert isinstance(event, Told)
        place = (event.time // SIZE * SIZE, event.series)
        spot = next(
            number
            for number, line in enumerate(watched.lines)
            if (line.shard_id, line.record.sequence_number) == (name, at + 1)
        )
        found = watched.audit(with_one_more(watched.lines, spot))
        assert places(found.differences) == {place: -1}, seed
        lost += 1
        found = watched.audit([*watched.lines[:spot], *watched.lines[spot + 1 :]])
        assert places(found.differences) == {place: 1}, seed
        invented += 1
    assert min(lost, invented) > 0.6 * N_WORLDS


def unique_events(world: Resharded) -> list[tuple[str, int]]:
    """Return shard and position of the events whose like is nowhere else, in closed windows."""
    every = Counter(
        (item.id, item.time // SIZE)
        for log in world.logs.values()
        for item in log
        if isinstance(item, Told)
    )
    return [
        (name, at)
        for name, log in world.logs.items()
        for at, item in enumerate(log)
        if not isinstance(item, Beat) and every[(item.id, item.time // SIZE)] == 1
    ]


def with_one_more(lines: list[RecordedLine], spot: int) -> list[RecordedLine]:
    """Return lines of which one holds a second event beside its own."""
    line = lines[spot]
    (event,) = line.record.items
    assert isinstance(event, Event)
    more = replace(line.record, items=(event, replace(event, key=event.key ^ 1)))
    return [*lines[:spot], replace(line, record=more), *lines[spot + 1 :]]
