"""Validation rows: the very file that the manifest tells of, or none."""

import math
from hashlib import sha256

import pytest

from tests.support.deploy_world import DeployWorld
from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.manifest import DataFile, Manifest
from tidegauge.domain.validation import ValidationRows, mean_absolute_error, parts_of, read_rows


def manifest_of(data: bytes, *, rows: int) -> Manifest:
    """Return a manifest of one feature whose validation file holds some bytes."""
    from msgspec.structs import replace

    world = DeployWorld()
    uri = world.dataset("job-1")
    told = world.objects.read(uri, max_bytes=10_000)
    assert told is not None
    file = DataFile("validation.csv", rows, len(data), sha256(data).hexdigest())
    return replace(Manifest.from_json(told), validation=file)


def test_labels_and_rows_are_told_apart() -> None:
    data = b"1.5,2\n-0.25,1e-3\n"
    assert read_rows(data, manifest_of(data, rows=2)) == ValidationRows(
        (1.5, -0.25), ((2.0,), (0.001,))
    )


@pytest.mark.parametrize(
    ("data", "rows", "words"),
    [
        (b"1,2\n", 2, "has 1 rows, not 2"),
        (b"1,2\n3\n", 2, "line 2 of validation.csv is not 2 numbers"),
        (b"1,2,3\n", 1, "line 1"),
        (b"1,x\n", 1, "line 1"),
        (b"1,nan\n", 1, "line 1"),
        (b"\xff,1\n", 1, "line 1"),
    ],
)
def test_lines_that_are_no_rows_are_refused(data: bytes, rows: int, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        read_rows(data, manifest_of(data, rows=rows))


def test_another_file_is_refused() -> None:
    with pytest.raises(InvalidInput, match="its SHA-256 differs"):
        read_rows(b"1,3\n", manifest_of(b"1,2\n", rows=1))


def test_parts_hold_every_row_in_order() -> None:
    rows = ValidationRows((0.0,) * 5, tuple((float(row), 0.0) for row in range(5)))
    parts = [list(part) for part in parts_of(rows, max_values=5)]
    assert [len(part) for part in parts] == [2, 2, 1]
    assert [row for part in parts for row in part] == list(rows.rows)
    assert [len(part) for part in parts_of(rows, max_values=1)] == [1] * 5
    assert list(parts_of(ValidationRows((), ()), max_values=5)) == []


def test_one_answer_that_is_no_number_spoils_the_error() -> None:
    assert mean_absolute_error([1.0, 2.0], [2.0, 0.0]) == 1.5
    assert math.isnan(mean_absolute_error([1.0, 2.0], [1.0, math.nan]))
    assert math.isnan(mean_absolute_error([], []))
