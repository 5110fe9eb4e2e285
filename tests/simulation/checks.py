"""Holds what a world told against its truth; every disagreement is a finding in words."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from msgspec import Struct

from tests.simulation.truth import BAD, CLOCK, HEARTBEAT, Item, Row, items_in, recount, told
from tests.simulation.world import World
from tidegauge.domain.announcement import read_announcement
from tidegauge.domain.count import CompletedWindow, Quality
from tidegauge.domain.event_time import format_time, parse_time_ms
from tidegauge.domain.record import Record

MOST_SHOWN = 3
T = TypeVar("T")
Announced = tuple[int, int, int, str, int, int, int, str]


class Finding(Struct, frozen=True):
    """One disagreement.

    Attributes:
        check: Which promise is broken.
        says: What was seen, with an example.
    """

    check: str
    says: str


class Result(Struct, frozen=True):
    """What one world came to.

    Attributes:
        findings: What is wrong; nothing for a world as it should be.
        told: What people were told, whatever the order in which shards were read.
        events: Events put, resends too.
        windows: Completed windows announced, corrections too.
    """

    findings: list[Finding]
    told: list[Announced]
    events: int
    windows: int


def check(world: World) -> Result:
    """Hold a world that was played against its truth."""
    findings = [Finding("errors", error) for error in world.errors[:MOST_SHOWN]]
    findings += [Finding("locks", one) for one in sorted(set(world.server.disorder))]
    events = windows = 0
    for generation, created_ms in world.generations.items():
        one = _Generation(world, generation, created_ms)
        findings += one.findings()
        events += one.parts
        windows += len(one.rows)
    findings += _check_announcements(world)
    return Result(findings, sorted(_announced(world)), events, windows)


class _Generation:
    """One generation of a stream: what it was given, what was read, what was told."""

    def __init__(self, world: World, generation: int, created_ms: int) -> None:
        self.world = world
        self.generation = generation
        self.rules = world.rules
        self.accepted = _of(world.stream.accepted, created_ms)
        self.parents = _of(world.stream.parents, created_ms)
        self.read = _of(world.server.read, generation)
        self.truth = recount(self.read, self.parents, self.rules)
        completed = world.server.counts.completed(generation)
        self.rows = [r for w in completed.values() for revisions in w.values() for r in revisions]
        self.parts = sum(_parts(record) for log in self.accepted.values() for record in log)
        self.is_last = created_ms == world.stream.created_ms

    def findings(self) -> Iterator[Finding]:
        yield from self._check_account()
        if self.world.plan.loses:
            yield from self._check_last_counts()
            yield from self._check_gaps()
            return
        for shard_id, log in self.accepted.items():
            if self.read.get(shard_id, []) != log:
                missed = len(log) - len(self.read.get(shard_id, []))
                yield Finding("lost", f"{missed} records of {shard_id} were passed over")
        yield from self._check_rows()

    def _check_account(self) -> Iterator[Finding]:
        """On time, late, duplicate and quarantined parts are all that was read, each one right."""
        sums: Counter[str] = Counter()
        for commit in self.world.server.commits:
            if commit.generation == self.generation:
                batch = commit.batch
                sums["on time"] += batch.distinct - batch.late
                sums["late"] += batch.late
                sums["duplicate"] += batch.duplicates
                sums["quarantined"] += len(batch.quarantined)
        truth = self.truth
        true = {
            "on time": truth.on_time,
            "late": truth.late,
            "duplicate": truth.duplicates,
            "quarantined": truth.set_aside,
        }
        for name, number in true.items():
            if sums[name] != number:
                yield Finding("account", f"{sums[name]} parts {name}, and it should be {number}")
        read = sum(_parts(record) for log in self.read.values() for record in log)
        if sum(sums.values()) != read:
            yield Finding("account", f"{sum(sums.values())} of {read} parts accounted for")

    def _check_rows(self) -> Iterator[Finding]:
        closed = {parent for above in self.parents.values() for parent in above}
        open_shards = [shard_id for shard_id in self.parents if shard_id not in closed]
        expected = told(self.truth, open_shards, self.rules)
        found = sorted(_row(row) for row in self.rows)
        if not expected:
            yield Finding("stuck", "no window could be closed")
        yield from _differences(found, expected)
        for row in self.rows:
            if row.quality not in (Quality.COMPLETE, Quality.PARTIAL):
                yield Finding("quality", f"{_name(row)} is told as {row.quality}, nothing is lost")
                return

    def _last(self) -> dict[tuple[int, str], CompletedWindow]:
        last: dict[tuple[int, str], CompletedWindow] = {}
        for row in sorted(self.rows, key=lambda row: row.revision):
            last[row.window_start_ms, row.series] = row
        return last

    def _check_last_counts(self) -> Iterator[Finding]:
        last = self._last()
        true = self.truth.final()
        wrong = [
            f"{_place(place)}: told {row.count if (row := last.get(place)) else 'nothing'},"
            f" it should be {true[place]}"
            for place in sorted(true.keys() | last.keys())
            if (last[place].count if place in last else 0) != true[place]
        ]
        if wrong:
            yield Finding("counts", _some(wrong))
        for series in {name for _, name in last}:
            windows = sorted(window for window, name in last if name == series)
            if windows != list(range(windows[0], windows[-1] + 1, self.rules.size)):
                yield Finding("missed", f"{series!r} lacks windows between its first and its last")
        if self.is_last and true and (not last or max(last)[0] < max(true)[0]):
            yield Finding("stuck", "windows that should be closed are open")

    def _check_gaps(self) -> Iterator[Finding]:
        last = self._last()
        lost = list(self._lost())
        unmarked = []
        for place, since, given_up, is_counted in lost:
            row = last.get(place)
            if row is None or is_counted or (place[0] < since and not given_up):
                continue
            if row.quality not in (Quality.GAP, Quality.PARTIAL):
                unmarked.append(f"{_place(place)} lost an event and is told as {row.quality}")
        if unmarked:
            yield Finding("gaps", _some(unmarked))
        begins = [min(place[0], since) for place, since, *_ in lost]
        begin = min([*begins, *self._given_up()], default=None)
        for row in self.rows:
            if row.quality is Quality.SUSPECT:
                yield Finding("quality", f"{_name(row)} is told as suspect")
                return
            early = begin is None or row.window_start_ms + self.rules.size <= begin
            if row.quality is Quality.GAP and early and self.is_last:
                yield Finding("gaps", f"{_name(row)} is told as a gap before anything was lost")
                return

    def _lost(self) -> Iterator[tuple[tuple[int, str], int, bool, bool]]:
        """Yield the place of each item that was not read, and what is known of it.

        That is: the first window that was open behind what was read before it; whether the mapping
        gave up on it, so that all its windows are known; whether it was counted from another record
        all the same. What is no event has a place in no series.
        """
        size = self.rules.size
        counted = set().union(*(shard.seen for shard in self.truth.shards.values()))
        for shard_id in self.parents:
            read = {record.sequence_number for record in self.read.get(shard_id, [])}
            kept: list[Record] = []
            since: int | None = None
            for record in self.accepted[shard_id]:
                if record.sequence_number in read:
                    kept.append(record)
                    since = None
                    continue
                since = self._open_after(shard_id, kept) if since is None else since
                given_up = record.sequence_number in self.world.losses.given_up
                for item in items_in(record.data) or (BAD,):
                    series, ident, time, _ = item
                    # what is no event has no window of its own, and yet its loss is one
                    window = since if item is BAD else time // size * size
                    yield (window, series), since, given_up, (window, ident) in counted

    def _given_up(self) -> Iterator[int]:
        """Yield the windows of what the mapping gave up on, read later all the same or not."""
        for record in (record for log in self.accepted.values() for record in log):
            if record.sequence_number in self.world.losses.given_up:
                for _, _, time, _ in items_in(record.data):
                    yield time // self.rules.size * self.rules.size

    def _open_after(self, shard_id: str, kept: list[Record]) -> int:
        """Return the first window that a shard leaves open after what was read of it so far."""
        logs = {**self.read, shard_id: kept}
        time = recount(logs, self.parents, self.rules).shards[shard_id].time
        size, lateness = self.rules.size, self.rules.lateness
        return 0 if time is None else (time - lateness) // size * size


def _of(by_place: Mapping[tuple[int, str], T], owner: int) -> dict[str, T]:
    """Return what belongs to one generation, by shard."""
    return {name: value for (whose, name), value in by_place.items() if whose == owner}


def _parts(record: Record) -> int:
    """Return how many parts of a record must be accounted for."""
    return sum(not _is_clock(item) for item in items_in(record.data))


def _is_clock(item: Item) -> bool:
    return item[0] == HEARTBEAT and item[1] == CLOCK


def _row(row: CompletedWindow) -> Row:
    partial = row.quality is Quality.PARTIAL
    return (
        row.step_ms,
        row.window_start_ms,
        row.series,
        row.revision,
        row.count,
        row.late,
        partial,
    )


def _differences(found: list[Row], expected: list[Row]) -> Iterator[Finding]:
    """Tell revisions that are wrong, missing, or too many."""
    true = {row[1:4]: row for row in expected}
    seen = {row[1:4]: row for row in found}
    wrong = [
        (seen[name], true[name]) for name in seen.keys() & true.keys() if seen[name] != true[name]
    ]
    if wrong:
        one, other = min(wrong)
        yield Finding(
            "counts",
            f"{len(wrong)} revisions are wrong; {_place(one[1:3])} revision {one[3]} tells"
            f" {one[4]} at step {format_time(one[0])}, {one[5]} of them late; it should be"
            f" {other[4]} at step {format_time(other[0])}, {other[5]} of them late",
        )
    missing = sorted(true.keys() - seen.keys())
    if missing:
        yield Finding(
            "missed", f"{len(missing)} revisions are missing, as {_place(missing[0][:2])}"
        )
    more = sorted(seen.keys() - true.keys())
    if more:
        yield Finding("more", f"{len(more)} revisions too many, as {_place(more[0][:2])}")
    if len(found) != len(seen):
        yield Finding("more", "a revision stands twice")


def _place(place: tuple[int, str]) -> str:
    return f"{place[1]!r} at {format_time(place[0])}"


def _name(row: CompletedWindow) -> str:
    return _place((row.window_start_ms, row.series))


def _some(wrong: list[str]) -> str:
    more = f" and {len(wrong) - MOST_SHOWN} more" if len(wrong) > MOST_SHOWN else ""
    return "; ".join(wrong[:MOST_SHOWN]) + more


# --- what was announced


def _announced(world: World) -> set[Announced]:
    return {one for message in world.sent for one in _windows_in(message.payload)}


def _windows_in(payload: bytes) -> Iterator[Announced]:
    window = read_announcement(payload)
    start, step = parse_time_ms(window.window_start), parse_time_ms(window.step)
    for one in window.series:
        yield (
            window.generation,
            step,
            start,
            one.series,
            one.revision,
            one.count,
            one.late,
            one.quality,
        )


def _check_announcements(world: World) -> Iterator[Finding]:
    """Each revision was announced as it stands, in order; twice only as the very same message."""
    rows = {
        (
            row.generation,
            row.step_ms,
            row.window_start_ms,
            row.series,
            row.revision,
            row.count,
            row.late,
            row.quality.value,
        )
        for generation in world.generations
        for windows in world.server.counts.completed(generation).values()
        for revisions in windows.values()
        for row in revisions
    }
    payloads = dict.fromkeys(message.payload for message in world.sent)
    heard = [one for payload in payloads for one in _windows_in(payload)]
    if set(heard) != rows:
        unsaid, invented = len(rows - set(heard)), len(set(heard) - rows)
        yield Finding("announced", f"{unsaid} revisions were never announced, {invented} invented")
    if len(heard) != len(set(heard)):
        yield Finding("announced", "a revision was announced by two different messages")
    last: dict[tuple[int, str], tuple[int, int, int]] = {}
    for generation, step, start, series, revision, *_ in heard:
        place = (step, start, revision)
        if place < last.get((generation, series), place):
            yield Finding("order", f"{_place((start, series))} was overtaken by a later one")
            return
        last[generation, series] = place


def compare(results: Iterable[Result]) -> list[Finding]:
    """Hold deliveries of the same history against each other: all tell the same."""
    first, *others = results
    for other in others:
        if other.told != first.told:
            differing = len(set(first.told) ^ set(other.told))
            says = f"another order of delivery told {differing} revisions otherwise"
            return [Finding("deterministic", says)]
    return []
