"""Fixtures: recorded or hand-made events in a file, and the manifest beside it.

Takes a path, gives lines of one of two kinds. *Bare*: each line is one event, or a batch of
them as a JSON array. *Recorded*: each line is one record as it stood in a stream (`shard`,
`sequence_number`, `arrival_time`, `partition_key`, `data` in base64). What is no fixture is refused
in one sentence before anything is replayed; a bad line within a fixture is passed on.
"""

import base64
import binascii
import errno
import stat
from collections.abc import Callable, Iterator
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Literal

import msgspec

from tidegauge.adapters.fixture_lines import (
    Block,
    OverlongLine,
    blocks,
    compression_of,
    reading,
    sha256_of,
)
from tidegauge.domain.errors import InvalidInput, Rejected
from tidegauge.domain.event import Rejection, RejectReason
from tidegauge.domain.event_time import EARLIEST_TIME_MS, LATEST_TIME_MS, parse_time_ms
from tidegauge.domain.record import Record

MANIFEST_SUFFIX = ".manifest.json"
_MAX_BARE_LINE_BYTES = 10 * 1024 * 1024  # the longest record that any stream takes
_MAX_RECORDED_LINE_BYTES = 14 * 1024 * 1024  # the same in base64, with its position
_MAX_MANIFEST_BYTES = 16 * 1024 * 1024
_PROBED_LINES = 100
_WHITE_SPACE = b" \t\r\n"


class FixtureKind(StrEnum):
    """How to read the lines of a fixture."""

    BARE = "bare"
    RECORDED = "recorded"


class ManifestShard(msgspec.Struct, frozen=True):
    """A recorded shard and the shards that it came from."""

    shard_id: str
    parent_ids: tuple[str, ...] = ()


class Manifest(msgspec.Struct, frozen=True):
    """What stands beside a fixture; every part of it may be missing.

    Attributes:
        kind: How to read its lines.
        source: Where the events come from.
        licence: What may be done with them.
        span: First and last event time, RFC 3339.
        shards: The recorded shards with their lineage.
        heartbeats: Who was the clock of the recorded stream: `sweep` or `producer`.
        counts: Lines, events and the like.
        sha256: Of the file as it lies there.
    """

    kind: FixtureKind | None = None
    source: str | None = None
    licence: str | None = None
    span: dict[str, str] | None = None
    shards: tuple[ManifestShard, ...] = ()
    heartbeats: Literal["sweep", "producer"] | None = None
    counts: dict[str, int] | None = None
    sha256: str | None = None


class Fixture(msgspec.Struct, frozen=True):
    """A file that was found to be a fixture.

    Attributes:
        path: The file.
        kind: How to read its lines.
        size_bytes: Its size on disk, compressed.
        manifest: What stands beside it; empty where nothing does.
    """

    path: Path
    kind: FixtureKind
    size_bytes: int
    manifest: Manifest


class _RecordedLine(msgspec.Struct, gc=False):
    shard: str
    sequence_number: str | int
    data: msgspec.Raw
    arrival_time: str | int | None = None
    partition_key: str = ""


_decode_recorded_line = msgspec.json.Decoder(_RecordedLine).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_anything = msgspec.json.Decoder().decode


def open_fixture(path: Path) -> Fixture:
    """Return the fixture at a path, with its manifest, its checksum verified if it names one.

    Raises:
        InvalidInput: the file is missing, empty, damaged, no fixture, or not the one that its
            manifest describes.
    """
    try:
        with reading(path):
            mode = path.stat().st_mode
    except ValueError as error:  # a zero byte, or text that no file system can write
        msg = f"{str(path)!r} cannot be the name of a file: {error}"
        raise InvalidInput(msg) from error
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a pipe would wait forever
        msg = f"{path} is no regular file; save the events to a file first"
        raise InvalidInput(msg)
    compression_of(path)  # says what is wrong with a file that cannot be read
    manifest = _manifest_of(path)
    if manifest.sha256 is not None and manifest.sha256.lower() != sha256_of(path):
        msg = (
            f"{path} is not the file that its manifest describes (the SHA-256 differs); "
            "fetch the fixture again, or remove the manifest if the change is meant"
        )
        raise InvalidInput(msg)
    kind = _kind_of(path, manifest.kind)
    return Fixture(path, kind, path.stat().st_size, manifest)


def manifest_path(path: Path) -> Path:
    """Return where the manifest of a fixture stands."""
    return path.with_name(path.name + MANIFEST_SUFFIX)


def bare_blocks(fixture: Fixture) -> Iterator[Block]:
    """Yield the lines of a bare fixture, blank ones too. Raises InvalidInput."""
    return blocks(fixture.path, max_line_bytes=_MAX_BARE_LINE_BYTES)


