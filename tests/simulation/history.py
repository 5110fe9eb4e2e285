"""What happens to a simulated stream: events, resends, reshards. Nobody who reads it decides.

All of it comes from one generator of chance, so that a stream's shards hold the same records
however they are delivered.
"""

import json
import random
from dataclasses import dataclass, field

from tests.simulation.faults import Fault, Plan
from tests.simulation.stream import SimulatedStream
from tests.simulation.truth import HEARTBEAT
from tidegauge.domain.event_time import format_time
from tidegauge.ports import StreamEntry

# Names that a text column, or a helpful hand, would take for one another.
SERIES = ("Order", "order", "order ", "ordér", "payment.taken")
WEIGHTS = (8, 4, 2, 1, 5)
NO_EVENTS = (b"{", b"[]", b'{"specversion":"1.0"}', b"\xff\xfe", b"7")
HOT_KEY = "hot"


@dataclass(frozen=True)
class Scenery:
    """The fixed facts of a world, and when its long faults last; times in ms from its base.

    Attributes:
        size: Length of a window.
        lateness: How long a window waits for its events.
        age: How far behind stream time an event may lie.
        windows: How many windows the world lasts.
        tick: Between two looks at the world.
        max_rows: Rows a closing may write.
        max_series: Series that may be active; others count as one.
        n_shards: How many the stream begins with.
        silent: No event happens.
        away: The database cannot be reached.
        dead: No sweep runs.
        ahead: The sweep's clock is ahead, by `ahead_by`.
    """

    size: int
    lateness: int
    age: int
    windows: int
    tick: int
    max_rows: int
    max_series: int
    n_shards: int
    silent: range
    away: range
    dead: range
    ahead: range
    ahead_by: int

    @property
    def length(self) -> int:
        """How long the world lasts."""
        return self.windows * self.size


