"""The state of a stream in words that a person understands at three in the morning.

One line for each thing that is true: what it is, since when, and where to look next.
"""

from collections.abc import Iterator, Sequence

import msgspec

from tidegauge.domain.alert import duration
from tidegauge.domain.event_time import format_time
from tidegauge.domain.health import Health, Silence, Stall, StallCause, State
from tidegauge.domain.snapshot import MANY, Loss

# More names than these make nobody wiser.
_NAMED = 3
_OUTBOX_PATIENCE_MS = 300_000


class Line(msgspec.Struct, frozen=True):
    """One thing that is true of a stream.

    Attributes:
        state: Which state it speaks of; empty for what waits beside it.
        says: What is true, one sentence.
        look: What to look at next; empty where nothing is to be done.
    """

    state: str
    says: str
    look: str = ""


def lines_of(health: Health) -> list[Line]:
    """Return all that is true, the most severe first; at least one line."""
    lines = [_stall_line(stall, health) for stall in health.stalls]
    lines.extend(_loss_lines(health))
    if health.silent:
        lines.append(_silence_line(health))
    if not lines:
        lines.append(_fine_line(health))
    lines.extend(_waiting_lines(health))
    return lines


def _stall_line(stall: Stall, health: Health) -> Line:
    state = State.BEHIND if stall.moving else State.STALLED
    stands = " yet" if stall.since_ms is None else f" since {_time(stall.since_ms)}"
    shards = _names(stall.shard_ids, "shard")
    if len(stall.shard_ids) == health.n_active > 1:
        shards = f"any of the {health.n_active} shards"
    match stall.cause:
        case StallCause.NO_LISTING:
            says = "nobody has registered the stream's shards, so nothing can be closed"
            look = "the sweep: does it run each minute, and may it list the stream's shards?"
        case StallCause.NO_HEARTBEATS:
            says = f"no heartbeat was put on {shards}{stands}"
            look = "the sweep, which puts them: is its schedule enabled, what does its log say?"
            if not health.clock_is_sweep:
                look = "the producer, which puts them while HEARTBEATS=producer: did it stop early?"
        case StallCause.UNREAD_HEARTBEATS:
            says = f"what lies on {shards} is not counted{stands}"
            look = "collect: is its event source mapping enabled, what does its log say?"
        case StallCause.PARENT_NOT_DRAINED:
            waiting = _names(stall.waiting_ids, "shard")
            says = f"{shards}, closed by a resharding, is not read to its end; {waiting} must wait"
            look = "collect's event source mapping and log, then the sweep's, which finds the end"
        case StallCause.CLOSING:
            at = "" if stall.since_ms is None else f" from {_time(stall.since_ms)} on"
            says = f"stream time has passed windows that nobody closes{at}"
            look = "the logs of collect and sweep: a closing that fails is tried again each time"
    if stall.moving:
        says = f"{says}; it is catching up"
    elif health.lag_ms is not None and stall.cause is not StallCause.CLOSING:
        says = f"{says}; the watermark lies {_length(health.lag_ms)} behind"
    return Line(state, says, look)


def _loss_lines(health: Health) -> Iterator[Line]:
    for loss in health.losses[:_NAMED]:
        yield Line(State.INCOMPLETE, _loss_words(loss), _LOSS_LOOK.get(loss.reason, _LOOK_AT_LOSS))
    if len(health.losses) > _NAMED:
        more = len(health.losses) - _NAMED
        yield Line(State.INCOMPLETE, f"{more} more losses within the last day", _LOOK_AT_LOSS)
    if health.suspect:
        says = f"the newest count of {_names(health.suspect, 'series')} disagrees with its ledger"
        yield Line(State.INCOMPLETE, says, "that series' windows by a recount; this is a fault")


_LOOK_AT_LOSS = "the table gap; counts of its windows are marked `gap` and judge nobody"
_LOSS_LOOK = {
    "heartbeat_missing": "the stream's retention and collect's mapping: who skipped records?",
    "parent_lost": "collect's lag at the time of the resharding, and the stream's retention",
    "batch_skipped": "the bucket of failed batches, and collect's mapping: it must retry for ever",
    "stream_recreated": "who made the stream anew; what lay on the old one cannot be read again",
}
_LOSS_WORDS = {
    "heartbeat_missing": "a heartbeat that was put never came",
    "parent_lost": "a shard expired before it was read",
    "batch_skipped": "a batch was given up on",
    "stream_recreated": "the stream was made anew under its name",
}


def _loss_words(loss: Loss) -> str:
    until = "a heartbeat comes" if loss.until_ms is None else _time(loss.until_ms)
    where = f" on shard {loss.shard_id}" if loss.shard_id else ""
    why = _LOSS_WORDS.get(loss.reason, loss.reason)
    return f"records{where} are lost from {_time(loss.from_ms)} until {until}: {why}"


def _silence_line(health: Health) -> Line:
    named = ", ".join(_silence_words(silence) for silence in health.silent[:_NAMED])
    more = len(health.silent) - _NAMED
    tail = f" and {more:,} more" if more > 0 else ""
    says = f"{len(health.silent):,} of {health.n_series:,} series, proven: {named}{tail}"
    return Line(State.SILENT, says, "the producers of these: counting is sound, nothing arrived")


def _silence_words(silence: Silence) -> str:
    alerted = ", people were alerted" if silence.incident else ""
    lasted = duration(silence.until_ms - silence.from_ms)
    return f"{silence.series} for {lasted} (since {_time(silence.from_ms)}{alerted})"


def _fine_line(health: Health) -> Line:
    if health.state is State.STARTING or health.counted_until_ms is None:
        says = "no window is closed yet; the first closes with the heartbeat that passes its end"
        return Line(State.STARTING, says)
    lag = "" if health.lag_ms is None else f", the watermark {_length(health.lag_ms)} behind"
    until = format_time(health.counted_until_ms)
    return Line(State.COUNTING, f"{health.n_series:,} series, complete until {until}{lag}")


def _waiting_lines(health: Health) -> Iterator[Line]:
    if health.unsent_age_ms > _OUTBOX_PATIENCE_MS:
        many = f"{health.unsent:,}" + (" or more" if health.unsent >= MANY else "")
        age = duration(health.unsent_age_ms)
        yield Line(
            "",
            f"{many} messages wait to be sent, the oldest for {age}",
            "the sweep's log: may it write to the windows stream and the topic?",
        )
    if health.unjudged and health.unsent_age_ms <= _OUTBOX_PATIENCE_MS:
        yield Line(
            "",
            f"{health.unjudged:,} series wait for their verdicts, and people for their alerts",
            "predict: its event source mapping and log, and the model's endpoint",
        )
    if health.quarantined:
        told = ", ".join(
            f"{reason} {count:,}" for reason, count in sorted(health.quarantined.items())
        )
        many = " (the first thousand)" if sum(health.quarantined.values()) >= MANY else ""
        yield Line("", f"set aside: {told}{many}", "`tidegauge quarantine list`")


def _time(time_ms: int) -> str:
    """Return a time without its fraction of a second, which helps nobody here."""
    return format_time(time_ms - time_ms % 1000)


def _length(span_ms: int) -> str:
    return duration(span_ms) if span_ms >= 1000 else "less than 1 s"


def _names(names: Sequence[str], noun: str) -> str:
    """Return up to three names after their noun, and how many more there are."""
    if not names:
        return f"no {noun}"
    plural = noun if noun.endswith("s") or len(names) == 1 else f"{noun}s"
    shown = ", ".join(names[:_NAMED])
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{plural} {shown}{more}"
