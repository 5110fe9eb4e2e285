"""Announcements: completed windows as CloudEvents for the stream of windows.

Up to 200 series of one window share a record. To the judging side an announcement is a doorbell:
it names the series to look at, and the store has the truth.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import groupby

import msgspec

from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.event_time import format_time

COMPLETED_TYPE = "tidegauge.window.completed"
CORRECTED_TYPE = "tidegauge.window.corrected"
SERIES_PER_RECORD = 200
_SERIES_PER_BUCKET = 128  # so that a bucket seldom overflows a record


class Announcement(msgspec.Struct, frozen=True):
    """One record for the stream of windows: its partition key and its bytes."""

    partition_key: str
    payload: bytes


class AnnouncedSeries(msgspec.Struct, frozen=True):
    """One series' count as an announcement shows it."""

    series: str
    count: int
    revision: int
    late: int
    quality: str


class AnnouncedWindow(msgspec.Struct, frozen=True):
    """The data of an announcement; times are RFC 3339 in UTC."""

    generation: int
    window_start: str
    window_end: str
    step: str
    series: tuple[AnnouncedSeries, ...]


class AnnouncementEvent(msgspec.Struct, frozen=True):
    """An announcement as a CloudEvent."""

    specversion: str
    id: str
    source: str
    type: str
    time: str
    data: AnnouncedWindow
    datacontenttype: str = "application/json"


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(AnnouncementEvent).decode


def announce(rows: Sequence[CompletedWindow], *, size_ms: int) -> list[Announcement]:
    """Pack completed windows into announcements; the same rows give the same bytes.

    Args:
        rows: Of one generation, in order of step and window.
        size_ms: Window length.
    """
    announcements: list[Announcement] = []
    for _, group in groupby(rows, key=lambda row: (row.step_ms, row.window_start_ms)):
        window = list(group)
        for first_time in (True, False):
            of_kind = [row for row in window if (row.revision == 1) is first_time]
            for bucket, packed in _buckets(of_kind):
                announcements.append(_announcement(packed, bucket, size_ms))
    return announcements


def _buckets(rows: Sequence[CompletedWindow]) -> Iterator[tuple[int, list[CompletedWindow]]]:
    n_buckets = -(-len(rows) // _SERIES_PER_BUCKET)
    buckets: dict[int, list[CompletedWindow]] = {}
    for row in rows:
        digest = blake2b(row.series.encode(), digest_size=4).digest()
        buckets.setdefault(int.from_bytes(digest, "big") % n_buckets, []).append(row)
    for bucket, packed in sorted(buckets.items()):
        for start in range(0, len(packed), SERIES_PER_RECORD):
            yield bucket, packed[start : start + SERIES_PER_RECORD]


def _announcement(rows: Sequence[CompletedWindow], bucket: int, size_ms: int) -> Announcement:
    head = rows[0]
    window_end_ms = head.window_start_ms + size_ms
    data = AnnouncedWindow(
        generation=head.generation,
        window_start=format_time(head.window_start_ms),
        window_end=format_time(window_end_ms),
        step=format_time(head.step_ms),
        series=tuple(
            AnnouncedSeries(row.series, row.count, row.revision, row.late, row.quality.value)
            for row in rows
        ),
    )
    event = AnnouncementEvent(
        specversion="1.0",
        id=blake2b(_encode(data), digest_size=16).hexdigest(),
        source="/tidegauge/close",
        type=COMPLETED_TYPE if head.revision == 1 else CORRECTED_TYPE,
        time=format_time(window_end_ms),
        data=data,
    )
    return Announcement(f"bucket-{bucket}", _encode(event))


def read_announcement(payload: bytes) -> AnnouncedWindow:
    """Return the data of an announcement.

    Raises:
        msgspec.MsgspecError: the bytes are no announcement.
    """
    return _decode(payload).data
