"""A plain recount of a stream whose shards were split and merged, sharing no code with the package.

A shard goes on with the greatest stream time of its parents, and knows every event that it or an
ancestor has seen.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from tests.support.oracle import Beat, Log, Told, announced
from tidegauge.domain.record import Record

Row = tuple[int, int, str, int, int, int, bool]

# Events of this type are put to be quarantined.
ASTRAY = "astray"


def log_of(records: Iterable[Record], *, clock_is_sweep: bool) -> Log:
    """Return what records of one shard hold; a heartbeat meant for another shard is nothing."""
    log: Log = []
    for record in records:
        for fields in parts_of(record.data):
            if fields is None or fields["type"] == ASTRAY:
                continue
            time = round(datetime.fromisoformat(fields["time"]).timestamp() * 1000)
            if fields["type"] != "tidegauge.heartbeat":
                log.append(Told(fields["id"], fields["type"], time))
            elif fields["data"]["shard"] == record.shard_id:
                assert record.arrival_time_ms is not None
                log.append(Beat(min(time, record.arrival_time_ms) if clock_is_sweep else time))
    return log


def parts_of(data: bytes) -> list[Any]:
    """Return what a record holds: one event, a batch, or one a line; None for what is no JSON."""
    try:
        found = json.loads(data)
    except ValueError:
        return [_line(line) for line in data.split(b"\n")]
    return found if isinstance(found, list) else [found]


def _line(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def recount_lineage(
    logs: Mapping[str, Log], parents: Mapping[str, tuple[str, ...]], *, size: int, lateness: int
) -> list[Row]:
    """Recount a stream whose closed shards are all read to their ends.

    Args:
        logs: What was read of each shard.
        parents: The parents of each shard; parents stand before their children.
        size: Length of a window, ms.
        lateness: How long a window waits for its events, ms.
    """
    times: dict[str, int | None] = {}
    seen: dict[str, set[tuple[int, str]]] = {}
    firsts: list[int] = []
    counts: Counter[tuple[int, int, str]] = Counter()
    for name, above in parents.items():
        time = max((t for parent in above if (t := times[parent]) is not None), default=None)
        known = set().union(*(seen[parent] for parent in above))
        own = False
        for item in logs[name]:
            if isinstance(item, Beat):
                if not own:
                    firsts.append(item.time)
                own = True
                time = item.time if time is None else max(time, item.time)
                continue
            window = item.time // size * size
            if (window, item.id) in known:
                continue
            known.add((window, item.id))
            step = window
            while time is not None and step + size + lateness <= time:
                step += size
            counts[(step, window, item.series)] += 1
        times[name], seen[name] = time, known
    open_shards = parents.keys() - {parent for above in parents.values() for parent in above}
    lasts = [times[name] for name in open_shards]
    watermark = min(time for time in lasts if time is not None)
    assert None not in lasts
    observed = (min(firsts) - lateness) // size * size
    return announced(counts, observed, watermark, size=size, lateness=lateness)
