"""Model artifacts: `model.tar.gz` with one JSON file in it, read and written in memory.

SageMaker hands models over as a gzipped tar. Ours holds numbers as text, never code: reading one
runs nothing, unpacks nothing onto the disk, and refuses what is too large or holds anything else.
The same model gives the same bytes.
"""

import gzip
import io
import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.features import FEATURE_NAMES
from tidegauge.domain.linear_model import LinearModel
from tidegauge.ports import Scores

MEMBER = "model.json"
_EXTENDED_HEADERS = {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE}

# A model of 31 weights is about 2 KB. A file beyond these is a mistake or an attack.
MAX_PACKED_BYTES = 1024 * 1024
MAX_UNPACKED_BYTES = 4 * 1024 * 1024


class FileModelPredictor:
    """Scores rows with a model from a file; implements `ports.Predictor`.

    Args:
        path: A `.tar.gz` as `write_model` makes it.

    Raises:
        InvalidInput: There is no such file, it is no model, or it wants other features than ours.
    """

    def __init__(self, path: Path) -> None:
        self._model = read_model(path)
        if self._model.feature_names != FEATURE_NAMES:
            msg = f"{path} was fitted on other features than this version of Tidegauge makes"
            raise InvalidInput(msg)

    def predict(self, rows: Sequence[Sequence[float]]) -> Scores:
        """Return one score for each row (n_rows, 31); NaN where a row has one."""
        if len(rows) == 0:
            return Scores((), self._model.model_version)
        scores = self._model.score(np.asarray(rows, dtype=np.float64))
        return Scores(tuple(scores.tolist()), self._model.model_version)


def pack_model(model: LinearModel) -> bytes:
    """Return a model as the bytes of a `model.tar.gz`: the same model, the same bytes."""
    content = model.to_json()
    member = tarfile.TarInfo(MEMBER)
    member.size = len(content)
    member.mode = 0o644
    tar_bytes = io.BytesIO()
    with tarfile.open(fileobj=tar_bytes, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(member, io.BytesIO(content))
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=0) as stream:
        stream.write(tar_bytes.getvalue())
    return packed.getvalue()


def unpack_model(packed: bytes) -> LinearModel:
    """Read a model from the bytes of a `model.tar.gz`.

    Raises:
        InvalidInput: They are no such file, too many, hold anything beside `model.json`, or the
            model in it cannot be used.
    """
    if len(packed) > MAX_PACKED_BYTES:
        msg = f"the file has {len(packed)} bytes; a model has at most {MAX_PACKED_BYTES}"
        raise InvalidInput(msg)
    return LinearModel.from_json(_only_member(_unzipped(packed)))


def read_model(path: Path) -> LinearModel:
    """Read a model from a file.

    Raises:
        InvalidInput: There is no such file or it is no model; the message names the file.
    """
    try:
        with path.open("rb") as stream:
            packed = stream.read(MAX_PACKED_BYTES + 1)
    except OSError as error:
        msg = f"cannot read the model {path}: {error.strerror}"
        raise InvalidInput(msg) from error
    try:
        return unpack_model(packed)
    except InvalidInput as error:
        msg = f"cannot use the model {path}: {error}"
        raise InvalidInput(msg) from error


def write_model(path: Path, model: LinearModel) -> None:
    """Write a model so that a reader sees the old file or the new one, never a part."""
    packed = pack_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    written = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(packed)
        written.chmod(0o644)
        written.replace(path)
    except OSError:
        written.unlink(missing_ok=True)
        raise


def _unzipped(packed: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as stream:
            # Not more than the limit is ever unpacked, whatever the header promises.
            tar_bytes = stream.read(MAX_UNPACKED_BYTES + 1)
    except (EOFError, OSError, zlib.error) as error:
        msg = f"it is not a whole gzip file: {error}"
        raise InvalidInput(msg) from error
    if len(tar_bytes) > MAX_UNPACKED_BYTES:
        msg = f"it unpacks to more than {MAX_UNPACKED_BYTES} bytes"
        raise InvalidInput(msg)
    return tar_bytes


def _only_member(tar_bytes: bytes) -> bytes:
    found = list(_members(tar_bytes))
    names = [member.name for member, _ in found]
    if names != [MEMBER] or found[0][0].type not in {tarfile.REGTYPE, tarfile.AREGTYPE}:
        said = ", ".join(repr(name) for name in names[:5]) or "nothing"
        msg = f"it must hold the plain file {MEMBER} and nothing else, not {said}"
        raise InvalidInput(msg)
    ((member, content),) = found
    if len(content) != member.size:
        msg = f"{MEMBER} is cut short"
        raise InvalidInput(msg)
    return content


def _members(tar_bytes: bytes) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """Yield the headers of a tar, and what is there of each one's content.

    `TarFile` believes extended headers, which may claim terabytes of zeros, sizes that no integer
    holds, or sizes below zero that lead back to what was read. A model needs none: they are passed
    over.
    """
    place = 0
    while (header := tar_bytes[place : place + tarfile.BLOCKSIZE]).strip(b"\0"):
        try:
            member = tarfile.TarInfo.frombuf(header, "utf-8", "backslashreplace")
        except tarfile.TarError as error:
            msg = f"it is not a whole tar file: {error}"
            raise InvalidInput(msg) from error
        if member.size < 0:
            msg = "it is not a whole tar file: a size is below zero"
            raise InvalidInput(msg)
        place += tarfile.BLOCKSIZE
        if member.type not in _EXTENDED_HEADERS:
            yield member, tar_bytes[place : place + member.size]
        place += -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
