"""The state of a stream's counting: silent, stalled and incomplete, never one taken for another.

Takes what one reading of the store tells, gives what is true of it. *Silent* is a finding about the
world: complete windows with count 0. *Stalled* is our fault: stream time does not move, so nothing
newer can be told. *Incomplete* is a loss that is known. They can be true at once, of different
things. The most severe leads: a stall first, since it hides whatever comes after it; then a loss,
since some announced counts are too low; then silence, which is true and no fault of ours.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum

import msgspec

from tidegauge.domain.count import Quality
from tidegauge.domain.fold import NO_FENCE, GapReason
from tidegauge.domain.snapshot import Loss, ShardSnapshot, Snapshot
from tidegauge.domain.window import MINUTE_MS, closing_time_ms, first_open_window_ms

DAY_MS = 86_400_000

# So many heartbeats may be late before a person is told: fewer delay an answer by less than the
# window and its lateness already do, and would be over before anybody has looked.
MISSED_BEATS = 3
SWEEP_MS = MINUTE_MS  # how often a schedule rings the sweep, whatever its rounds


class HealthRules(msgspec.Struct, frozen=True):
    """The settings that decide what is a stall.

    Attributes:
        size_ms: Window length.
        lateness_ms: How long after its end a window waits for its events.
        beat_ms: Interval of the sweep's heartbeats.
        clock_is_sweep: Stream time follows the wall clock. False where a producer is the clock,
            whose stream time may be of any year and stand still for as long as it likes.
        streams_last: A stream is only made anew by somebody who deletes it. False for an engine on
            this machine: it keeps streams in memory, so each start makes them anew.
    """

    size_ms: int = 300_000
    lateness_ms: int = 60_000
    beat_ms: int = MINUTE_MS
    clock_is_sweep: bool = True
    streams_last: bool = True

    @property
    def patience_ms(self) -> int:
        """How far stream time may lie behind before it counts as standing still."""
        return self.size_ms + self.lateness_ms + MISSED_BEATS * self.beat_ms

    @property
    def first_patience_ms(self) -> int:
        """The same until the first heartbeat: the sweep comes once a minute, and starts slowly."""
        return self.patience_ms + (SWEEP_MS if self.clock_is_sweep else 0)

    @property
    def with_earlier(self) -> bool:
        """Whether what an older generation of the stream lost concerns anybody.

        Each replay is a generation of its own, and so is each start of an engine on this machine.
        """
        return self.clock_is_sweep and self.streams_last


class State(StrEnum):
    """What is true of a stream, the most severe first."""

    STALLED = "stalled"
    BEHIND = "behind"  # as stalled, but it moved between two readings: it is catching up
    INCOMPLETE = "incomplete"
    SILENT = "silent"
    STARTING = "starting"  # no window is closed yet, and none has had the time to
    COUNTING = "counting"


class StallCause(StrEnum):
    """What holds stream time, or what follows it, back."""

    NO_LISTING = "no_listing"  # nobody has registered the stream's shards
    NO_HEARTBEATS = "no_heartbeats"  # none was put since
    UNREAD_HEARTBEATS = "unread_heartbeats"  # they were put, and are not counted
    PARENT_NOT_DRAINED = "parent_not_drained"  # closed by a resharding, and not read to its end
    CLOSING = "closing"  # stream time has passed windows that nobody closes


class Stall(msgspec.Struct, frozen=True):
    """One reason why counting stands still.

    Attributes:
        cause: What holds it back.
        shard_ids: The shards that it is seen on.
        waiting_ids: Shards that are read only after those.
        since_ms: The least stream time of those shards, or where closing stands; None before any.
        moving: It moved between two readings.
    """

    cause: StallCause
    shard_ids: tuple[str, ...] = ()
    waiting_ids: tuple[str, ...] = ()
    since_ms: int | None = None
    moving: bool = False


class Silence(msgspec.Struct, frozen=True):
    """A series of which complete windows hold no event.

    Attributes:
        series: The series.
        from_ms: Start of the first of those windows; before it an event came, or a gap lies.
        until_ms: End of the last of them.
        windows: How many they are.
        incident: Whether people were alerted, and the incident is open still.
    """

    series: str
    from_ms: int
    until_ms: int
    windows: int
    incident: bool


class Health(msgspec.Struct, frozen=True):
    """The state of a stream.

    Attributes:
        states: All that is true, the most severe first; `COUNTING` or `STARTING` stand alone.
        clock_is_sweep: As in `HealthRules`.
        watermark_ms: The least stream time over the active shards; None while one has none.
        lag_ms: How far it lies behind the clock; None where a producer is the clock.
        counted_until_ms: End of the last closed window; None before the first.
        stalls: Why it is stalled, or behind.
        losses: The losses that touch the last day or an open window, newest first.
        suspect: Series whose newest count disagrees with the keys behind it.
        silent: The silent series: those with an open incident first, then by how lately they fell
            silent.
        n_active: Shards that hold stream time back: neither drained nor waiting for a parent.
        n_series: Active series.
        unjudged: Active series that wait for verdicts on more than their newest window.
        unsent: As in `Snapshot`.
        unsent_age_ms: As in `Snapshot`.
        quarantined: As in `Snapshot`.
    """

    states: tuple[State, ...]
    clock_is_sweep: bool
    watermark_ms: int | None
    lag_ms: int | None
    counted_until_ms: int | None
    stalls: tuple[Stall, ...] = ()
    losses: tuple[Loss, ...] = ()
    suspect: tuple[str, ...] = ()
    silent: tuple[Silence, ...] = ()
    n_active: int = 0
    n_series: int = 0
    unjudged: int = 0
    unsent: int = 0
    unsent_age_ms: int = 0
    quarantined: dict[str, int] = {}

    @property
    def state(self) -> State:
        """The most severe that is true."""
        return self.states[0]

    @property
    def is_fine(self) -> bool:
        """Whether nobody has to mend anything of ours."""
        return self.state not in (State.STALLED, State.BEHIND, State.INCOMPLETE)


def health_of(now: Snapshot, rules: HealthRules, earlier: Snapshot | None = None) -> Health:
    """Return the state of a stream.

    Where the sweep is the clock, a shard is late once its stream time lies further behind the
    store's clock than `HealthRules.patience_ms`, and before its first heartbeat once the stream is
    known for longer than `HealthRules.first_patience_ms`. Where a producer is the clock, a clock on
    a wall says nothing, and what stands still may be about to move: hand in an earlier reading.

    Args:
        now: A reading.
        rules: What is a stall.
        earlier: A reading of some seconds before; what moved since is no stall. None: nothing did.
    """
    lineage = _Lineage(now.shards)
    stalls = tuple(_stalls(now, lineage, rules, earlier))
    losses = tuple(_current_losses(now))
    suspect = tuple(sorted(s.name for s in now.series if s.quality is Quality.SUSPECT))
    silent = _silent(now, rules)
    states = []
    if stalls:
        states.append(State.BEHIND if all(s.moving for s in stalls) else State.STALLED)
    if losses or suspect:
        states.append(State.INCOMPLETE)
    if silent:
        states.append(State.SILENT)
    if not states:
        states.append(State.STARTING if now.next_window_ms is None else State.COUNTING)
    watermark_ms = lineage.watermark_ms
    has_lag = rules.clock_is_sweep and watermark_ms is not None
    return Health(
        states=tuple(states),
        clock_is_sweep=rules.clock_is_sweep,
        watermark_ms=watermark_ms,
        lag_ms=max(0, now.now_ms - (watermark_ms or 0)) if has_lag else None,
        counted_until_ms=now.next_window_ms,
        stalls=stalls,
        losses=losses,
        suspect=suspect,
        silent=silent,
        n_active=len(lineage.active),
        n_series=len(now.series),
        unjudged=sum(s.window_start_ms - s.judged_step_ms > rules.size_ms for s in now.series),
        unsent=now.unsent,
        unsent_age_ms=now.unsent_age_ms,
        quarantined=now.quarantined,
    )


class _Lineage:
    """The shards of a snapshot, and which of them hold the watermark back."""

    def __init__(self, shards: Sequence[ShardSnapshot]) -> None:
        self._undrained = {shard.shard_id for shard in shards if not shard.drained}
        self.shards = shards
        self.waiting = {
            shard.shard_id for shard in shards if self._undrained.intersection(shard.parent_ids)
        }
        self.active = [s for s in shards if not s.drained and s.shard_id not in self.waiting]
        times = [shard.stream_time_ms for shard in self.active]
        known = [time_ms for time_ms in times if time_ms is not None]
        self.watermark_ms = min(known) if known and len(known) == len(times) else None

    def waiting_for(self, shard: ShardSnapshot) -> list[str]:
        """Return the shards that wait for one: registered children prove that it is closed."""
        return [s.shard_id for s in self.shards if shard.shard_id in s.parent_ids]


def _stalls(
    now: Snapshot, lineage: _Lineage, rules: HealthRules, earlier: Snapshot | None
) -> Iterator[Stall]:
    if earlier is not None and earlier.generation != now.generation:
        earlier = None
    if not now.listed:
        if now.now_ms - now.first_seen_ms > rules.first_patience_ms:
            yield Stall(StallCause.NO_LISTING)
        return
    found = list(_late_shards(now, lineage, rules, earlier))
    found.extend(_closing_stall(now, lineage, rules, earlier))
    # Whoever replays is about to move what a reading caught between two batches.
    yield from (stall for stall in found if rules.clock_is_sweep or not stall.moving)


def _late_shards(
    now: Snapshot, lineage: _Lineage, rules: HealthRules, earlier: Snapshot | None
) -> Iterator[Stall]:
    before = {shard.shard_id: shard for shard in earlier.shards} if earlier else {}
    by_cause: dict[StallCause, list[ShardSnapshot]] = {}
    for shard in lineage.active:
        if _is_late(shard, now, lineage, rules):
            by_cause.setdefault(_cause_of(shard, lineage, rules), []).append(shard)
    for cause, shards in by_cause.items():
        times = [shard.stream_time_ms for shard in shards]
        known = [time_ms for time_ms in times if time_ms is not None]
        waiting = {name for shard in shards for name in lineage.waiting_for(shard)}
        yield Stall(
            cause,
            shard_ids=tuple(sorted(shard.shard_id for shard in shards)),
            waiting_ids=tuple(sorted(waiting)),
            since_ms=min(known) if known and len(known) == len(times) else None,
            moving=all(_moved(cause, shard, before.get(shard.shard_id)) for shard in shards),
        )


def _is_late(shard: ShardSnapshot, now: Snapshot, lineage: _Lineage, rules: HealthRules) -> bool:
    if rules.clock_is_sweep:
        at_ms = shard.stream_time_ms
        if at_ms is None:
            return now.now_ms - now.first_seen_ms > rules.first_patience_ms
        return now.now_ms - at_ms > rules.patience_ms
    if shard.stream_time_ms is None:
        # Counted without a heartbeat, or left out by a clock that reaches the others.
        others = any(other.stream_time_ms is not None for other in lineage.active)
        return shard.fence != NO_FENCE or others
    furthest_ms = max(other.stream_time_ms or 0 for other in lineage.active)
    return furthest_ms - shard.stream_time_ms > rules.size_ms + rules.lateness_ms


def _cause_of(shard: ShardSnapshot, lineage: _Lineage, rules: HealthRules) -> StallCause:
    if lineage.waiting_for(shard):
        return StallCause.PARENT_NOT_DRAINED
    if not rules.clock_is_sweep:
        reached = shard.stream_time_ms is not None
        return StallCause.UNREAD_HEARTBEATS if reached else StallCause.NO_HEARTBEATS
    unread = shard.beat is not None and (shard.heartbeat is None or shard.beat > shard.heartbeat)
    return StallCause.UNREAD_HEARTBEATS if unread else StallCause.NO_HEARTBEATS


def _moved(cause: StallCause, shard: ShardSnapshot, before: ShardSnapshot | None) -> bool:
    if before is None:
        return False
    if cause is StallCause.NO_HEARTBEATS:  # events alone move no stream time
        return before.stream_time_ms != shard.stream_time_ms
    return (before.stream_time_ms, before.fence) != (shard.stream_time_ms, shard.fence)


def _closing_stall(
    now: Snapshot, lineage: _Lineage, rules: HealthRules, earlier: Snapshot | None
) -> Iterator[Stall]:
    next_ms = now.next_window_ms
    firsts = [shard.first_ms for shard in now.shards if shard.first_ms is not None]
    size_ms, lateness_ms = rules.size_ms, rules.lateness_ms
    if next_ms is None and firsts:
        next_ms = first_open_window_ms(min(firsts), size_ms=size_ms, lateness_ms=lateness_ms)
    if next_ms is None or lineage.watermark_ms is None:
        return
    closes_ms = closing_time_ms(next_ms, size_ms=size_ms, lateness_ms=lateness_ms)
    passed_ms = lineage.watermark_ms - closes_ms
    # A batch, else the next sweep, closes what stream time has passed.
    if passed_ms > (rules.patience_ms if rules.clock_is_sweep else -1):
        moving = earlier is not None and earlier.next_window_ms != now.next_window_ms
        yield Stall(StallCause.CLOSING, since_ms=next_ms, moving=moving)


def _current_losses(now: Snapshot) -> Iterator[Loss]:
    """Yield the losses of the last day of stream time, and those of open windows."""
    times = [s.stream_time_ms for s in now.shards if s.stream_time_ms is not None]
    if now.next_window_ms is not None:
        times.append(now.next_window_ms)
    since_ms = max(times, default=now.now_ms) - DAY_MS
    if now.next_window_ms is not None:
        since_ms = min(since_ms, now.next_window_ms)
    for shard in now.shards:
        # A drained shard has handed its loss on to its children.
        if shard.lost_from_ms is not None and not shard.drained:
            inherited = shard.heartbeat is None
            reason = GapReason.PARENT_LOST if inherited else GapReason.HEARTBEAT_MISSING
            yield Loss(shard.lost_from_ms, None, reason.value, shard.shard_id)
    ended = [loss for loss in now.losses if loss.until_ms is not None]
    ended.sort(key=lambda loss: (loss.until_ms or 0, loss.from_ms, loss.shard_id), reverse=True)
    yield from (loss for loss in ended if (loss.until_ms or 0) > since_ms)


def _silent(now: Snapshot, rules: HealthRules) -> tuple[Silence, ...]:
    size_ms = rules.size_ms
    gap_until_ms = max((loss.until_ms or 0 for loss in now.losses), default=0)
    proven_from_ms = max(-(-gap_until_ms // size_ms) * size_ms, now.observed_from_ms or 0)
    found = []
    for series in now.series:
        if series.count or series.quality is not Quality.COMPLETE:
            continue
        until_ms = series.window_start_ms + size_ms
        from_ms = max(series.last_event_window_ms + size_ms, min(proven_from_ms, until_ms))
        windows = (until_ms - from_ms) // size_ms
        if windows > 0:
            found.append(Silence(series.name, from_ms, until_ms, windows, series.incident))
    found.sort(key=lambda silence: (not silence.incident, -silence.from_ms, silence.series))
    return tuple(found)
