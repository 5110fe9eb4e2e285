"""What a simulated stream loses for good: trimmed, expired, given up, deleted with the stream."""

import random
from collections.abc import Callable, Sequence

from tests.simulation.faults import Fault, Plan
from tests.simulation.stream import SimulatedStream
from tests.simulation.truth import CLOCK, HEARTBEAT, items_in
from tidegauge.domain.record import Record
from tidegauge.ports import FailedBatch


def _is_beat_of(shard_id: str, record: Record) -> bool:
    return any(
        kind == HEARTBEAT and source == CLOCK and meant == shard_id
        for kind, source, _, meant in items_in(record.data)
    )


class Losses:
    """Loses records, and keeps the batches that the mapping gave up on, as S3 would.

    Args:
        stream: The stream.
        plan: Which faults there are.
        chance: The delivery's: what is unread depends on it.
        position: How far the mapping is with a shard.
        is_listed: Whether the database knows a shard: one lasts a day in AWS, and the sweep lists
            it each minute.
        made_anew: Told after the stream was deleted and made anew.

    Attributes:
        given_up: The records in batches that the mapping gave up on; they may be read all the same.
    """

    def __init__(
        self,
        stream: SimulatedStream,
        plan: Plan,
        chance: random.Random,
        *,
        position: Callable[[str], int],
        is_listed: Callable[[str], bool],
        made_anew: Callable[[], None],
    ) -> None:
        self._stream = stream
        self._plan = plan
        self._chance = chance
        self._position = position
        self._is_listed = is_listed
        self._made_anew = made_anew
        self._kept: dict[str, FailedBatch] = {}
        self.given_up: set[int] = set()

    def strike(self) -> None:
        """Perhaps lose something now."""
        if self._plan.has(Fault.TRIMMED) and self._chance.random() < 0.06:
            self._trim()
        if self._plan.has(Fault.SHARD_EXPIRED) and self._chance.random() < 0.3:
            self._expire()
        if self._plan.strikes(Fault.STREAM_RECREATED, self._chance, 0.006):
            self._stream.recreate()
            self._made_anew()

    def _trim(self) -> None:
        """Let retention take what is unread of a shard up to a heartbeat, whose loss is proven."""
        shard = self._chance.choice(list(self._stream.all.values()))
        read = self._position(shard.shard_id)
        unread = [
            place
            for place, record in enumerate(shard.log)
            if record.sequence_number > read and _is_beat_of(shard.shard_id, record)
        ]
        if unread:
            self._plan.strikes(Fault.TRIMMED, self._chance, 1.0)
            shard.trim(unread[-1] + 1)

    def _expire(self) -> None:
        closed = [shard for shard in self._stream.all.values() if shard.closed]
        if not closed:
            return
        shard = self._chance.choice(closed)
        last = shard.log[-1].sequence_number if shard.log else -1
        if self._position(shard.shard_id) < last and self._is_listed(shard.shard_id):
            self._plan.strikes(Fault.SHARD_EXPIRED, self._chance, 1.0)
            self._stream.expire(shard.shard_id)

    def give_up(self, shard_id: str, batch: Sequence[Record]) -> None:
        """Keep a batch that nobody will deliver any more."""
        self.given_up.update(record.sequence_number for record in batch)
        name = f"failed/{len(self._kept)}"
        self._kept[name] = FailedBatch(self._stream.present().arn, shard_id, tuple(batch))

    # --- the port `FailedBatches`

    def names(self) -> list[str]:
        """Return the names of all failed batches."""
        return list(self._kept)

    def read(self, name: str) -> FailedBatch | None:
        """Return one of them."""
        return self._kept[name]
