"""produce: takes what a source has, puts it on the stream in order per key, commits the position.

A position is committed only after all before it is acknowledged, so whatever breaks off is given
again and nothing is left out. Knows neither where events come from nor how long to wait.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from tidegauge.domain.errors import Rejected
from tidegauge.ports import EventSource, PatientClock, StreamEntry, StreamWriter


class Produced(msgspec.Struct):
    """What was put on a stream.

    Attributes:
        events: Entries acknowledged.
        refused: Entries that no stream takes, being too large; they are left out.
        position: How far the source was committed; None before the first time.
    """

    events: int = 0
    refused: int = 0
    position: str | None = None


def produce(
    source: EventSource, writer: StreamWriter, produced: Produced | None = None
) -> Produced:
    """Put all that the source has now on the stream.

    Args:
        source: Read on from its committed position.
        writer: The stream.
        produced: Added to, batch by batch, so that it is right whatever ends the work.

    Raises:
        Transient: source or stream do not answer; the next call goes on behind the last commit.
        Misconfigured: they never will before a person mends something.
    """
    produced = produced or Produced()
    position = source.position()
    more = True
    while more:
        batch = source.poll(position)
        refused = 0
        for entries in in_rounds(batch.entries):
            refused += _put(writer, entries)
        if batch.entries or batch.position != position:
            source.commit(batch.position)
        produced.events += len(batch.entries) - refused
        produced.refused += refused
        produced.position = position = batch.position
        more = batch.more
    return produced


def produce_at(
    moments: Iterable[int],
    source: EventSource,
    writer: StreamWriter,
    clock: PatientClock,
    *,
    produced: Produced | None = None,
    told: Callable[[Produced], None] = lambda _: None,
) -> Produced:
    """Produce at each of some moments; those that have passed are made up for at once.

    Args:
        moments: When to look what the source has, ms since the epoch, rising.
        source: Read on from its committed position.
        writer: The stream.
        clock: Waited for.
        produced: Added to.
        told: Told what was put so far, after each moment.

    Raises:
        Transient: as `produce`.
        Misconfigured: as `produce`.
    """
    produced = produced or Produced()
    for moment_ms in moments:
        clock.wait_until_ms(moment_ms)
        produce(source, writer, produced)
        told(produced)
    return produced


def in_rounds(entries: Sequence[StreamEntry]) -> list[list[StreamEntry]]:
    """Split entries so that no round has two of one key, and each key keeps its order.

    A stream may refuse an entry and take the one behind it in the same call; so the second of a key
    is put only after the first is acknowledged.

    >>> entries = [StreamEntry(data, data[:1].decode()) for data in (b"a1", b"b1", b"a2", b"c1")]
    >>> [[entry.data for entry in round] for round in in_rounds(entries)]
    [[b'a1', b'b1', b'c1'], [b'a2']]
    """
    rounds: list[list[StreamEntry]] = []
    seen: dict[str, int] = {}
    for entry in entries:
        number = seen.get(entry.partition_key, 0)
        seen[entry.partition_key] = number + 1
        if number == len(rounds):
            rounds.append([])
        rounds[number].append(entry)
    return rounds


def _put(writer: StreamWriter, entries: Sequence[StreamEntry]) -> int:
    """Put entries of different keys; return how many no stream takes."""
    try:
        writer.put(entries)
    except Rejected:
        if len(entries) == 1:
            return 1
        middle = len(entries) // 2  # none was put; look for the one
        return _put(writer, entries[:middle]) + _put(writer, entries[middle:])
    return 0
