"""Archives that must not be unpacked: each is refused, with the reason."""

import gzip
import io
import resource
import tarfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.models import model_of
from tidegauge.adapters.artifact import MAX_MEMBERS, MAX_UNPACKED_BYTES, check_archive
from tidegauge.adapters.model_file import pack_model
from tidegauge.domain.errors import InvalidInput

SOUND = pack_model(model_of(1.0, 2.0))
TAR = gzip.decompress(SOUND)


def member(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"x") -> bytes:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = len(content)
    info.linkname = "model.json" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
    header = info.tobuf(tarfile.GNU_FORMAT)
    return header + content + b"\0" * (-len(content) % tarfile.BLOCKSIZE)


def packed(*members: bytes, end: bytes = b"\0" * 1024) -> bytes:
    return gzip.compress(b"".join(members) + end, mtime=0)


def pax(entries: dict[str, str], kind: bytes = tarfile.XHDTYPE) -> bytes:
    content = b""
    for keyword, value in entries.items():
        line = f" {keyword}={value}\n".encode()
        length = len(line) + 1
        while len(str(length)) + len(line) != length:
            length += 1
        content += str(length).encode() + line
    return member("PaxHeaders/x", kind, content)


def by_tarfile(format_: int, **fields: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=format_) as tar:
        info = tarfile.TarInfo("model/" + "long" * 40 + ".bin")
        info.size = 3
        for name, value in fields.items():
            setattr(info, name, value)
        tar.addfile(tarfile.TarInfo("readme"), io.BytesIO(b""))
        tar.addfile(info, io.BytesIO(b"abc"))
    return out.getvalue()


@pytest.mark.parametrize(
    "archive",
    [
        SOUND,
        packed(member("./", tarfile.DIRTYPE, b""), member("./model_algo-1"), member("a/b/c")),
        packed(member("a..b"), member("...")),
        by_tarfile(tarfile.PAX_FORMAT, mtime=1.5),
        by_tarfile(tarfile.GNU_FORMAT),
        gzip.compress(TAR[:512], mtime=0) + gzip.compress(TAR[512:], mtime=0),
        packed(pax({"comment": "from another tool"}, tarfile.XGLTYPE), member("model.json")),
    ],
    ids=["ours", "linear-learner", "dots", "pax", "gnu", "two gzip members", "global comment"],
)
def test_an_archive_that_stays_inside_passes(archive: bytes) -> None:
    check_archive(archive)


@pytest.mark.parametrize(
    "name",
    ["../model.json", "a/../../b", "/etc/passwd", "..", "C:model", "c:/model", "a/.."],
)
@pytest.mark.parametrize("way", ["plain", "long name", "pax", "behind a long name", "in between"])
def test_a_name_that_climbs_out_is_refused(name: str, way: str) -> None:
    ways = {
        "plain": (member(name),),
        "long name": (
            member("././@LongLink", tarfile.GNUTYPE_LONGNAME, name.encode() + b"\0"),
            member("inside"),
        ),
        "pax": (pax({"path": name}), member("inside")),
        "behind a long name": (pax({"path": "inside"}), member(name)),
        "in between": (
            member("././@LongLink", tarfile.GNUTYPE_LONGNAME, name.encode() + b"\0"),
            pax({"path": "inside"}),
            member("inside"),
        ),
    }
    with pytest.raises(InvalidInput, match="climbs out of its folder"):
        check_archive(packed(member("model.json"), *ways[way]))


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE,
        tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, tarfile.GNUTYPE_LONGLINK, b"V",
    ],
)  # fmt: skip
def test_whatever_is_neither_file_nor_folder_is_refused(kind: bytes) -> None:
    with pytest.raises(InvalidInput, match="neither a file nor a folder"):
        check_archive(packed(member("model.json"), member("other", kind, b"")))


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        (b"", "cut short"),
        (b"PK\3\4", "not a whole gzip file"),
        (SOUND[:-1], "not a whole gzip file: its end is missing"),
        (SOUND[: len(SOUND) // 2], "not a whole gzip file: its end is missing"),
        (SOUND[:-8] + bytes(4) + SOUND[-4:], "not a whole gzip file"),
        (SOUND + b"more", "not a whole gzip file"),
        (gzip.compress(TAR[:600], mtime=0), "cut short: 'model.json' is not whole"),
        (gzip.compress(TAR[:100], mtime=0), "cut short: the header"),
        (packed(member("model.json"), end=b""), "cut short: the header"),
        (packed(member("model.json"), end=b"\0" * 512 + member("hidden")), "behind its end"),
        (packed(b"no tar at all".ljust(512, b"!")), "not a whole tar file"),
        (packed(), "holds no file"),
        (packed(member("only", tarfile.DIRTYPE, b"")), "holds no file"),
        (packed(member("folder", tarfile.DIRTYPE, b"x")), "claims to have a content"),
        (packed(member("")), "no name"),
        (packed(member("a\\b")), "no name"),
        (packed(member("a\nb")), "no name"),
        (packed(pax({"size": "0"}), member("model.json")), "'size'"),
        (packed(pax({"GNU.sparse.major": "1"}), member("model.json")), "GNU.sparse"),
        (packed(pax({"linkpath": "/etc"}), member("model.json")), "linkpath"),
        (packed(pax({"path": "x"}, tarfile.XGLTYPE), member("model.json")), "'path'"),
        (packed(member("p", tarfile.XHDTYPE, b"9 a=b\n"), member("m")), "header is not whole"),
        (packed(member("p", tarfile.XHDTYPE, b"0 a=b\n"), member("m")), "header is not whole"),
        (packed(member("p", tarfile.XHDTYPE, b"x" * 9000), member("m")), "too large"),
        (packed(*[member(f"m{n}", content=b"") for n in range(MAX_MEMBERS + 1)]), "more than 1000"),
    ],
)
def test_what_is_damaged_or_lies_is_refused(archive: bytes, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        check_archive(archive)


@pytest.mark.parametrize("size", [-512, 1 << 70])
def test_a_size_that_cannot_be_is_refused(size: int) -> None:
    info = tarfile.TarInfo("model.json")
    info.size = size
    with pytest.raises(InvalidInput, match=r"below zero|cut short"):
        check_archive(packed(info.tobuf(tarfile.GNU_FORMAT)))


def test_a_bomb_is_refused_before_it_fills_memory() -> None:
    info = tarfile.TarInfo("model.json")
    info.size = 1 << 40
    bomb = zlib.compressobj(wbits=31)
    pieces = [bomb.compress(info.tobuf(tarfile.GNU_FORMAT))]
    zeros = b"\0" * (1 << 20)
    pieces += [bomb.compress(zeros) for _ in range(2 * MAX_UNPACKED_BYTES >> 20)]
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InvalidInput, match="unpacks to more than"):
        check_archive(b"".join([*pieces, bomb.flush()]))
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
    assert grown_kb < 32 * 1024


@given(st.integers(0, len(TAR) - 1), st.integers(0, 255))
def test_a_changed_byte_of_a_header_never_leads_outside(place: int, byte: int) -> None:
    # Whatever passes can be listed by who unpacks it, and every name stays inside.
    changed = TAR[:place] + bytes([byte]) + TAR[place + 1 :]
    archive = gzip.compress(changed, mtime=0)
    try:
        check_archive(archive)
    except InvalidInput:
        return
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for one in tar.getmembers():
            assert one.isreg() or one.isdir()
            assert not one.name.startswith("/")
            assert ".." not in one.name.split("/")
