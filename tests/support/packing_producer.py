"""A producer that packs its events into records, and repeats what nobody answered.

Takes how many events to put at a time, and keeps the truth: each event that it made, once, however
often it was put. An event keeps its partition key when it is put again, as the counting asks for;
what it is packed with, and how, may change.
"""

import queue
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.events import event_json
from tests.support.lineage_oracle import ASTRAY
from tests.support.oracle import AGE
from tidegauge.domain.errors import Transient
from tidegauge.ports import StreamEntry, StreamWriter

SERIES = ("busy", "calm", "ordinary", "rare")
HOW_OFTEN = (60, 10, 29, 1)
N_KEYS = 64
ENTRIES_A_PUT = 40
PACK = (10, 60)
BROKEN = b'{"specversion": "1.0", "type'


@dataclass(frozen=True)
class Pack:
    """Events that travel together under one partition key."""

    key: str
    events: list[bytes]


class Producer:
    """One producer; runs in a thread of its own.

    Args:
        name: Stands in the ids of its events.
        stream: Where it puts them.
        now_ms: The time of its events.
        size_ms: Length of a window.
        seed: Decides on events, keys, packs, and on what is put again.
        resends: How probably a pack is followed by an earlier one that is put again.

    Attributes:
        quotas: How many events to put next; None to end.
        truth: Distinct events by window and series.
        unanswered: Puts that were given up, and done again from their beginning.
    """

    def __init__(
        self,
        name: str,
        stream: StreamWriter,
        now_ms: Callable[[], int],
        *,
        size_ms: int,
        seed: int,
        resends: float = 0.08,
    ) -> None:
        self._name = name
        self._stream = stream
        self._now_ms = now_ms
        self._since_ms = now_ms()
        self._size_ms = size_ms
        self._chance = random.Random(seed)  # noqa: S311
        self._resends = resends
        self._packs: list[Pack] = []
        self._n_events = 0
        self.quotas: queue.Queue[int | None] = queue.Queue(maxsize=2)
        self.truth: Counter[tuple[int, str]] = Counter()
        self.unanswered = 0

    def run(self) -> None:
        """Put what is asked for until nothing more is."""
        while (quota := self.quotas.get()) is not None:
            entries: list[StreamEntry] = []
            while quota:
                pack = self._pack(quota)
                quota -= len(pack.events)
                entries.append(self._entry(pack))
                if self._chance.random() < self._resends:
                    entries.append(self._entry(self._earlier()))
                if self._chance.random() < 0.003:
                    entries.append(StreamEntry(self._astray(), pack.key))
                if len(entries) >= ENTRIES_A_PUT:
                    self._put(entries)
                    entries = []
            self._put(entries)

    def _put(self, entries: list[StreamEntry]) -> None:
        """Put entries until they are stored; some may be stored more than once by then."""
        while True:
            try:
                self._stream.put(entries)
            except Transient:
                self.unanswered += 1
            else:
                return

    def _pack(self, at_most: int) -> Pack:
        """Make new events of one key: most records hold one, most events travel with others."""
        number = 1 if self._chance.random() < 0.75 else self._chance.randint(*PACK)
        key = f"key-{int(N_KEYS ** self._chance.random())}"  # the first has a sixth of them all
        pack = Pack(key, [self._event() for _ in range(min(number, at_most))])
        self._packs.append(pack)
        return pack

    def _event(self) -> bytes:
        self._n_events += 1
        behind_ms = self._chance.randrange(self._size_ms)
        if self._chance.random() < 0.05:
            behind_ms += self._chance.choice((1, 2, 4)) * self._size_ms
        at_ms = max(self._since_ms, self._now_ms() - behind_ms)
        [series] = self._chance.choices(SERIES, HOW_OFTEN)
        self.truth[at_ms // self._size_ms * self._size_ms, series] += 1
        return event_json(f"{self._name}-{self._n_events}", at_ms, series=series)

    def _earlier(self) -> Pack:
        """Return a pack that was put before, or a part of one."""
        pack = self._chance.choice(self._packs)
        if self._chance.random() < 0.5:
            return pack
        some = self._chance.randint(1, len(pack.events))
        return Pack(pack.key, self._chance.sample(pack.events, some))

    def _entry(self, pack: Pack) -> StreamEntry:
        """Write a pack as a batch of CloudEvents, or one event a line."""
        events = list(pack.events)
        as_lines = len(events) == 1 or self._chance.random() < 0.5
        if len(events) > 1 and self._chance.random() < 0.01:
            astray = BROKEN if as_lines else self._astray()
            events.insert(self._chance.randrange(len(events)), astray)
        data = b"\n".join(events) if as_lines else b"[%b]" % b",".join(events)
        return StreamEntry(data, pack.key)

    def _astray(self) -> bytes:
        """Return an event that can't be counted: older than any may be."""
        self._n_events += 1
        at_ms = self._since_ms - 2 * AGE
        return event_json(f"{self._name}-{self._n_events}", at_ms, series=ASTRAY)
