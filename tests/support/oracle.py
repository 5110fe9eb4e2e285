"""A plain recount of shard logs, written from the rules and sharing no code with the package.

Slow and obvious: for each closing it looks at every event again.
"""

from collections import Counter
from dataclasses import dataclass

SIZE = 300_000
LATENESS = 60_000
AGE = 86_400_000
SKEW = 300_000


@dataclass(frozen=True)
class Told:
    """One event of a log: id, series and event time in ms."""

    id: str
    series: str
    time: int


@dataclass(frozen=True)
class Beat:
    """One heartbeat of a log, with the stream time it carries in ms."""

    time: int


Log = list[Told | Beat]


@dataclass
class Recount:
    """What the logs come to: rows of (step, window, series, revision, count, late, partial)."""

    rows: list[tuple[int, int, str, int, int, int, bool]]
    distinct: int
    duplicates: int
    late: int
    quarantined: int


def recount(logs: dict[str, Log]) -> Recount:
    """Recount logs, one a shard, from nothing."""
    result = Recount([], 0, 0, 0, 0)
    counts: Counter[tuple[int, int, str]] = Counter()
    firsts: list[int] = []
    lasts: list[int] = []
    for log in logs.values():
        stream_time: int | None = None
        first: int | None = None
        seen: set[tuple[int, str]] = set()
        for item in log:
            if isinstance(item, Beat):
                first = item.time if first is None else first
                stream_time = item.time if stream_time is None else max(stream_time, item.time)
                continue
            if stream_time is not None and not (
                stream_time - AGE <= item.time <= stream_time + SKEW
            ):
                result.quarantined += 1
                continue
            window = item.time // SIZE * SIZE
            if (window, item.id) in seen:
                result.duplicates += 1
                continue
            seen.add((window, item.id))
            result.distinct += 1
            step = window
            while stream_time is not None and step + SIZE + LATENESS <= stream_time:
                step += SIZE
            result.late += step > window
            counts[(step, window, item.series)] += 1
        if first is None or stream_time is None:
            return result
        firsts.append(first)
        lasts.append(stream_time)
    observed = 0
    while observed + SIZE + LATENESS <= min(firsts):
        observed += SIZE
    result.rows = announced(counts, observed, min(lasts))
    return result


def announced(
    counts: Counter[tuple[int, int, str]],
    observed: int,
    watermark: int,
    *,
    size: int = SIZE,
    lateness: int = LATENESS,
) -> list[tuple[int, int, str, int, int, int, bool]]:
    """Return what is announced of counts by (step, window, series) up to a watermark, in order."""
    rows: list[tuple[int, int, str, int, int, int, bool]] = []
    revisions: dict[tuple[int, str], int] = {}
    at = observed
    while at + size + lateness <= watermark:
        told = {
            place: n
            for place, n in counts.items()
            if place[0] == at or (at == observed and place[0] < at)
        }
        so_far = {place: n for place, n in counts.items() if place[0] <= at}
        for series in {name for _, _, name in so_far}:
            window = min(w for _, w, name in so_far if name == series)
            while window <= at:
                changed = any(w == window and name == series for _, w, name in told)
                if changed or (window, series) not in revisions:
                    revision = revisions[(window, series)] = revisions.get((window, series), 0) + 1
                    here = {
                        s: n for (s, w, name), n in so_far.items() if (w, name) == (window, series)
                    }
                    late = sum(n for s, n in here.items() if max(s, observed) > window)
                    total = sum(here.values())
                    rows.append((at, window, series, revision, total, late, window < observed))
                window += size
        at += size
    return sorted(rows)
