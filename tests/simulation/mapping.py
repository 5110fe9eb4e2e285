"""The simulated event source mapping: at least once, in order the first time, and no better.

A batch that fails is delivered again before anything behind it of its shard. One that succeeded may
come again, whole or cut otherwise; a function that timed out may go on as a zombie beside its
retry; children may come before their parents.
"""

import random
from collections.abc import Callable, Sequence

from tests.simulation.database import Died
from tests.simulation.faults import Fault, Plan
from tests.simulation.stream import Place, SimulatedStream
from tidegauge.domain.errors import Transient
from tidegauge.domain.record import Record
from tidegauge.ports import WaitingShard

Invoke = Callable[[str, Sequence[Record]], None]


class Mapping:
    """Reads one stream for one function with several environments.

    Args:
        stream: The stream.
        plan: Which faults there are.
        chance: The delivery's.
        invoke: Counts a batch in some environment; raises where it is not counted.
        zombie: Told to run a batch in another environment while the one at work waits.
        given_up: Told of a batch that nobody will deliver any more.
    """

    def __init__(
        self,
        stream: SimulatedStream,
        plan: Plan,
        chance: random.Random,
        *,
        invoke: Invoke,
        zombie: Callable[[Callable[[], object]], None],
        given_up: Callable[[str, Sequence[Record]], None],
    ) -> None:
        self._stream = stream
        self._plan = plan
        self._chance = chance
        self._invoke = invoke
        self._zombie = zombie
        self._given_up = given_up
        self._positions: dict[Place, int] = {}
        self._tried: dict[Place, int] = {}

    def position(self, shard_id: str) -> int:
        """Return the last sequence number that was taken of a shard; -1 before the first."""
        return self._positions.get((self._stream.created_ms, shard_id), -1)

    def turn(self) -> None:
        """Offer a batch of each shard that has its turn."""
        shard_ids = list(self._stream.all)
        self._chance.shuffle(shard_ids)
        for shard_id in shard_ids:
            if self._chance.random() < 0.6:
                self.offer(shard_id)

    def deliver_all(self) -> None:
        """Offer everything that is left."""
        for shard_id in list(self._stream.all):
            self.offer(shard_id, whole=True)

    def offer(self, shard_id: str, *, whole: bool = False) -> None:
        """Offer a shard's next batch, if it has one."""
        if shard_id not in self._stream.all:
            return
        place = (self._stream.created_ms, shard_id)
        log = self._stream.all[shard_id].log
        at = self._positions.get(place, -1)
        ahead = [record for record in log if record.sequence_number > at]
        if not ahead:
            self._redeliver(shard_id, log)
            return
        batch = ahead if whole else ahead[: self._chance.randrange(1, 14)]
        if self._plan.strikes(Fault.BATCH_SKIPPED, self._chance, 0.004):
            self._positions[place] = batch[-1].sequence_number
            self._given_up(shard_id, batch)
            return
        behind = [record for record in log if record.sequence_number <= at]
        if behind and self._plan.strikes(Fault.REDELIVERY, self._chance, 0.1):
            batch = behind[-self._chance.randrange(1, 8) :] + batch  # cut otherwise
        if self._plan.strikes(Fault.ZOMBIE, self._chance, 0.08):
            # what was delivered first wakes up behind its retry, and behind what came after that
            beyond = ahead[: len(batch) + self._chance.randrange(8)]
            self._zombie(lambda: self._deliver(shard_id, beyond))
        self._deliver(shard_id, batch)

    def _redeliver(self, shard_id: str, log: Sequence[Record]) -> None:
        if log and self._plan.strikes(Fault.REDELIVERY, self._chance, 0.05):
            start = self._chance.randrange(len(log))
            self._deliver(shard_id, log[start : start + self._chance.randrange(1, 14)])

    def _deliver(self, shard_id: str, batch: Sequence[Record]) -> bool:
        """Deliver a batch; return whether the function took it."""
        place = (self._stream.created_ms, shard_id)
        try:
            self._invoke(shard_id, batch)
        except WaitingShard:
            self._plan.strikes(Fault.CHILD_FIRST, self._chance, 1.0)
            return False
        except (Transient, Died):
            return False
        if place in self._stream.accepted:  # not made anew meanwhile
            last = batch[-1].sequence_number
            self._positions[place] = max(last, self._positions.get(place, -1))
        return True
