"""Lines of a fixture file, plain or compressed, with flat memory.

Takes a path, gives blocks of lines as bytes. A line of any length costs no more memory than the
limit: what is longer comes as an `OverlongLine`. Says nothing about what a line means.
"""

import gzip
import hashlib
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

import msgspec

from tidegauge.domain.errors import InvalidInput

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

OVERLONG_PREFIX_BYTES = 1024
_CHUNK_BYTES = 256 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"  # after a byte 50 to 5f; parallel compressors begin with one
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class OverlongLine(msgspec.Struct, frozen=True, gc=False):
    """What is kept of a line that is too long: how it begins, its length, its SHA-256."""

    prefix: bytes
    size_bytes: int
    sha256: str

    def as_data(self) -> bytes:
        """Return what quarantine keeps of it: the beginning, and how to recognise the rest."""
        return self.prefix + b" [%d bytes, sha256 %s]" % (self.size_bytes, self.sha256.encode())


class Block(msgspec.Struct, frozen=True, gc=False):
    """Some lines in a row, without their line ends.

    Attributes:
        first_line: Number of the first of them, from 1.
        lines: All of them, blank ones too.
        read_bytes: How much of the file was read so far, compressed bytes.
    """

    first_line: int
    lines: list[bytes | OverlongLine]
    read_bytes: int


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


def compression_of(path: Path) -> str:
    """Return `gzip`, `zstd` or `none`, by the file's first bytes and not by its name."""
    with reading(path), path.open("rb") as raw:
        magic = raw.read(4)
    if magic.startswith(_GZIP_MAGIC):
        return "gzip"
    skippable = magic[1:] == _ZSTD_SKIPPABLE and magic[0] & 0xF0 == 0x50
    return "zstd" if magic == _ZSTD_MAGIC or skippable else "none"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the file as it lies there, compressed or not, as hex digits."""
    with reading(path), path.open("rb") as raw:
        return hashlib.file_digest(raw, "sha256").hexdigest()


def blocks(path: Path, *, max_line_bytes: int) -> Iterator[Block]:
    """Yield all lines of a file in order, about a quarter of a megabyte at a time.

    Args:
        path: The file; compressed or not is seen by its first bytes.
        max_line_bytes: A longer line comes as an `OverlongLine`.

    Raises:
        InvalidInput: it cannot be read, is truncated, or is damaged.
    """
    compression = compression_of(path)
    with reading(path), path.open("rb") as raw:
        yield from _blocks_of(_decompressed(raw, compression), raw, max_line_bytes)


def _decompressed(raw: IO[bytes], compression: str) -> _Readable:
    if compression == "gzip":
        return gzip.GzipFile(fileobj=raw, mode="rb")
    if compression == "zstd":
        return zstd.ZstdFile(raw, mode="rb")
    return raw


def _blocks_of(source: _Readable, raw: IO[bytes], max_line_bytes: int) -> Iterator[Block]:
    splitter = _Splitter(max_line_bytes)
    number = 1
    while chunk := source.read(_CHUNK_BYTES):
        lines = splitter.split(chunk)
        if lines:
            yield Block(number, lines, raw.tell())
            number += len(lines)
    last = splitter.finish()
    if last:
        yield Block(number, last, raw.tell())


class _Splitter:
    """Cuts chunks into lines and carries the unfinished one over, as far as it may grow."""

    def __init__(self, max_line_bytes: int) -> None:
        self._max_line_bytes = max_line_bytes
        self._tail: list[bytes] = []
        self._tail_bytes = 0
        self._overlong: _Overlong | None = None
        self._at_start = True

    def split(self, chunk: bytes) -> list[bytes | OverlongLine]:
        """Return the lines that this chunk completes."""
        if self._at_start:
            chunk = chunk.removeprefix(_BYTE_ORDER_MARK)
            self._at_start = False
        pieces = chunk.split(b"\n")
        self._grow(pieces[0])
        if len(pieces) == 1:
            return []
        lines: list[bytes | OverlongLine] = [self._end(), *pieces[1:-1]]
        self._grow(pieces[-1])
        return lines

    def finish(self) -> list[bytes | OverlongLine]:
        """Return the line that no line end completed, if there is one."""
        return [self._end()] if self._tail_bytes or self._overlong else []

    def _grow(self, piece: bytes) -> None:
        if self._overlong is not None:
            self._overlong.update(piece)
            return
        self._tail.append(piece)
        self._tail_bytes += len(piece)
        if self._tail_bytes > self._max_line_bytes:
            self._overlong = _Overlong(b"".join(self._tail))
            self._tail, self._tail_bytes = [], 0

    def _end(self) -> bytes | OverlongLine:
        if self._overlong is not None:
            line: bytes | OverlongLine = self._overlong.line()
            self._overlong = None
        else:
            line = b"".join(self._tail)
        self._tail, self._tail_bytes = [], 0
        return line


class _Overlong:
    def __init__(self, head: bytes) -> None:
        self._prefix = head[:OVERLONG_PREFIX_BYTES]
        self._size_bytes = len(head)
        self._hash = hashlib.sha256(head)

    def update(self, piece: bytes) -> None:
        self._size_bytes += len(piece)
        self._hash.update(piece)

    def line(self) -> OverlongLine:
        return OverlongLine(self._prefix, self._size_bytes, self._hash.hexdigest())


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say in one sentence what is wrong with a file; the one table of what reading may raise."""
    try:
        yield
    except FileNotFoundError as error:
        msg = f"{path} does not exist; give the path of a fixture file"
        raise InvalidInput(msg) from error
    except IsADirectoryError as error:
        msg = f"{path} is a folder; give the path of a fixture file in it"
        raise InvalidInput(msg) from error
    except PermissionError as error:
        msg = f"{path} may not be read; change its permissions or read a copy"
        raise InvalidInput(msg) from error
    except EOFError as error:
        msg = f"{path} is truncated: its compressed data ends too early; copy or record it again"
        raise InvalidInput(msg) from error
    except (gzip.BadGzipFile, zlib.error, zstd.ZstdError) as error:
        msg = f"{path} is damaged and cannot be decompressed; copy or record it again"
        raise InvalidInput(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise InvalidInput(msg) from error