def recorded_lines(
    fixture: Fixture, *, progress: Callable[[int], None] = lambda _: None
) -> Iterator[tuple[int, Record | Rejection]]:
    """Yield number and record of each line of a recording, or why it holds none; no blank ones.

    Args:
        fixture: A recording.
        progress: Told from time to time how much of the file was read, bytes.

    Raises:
        InvalidInput: the file is truncated or damaged.
    """
    for block in blocks(fixture.path, max_line_bytes=_MAX_RECORDED_LINE_BYTES):
        for number, line in enumerate(block.lines, block.first_line):
            if isinstance(line, OverlongLine):
                yield number, Rejection(RejectReason.TOO_LARGE, line.as_data())
            elif line.strip(_WHITE_SPACE):
                yield number, _record_of(line)
        progress(block.read_bytes)


def recorded_shards(fixture: Fixture) -> list[str]:
    """Return all shards of a recording: those of its manifest, else those that occur.

    Raises:
        InvalidInput: the file is truncated or damaged, or its shards come from each other.
    """
    listed = fixture.manifest.shards
    names = {shard.shard_id for shard in listed}
    if any(parent in names for shard in listed for parent in shard.parent_ids):
        msg = f"{fixture.path} was recorded over a resharding, which a replay does not follow yet"
        raise InvalidInput(msg)
    if not names:
        found = (record for _, record in recorded_lines(fixture))
        names = {record.shard_id for record in found if isinstance(record, Record)}
    return sorted(names)


def _record_of(line: bytes) -> Record | Rejection:
    try:
        found = _decode_recorded_line(line)
        return Record(
            shard_id=found.shard,
            sequence_number=_sequence_number_of(found.sequence_number),
            arrival_time_ms=_arrival_time_of(found.arrival_time),
            partition_key=found.partition_key,
            data=_payload_of(bytes(found.data)),
        )
    except msgspec.ValidationError:
        return Rejection(RejectReason.WRONG_TYPE, line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return Rejection(RejectReason.MALFORMED_JSON, line)
    except (ValueError, Rejected):
        return Rejection(RejectReason.WRONG_TYPE, line)


def _sequence_number_of(value: str | int) -> int:
    if isinstance(value, int):
        number = value
    elif value.isascii() and value.isdigit():
        number = int(value)
    else:
        number = -1
    if number < 0:
        msg = "a sequence number is a row of digits"
        raise ValueError(msg)
    return number


def _arrival_time_of(value: str | int | None) -> int | None:
    if isinstance(value, str):
        return parse_time_ms(value)
    if value is not None and not EARLIEST_TIME_MS <= value <= LATEST_TIME_MS:
        msg = "an arrival time lies within the years 1000 to 9999"
        raise ValueError(msg)
    return value


def _payload_of(raw: bytes) -> bytes:
    if raw[:1] in {b"{", b"["}:  # hand-made: the event itself instead of its base64
        return raw
    if raw[:1] != b'"':
        msg = "data is base64, an object or an array"
        raise ValueError(msg)
    try:
        return base64.b64decode(_decode_text(raw), validate=True)
    except binascii.Error as error:
        msg = "data is no base64"
        raise ValueError(msg) from error


def _manifest_of(path: Path) -> Manifest:
    beside = manifest_path(path)
    try:
        about = beside.stat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > _MAX_MANIFEST_BYTES:
            msg = f"{beside} is no manifest of a fixture, which is a small file; remove it"
            raise InvalidInput(msg)
        return msgspec.json.decode(beside.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return Manifest()
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        msg = f"{beside} is no manifest of a fixture ({error}); mend it or remove it"
        raise InvalidInput(msg) from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # so nothing can stand beside the fixture
            return Manifest()
        msg = f"{beside} cannot be read: {error.strerror or error}"
        raise InvalidInput(msg) from error


def _kind_of(path: Path, told: FixtureKind | None) -> FixtureKind:
    empty = True
    for line in islice(_probed(path), _PROBED_LINES):
        empty = False
        kind = _kind_of_line(line)
        if kind is not None:
            return told or kind
    if empty:
        msg = f"{path} holds no lines; a fixture holds one JSON event a line"
        raise InvalidInput(msg)
    msg = (
        f"{path} is no fixture: none of its first lines is a JSON object; a fixture holds one "
        "CloudEvent, or one recorded record, a line"
    )
    raise InvalidInput(msg)


def _probed(path: Path) -> Iterator[bytes | OverlongLine]:
    for block in blocks(path, max_line_bytes=_MAX_BARE_LINE_BYTES):
        # A small file may unpack to millions of empty ones.
        for line in [line for line in block.lines if line]:
            if isinstance(line, OverlongLine) or line.strip(_WHITE_SPACE):
                yield line


def _kind_of_line(line: bytes | OverlongLine) -> FixtureKind | None:
    """Return the kind that a line speaks for, or None if it is no JSON object or array of them."""
    if isinstance(line, OverlongLine):
        return FixtureKind.BARE if line.prefix.lstrip(_WHITE_SPACE)[:1] == b"{" else None
    try:
        value = _decode_anything(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if isinstance(value, list):
        return FixtureKind.BARE if any(isinstance(part, dict) for part in value) else None
    if not isinstance(value, dict):
        return None
    recorded = {"shard", "sequence_number", "data"} <= value.keys() and "specversion" not in value
    return FixtureKind.RECORDED if recorded else FixtureKind.BARE
