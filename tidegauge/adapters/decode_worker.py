"""One decoding process: lines come in through standard input, answers go out.

Started by `fixture_decoder` as `python -m tidegauge.adapters.decode_worker FIELD...`. A frame is
four bytes of length and so many bytes of MessagePack. Events travel as columns, which costs the
reader less than decoding the JSON again would.
"""

import sys
from collections.abc import Iterator
from typing import IO, TypeVar

import msgspec

from tidegauge.domain.decode import SeriesBy
from tidegauge.domain.event import Event, Heartbeat, Rejection, RejectReason
from tidegauge.domain.offered import Offered, offered_in

T = TypeVar("T")
_LENGTH_BYTES = 4
_EVENT, _REJECTION, _HEARTBEAT = range(3)


class WireRejection(msgspec.Struct, array_like=True, gc=False):
    """A rejection on its way between processes."""

    reason: RejectReason
    data: bytes


class WireHeartbeat(msgspec.Struct, array_like=True, gc=False):
    """A heartbeat on its way; `previous` as text, since it exceeds 64 bits."""

    source: str
    event_time_ms: int
    shard_id: str
    previous: str | None


class WireBlock(msgspec.Struct, array_like=True, gc=False):
    """What a block of lines offers, in columns.

    Attributes:
        kinds: One byte an item: event, rejection or heartbeat.
        lines: Index of the line, one an item.
        parts: Bytes of an item that is not its whole line, by the item's number.
        keys: Event keys, one an event.
        times_ms: Event times, one an event.
        series: Series, one an event.
        rejections: In order of the items.
        heartbeats: In order of the items.
    """

    kinds: bytes
    lines: list[int]
    parts: dict[int, bytes]
    keys: list[int]
    times_ms: list[int]
    series: list[str]
    rejections: list[WireRejection]
    heartbeats: list[WireHeartbeat]


def pack_lines(lines: list[bytes]) -> bytes:
    """Return lines as MessagePack."""
    return msgspec.msgpack.encode(lines)


def pack(lines: list[bytes], series_by: SeriesBy) -> WireBlock:
    """Decode lines into columns; blank lines offer nothing."""
    kinds = bytearray()
    block = WireBlock(b"", [], {}, [], [], [], [], [])
    for index, line in enumerate(lines):
        if not line or line.isspace():
            continue
        for offered in offered_in(index, line, series_by):
            item = offered.item
            if offered.data is not line:
                block.parts[len(kinds)] = offered.data
            block.lines.append(index)
            if isinstance(item, Event):
                kinds.append(_EVENT)
                block.keys.append(item.key)
                block.times_ms.append(item.event_time_ms)
                block.series.append(item.series)
            elif isinstance(item, Rejection):
                kinds.append(_REJECTION)
                block.rejections.append(WireRejection(item.reason, item.data))
            else:
                kinds.append(_HEARTBEAT)
                previous = None if item.previous is None else str(item.previous)
                block.heartbeats.append(
                    WireHeartbeat(item.source, item.event_time_ms, item.shard_id, previous)
                )
    block.kinds = bytes(kinds)
    return block


def unpack(block: WireBlock, lines: list[bytes], numbers: list[int]) -> Iterator[Offered]:
    """Yield what a block offers.

    Args:
        block: The answer to `lines`.
        lines: As they were sent.
        numbers: The number of each line in its file.
    """
    events = zip(block.keys, block.series, block.times_ms, strict=True)
    rejections = iter(block.rejections)
    heartbeats = iter(block.heartbeats)
    for number, (kind, index) in enumerate(zip(block.kinds, block.lines, strict=True)):
        item: Event | Rejection | Heartbeat
        if kind == _EVENT:
            item = Event(*next(events))
        elif kind == _REJECTION:
            rejection = next(rejections)
            item = Rejection(rejection.reason, rejection.data)
        else:
            beat = next(heartbeats)
            previous = None if beat.previous is None else int(beat.previous)
            item = Heartbeat(beat.source, beat.event_time_ms, beat.shard_id, previous)
        yield Offered(numbers[index], item, block.parts.get(number, lines[index]))


def write_frame(pipe: IO[bytes], content: bytes) -> None:
    """Write one frame and flush."""
    pipe.write(len(content).to_bytes(_LENGTH_BYTES, "little"))
    pipe.write(content)
    pipe.flush()


def read_frame(pipe: IO[bytes], kind: type[T]) -> T | None:
    """Read one frame; None where the pipe ends, be it within a frame."""
    length = pipe.read(_LENGTH_BYTES)
    if len(length) < _LENGTH_BYTES:
        return None
    n_bytes = int.from_bytes(length, "little")
    content = pipe.read(n_bytes)
    return None if len(content) < n_bytes else msgspec.msgpack.decode(content, type=kind)


def main() -> None:
    """Answer frames until standard input ends."""
    series_by = SeriesBy(tuple(sys.argv[1:]))
    try:
        while (lines := read_frame(sys.stdin.buffer, list[bytes])) is not None:
            write_frame(sys.stdout.buffer, msgspec.msgpack.encode(pack(lines, series_by)))
    except (KeyboardInterrupt, BrokenPipeError):
        return  # whoever asked is gone


if __name__ == "__main__":
    main()
