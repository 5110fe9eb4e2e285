"""Fixtures: what is one, what is none, and that a line of any length costs little memory."""

import base64
import gzip
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.events import NOON_MS, event_json
from tidegauge.adapters import fixture_lines
from tidegauge.adapters.fixture_lines import Block, OverlongLine, blocks
from tidegauge.adapters.fixtures import (
    FixtureKind,
    bare_blocks,
    manifest_path,
    open_fixture,
    recorded_lines,
    recorded_shards,
)
from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.event import Rejection, RejectReason
from tidegauge.domain.record import Record

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LINES = b"".join(event_json(str(n), NOON_MS + n) + b"\n" for n in range(20_000))
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gz": gzip.compress,
    "zst": zstd.compress,
}


def written(tmp_path: Path, content: bytes, name: str = "f.jsonl") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def all_lines(found: Iterator[Block]) -> list[bytes | OverlongLine]:
    lines: list[bytes | OverlongLine] = []
    for block in found:
        assert block.first_line == len(lines) + 1
        lines += block.lines
    return lines


@pytest.mark.parametrize("packing", PACKERS)
def test_compression_is_seen_by_the_first_bytes_and_not_by_the_name(
    tmp_path: Path, packing: str
) -> None:
    path = written(tmp_path, PACKERS[packing](LINES))
    fixture = open_fixture(path)
    assert fixture.kind is FixtureKind.BARE
    assert all_lines(bare_blocks(fixture)) == LINES.splitlines()
    *_, last = bare_blocks(fixture)
    assert last.read_bytes == path.stat().st_size


@pytest.mark.parametrize("packing", ["gz", "zst"])
def test_several_packed_files_in_one_are_read_on(tmp_path: Path, packing: str) -> None:
    pack = PACKERS[packing]
    path = written(tmp_path, pack(LINES[:1000]) + pack(LINES[1000:]))
    assert all_lines(bare_blocks(open_fixture(path))) == LINES.splitlines()


def test_a_packed_file_may_begin_with_a_frame_to_skip(tmp_path: Path) -> None:
    # pzstd writes one: it was taken for text, and no fixture
    skipped = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
    path = written(tmp_path, skipped + zstd.compress(LINES))
    assert all_lines(bare_blocks(open_fixture(path))) == LINES.splitlines()


def test_a_fixture_with_the_longest_name_needs_no_manifest(tmp_path: Path) -> None:
    # the manifest's name would be too long: that said the fixture could not be read
    assert open_fixture(written(tmp_path, LINES, "n" * 255)).kind is FixtureKind.BARE


@pytest.mark.parametrize("packing", ["gz", "zst"])
def test_a_truncated_file_is_refused_in_a_sentence(tmp_path: Path, packing: str) -> None:
    path = written(tmp_path, PACKERS[packing](os.urandom(200_000).hex().encode())[:-1000])
    with pytest.raises(InvalidInput, match="truncated"):
        all_lines(blocks(path, max_line_bytes=100))


@pytest.mark.parametrize("packing", ["gz", "zst"])
def test_a_damaged_file_is_refused_in_a_sentence(tmp_path: Path, packing: str) -> None:
    packed = bytearray(PACKERS[packing](LINES))
    packed[len(packed) // 2 : len(packed) // 2 + 64] = bytes(64)
    path = written(tmp_path, bytes(packed))
    with pytest.raises(InvalidInput, match=r"damaged|truncated"):
        all_lines(blocks(path, max_line_bytes=1_000_000))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no lines"),
        (b"\n \r\n\t\n", "holds no lines"),
        (b"\x89PNG\r\n\x1a\n" + bytes(5000), "no fixture"),
        (b"id,time\n1,2013-02-08\n", "no fixture"),
        (b"5\n[1, 2]\n[]\n", "no fixture"),
        (b'[\n  {\n    "id": "1"\n  }\n]\n', "no fixture"),
        (b"x" * 11_000_000, "no fixture"),
    ],
)
def test_what_is_no_fixture_is_refused_in_a_sentence(
    tmp_path: Path, content: bytes, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        open_fixture(written(tmp_path, content))


def test_a_path_that_is_no_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="does not exist"):
        open_fixture(tmp_path / "none.jsonl")
    with pytest.raises(InvalidInput, match="is a folder"):
        open_fixture(tmp_path)
    with pytest.raises(InvalidInput, match="does not exist"):
        open_fixture(tmp_path / "none" / "f.jsonl")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInput, match="no regular file"):
        open_fixture(tmp_path / "pipe")


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_what_cannot_be_a_name_is_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be the name of a file"):
        open_fixture(tmp_path / name)


def test_bad_first_lines_do_not_hide_a_fixture(tmp_path: Path) -> None:
    path = written(tmp_path, b"\xef\xbb\xbf\n{broken\n\xff\xfe\n" + LINES[:1000])
    assert open_fixture(path).kind is FixtureKind.BARE


def test_an_overlong_line_keeps_its_beginning_length_and_hash(tmp_path: Path) -> None:
    long = b'{"id":"' + b"x" * 3_000_000
    path = written(tmp_path, b"first\n" + long + b"\nlast")
    first, overlong, last = all_lines(blocks(path, max_line_bytes=1_000_000))
    assert (first, last) == (b"first", b"last")
    assert isinstance(overlong, OverlongLine)
    assert overlong.size_bytes == len(long)
    assert overlong.sha256 == hashlib.sha256(long).hexdigest()
    assert long.startswith(overlong.prefix)
    assert overlong.sha256.encode() in overlong.as_data()


