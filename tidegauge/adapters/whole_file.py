"""Result files: written under another name beside their place and renamed when all is complete.

So a result that exists is a whole one. Devices and the standard streams are written to where they
are. Whatever cannot be written is told in a sentence with the file's name.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from tidegauge.domain.errors import InvalidInput


def is_replaceable(path: Path) -> bool:
    """Whether a result there would be a file of its own, and no device or standard stream."""
    return not _is_device(path) and _standard_stream(path) is None


class WholeFile:
    """An open result file that names itself when it cannot be written.

    Args:
        path: What people call it.
        file: Where its bytes go.
    """

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path = path
        self._file = file

    def write(self, data: bytes) -> None:
        """Write bytes. Raises InvalidInput, or BrokenPipeError where nobody reads any more."""
        try:
            self._file.write(data)
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def close(self) -> None:
        """Write what is buffered, and close. Raises as `write`."""
        with _writing(self._path):
            self._file.close()

    def abandon(self) -> None:
        """Close, whatever becomes of what is buffered."""
        with suppress(OSError):
            self._file.close()


@contextmanager
def whole_file(path: Path) -> Iterator[WholeFile]:
    """Open a result file; rename it into place when the block ends well, else remove it.

    Raises:
        InvalidInput: the place cannot be written.
    """
    standard = _standard_stream(path)
    if standard is not None or _is_device(path):  # written to where it is, never replaced
        with _writing(path):
            descriptor = os.open(path, os.O_WRONLY) if standard is None else os.dup(standard)
        with _closing(WholeFile(path, os.fdopen(descriptor, "wb"))) as output:
            yield output
        return
    real = path.resolve()
    with _writing(path):
        if real.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    part = real.with_name(f".{real.name}.{os.getpid()}.part")
    try:
        with _writing(path):
            file = part.open("wb")
        with _closing(WholeFile(path, file)) as output:
            yield output
        with _writing(path):
            part.replace(real)
    finally:  # Ctrl-C may come right after the file was made
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _is_device(path: Path) -> bool:
    return path.exists() and not path.is_file() and not path.is_dir()


def _standard_stream(path: Path) -> int | None:
    """Return the descriptor of standard output or error that a path such as /dev/stdout names."""
    for descriptor in (1, 2):
        with suppress(OSError):
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                return descriptor
    return None


@contextmanager
def _closing(output: WholeFile) -> Iterator[WholeFile]:
    try:
        yield output
        output.close()
    finally:
        output.abandon()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> Exception:
    if isinstance(error, BrokenPipeError):
        return error  # whoever read it has enough; that is no misuse
    msg = f"{path} cannot be written: {error.strerror or error}; give another place"
    return InvalidInput(msg)
