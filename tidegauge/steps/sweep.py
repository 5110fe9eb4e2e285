"""The sweep step: each minute, what no single batch can be trusted to do.

Registers the stream's shards, puts a heartbeat on each open one where it is the clock, closes what
the watermark has passed, rings again for series that wait for a verdict, and publishes the outbox.
It may run at any moment and any number of times; one runs at a time.
"""

from collections.abc import Mapping

import msgspec

from tidegauge.domain.close import CloseRules
from tidegauge.domain.errors import TidegaugeError
from tidegauge.ports import (
    Clock,
    CountStore,
    Destination,
    MessageSink,
    Outbox,
    StreamIdentity,
    StreamLister,
    SweepStore,
)
from tidegauge.steps.close import close_once
from tidegauge.steps.heartbeats import Heartbeats, TargetStream
from tidegauge.steps.publish import publish_outbox

CLOSINGS_PER_SWEEP = 100
MESSAGES_PER_SWEEP = 20_000
RINGS_PER_SWEEP = 1_000


class SweepClock:
    """The clock of a stream that no producer is the clock of.

    Args:
        stream: The stream.
        clock: The wall clock; its time is what heartbeats carry, and closes nothing by itself.
        source: The CloudEvents `source` of its heartbeats.
    """

    def __init__(self, stream: TargetStream, clock: Clock, source: str) -> None:
        self._stream = stream
        self._clock = clock
        self._source = source
        self._rounds: tuple[StreamIdentity, Heartbeats] | None = None

    def beat(self, identity: StreamIdentity) -> None:
        """Put one round of heartbeats. Raises Transient."""
        if self._rounds is None or self._rounds[0] != identity:
            # the chain of sequence numbers is a generation's own
            self._rounds = (identity, Heartbeats(self._stream, self._source))
        self._rounds[1].put(self._clock.now_ms())


class Swept(msgspec.Struct, frozen=True):
    """What one sweep did.

    Attributes:
        ran: False if another sweep was at it.
        shards: Shards that the stream lists.
        completed: Completed windows announced, corrections included.
        watermark_ms: The stream's watermark; None while some shard has no stream time.
        rung: Series that were rung for again.
        alerts_sent: Alerts published that somebody else's publishing had left.
    """

    ran: bool
    shards: int = 0
    completed: int = 0
    watermark_ms: int | None = None
    rung: int = 0
    alerts_sent: int = 0


def sweep(
    *,
    store: CountStore,
    sweeps: SweepStore,
    outbox: Outbox,
    sinks: Mapping[Destination, MessageSink],
    stream: StreamLister,
    clock: SweepClock | None,
    close_rules: CloseRules,
) -> Swept:
    """Do one sweep.

    Args:
        store: Where counts live.
        sweeps: What the sweep alone asks of it.
        outbox: Where announcements and alerts wait.
        sinks: Who sends them.
        stream: The events stream.
        clock: Puts its heartbeats; None where a producer is the clock.
        close_rules: What is announced.

    Raises:
        Transient: something did not answer; what was done stays done, the next sweep does the rest.
        Misconfigured: stream or database are not what the settings say.
    """
    with sweeps.only_one() as alone:
        if not alone:
            return Swept(ran=False)
        identity, listing = stream.identity(), stream.shards()
        generation = store.generation(identity)
        store.register_shards(generation, listing)
        stopped = _beat(clock, identity)
        completed = 0
        for _ in range(CLOSINGS_PER_SWEEP):
            outcome = close_once(store, generation, close_rules)
            completed += len(outcome.rows)
            if outcome.finished:
                break
        rung = sweeps.ring_again(RINGS_PER_SWEEP)
        published = publish_outbox(outbox, sinks, limit=MESSAGES_PER_SWEEP)
        if stopped is not None:
            raise stopped
        return Swept(
            ran=True,
            shards=len(listing),
            completed=completed,
            watermark_ms=outcome.watermark_ms,
            rung=rung,
            alerts_sent=published.sent.get(Destination.ALERTS, 0),
        )


def _beat(clock: SweepClock | None, identity: StreamIdentity) -> TidegaugeError | None:
    """Put heartbeats; return what went wrong, to be raised once alerts that wait have gone out."""
    try:
        if clock is not None:
            clock.beat(identity)
    except TidegaugeError as error:
        return error
    return None
