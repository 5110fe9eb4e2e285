"""Fuzz targets of decoding: any bytes in, and what must hold of what comes out.

Each `fuzz_…` takes bytes and raises where a law is broken or anything but our own errors leaves the
code under test. Hypothesis calls them with hostile values, atheris with bytes led by coverage.
"""

import io
from typing import TypeVar

import msgspec

from tidegauge.adapters.decode_worker import (
    WireBlock,
    pack,
    pack_lines,
    read_frame,
    unpack,
    write_frame,
)
from tidegauge.adapters.fixture_decoder import offered_by
from tidegauge.adapters.fixture_lines import Block
from tidegauge.domain import event_time
from tidegauge.domain.decode import (
    FEW_PARTS,
    MAX_SERIES_BYTES,
    MIN_EVENT_BYTES,
    Decoded,
    SeriesBy,
    decode,
    part_at,
    split_batch,
)
from tidegauge.domain.errors import Rejected
from tidegauge.domain.event import HEARTBEAT_TYPE, Event, Heartbeat, Rejection, RejectReason
from tidegauge.domain.event_time import (
    EARLIEST_TIME_MS,
    LATEST_TIME_MS,
    format_time,
    parse_time_ms,
)
from tidegauge.domain.fold import CountRules, ShardState, count_batch
from tidegauge.domain.heartbeat import heartbeat_record
from tidegauge.domain.record import DecodedRecord

T = TypeVar("T")
SERIES_BY = (
    SeriesBy(),
    SeriesBy(("type", "data.country")),
    SeriesBy(("data.a.b", "source", "subject")),
)
NOON_MS = 1_360_324_800_000  # 2013-02-08T12:00:00Z, near the events of the seeds
_LONGEST_MINUTES = 4096


def fuzz_decode(data: bytes) -> None:
    states = ((None, False), (NOON_MS, False), (NOON_MS, True))
    for series_by, (stream_time_ms, clock_is_sweep) in zip(SERIES_BY, states, strict=True):
        items = decode(data, series_by)
        assert decode(data, series_by) == items, "decoded twice, it is the same"
        assert len(items) <= max(FEW_PARTS, len(data) // MIN_EVENT_BYTES), "parts are bounded"
        for index, item in enumerate(items):
            _check_item(data, index, item, series_by)
        _check_count(data, items, stream_time_ms, clock_is_sweep)


def _check_item(data: bytes, index: int, item: Decoded, series_by: SeriesBy) -> None:
    part = part_at(data, index)
    assert part in data, "a part stands in its record"
    if isinstance(item, Rejection):
        assert item.data == part, "what is set aside is the part"
    else:
        assert EARLIEST_TIME_MS <= item.event_time_ms <= LATEST_TIME_MS, "MySQL can hold the time"
    if isinstance(item, Event):
        assert 0 <= item.key < 1 << 64
        assert len(item.series.encode()) <= MAX_SERIES_BYTES
    if part.lstrip(b" \t\r\n").startswith(b"{"):
        assert decode(part, series_by) == (item,), "a part decodes as it does in its record"


def _check_count(
    data: bytes, items: tuple[Decoded, ...], stream_time_ms: int | None, clock_is_sweep: bool
) -> None:
    count = count_batch(
        ShardState(stream_time_ms=stream_time_ms),
        [DecodedRecord(5, NOON_MS, items, data)],
        {},
        CountRules(clock_is_sweep=clock_is_sweep),
        shard_id="shardId-000000000000",
    )
    foreign = RejectReason.FOREIGN_HEARTBEAT
    set_aside = [part for part in count.quarantined if part.reason is not foreign]
    on_time = count.distinct - count.late
    n_others = sum(not isinstance(item, Heartbeat) for item in items)
    assert on_time >= 0
    assert on_time + count.late + count.duplicates + len(set_aside) == n_others
    assert sum(count.partials.values()) == sum(map(len, count.keys.values())) == count.distinct
    for part in count.quarantined:
        assert part.data == part_at(data, part.sub_index), "quarantine keeps the part's own bytes"


def fuzz_batch(data: bytes) -> None:
    """Split into elements: each stands in the batch, and joined again they are split the same."""
    elements = split_batch(data)
    if elements is None:
        return
    assert all(element in data for element in elements)
    assert sum(map(len, elements)) <= len(data)
    assert split_batch(b"[" + b",".join(elements) + b"]") == elements


def fuzz_time(data: bytes) -> None:
    """Read a time: within what MySQL holds, and the same by every way it may be read."""
    text = data.decode(errors="surrogateescape")
    time_ms = _time_of(text)
    assert _time_of(text) == time_ms, "the second time is read from what is known of its minute"
    if text.endswith("Z"):
        assert _time_of(f"{text[:-1]}+00:00") == time_ms, "an offset is never read the quick way"
    if time_ms is not None:
        assert EARLIEST_TIME_MS <= time_ms < LATEST_TIME_MS
        assert parse_time_ms(format_time(time_ms)) == time_ms
    known = event_time._minutes  # noqa: SLF001  (what it holds is the point)
    assert len(known) <= _LONGEST_MINUTES
    assert all(len(minute) == len("2013-02-08T12:00:") for minute in known)


def _time_of(text: str) -> int | None:
    try:
        return parse_time_ms(text)
    except Rejected:
        return None


def fuzz_heartbeat(data: bytes) -> None:
    """Put bytes where a heartbeat has its data, and words of them into one that we write."""
    head = b'{"specversion":"1.0","type":"%b","source":"/c","id":"1"' % HEARTBEAT_TYPE.encode()
    fuzz_decode(head + b',"time":"2013-02-08T12:00:00Z","data":' + data + b"}")
    text = data[8:].decode(errors="replace")
    number = int.from_bytes(data[:8], "big")
    time_ms = EARLIEST_TIME_MS + number % (LATEST_TIME_MS - EARLIEST_TIME_MS)
    previous = number**7 if number % 2 else None  # as long as sequence numbers, and longer
    sent = Heartbeat(source=text, event_time_ms=time_ms, shard_id=text[::-1], previous=previous)
    record = heartbeat_record(
        source=sent.source, event_time_ms=time_ms, shard_id=sent.shard_id, previous=previous
    )
    assert decode(record, SERIES_BY[0]) == (sent,), "a heartbeat comes back as it was written"


def fuzz_frames(data: bytes) -> None:
    """Decode lines here and by way of a worker's frames: the same must come out."""
    lines = data.split(b"\n")
    block = Block(1, [*lines], len(data))
    for series_by in SERIES_BY:
        here = list(offered_by([block], series_by, jobs=1, progress=lambda _: None))
        taken = _through_a_pipe(pack_lines(lines), list[bytes])
        answer = _through_a_pipe(msgspec.msgpack.encode(pack(taken, series_by)), WireBlock)
        assert list(unpack(answer, lines, list(range(1, len(lines) + 1)))) == here
        limit = sum(max(FEW_PARTS, len(line) // MIN_EVENT_BYTES) for line in lines)
        assert len(here) <= limit, "parts are bounded in a file too"


def _through_a_pipe(content: bytes, kind: type[T]) -> T:
    pipe = io.BytesIO()
    write_frame(pipe, content)
    pipe.seek(0)
    frame = read_frame(pipe, kind)
    assert frame is not None
    return frame
