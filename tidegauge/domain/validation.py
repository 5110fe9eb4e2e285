"""Validation rows: what models are asked to be weighed by, and the error of their answers.

Takes the validation file of a dataset, gives labels and rows of features; takes scores, gives their
mean absolute error on the label's scale.
"""

import math
from collections.abc import Iterator, Sequence
from hashlib import sha256

import msgspec

from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.manifest import Manifest


class ValidationRows(msgspec.Struct, frozen=True):
    """Labels and their rows of features, in the order of the file."""

    labels: tuple[float, ...]
    rows: tuple[tuple[float, ...], ...]


def read_rows(data: bytes, manifest: Manifest) -> ValidationRows:
    """Read a validation file: CSV, label first, no header.

    Raises:
        InvalidInput: it is not the file that the manifest tells of, or its lines are no such rows.
    """
    told = manifest.validation
    if sha256(data).hexdigest() != told.sha256:
        msg = f"{told.name} is not the file that the manifest tells of: its SHA-256 differs"
        raise InvalidInput(msg)
    lines = [_numbers(line) for line in data.splitlines()]
    if len(lines) != told.rows:
        msg = f"{told.name} has {len(lines)} rows, not {told.rows} as the manifest says"
        raise InvalidInput(msg)
    n_columns = 1 + len(manifest.feature_names)
    for number, line in enumerate(lines, start=1):
        if len(line) != n_columns or not all(map(math.isfinite, line)):
            msg = f"line {number} of {told.name} is not {n_columns} numbers"
            raise InvalidInput(msg)
    return ValidationRows(tuple(line[0] for line in lines), tuple(line[1:] for line in lines))


def parts_of(rows: ValidationRows, *, max_values: int) -> Iterator[Sequence[Sequence[float]]]:
    """Yield the rows of features in parts of so many numbers at most, at least a row each."""
    if not rows.rows:
        return
    at_once = max(1, max_values // max(1, len(rows.rows[0])))
    for first in range(0, len(rows.rows), at_once):
        yield rows.rows[first : first + at_once]


def mean_absolute_error(labels: Sequence[float], scores: Sequence[float]) -> float:
    """Return the mean absolute error of scores; NaN if one of them is.

    >>> mean_absolute_error([1.0, 2.0], [1.5, 1.5])
    0.5
    """
    differences = [abs(label - score) for label, score in zip(labels, scores, strict=True)]
    return math.fsum(differences) / len(differences) if differences else math.nan


def _numbers(line: bytes) -> tuple[float, ...]:
    try:
        return tuple(float(field) for field in line.split(b","))
    except ValueError:
        return ()
