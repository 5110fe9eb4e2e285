"""Model artifacts: safe to read, the same bytes for the same model."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from tests.support.models import first_feature_model, model_of
from tidegauge.adapters.model_file import (
    MAX_PACKED_BYTES,
    MAX_UNPACKED_BYTES,
    MEMBER,
    FileModelPredictor,
    pack_model,
    read_model,
    unpack_model,
    write_model,
)
from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.features import FEATURE_NAMES

MODEL = model_of(1.0, 2.0)


def tar_gz(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for info, content in members:
            info.size = len(content) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def named(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info


def packed_header(size: int) -> bytes:
    info = named(MEMBER)
    info.size = size
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT))


def test_a_written_model_is_read_back_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new" / "gauge.tar.gz"
    write_model(path, MODEL)
    write_model(path, MODEL)
    assert read_model(path) == MODEL
    assert [entry.name for entry in path.parent.iterdir()] == ["gauge.tar.gz"]


def test_the_archive_holds_no_time_and_no_user() -> None:
    packed = pack_model(MODEL)
    assert packed[4:8] == b"\0\0\0\0"
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        (member,) = tar.getmembers()
    assert (member.name, member.mtime, member.uid, member.uname) == (MEMBER, 0, 0, "")


@pytest.mark.parametrize(
    "packed",
    [
        tar_gz((named("../model.json"), MODEL.to_json())),
        tar_gz((named("/model.json"), MODEL.to_json())),
        tar_gz((named("other.json"), MODEL.to_json())),
        tar_gz((named(MEMBER, tarfile.SYMTYPE, "/etc/passwd"), b"")),
        tar_gz((named(MEMBER, tarfile.LNKTYPE, MEMBER), b"")),
        tar_gz((named(MEMBER, tarfile.DIRTYPE), b"")),
        tar_gz((named(MEMBER, tarfile.FIFOTYPE), b"")),
        tar_gz((named(MEMBER, tarfile.GNUTYPE_SPARSE), b"")),
        tar_gz((named(MEMBER), MODEL.to_json()), (named("run.sh"), b"rm")),
        tar_gz((named(MEMBER), MODEL.to_json()), (named(MEMBER), MODEL.to_json())),
        tar_gz(),
    ],
    # a gzip header holds the time: without names of their own the cases would have another each run
    ids=[
        "climbs out", "absolute", "another name", "symbolic link", "hard link", "folder", "fifo",
        "sparse", "a second file", "twice", "nothing",
    ],
)  # fmt: skip
def test_an_archive_that_holds_anything_else_is_refused(packed: bytes) -> None:
    with pytest.raises(
        InvalidInput, match=r"must hold the plain file model\.json and nothing else"
    ):
        unpack_model(packed)


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (b"", "not nothing|gzip"),
        (b"PK\3\4", "not a whole gzip file"),
        (pack_model(MODEL)[:-20], "not a whole gzip file"),
        (gzip.compress(b"no tar"), "not a whole tar file"),
        (gzip.compress(gzip.decompress(pack_model(MODEL))[:600]), "tar file|cut short"),
        (b"\0" * (MAX_PACKED_BYTES + 1), "has 1048577 bytes"),
        (gzip.compress(b"\0" * (MAX_UNPACKED_BYTES + 1)), "unpacks to more than"),
        (tar_gz((named(MEMBER), b"{}")), "no linear model"),
        (packed_header(size=-512), "not a whole tar file"),
        (packed_header(size=1 << 70), "cut short"),
    ],
    ids=[
        "empty", "zip", "cut gzip", "no tar", "cut tar", "too large", "unpacks too large",
        "no model", "below zero", "beyond all integers",
    ],
)  # fmt: skip
def test_what_is_damaged_or_too_large_is_refused(packed: bytes, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        unpack_model(packed)


@pytest.mark.parametrize(
    "headers",
    [
        {"comment": "from another tool", "mtime": "1.5"},
        {"GNU.sparse.size": "8000000000000", "GNU.sparse.map": "0,1"},
        {"GNU.sparse.size": "many"},
        {"GNU.sparse.map": "a,b"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
        {"size": "9" * 30},
        {"size": "-1024"},
    ],
    ids=["sound", "terabytes of zeros", "size", "map", "no map", "beyond all integers", "back"],
)
def test_extended_headers_claim_nothing(headers: dict[str, str]) -> None:
    info = named(MEMBER)
    info.pax_headers = headers
    assert unpack_model(tar_gz((info, MODEL.to_json()))) == MODEL


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nobody.tar.gz"
    with pytest.raises(InvalidInput, match=r"nobody\.tar\.gz: No such file"):
        read_model(path)
    path.write_bytes(b"junk")
    with pytest.raises(InvalidInput, match=r"cannot use the model .*nobody.tar.gz"):
        read_model(path)


def test_the_predictor_answers_and_names_its_model(tmp_path: Path) -> None:
    path = tmp_path / "gauge.tar.gz"
    write_model(path, first_feature_model("job-7"))
    predictor = FileModelPredictor(path)
    rest = [0.0] * (len(FEATURE_NAMES) - 1)
    scores = predictor.predict([[4.0, *rest], [5.5, *rest]])
    assert scores.values == (4.0, 5.5)
    assert scores.model_version == "job-7"
    assert predictor.predict([]).values == ()


def test_a_model_of_other_features_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gauge.tar.gz"
    write_model(path, MODEL)
    with pytest.raises(InvalidInput, match="other features"):
        FileModelPredictor(path)
