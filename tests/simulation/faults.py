"""What can go wrong in a simulated world, by name, and which of it a seed's world has."""

import random
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum


class Fault(StrEnum):
    """A fault, as the verdicts name it."""

    CRASH_BEFORE_COMMIT = "process dies before its COMMIT"
    CRASH_AFTER_COMMIT = "process dies after its COMMIT"
    TIMEOUT_AFTER_COMMIT = "COMMIT done, its answer lost"
    WARM_AFTER_ROLLBACK = "warm process goes on after a rollback"
    ZOMBIE = "zombie overlaps its retry"
    REDELIVERY = "batch delivered again, out of order"
    CHILD_FIRST = "child delivered before its parent"
    LAG = "mapping hours behind, then catches up"
    PARTIAL_PUT = "PutRecords takes some entries only"
    ANSWER_LOST = "producer sends again what was stored"
    SENT_TO_GRANDCHILD = "event sent again into a grandchild"
    LATE_EVENT = "late event"
    FUTURE_EVENT = "event from the future"
    NO_EVENT = "record that is no event"
    ARRIVAL_BACKWARDS = "arrival times go backwards"
    SPLIT = "split in mid-window"
    MERGE = "merge in mid-window"
    TWO_RESHARDS = "two reshards within a minute"
    SILENCE = "total silence"
    HEARTBEAT_LOST = "heartbeats refused by the stream"
    HEARTBEAT_UNANSWERED = "heartbeats stored, their answer lost"
    HEARTBEAT_MISROUTED = "heartbeat on another shard"
    HEARTBEAT_ROGUE = "heartbeat of a foreign clock"
    CLOCK_AHEAD = "the sweep's clock is ahead"
    CLOCK_DEAD = "no sweep for a while"
    TWO_SWEEPS = "two sweeps at once"
    DATABASE_OUTAGE = "database away"
    LOCK_TIMEOUT = "1205 in mid-transaction"
    DEADLOCK = "1213 in mid-transaction"
    PUBLISH_FAILS = "outbox cannot publish"
    PUBLISH_TWICE = "message published, not noted as sent"
    TRIMMED = "records trimmed before they were read"
    SHARD_EXPIRED = "closed shard expires unread"
    BATCH_SKIPPED = "batch given up by the mapping"
    STREAM_RECREATED = "stream deleted and made anew"


# These lose records for good: such a world must know every loss, and count the rest.
LOSSES = frozenset(
    {Fault.TRIMMED, Fault.SHARD_EXPIRED, Fault.BATCH_SKIPPED, Fault.STREAM_RECREATED}
)
# A loss is proven by the chain of heartbeats that were noted, and told from the clock's times. What
# lies in the future, or behind a heartbeat that was not noted, may be lost unseen: not promised.
_BLUR_LOSSES = frozenset(
    {
        Fault.HEARTBEAT_LOST,
        Fault.HEARTBEAT_UNANSWERED,
        Fault.HEARTBEAT_MISROUTED,
        Fault.DATABASE_OUTAGE,
        Fault.LOCK_TIMEOUT,
        Fault.DEADLOCK,
        Fault.CRASH_BEFORE_COMMIT,
        Fault.CRASH_AFTER_COMMIT,
        Fault.TIMEOUT_AFTER_COMMIT,
        Fault.FUTURE_EVENT,
        Fault.ARRIVAL_BACKWARDS,
    }
)
_LOSSY_SEED = 4  # every fourth world loses records


class Plan:
    """Which faults a seed's world has, and how often each happened.

    Args:
        seed: Of the world.

    Attributes:
        happened: How often each fault happened.
        calm: Set when the world comes to its end: nothing goes wrong any more.
    """

    def __init__(self, seed: int) -> None:
        chance = random.Random(f"{seed} plan")  # noqa: S311
        self.loses = seed % _LOSSY_SEED == _LOSSY_SEED - 1
        self._has = {fault for fault in Fault if chance.random() < 0.6}
        lost = sorted(LOSSES)
        self._has -= LOSSES
        if self.loses:
            self._has -= _BLUR_LOSSES
            self._has.update(chance.sample(lost, chance.randrange(1, 3)))
        self.happened: Counter[Fault] = Counter()
        self.calm = False

    def has(self, fault: Fault) -> bool:
        """Return whether the world has a fault at all."""
        return fault in self._has and not self.calm

    def has_any(self, faults: Iterable[Fault]) -> bool:
        """Return whether the world has one of some faults."""
        return any(self.has(fault) for fault in faults)

    def strikes(self, fault: Fault, chance: random.Random, probability: float) -> bool:
        """Throw the dice for a fault, and note it if it happens now."""
        if not self.has(fault) or chance.random() >= probability:
            return False
        self.happened[fault] += 1
        return True
