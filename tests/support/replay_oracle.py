"""A plain offline replay of a bare fixture, written from the protocol's words.

Slow and obvious, and without any code of the package: it reads the lines with `json`, sets the
heartbeats between the events, and announces step by step from one table of counts.
"""

import calendar
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

MINUTE = 60_000
DAY = 86_400_000
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


@dataclass(frozen=True)
class Rules:
    """The settings, durations in ms."""

    size: int = 300_000
    lateness: int = 60_000
    skew: int = 300_000
    age: int = DAY
    idle: int = 14 * DAY
    max_series: int = 10_000
    series_by: tuple[str, ...] = ("type",)

    def first_open(self, stream_time: int) -> int:
        """Start of the first window that a stream time does not close."""
        window = stream_time // self.size * self.size
        while window + self.size + self.lateness > stream_time:
            window -= self.size
        return window + self.size


@dataclass(frozen=True)
class Seen:
    """An event of the fixture."""

    key: tuple[str, str]
    series: str
    time: int


@dataclass
class Plain:
    """What a fixture comes to; `rows` as (start, series, count, revision, late, quality)."""

    distinct: int = 0
    duplicates: int = 0
    late: int = 0
    quarantined: int = 0
    rows: list[tuple[int, str, int, int, int, str]] = field(default_factory=list)


def plain_replay(data: bytes, rules: Rules) -> Plain:
    """Replay the bytes of a bare fixture."""
    result = Plain()
    events: list[Seen] = []
    for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        if line.strip():
            found = _found_in(line, rules)
            events += [one for one in found if one is not None]
            result.quarantined += found.count(None)
    counts: Counter[tuple[int, int, str]] = Counter()  # by step, window, series
    seen: set[tuple[int, tuple[str, str]]] = set()
    latest: int | None = None  # of the confirmed events
    beats: list[int] = []
    for number, event in enumerate(events):
        if not _plausible(event.time, latest, events[number + 1 : number + 11], rules):
            result.quarantined += 1
            continue
        latest = event.time if latest is None else max(latest, event.time)
        minute = event.time // MINUTE * MINUTE
        if (
            not beats
            or rules.first_open(minute) > rules.first_open(beats[-1])
            or event.time >= beats[-1] + rules.skew
        ):
            beats.append(minute)
        if event.time < beats[-1] - rules.age:
            result.quarantined += 1
            continue
        window = event.time // rules.size * rules.size
        if (window, event.key) in seen:
            result.duplicates += 1
            continue
        seen.add((window, event.key))
        step = max(window, rules.first_open(beats[-1]))
        result.distinct += 1
        result.late += step > window
        counts[step, window, event.series] += 1
    if latest is not None:
        observed = rules.first_open(beats[0])
        result.rows = _rows(counts, observed, latest // rules.size * rules.size, rules)
    return result


def _plausible(time: int, latest: int | None, following: list[Seen], rules: Rules) -> bool:
    if latest is not None and time <= latest + rules.skew:
        return True
    if not following:
        return latest is None or time <= latest + rules.age
    agree = 0
    for other in following:
        near = other.time >= time - rules.skew
        if latest is None and other.time > time + rules.age:
            near = False
        agree += near
    return agree > len(following) - agree


def _rows(
    counts: Counter[tuple[int, int, str]], observed: int, last: int, rules: Rules
) -> list[tuple[int, str, int, int, int, str]]:
    rows: dict[tuple[int, str], tuple[int, int, int, str]] = {}
    active: dict[str, int] = {}  # with the last window that holds an event
    begun: dict[str, int] = {}
    steps: dict[int, list[tuple[int, str, int]]] = {}
    for (step, window, name), n in counts.items():
        steps.setdefault(max(step, observed), []).append((window, name, n))
    closing = observed
    while closing <= last:
        if not active and closing not in steps:
            closing = min((step for step in steps if step > closing), default=last + rules.size)
            continue
        told: Counter[tuple[int, str]] = Counter()
        here = steps.get(closing, [])
        free = rules.max_series - len(active.keys() - {"__other__"})
        fresh = sorted({name for _, name, _ in here} - active.keys() - {"__other__"})
        for window, name, n in here:
            told[window, "__other__" if name in fresh[max(0, free) :] else name] += n
        lacking: set[tuple[int, str]] = set()
        claimed = (observed - rules.age) // rules.size * rules.size
        for window, name in sorted(told):
            if window < begun.get(name, closing) or name not in active:
                begun[name] = window
                lacking |= {(w, name) for w in range(max(window, claimed), closing, rules.size)}
            active[name] = max(active.get(name, window), window)
        lacking |= {(closing, name) for name in active}
        for window, name in told.keys() | (lacking - rows.keys()):
            count, revision, late, _ = rows.get((window, name), (0, 0, 0, ""))
            n = told[window, name]
            quality = "partial" if window < observed else "complete"
            late += n if closing > window else 0
            rows[window, name] = (count + n, revision + 1, late, quality)
        for name in [name for name in active if closing - active[name] >= rules.idle]:
            rows[closing, name] = (*rows[closing, name][:3], "retired")
            del active[name]
        closing += rules.size
    return [(*place, *row) for place, row in sorted(rows.items())]


def _found_in(line: bytes, rules: Rules) -> list[Seen | None]:
    try:
        value = json.loads(line.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return [None]
    return [_event_of(one, rules) for one in (value if isinstance(value, list) else [value])]


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _event_of(value: Any, rules: Rules) -> Seen | None:
    if not isinstance(value, dict) or value.get("specversion") != "1.0":
        return None
    for name in ("id", "source", "type", "time"):
        if not isinstance(value.get(name), str) or not value[name]:
            return None
    names: list[Any] = []
    for path in rules.series_by:
        at: Any = value
        for part in path.split("."):
            at = at.get(part) if isinstance(at, dict) else None
        names.append("__none__" if at is None else at)
    series = (
        names[0]
        if len(names) == 1
        else json.dumps(names, ensure_ascii=False, separators=(",", ":"))
    )
    time = _time_of(value["time"])
    try:
        (value["source"] + value["id"]).encode()
        size = len(series.encode())
    except UnicodeEncodeError:
        return None
    if time is None or size > 255:
        return None
    return Seen((value["source"], value["id"]), series, time)


def _time_of(text: str) -> int | None:
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    fraction, offset = found.group(7) or ".", found.group(8)
    if not (1 <= month <= 12 and 1 <= day <= calendar.monthrange(max(year, 1), month)[1]):
        return None
    if hour > 23 or minute > 59 or second > 60 or not 1000 <= year <= 9999:
        return None
    seconds = calendar.timegm((year, month, day, hour, minute, second))
    if offset not in "Zz":
        hours, minutes = int(offset[1:3]), int(offset[4:6])
        if hours > 23 or minutes > 59:
            return None
        seconds -= (hours * 3600 + minutes * 60) * (1 if offset[0] == "+" else -1)
    return seconds * 1000 + int((fraction[1:] + "000")[:3])