@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 7])
def test_chunks_may_end_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int
) -> None:
    monkeypatch.setattr(fixture_lines, "_CHUNK_BYTES", chunk_bytes)
    content = b"a\n\nbcd\n12345\n123456\n1234567890\nend\n\n"
    found = all_lines(blocks(written(tmp_path, content), max_line_bytes=5))
    shown = [line.size_bytes if isinstance(line, OverlongLine) else line for line in found]
    assert shown == [b"a", b"", b"bcd", b"12345", 6, 10, b"end", b""]


# --- manifests


def test_a_manifest_is_read_and_its_checksum_verified(tmp_path: Path) -> None:
    path = written(tmp_path, LINES)
    told = {"licence": "CC0-1.0", "sha256": hashlib.sha256(LINES).hexdigest(), "more": [1]}
    manifest_path(path).write_text(json.dumps(told))
    assert open_fixture(path).manifest.licence == "CC0-1.0"
    path.write_bytes(LINES + b"\n")
    with pytest.raises(InvalidInput, match="SHA-256 differs"):
        open_fixture(path)


@pytest.mark.parametrize("content", ["{", '{"kind":"other"}', '{"shards":5}', "[]"])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    path = written(tmp_path, LINES)
    manifest_path(path).write_text(content)
    with pytest.raises(InvalidInput, match="no manifest"):
        open_fixture(path)


def test_a_pipe_or_a_huge_file_is_no_manifest(tmp_path: Path) -> None:
    path = written(tmp_path, LINES)
    os.mkfifo(manifest_path(path))  # reading it would wait forever
    with pytest.raises(InvalidInput, match="no manifest"):
        open_fixture(path)
    manifest_path(path).unlink()
    with manifest_path(path).open("wb") as huge:
        huge.truncate(1 << 40)
    with pytest.raises(InvalidInput, match="no manifest"):
        open_fixture(path)


def test_the_committed_fixture_is_what_its_manifest_says() -> None:
    path = Path(__file__).parents[1] / "fixtures" / "departures-2013-storm.jsonl.gz"
    fixture = open_fixture(path)
    lines = [line for line in all_lines(bare_blocks(fixture)) if line]
    assert fixture.manifest.counts == {"lines": len(lines), "events": len(lines)}
    times = [json.loads(line)["time"] for line in lines if isinstance(line, bytes)]
    assert fixture.manifest.span == {"first": min(times), "last": max(times)}
    assert times == sorted(times)


# --- recordings


def recorded(**fields: object) -> bytes:
    line = {"shard": "s-0", "sequence_number": "7", "data": base64.b64encode(b"x").decode()}
    return json.dumps({**line, **fields}).encode()


def test_a_recorded_line_is_one_record(tmp_path: Path) -> None:
    time = {"arrival_time": "2013-02-08T12:00:00.5Z", "partition_key": "k"}
    path = written(tmp_path, recorded(sequence_number="9" * 56, **time) + b"\n\n")
    fixture = open_fixture(path)
    assert fixture.kind is FixtureKind.RECORDED
    assert list(recorded_lines(fixture)) == [
        (1, Record("s-0", int("9" * 56), NOON_MS + 500, "k", b"x"))
    ]


def test_hand_made_data_may_be_the_event_itself(tmp_path: Path) -> None:
    path = written(tmp_path, recorded(data={"id": "1"}) + b"\n" + recorded(data=[]))
    found = [record for _, record in recorded_lines(open_fixture(path))]
    assert [record.data for record in found] == [b'{"id": "1"}', b"[]"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", RejectReason.MALFORMED_JSON),
        (b"\xff", RejectReason.MALFORMED_JSON),
        (b'{"shard": "s"}', RejectReason.WRONG_TYPE),
        (recorded(sequence_number="-1"), RejectReason.WRONG_TYPE),
        (recorded(sequence_number=-1), RejectReason.WRONG_TYPE),
        (recorded(sequence_number="1" * 5000), RejectReason.WRONG_TYPE),
        (recorded(arrival_time="yesterday"), RejectReason.WRONG_TYPE),
        (recorded(arrival_time=-(10**18)), RejectReason.WRONG_TYPE),  # closed windows for hours
        (recorded(data="no base64!"), RejectReason.WRONG_TYPE),
        (recorded(data="ä"), RejectReason.WRONG_TYPE),
        (recorded(data=5), RejectReason.WRONG_TYPE),
        (b'{"data":' + b"[" * 100_000, RejectReason.MALFORMED_JSON),
    ],
)
def test_a_line_that_holds_no_record_is_passed_on(
    tmp_path: Path, line: bytes, reason: RejectReason
) -> None:
    path = written(tmp_path, recorded() + b"\n" + line + b"\n" + recorded())
    found = [record for _, record in recorded_lines(open_fixture(path))]
    assert [type(record) for record in found] == [Record, Rejection, Record]
    assert isinstance(found[1], Rejection)
    assert (found[1].reason, found[1].data) == (reason, line)


def test_shards_come_from_the_manifest_or_from_the_lines(tmp_path: Path) -> None:
    path = written(tmp_path, recorded() + b"\n" + recorded(shard="s-1"))
    assert recorded_shards(open_fixture(path)) == ["s-0", "s-1"]
    shards: list[dict[str, object]] = [{"shard_id": "a"}, {"shard_id": "b", "parent_ids": ["gone"]}]
    manifest_path(path).write_text(json.dumps({"shards": shards}))
    assert recorded_shards(open_fixture(path)) == ["a", "b"]
    shards[1]["parent_ids"] = ["a"]
    manifest_path(path).write_text(json.dumps({"shards": shards}))
    with pytest.raises(InvalidInput, match="resharding"):
        recorded_shards(open_fixture(path))
