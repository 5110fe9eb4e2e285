"""A look into a model archive that somebody else will unpack: is it whole, and does it stay inside?

Takes the bytes of a `model.tar.gz`, raises InvalidInput for one that is cut short, unpacks to too
much, holds anything but files and folders, or names a place outside its folder. Nothing is unpacked
onto a disk, and only pieces of it are ever held in memory. Whoever unpacks it believes extended
headers, so what those claim is checked too.
"""

import re
import tarfile
import zlib
from collections.abc import Iterator
from typing import Final

from tidegauge.domain.errors import InvalidInput

MAX_UNPACKED_BYTES: Final = 256 * 1024 * 1024
MAX_MEMBERS: Final = 1_000

_PIECE_BYTES = 256 * 1024
_GZIP = 16 + zlib.MAX_WBITS
_FILES = {tarfile.REGTYPE, tarfile.AREGTYPE}
_PAX = {tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE}
# A name longer than this fits no file system.
_MAX_EXTENDED_BYTES = 8192
_PAX_ENTRY = re.compile(rb"(\d{1,6}) ([^=]+)=")
# What a PAX header may say of a member: nothing that moves it, or says that it holds other bytes.
_HARMLESS = {
    "atime", "charset", "comment", "ctime", "gid", "gname", "hdrcharset", "mtime", "uid", "uname",
}  # fmt: skip
_DRIVE = re.compile(r"[A-Za-z]:")


def check_archive(packed: bytes) -> None:
    """Check a `model.tar.gz`.

    Args:
        packed: All of its bytes.

    Raises:
        InvalidInput: It must not be unpacked; the message says why.
    """
    stream = _Unpacked(packed)
    members = files = 0
    names: set[str] = set()
    while (header := stream.take(tarfile.BLOCKSIZE, "the header of a member")).strip(b"\0"):
        member = _member_of(header)
        if member.type in _PAX or member.type == tarfile.GNUTYPE_LONGNAME:
            names |= _extended_names(member, stream)
            continue
        members += 1
        if members > MAX_MEMBERS:
            msg = f"it holds more than {MAX_MEMBERS} members"
            raise InvalidInput(msg)
        # Programs differ in which header they believe: whichever it is, the member stays inside.
        _check_member(member, names | {member.name})
        files += member.type in _FILES
        stream.skip(_padded(member.size), repr(member.name))
        names = set()
    stream.check_nothing_follows()
    if not files:
        msg = "it holds no file"
        raise InvalidInput(msg)


class _Unpacked:
    """What a gzip file unpacks to, in pieces and never more than the limit."""

    def __init__(self, packed: bytes) -> None:
        self._pieces = _pieces_of(packed)
        self._piece = b""

    def take(self, n_bytes: int, what: str) -> bytes:
        """Return the next bytes. Raises InvalidInput if there are fewer."""
        taken = bytearray()
        for part in self._parts(n_bytes, what):
            taken += part
        return bytes(taken)

    def skip(self, n_bytes: int, what: str) -> None:
        """Pass over the next bytes. Raises InvalidInput if there are fewer."""
        for _ in self._parts(n_bytes, what):
            pass

    def check_nothing_follows(self) -> None:
        """Read to the end, which also checks the sum. Raises InvalidInput if more than zeros come.

        What stands behind the end of a tar is seen by some who unpack it and not by others.
        """
        while self._piece or self._next():
            if self._piece.strip(b"\0"):
                msg = "something stands behind its end"
                raise InvalidInput(msg)
            self._piece = b""

    def _parts(self, n_bytes: int, what: str) -> Iterator[bytes]:
        while n_bytes > 0:
            if not self._piece and not self._next():
                msg = f"it is cut short: {what} is not whole"
                raise InvalidInput(msg)
            part, self._piece = self._piece[:n_bytes], self._piece[n_bytes:]
            n_bytes -= len(part)
            yield part

    def _next(self) -> bool:
        self._piece = next(self._pieces, b"")
        return bool(self._piece)


def _pieces_of(packed: bytes) -> Iterator[bytes]:
    """Yield what the bytes unpack to, member after member of the gzip file."""
    total = place = 0
    while place < len(packed):
        unzip = zlib.decompressobj(wbits=_GZIP)
        given = b""
        while not unzip.eof:
            if not given:
                given = packed[place : place + _PIECE_BYTES]
                place += len(given)
            if not given:
                msg = "it is not a whole gzip file: its end is missing"
                raise InvalidInput(msg)
            try:
                # Not more than a piece is unpacked at once, whatever the file holds.
                piece = unzip.decompress(given, _PIECE_BYTES)
            except zlib.error as error:
                msg = f"it is not a whole gzip file: {error}"
                raise InvalidInput(msg) from error
            given = unzip.unconsumed_tail
            total += len(piece)
            if total > MAX_UNPACKED_BYTES:
                msg = f"it unpacks to more than {MAX_UNPACKED_BYTES} bytes"
                raise InvalidInput(msg)
            if piece:
                yield piece
        place -= len(unzip.unused_data)


def _member_of(header: bytes) -> tarfile.TarInfo:
    try:
        member = tarfile.TarInfo.frombuf(header, "utf-8", "backslashreplace")
    except tarfile.TarError as error:
        msg = f"it is not a whole tar file: {error}"
        raise InvalidInput(msg) from error
    if member.size < 0:
        msg = "it is not a whole tar file: a size is below zero"
        raise InvalidInput(msg)
    return member


def _check_member(member: tarfile.TarInfo, names: set[str]) -> None:
    if member.type == tarfile.DIRTYPE:
        if member.size:
            msg = f"its folder {member.name!r} claims to have a content"
            raise InvalidInput(msg)
    elif member.type not in _FILES:
        msg = f"{member.name!r} is neither a file nor a folder"
        raise InvalidInput(msg)
    for name in sorted(names):
        _check_name(name)


def _check_name(name: str) -> None:
    outside = name.startswith("/") or ".." in name.split("/") or _DRIVE.match(name) is not None
    if outside:
        msg = f"{name!r} climbs out of its folder"
        raise InvalidInput(msg)
    if not name or "\\" in name or not name.isprintable():
        msg = f"{name!r} is no name for a file"
        raise InvalidInput(msg)


def _extended_names(member: tarfile.TarInfo, stream: _Unpacked) -> set[str]:
    """Read an extended header; return the name that it gives to the next member, if it does."""
    if member.size > _MAX_EXTENDED_BYTES:
        msg = "an extended header is too large"
        raise InvalidInput(msg)
    content = stream.take(_padded(member.size), "an extended header")[: member.size]
    if member.type == tarfile.GNUTYPE_LONGNAME:
        return {_text(content.partition(b"\0")[0])}
    said = dict(_pax_entries(content))
    moved = set() if member.type == tarfile.XGLTYPE else {said.pop("path", "")} - {""}
    for keyword in said:
        if keyword not in _HARMLESS and not keyword.startswith("SCHILY."):
            msg = f"an extended header says {keyword!r}, which a model has no use for"
            raise InvalidInput(msg)
    return moved


def _pax_entries(content: bytes) -> Iterator[tuple[str, str]]:
    """Yield what a PAX header says: lines `LENGTH KEYWORD=VALUE`, each with its own length."""
    place = 0
    while place < len(content):
        found = _PAX_ENTRY.match(content, place)
        end = place + int(found[1]) if found else 0
        if found is None or not found.end() < end <= len(content) or content[end - 1] != 0x0A:
            msg = "an extended header is not whole"
            raise InvalidInput(msg)
        yield _text(found[2]), _text(content[found.end() : end - 1])
        place = end


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