def scenery(seed: int, plan: Plan) -> Scenery:
    """Return the fixed facts of a seed's world."""
    chance = random.Random(f"{seed} scenery")  # noqa: S311
    size = chance.choice((60_000, 60_000, 120_000, 300_000))
    windows = chance.randrange(24, 30)

    def phase(fault: Fault, longest: int) -> range:
        if not plan.has(fault):
            return range(0)
        begin = chance.randrange(3 * size, (windows - 4) * size)
        return range(begin, begin + chance.randrange(60_000, max(120_000, longest)))

    return Scenery(
        size=size,
        lateness=chance.choice((20_000, 60_000)),
        age=chance.choice((86_400_000, 8 * size)),
        windows=windows,
        tick=max(size // 12, 10_000),
        max_rows=chance.choice((20_000, 7)),
        max_series=10_000 if plan.loses else chance.choice((10_000, 10_000, 3)),
        n_shards=chance.choice((1, 2, 3)),
        silent=phase(Fault.SILENCE, 5 * size),
        away=phase(Fault.DATABASE_OUTAGE, 2 * size),
        dead=phase(Fault.CLOCK_DEAD, 4 * size),
        ahead=phase(Fault.CLOCK_AHEAD, 6 * size),
        ahead_by=chance.choice((90_000, 600_000)),
    )


@dataclass(frozen=True)
class Made:
    """An event that was put, and may be put again under the same key."""

    ident: str
    series: str
    time_ms: int
    key: str


@dataclass
class Producers:
    """Puts events on the stream, at least once each, as producers do.

    Args:
        stream: The stream.
        plan: Which faults there are.
        chance: The history's.
        scenery: The fixed facts.
        base_ms: When the world began.
    """

    stream: SimulatedStream
    plan: Plan
    chance: random.Random
    scenery: Scenery
    base_ms: int
    made: list[Made] = field(default_factory=list)
    _waiting: list[StreamEntry] = field(default_factory=list)
    _landed: dict[str, str] = field(default_factory=dict)
    _numbers: int = 0

    def put_some(self, now_ms: int) -> None:
        """Put what happens in one tick, and again what the stream did not take."""
        entries, self._waiting = self._waiting, []
        if now_ms - self.base_ms not in self.scenery.silent:
            for _ in range(self.chance.randrange(4)):
                entries.append(self._packed(now_ms))
            entries += self._again()
            entries += self._odd(now_ms)
        for entry in entries:
            if self.plan.strikes(Fault.PARTIAL_PUT, self.chance, 0.05):
                self._waiting.append(entry)
                continue
            self.stream.store(entry)
            if self.plan.strikes(Fault.ANSWER_LOST, self.chance, 0.04):
                self._waiting.append(entry)

    def put_the_rest(self) -> None:
        """Put what still waits; the world comes to its end."""
        for entry in self._waiting:
            self.stream.store(entry)
        self._waiting = []

    def forget(self) -> None:
        """Put nothing again: the stream was made anew."""
        self.made.clear()
        self._waiting.clear()

    def _packed(self, now_ms: int) -> StreamEntry:
        number = self.chance.randrange(2, 6) if self.chance.random() < 0.1 else 1
        key = HOT_KEY if self.chance.random() < 0.4 else f"key-{self.chance.randrange(60)}"
        events = [self._event(now_ms, key) for _ in range(number)]
        self.made += events
        at = self.stream.shard_of(StreamEntry(b"", key)).shard_id
        self._landed.update((event.ident, at) for event in events)
        if number == 1:
            return StreamEntry(_json(events[0]), key)
        if self.chance.random() < 0.5:
            return StreamEntry(b"[" + b",".join(map(_json, events)) + b"]", key)
        return StreamEntry(b"\n".join(map(_json, events)), key)

    def _event(self, now_ms: int, key: str) -> Made:
        self._numbers += 1
        size, tick = self.scenery.size, self.scenery.tick
        time_ms = now_ms - self.chance.randrange(tick)
        if self.plan.strikes(Fault.LATE_EVENT, self.chance, 0.08):
            time_ms -= self.chance.randrange(size // 2, 4 * size)
        elif self.plan.strikes(Fault.FUTURE_EVENT, self.chance, 0.03):
            time_ms += self.chance.choice((self.chance.randrange(2 * size), 3_600_000))
        [series] = self.chance.choices(SERIES, WEIGHTS)
        # nothing lies further back than the first windows do, whatever its lateness
        return Made(f"e-{self._numbers}", series, max(time_ms, self.base_ms - size), key)

    def _again(self) -> list[StreamEntry]:
        """Return events that a producer sends again, some of them after a long time."""
        again = []
        if self.made and self.plan.strikes(Fault.ANSWER_LOST, self.chance, 0.1):
            event = self.chance.choice(self.made[-20:])
            again.append(StreamEntry(_json(event), event.key))
        if self.made and self.plan.has(Fault.SENT_TO_GRANDCHILD) and self.chance.random() < 0.15:
            event = self.chance.choice(self.made[-250:])
            entry = StreamEntry(_json(event), event.key)
            again.append(entry)
            at = self.stream.shard_of(entry).shard_id
            if self.stream.is_grandchild(at, self._landed.get(event.ident)):
                self.plan.strikes(Fault.SENT_TO_GRANDCHILD, self.chance, 1.0)
        return again

    def _odd(self, now_ms: int) -> list[StreamEntry]:
        odd = []
        if self.plan.strikes(Fault.NO_EVENT, self.chance, 0.03):
            odd.append(StreamEntry(self.chance.choice(NO_EVENTS), HOT_KEY))
        if self.plan.strikes(Fault.HEARTBEAT_ROGUE, self.chance, 0.04):
            shard = self.chance.choice(self.stream.open_shards())
            time_ms = now_ms + self.chance.randrange(10 * self.scenery.size)
            odd.append(StreamEntry(_rogue(time_ms, shard.shard_id), "", shard.first))
        return odd


def _json(event: Made) -> bytes:
    fields = {
        "specversion": "1.0",
        "id": event.ident,
        "source": "/s",
        "type": event.series,
        "time": format_time(event.time_ms),
    }
    return json.dumps(fields, ensure_ascii=False).encode()


def _rogue(time_ms: int, shard_id: str) -> bytes:
    fields = {
        "specversion": "1.0",
        "id": f"rogue-{time_ms}",
        "source": "/another/clock",
        "type": HEARTBEAT,
        "time": format_time(time_ms),
        "data": {"shard": shard_id, "previous": None},
    }
    return json.dumps(fields).encode()


class Resharder:
    """Splits and merges shards, now and then twice at once.

    Args:
        stream: The stream.
        plan: Which faults there are.
        chance: The history's.
    """

    def __init__(self, stream: SimulatedStream, plan: Plan, chance: random.Random) -> None:
        self._stream = stream
        self._plan = plan
        self._chance = chance

    def reshard(self) -> None:
        """Perhaps reshard now."""
        before = len(self._stream.parents)
        self._once(0.03)
        if len(self._stream.parents) > before and self._plan.strikes(
            Fault.TWO_RESHARDS, self._chance, 0.5
        ):
            self._once(1.0)

    def _once(self, probability: float) -> None:
        shards = self._stream.open_shards()
        splits = self._plan.has(Fault.SPLIT) and len(shards) < 6
        merges = self._plan.has(Fault.MERGE) and len(shards) > 1
        if not (splits or merges) or self._chance.random() >= probability:
            return
        if splits and not (merges and self._chance.random() < 0.5):
            self._plan.strikes(Fault.SPLIT, self._chance, 1.0)
            # the one that the hot key goes to as often as all others together
            hot = max(shards, key=lambda shard: len(shard.log))
            one = hot if self._chance.random() < 0.5 else self._chance.choice(shards)
            self._stream.split(one.shard_id)
        else:
            self._plan.strikes(Fault.MERGE, self._chance, 1.0)
            place = self._chance.randrange(len(shards) - 1)
            self._stream.merge(shards[place].shard_id, shards[place + 1].shard_id)
