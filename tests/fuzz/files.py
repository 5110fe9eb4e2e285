"""Fuzz targets of files: fixtures, whatever they are packed in, models and archives."""

import gzip
import io
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path

from tidegauge.adapters.artifact import check_archive
from tidegauge.adapters.fixture_lines import OverlongLine
from tidegauge.adapters.fixtures import (
    Fixture,
    bare_blocks,
    manifest_path,
    open_fixture,
    recorded_lines,
    recorded_shards,
)
from tidegauge.adapters.model_file import MEMBER, pack_model, unpack_model
from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.event import Rejection
from tidegauge.domain.event_time import EARLIEST_TIME_MS, LATEST_TIME_MS

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# The first byte of the bytes for a fixture says how they become a file.
PLAIN, GZIP, ZSTD, MEMBERS = range(4)
CUT, TURNED, WITH_MANIFEST = 4, 8, 16
# The first byte of the bytes for a model says the same.
AS_IT_IS, A_TAR, A_MEMBER, HEADERS = range(4)

_READ_LINES = 20_000  # a few bytes may unpack to millions, of which more say nothing more


def fuzz_fixture(data: bytes) -> None:
    """Read a file of these bytes twice: refused in a sentence, or the same both times."""
    content, manifest = _file_of(data)
    path = Path(_folder().name) / "f"
    path.write_bytes(content)
    manifest_path(path).unlink(missing_ok=True)
    if manifest is not None:
        manifest_path(path).write_bytes(manifest)
    assert _outcome(path) == _outcome(path)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Make one folder for all files: to make and remove it costs more than to read a file."""
    return tempfile.TemporaryDirectory(prefix="tidegauge-fuzz-", ignore_cleanup_errors=True)


def _file_of(data: bytes) -> tuple[bytes, bytes | None]:
    how, place = (*data[:2], 0, 0)[:2]
    rest = data[2:]
    manifest = None
    if how & WITH_MANIFEST:
        manifest, _, rest = rest.partition(b"\0")
    content = packed(rest, how & 3)
    if how & CUT and content:
        content = content[: -1 - place % len(content)]
    if how & TURNED and content:
        place %= len(content)
        content = content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]
    return content, manifest


def packed(content: bytes, how: int) -> bytes:
    """Return content as `PLAIN`, `GZIP`, `ZSTD` or `MEMBERS` have it."""
    if how == GZIP:
        return gzip.compress(content, 1, mtime=0)
    if how == ZSTD:
        return zstd.compress(content)
    if how == MEMBERS:
        middle = len(content) // 2
        pack = zstd.compress if content[:1] == b"z" else gzip.compress
        return pack(content[:middle]) + pack(b"") + pack(content[middle:])
    return content


def _outcome(path: Path) -> object:
    try:
        fixture = open_fixture(path)
    except InvalidInput as error:
        return str(error)
    read = []
    for reading in (_bare, _recorded, _shards):
        try:
            read.append(list(reading(fixture)))
        except InvalidInput as error:
            read.append([str(error)])
    return fixture.kind, fixture.manifest, read


def _bare(fixture: Fixture) -> Iterator[int]:
    number, read_bytes = 1, 0
    for block in islice(bare_blocks(fixture), 200):
        assert block.first_line == number, "no line is passed over"
        assert read_bytes <= block.read_bytes <= fixture.size_bytes
        assert block.lines
        number += len(block.lines)
        read_bytes = block.read_bytes
        for line in [line for line in block.lines if line][:_READ_LINES]:
            if not isinstance(line, OverlongLine):
                assert b"\n" not in line
                yield hash(line)


def _recorded(fixture: Fixture) -> Iterator[int]:
    before = 0
    for number, found in islice(recorded_lines(fixture), _READ_LINES):
        assert number > before
        before = number
        if isinstance(found, Rejection):
            assert found.data
        else:
            assert found.sequence_number >= 0
            time_ms = found.arrival_time_ms
            assert time_ms is None or EARLIEST_TIME_MS <= time_ms <= LATEST_TIME_MS
        yield hash((number, repr(found)))


def _shards(fixture: Fixture) -> Iterator[str]:
    yield from recorded_shards(fixture)


def fuzz_model(data: bytes) -> None:
    """Read a model of these bytes: refused in a sentence, or one that is written and read again."""
    packed = _archive_of(data[:1], data[1:])
    try:
        model = unpack_model(packed)
    except InvalidInput:
        return
    assert unpack_model(pack_model(model)) == model


def fuzz_archive(data: bytes) -> None:
    """Look into an archive of these bytes: refused, or whoever unpacks it stays in its folder."""
    packed = _archive_of(data[:1], data[1:])
    try:
        check_archive(packed)
    except InvalidInput:
        return
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        members = tar.getmembers()
    assert any(member.isreg() for member in members)
    for member in members:
        assert member.isreg() or member.isdir()
        assert not member.name.startswith("/")
        assert ".." not in member.name.split("/")


def _archive_of(how: bytes, rest: bytes) -> bytes:
    kind = how[0] % 4 if how else AS_IT_IS
    if kind == AS_IT_IS:
        return rest
    if kind == A_TAR:
        return gzip.compress(rest, 1, mtime=0)
    member = tarfile.TarInfo(MEMBER)
    if kind == HEADERS:  # of the form that tar's extended headers have, whatever they say
        headers, _, rest = rest.partition(b"\0")
        lines = [line.partition("=") for line in headers.decode(errors="replace").split("\n")]
        member.pax_headers = {name: value for name, equals, value in lines if equals}
    member.size = len(rest)
    unpacked = io.BytesIO()
    with tarfile.open(fileobj=unpacked, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(member, io.BytesIO(rest))
    return gzip.compress(unpacked.getvalue(), 1, mtime=0)
