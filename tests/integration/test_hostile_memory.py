"""Memory under hostile data: so many bytes of it may cost so much and no more."""

import gzip
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from tests.support.events import NOON_MS, event_json
from tidegauge.domain.decode import SeriesBy, decode
from tidegauge.domain.offered import offered_in

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MB = 1024 * 1024
# A slice of a batch takes 56 bytes and its place in a list; of two bytes a slice, `1,`, it is 53.
TIMES_THE_RECORD = 64
RECORD_BYTES = 100_000


def repeated(head: bytes, piece: bytes, tail: bytes) -> bytes:
    return head + piece * ((RECORD_BYTES - len(head) - len(tail)) // len(piece)) + tail


@pytest.mark.parametrize(
    "data",
    [
        repeated(b"[", b"1,", b"1]"),
        repeated(b"[", b"[],", b"1]"),
        repeated(b"", b"1\n", b"1"),
        repeated(b"1", b"\n", b"1"),
        repeated(b'{"a":[', b"{},", b"1]}"),
        repeated(b'{"a":[', b'"[",', b"1]}"),
        repeated(b'{"a":["\\ud800",', b"[],", b"1]}"),
        repeated(b'{"a":[', b"[],", b"1]"),
        repeated(b"", b"[", b""),
    ],
    ids=[
        "numbers", "arrays", "lines", "blank lines", "objects", "texts", "lone surrogate",
        "broken", "deep",
    ],
)  # fmt: skip
def test_a_record_costs_a_bounded_multiple_of_its_bytes(data: bytes) -> None:
    series_by = SeriesBy(("type", "data.country"))
    for read in (decode, lambda data, series_by: offered_in(1, data, series_by)):
        tracemalloc.start()
        try:
            read(data, series_by)
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak_bytes < TIMES_THE_RECORD * RECORD_BYTES


READ_IT = """
import os, resource, sys
from pathlib import Path
from tidegauge.adapters.fixtures import bare_blocks, open_fixture
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * os.sysconf("SC_PAGE_SIZE") + 64 * 1024 * 1024
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
fixture = open_fixture(Path(sys.argv[1]))
print(sum(len(block.lines) for block in bare_blocks(fixture)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to its memory")
@pytest.mark.parametrize("packing", ["gzip", "zstd"])
@pytest.mark.parametrize(("filling", "copies", "lines"), [(b"\0", 24, 2), (b"\n", 4, 2 + 32 * MB)])
def test_a_file_that_unpacks_to_hundreds_of_megabytes_is_read_within_64(
    tmp_path: Path, packing: str, filling: bytes, copies: int, lines: int
) -> None:
    pack = gzip.compress if packing == "gzip" else zstd.compress
    path = tmp_path / "bomb"
    first = pack(event_json("1", NOON_MS) + b"\n")
    path.write_bytes(first + pack(filling * (8 * MB)) * copies + pack(b"x"))
    command = [sys.executable, "-c", READ_IT, str(path)]
    read = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert (read.returncode, read.stdout) == (0, f"{lines}\n"), read.stderr
