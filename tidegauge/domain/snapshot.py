"""What one reading of the store tells of a stream, for whoever judges or shows its state.

Plain values, cheap to read however much the store holds; `health` says what they mean.
"""

from collections.abc import Sequence

import msgspec

from tidegauge.domain.count import Quality
from tidegauge.domain.fold import NO_FENCE

# A reading counts no further: people need to know that it is many, not how many.
MANY = 1_000


class ShardSnapshot(msgspec.Struct, frozen=True):
    """One shard as the store knows it.

    Attributes:
        shard_id: The shard.
        parent_ids: Its parents, registered or not.
        fence: The last sequence number counted; `NO_FENCE` before the first.
        first_ms: Stream time after its first own heartbeat; None before that.
        stream_time_ms: Its stream time; None before it has any.
        heartbeat: Sequence number of the last heartbeat counted; None for none.
        beat: Sequence number of the last heartbeat that the sweep has put; None for none.
        drained: Whether all its records are counted and no more can come.
        lost_from_ms: Stream time from which on a loss is known that no heartbeat has ended yet.
    """

    shard_id: str
    parent_ids: tuple[str, ...] = ()
    fence: int = NO_FENCE
    first_ms: int | None = None
    stream_time_ms: int | None = None
    heartbeat: int | None = None
    beat: int | None = None
    drained: bool = False
    lost_from_ms: int | None = None


class SeriesSnapshot(msgspec.Struct, frozen=True):
    """One active series with the last revision of its newest announced window.

    Attributes:
        name: The series.
        last_event_window_ms: Start of the last window that holds an event of it.
        window_start_ms: Start of its newest window.
        count: Distinct events in it.
        quality: How far that count can be trusted.
        judged_step_ms: Step up to which it is judged; its first window where it never was.
        incident: Whether an incident of the series is open.
    """

    name: str
    last_event_window_ms: int
    window_start_ms: int
    count: int
    quality: Quality
    judged_step_ms: int
    incident: bool = False


class Loss(msgspec.Struct, frozen=True):
    """Event time in which records are known to be lost.

    Attributes:
        from_ms: Where it begins.
        until_ms: Where it ends; None while no heartbeat has ended it.
        reason: How it became known, as in `GapReason`.
        shard_id: The shard that lost them; empty for the whole stream.
    """

    from_ms: int
    until_ms: int | None
    reason: str
    shard_id: str = ""


class Snapshot(msgspec.Struct, frozen=True):
    """What one reading of the store tells of a stream's newest generation.

    Attributes:
        generation: The generation's number.
        now_ms: The store's own clock, ms since the epoch.
        first_seen_ms: When the generation was first seen, by the same clock.
        listed: Whether a whole listing of shards is registered.
        next_window_ms: Start of the first open window; None before the first closing.
        observed_from_ms: Start of the first window that was watched from its beginning; None
            before the first closing.
        shards: All registered shards.
        losses: The gaps that are known, newest first; the oldest may be left out.
        series: The active series.
        unsent: Messages that wait in the outbox, at most `MANY`.
        unsent_age_ms: Age of the oldest of them; 0 for none.
        quarantined: What is held in quarantine by reason, counted up to `MANY`.
    """

    generation: int
    now_ms: int
    first_seen_ms: int
    listed: bool
    next_window_ms: int | None
    observed_from_ms: int | None
    shards: Sequence[ShardSnapshot]
    losses: Sequence[Loss] = ()
    series: Sequence[SeriesSnapshot] = ()
    unsent: int = 0
    unsent_age_ms: int = 0
    quarantined: dict[str, int] = {}
