"""Writes a bare fixture: one CloudEvent a line, with its manifest beside it.

The same events give the same bytes under the same zlib: the gzip header carries no name and no
time. File and manifest come into being when both are complete.
"""

import gzip
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tidegauge.adapters.fixtures import FixtureKind, Manifest, manifest_path
from tidegauge.adapters.whole_file import WholeFile, is_replaceable, whole_file
from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.event_time import format_time

_LEVEL = 6
_SUFFIXES = (".jsonl", ".jsonl.gz")
_BUFFER_BYTES = 256 * 1024


class FixtureWriter:
    """Takes events in the order of the fixture.

    Attributes:
        events: How many it has taken.
        sha256: Of the file as it lies there; known once it is complete.
    """

    def __init__(self, lines: "_Hashed | gzip.GzipFile") -> None:
        self._lines = lines
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self.events = 0
        self.first_ms: int | None = None
        self.last_ms: int | None = None
        self.sha256 = ""

    def add(self, time_ms: int, data: bytes) -> None:
        """Write an event; `data` is JSON without line breaks. Raises InvalidInput."""
        self._waiting += (data, b"\n")
        self._waiting_bytes += len(data) + 1
        self.events += 1
        self.first_ms = time_ms if self.first_ms is None else min(self.first_ms, time_ms)
        self.last_ms = time_ms if self.last_ms is None else max(self.last_ms, time_ms)
        if self._waiting_bytes > _BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand on what waits. Raises InvalidInput."""
        self._lines.write(b"".join(self._waiting))
        self._waiting, self._waiting_bytes = [], 0


@contextmanager
def fixture_writer(path: Path, *, source: str) -> Iterator[FixtureWriter]:
    """Open a fixture to be written; it is there when the block ends well, else nothing is.

    Args:
        path: Ends in `.jsonl`, or in `.jsonl.gz` for a compressed one. A device or standard stream
            gets the lines and no manifest.
        source: Where the events come from, for the manifest.

    Raises:
        InvalidInput: the place cannot be written, or its name is no fixture's.
    """
    if not is_replaceable(path):
        with whole_file(path) as file, _written(file, packed=False) as writer:
            yield writer
        return
    if not path.name.endswith(_SUFFIXES):
        msg = f"{path} must end in .jsonl, or in .jsonl.gz to be compressed"
        raise InvalidInput(msg)
    with whole_file(path) as file, whole_file(manifest_path(path)) as beside:
        with _written(file, packed=path.name.endswith(".gz")) as writer:
            yield writer
        beside.write(_manifest(writer, source))


@contextmanager
def _written(file: WholeFile, *, packed: bool) -> Iterator[FixtureWriter]:
    hashed = _Hashed(file)
    if packed:
        with gzip.GzipFile("", "wb", _LEVEL, hashed, mtime=0) as lines:
            writer = FixtureWriter(lines)
            yield writer
            writer.flush()
    else:
        writer = FixtureWriter(hashed)
        yield writer
        writer.flush()
    writer.sha256 = hashed.digest.hexdigest()


class _Hashed:
    """What is written, and its hash."""

    def __init__(self, file: WholeFile) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self._file.write(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: the file is flushed when it is closed."""


def _manifest(writer: FixtureWriter, source: str) -> bytes:
    span = None
    if writer.first_ms is not None and writer.last_ms is not None:
        span = {"first": format_time(writer.first_ms), "last": format_time(writer.last_ms)}
    manifest = Manifest(
        kind=FixtureKind.BARE,
        source=source,
        licence="CC0-1.0",
        span=span,
        counts={"lines": writer.events, "events": writer.events},
        sha256=writer.sha256,
    )
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
