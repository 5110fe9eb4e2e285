"""A stream and a clock in memory, for what produces events."""

from collections.abc import Callable, Sequence

from tidegauge.domain.errors import Rejected, Transient
from tidegauge.domain.event import RejectReason
from tidegauge.ports import PutPosition, SourceBatch, StreamEntry


class MemoryWriter:
    """Takes what is put; `log` holds it in order.

    Args:
        fails: Given the number of a put, from 0: whether it breaks off after half of its entries.
        max_bytes: What is longer no stream takes.
    """

    def __init__(
        self, *, fails: Callable[[int], bool] = lambda _: False, max_bytes: int = 1 << 20
    ) -> None:
        self._fails = fails
        self._max_bytes = max_bytes
        self.log: list[StreamEntry] = []
        self.puts: list[list[StreamEntry]] = []

    @property
    def data(self) -> list[bytes]:
        """What was stored, in order."""
        return [entry.data for entry in self.log]

    def put(self, entries: Sequence[StreamEntry]) -> list[PutPosition]:
        if any(len(entry.data) > self._max_bytes for entry in entries):
            raise Rejected(RejectReason.TOO_LARGE)
        number = len(self.puts)
        self.puts.append(list(entries))
        if self._fails(number):
            self.log += entries[: len(entries) // 2]
            msg = "the stream took a part only"
            raise Transient(msg)
        self.log += entries
        return [PutPosition("s", len(self.log)) for _ in entries]


class ListSource:
    """Gives the batches of a list; its positions are their numbers.

    Attributes:
        committed: All positions committed, in order.
    """

    def __init__(self, *batches: Sequence[StreamEntry]) -> None:
        self._batches = batches
        self.committed: list[str] = []

    def position(self) -> str:
        return self.committed[-1] if self.committed else "0"

    def poll(self, position: str) -> SourceBatch:
        number = int(position)
        if number == len(self._batches):
            return SourceBatch((), position)
        more = number + 1 < len(self._batches)
        return SourceBatch(tuple(self._batches[number]), str(number + 1), more)

    def commit(self, position: str) -> None:
        self.committed.append(position)


class WaitedClock:
    """A clock that stands still but while it is waited for.

    Attributes:
        waits: The moments waited for that had not come yet.
    """

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self.waits: list[int] = []

    def now_ms(self) -> int:
        return self._now_ms

    def wait_until_ms(self, time_ms: int) -> None:
        if time_ms > self._now_ms:
            self.waits.append(time_ms)
            self._now_ms = time_ms

    def advance(self, by_ms: int) -> None:
        """Let time pass."""
        self._now_ms += by_ms
