"""What lies on the events stream of a live stack, counted in the plainest way there is.

Shares no code with Tidegauge on purpose: the standard library's JSON and times, record by record.
"""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from embedded.local import Running

_HEARTBEAT = "tidegauge.heartbeat"


class StreamRecord(NamedTuple):
    """One record of one shard: when it arrived, ms since the epoch, and its one event."""

    arrived_ms: int
    event: dict[str, str]


class Recount(NamedTuple):
    """Distinct events by series and window start, ms: those on time, and those that were late."""

    on_time: Counter[tuple[str, int]]
    late: Counter[tuple[str, int]]


def records_of(running: Running) -> dict[str, list[StreamRecord]]:
    """Read the whole stream; the records of each shard in order."""
    kinesis = running.engine.session().kinesis
    name = running.outputs.events_stream_name
    found: dict[str, list[StreamRecord]] = {}
    for shard in kinesis.list_shards(StreamName=name)["Shards"]:
        shard_id = shard["ShardId"]
        records = found[shard_id] = []
        iterator = kinesis.get_shard_iterator(
            StreamName=name, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while True:
            answer = kinesis.get_records(ShardIterator=iterator, Limit=10_000)
            records.extend(
                StreamRecord(
                    round(record["ApproximateArrivalTimestamp"].timestamp() * 1000),
                    json.loads(record["Data"]),
                )
                for record in answer["Records"]
            )
            iterator = answer["NextShardIterator"]
            if not answer["Records"]:
                break
    return found


def recount(shards: Iterable[Iterable[StreamRecord]], *, size_ms: int, lateness_ms: int) -> Recount:
    """Count each shard's distinct events, on time where its clock had not closed their window."""
    on_time: Counter[tuple[str, int]] = Counter()
    late: Counter[tuple[str, int]] = Counter()
    for records in shards:
        seen: set[tuple[str, str]] = set()
        clock_ms = 0
        for arrived_ms, event in records:
            time_ms = time_of(event)
            if event["type"] == _HEARTBEAT:
                clock_ms = max(clock_ms, min(time_ms, arrived_ms))
                continue
            name = (event["source"], event["id"])
            if name in seen:
                continue
            seen.add(name)
            start_ms = time_ms // size_ms * size_ms
            closed = clock_ms >= start_ms + size_ms + lateness_ms
            (late if closed else on_time)[event["type"], start_ms] += 1
    return Recount(on_time, late)


def time_of(event: dict[str, str]) -> int:
    """Return when an event happened, ms since the epoch."""
    return round(datetime.fromisoformat(event["time"]).timestamp() * 1000)
