"""Snapshots of a stream in minutes after noon: closed up to minute 55, looked at in minute 60."""

from typing import Any

import msgspec

from tidegauge.domain.count import Quality
from tidegauge.domain.health import HealthRules
from tidegauge.domain.snapshot import SeriesSnapshot, ShardSnapshot, Snapshot

NOON_MS = 1_360_324_800_000
SWEEP = HealthRules()
PRODUCER = HealthRules(clock_is_sweep=False)


def at(minute: float) -> int:
    return NOON_MS + round(minute * 60_000)


def shard(name: str, minute: float | None, **more: Any) -> ShardSnapshot:
    """Return a shard whose heartbeats are all counted, unless `more` says otherwise."""
    time_ms = None if minute is None else at(minute)
    number = None if minute is None else round(minute * 10)
    made = ShardSnapshot(
        name, fence=-1 if number is None else number, first_ms=None if minute is None else at(0),
        stream_time_ms=time_ms, heartbeat=number, beat=number,
    )  # fmt: skip
    return msgspec.structs.replace(made, **more)


def series(name: str, last_event: float, count: int = 0, **more: Any) -> SeriesSnapshot:
    """Return a series whose newest window is [50, 55)."""
    return SeriesSnapshot(name, at(last_event), at(50), count, Quality.COMPLETE, at(50), **more)


def snapshot(*shards: ShardSnapshot, **more: Any) -> Snapshot:
    """Return a stream first seen at noon, closed up to minute 55, at minute 60."""
    made = Snapshot(
        generation=1, now_ms=at(60), first_seen_ms=at(0), listed=True,
        next_window_ms=at(55), observed_from_ms=at(0), shards=shards,
    )  # fmt: skip
    return msgspec.structs.replace(made, **more)
