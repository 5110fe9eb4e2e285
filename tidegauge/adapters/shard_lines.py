"""Registered shards as the steps see them; the same for every store that keeps them."""

from collections.abc import Mapping

from tidegauge.domain.lineage import ShardLine, closing_time_ms, is_active, is_waiting
from tidegauge.ports import ShardProgress, ShardTimes


def progress_of(lines: Mapping[str, ShardLine]) -> list[ShardProgress]:
    """Return how far each shard is counted, in order of names."""
    return [
        ShardProgress(
            shard_id=line.shard_id,
            parent_ids=line.parent_ids,
            fence=line.state.fence,
            stream_time_ms=line.state.stream_time_ms,
            beat=line.beat,
            drained=line.drained,
            waiting=is_waiting(line, lines),
            skipped=line.skipped,
        )
        for _, line in sorted(lines.items())
    ]


def times_of(
    lines: Mapping[str, ShardLine], firsts_ms: Mapping[str, int | None]
) -> list[ShardTimes]:
    """Return the stream times of all shards, in order of names.

    Args:
        lines: All registered shards by id.
        firsts_ms: Stream time after each one's first own heartbeat; None before that.
    """
    return [
        ShardTimes(name, firsts_ms[name], closing_time_ms(line.state), is_active(line, lines))
        for name, line in sorted(lines.items())
    ]
