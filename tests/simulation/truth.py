"""What a world comes to: a plain recount of what was read, sharing no code with the package.

Works through each shard's records in their order, parents first. What is no heartbeat is on time,
late, known already or set aside; that depends on nothing but the log before it.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from tidegauge.domain.record import Record

Row = tuple[
    int, int, str, int, int, int, bool
]  # step, window, series, revision, count, late, partial
Item = tuple[str, str, int, str]  # kind or series, id or source, time, and a heartbeat's shard

BAD = ("bad", "", 0, "")
HEARTBEAT = "tidegauge.heartbeat"
CLOCK = "/clock"
OTHER = "__other__"  # counts for the series beyond the limit


@dataclass(frozen=True)
class Rules:
    """The settings that decide; durations in ms."""

    size: int
    lateness: int
    skew: int
    age: int
    clock: str
    most_series: int


@dataclass
class ShardTruth:
    """One shard at the end of what was read of it.

    Attributes:
        time: Its stream time; None before any.
        first: Stream time of its own first heartbeat.
        seen: Window and id of every event known to it and its ancestors.
    """

    time: int | None = None
    first: int | None = None
    seen: set[tuple[int, str]] = field(default_factory=set)


@dataclass
class Truth:
    """What one generation of a stream comes to.

    Attributes:
        counts: Distinct events by (step, window, series).
        shards: How far each shard is.
        on_time: Events told with their window.
        late: Events told at a later step.
        duplicates: Events that were known.
        set_aside: Parts of records that are no event, or lie too far from stream time.
    """

    counts: Counter[tuple[int, int, str]] = field(default_factory=Counter)
    shards: dict[str, ShardTruth] = field(default_factory=dict)
    on_time: int = 0
    late: int = 0
    duplicates: int = 0
    set_aside: int = 0

    def final(self) -> Counter[tuple[int, str]]:
        """Return distinct events by (window, series), whenever they were told."""
        totals: Counter[tuple[int, str]] = Counter()
        for (_, window, series), n in self.counts.items():
            totals[window, series] += n
        return totals


@lru_cache(maxsize=4096)
def items_in(data: bytes) -> tuple[Item, ...]:
    """Return what a record of the simulation holds; what is no JSON is one bad thing."""
    if b"\n" in data:
        return tuple(item for line in data.splitlines() for item in items_in(line))
    try:
        found = json.loads(data)
    except ValueError:
        return (BAD,)
    many = found if isinstance(found, list) else [found]
    return tuple(_item(one) for one in many)


def _item(fields: object) -> Item:
    if not isinstance(fields, dict) or "time" not in fields:
        return BAD
    time = round(datetime.fromisoformat(fields["time"]).timestamp() * 1000)
    if fields["type"] == HEARTBEAT:
        return (HEARTBEAT, fields["source"], time, fields["data"]["shard"])
    return (fields["type"], fields["id"], time, "")


def recount(
    logs: Mapping[str, Iterable[Record]], parents: Mapping[str, tuple[str, ...]], rules: Rules
) -> Truth:
    """Recount what was read of one generation.

    Args:
        logs: What was read of each shard, in order.
        parents: The parents of each shard, parents before their children.
        rules: What is counted where.
    """
    truth = Truth()
    for shard_id, above in parents.items():
        known = [truth.shards[parent] for parent in above if parent in truth.shards]
        shard = truth.shards[shard_id] = ShardTruth(
            time=max((one.time for one in known if one.time is not None), default=None),
            seen=set().union(*(one.seen for one in known)),
        )
        for record in logs.get(shard_id, ()):
            for item in items_in(record.data):
                _take(truth, shard, shard_id, record, item, rules)
    return truth


def _take(
    truth: Truth, shard: ShardTruth, shard_id: str, record: Record, item: Item, rules: Rules
) -> None:
    series, ident, time, meant = item
    arrival = record.arrival_time_ms or 0
    if series == HEARTBEAT and ident == rules.clock:
        if meant == shard_id:
            told = min(time, arrival)
            shard.first = told if shard.first is None else shard.first
            shard.time = told if shard.time is None else max(shard.time, told)
        return
    now = shard.time
    too_far = now is not None and time > max(now, arrival) + rules.skew
    too_old = now is not None and time < now - rules.age
    if item is BAD or series == HEARTBEAT or too_far or too_old:
        truth.set_aside += 1
        return
    window = time // rules.size * rules.size
    if (window, ident) in shard.seen:
        truth.duplicates += 1
        return
    shard.seen.add((window, ident))
    step = window
    while now is not None and step + rules.size + rules.lateness <= now:
        step += rules.size
    if step > window:
        truth.late += 1
    else:
        truth.on_time += 1
    truth.counts[step, window, series] += 1


def told(truth: Truth, open_shards: Iterable[str], rules: Rules) -> list[Row]:
    """Return every revision that is announced of a stream that was read to its end, in order."""
    firsts = [shard.first for shard in truth.shards.values() if shard.first is not None]
    lasts = [truth.shards[name].time for name in open_shards]
    if not firsts or None in lasts:
        return []
    watermark = min(time for time in lasts if time is not None)
    observed = (min(firsts) - rules.lateness) // rules.size * rules.size
    by_step: dict[int, list[tuple[int, str, int]]] = {}
    for (step, window, series), n in truth.counts.items():
        by_step.setdefault(max(step, observed), []).append((window, series, n))
    telling = _Telling(observed, rules)
    step = observed
    while step + rules.size + rules.lateness <= watermark:
        telling.close(step, by_step.get(step, ()))
        step += rules.size
    return telling.rows


class _Telling:
    def __init__(self, observed: int, rules: Rules) -> None:
        self._observed = observed
        self._size = rules.size
        self._most = rules.most_series
        self._begins: dict[str, int] = {}
        self._totals: dict[tuple[int, str], list[int]] = {}  # revision, count, late
        self.rows: list[Row] = []

    def _within_limit(self, counts: Sequence[tuple[int, str, int]]) -> list[tuple[int, str, int]]:
        """Return counts with the series that no place is left for as one, in order of name."""
        known = self._begins.keys() - {OTHER}
        fresh = sorted({series for _, series, _ in counts} - known)
        other = fresh[max(0, self._most - len(known)) :]
        return [(w, OTHER if series in other else series, n) for w, series, n in counts]

    def close(self, step: int, counts: Sequence[tuple[int, str, int]]) -> None:
        counts = self._within_limit(counts)
        places = set()
        for window, series, n in counts:
            total = self._totals.setdefault((window, series), [0, 0, 0])
            total[1] += n
            total[2] += n if window < step else 0
            places.add((window, series))
        for series in {series for _, series, _ in counts}:
            begins = min(window for window, name, _ in counts if name == series)
            known = self._begins.get(series, step)
            places |= {(window, series) for window in range(begins, known, self._size)}
            self._begins[series] = min(begins, known)
        places |= {(step, series) for series in self._begins}
        for window, series in sorted(places):
            total = self._totals.setdefault((window, series), [0, 0, 0])
            total[0] += 1
            partial = window < self._observed
            self.rows.append((step, window, series, *total, partial))  # type: ignore[arg-type]
