"""The files of a dataset while they are written: in a folder of this machine, row by row."""

import csv
import gzip
import hashlib
import io
import math
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from tidegauge.domain.dataset import Kind
from tidegauge.domain.dataset_rows import QUALITIES, Rows, WindowColumns
from tidegauge.domain.dataset_sample import Sample, row_hashes
from tidegauge.domain.manifest import DataFile
from tidegauge.domain.prediction import seasonal_scores

COUNTS_HEADER: Final = "series,window_start,window_end,count,revision,late,quality,excluded\n"

# Twice as fast as the usual level, for a tenth more bytes.
_GZIP_LEVEL: Final = 3
_QUALITY_NAMES: Final = tuple(quality.value for quality in QUALITIES)


class CountsFile:
    """All windows, for people: compressed CSV with a header.

    Args:
        path: The file.
        size_ms: Window length.
    """

    def __init__(self, path: Path, *, size_ms: int) -> None:
        self._size_ms = size_ms
        self._raw = path.open("wb")
        # Neither a name nor a time: the same windows give the same bytes.
        self._file = gzip.GzipFile(
            filename="", mode="wb", fileobj=self._raw, compresslevel=_GZIP_LEVEL, mtime=0
        )
        self._file.write(COUNTS_HEADER.encode())
        self.n_rows = 0

    def write(self, series: str, columns: WindowColumns, left_out: Sequence[Kind | None]) -> None:
        """Write windows of a series, with what each is left out for."""
        name = _csv_field(series)
        ends_ms = columns.window_start_ms + self._size_ms
        lines = [
            f"{name},{start},{end},{count},{revision},{late},{_QUALITY_NAMES[quality]},{kind or ''}"
            for start, end, count, revision, late, quality, kind in zip(
                _times(columns.window_start_ms),
                _times(ends_ms),
                columns.count.tolist(),
                columns.revision.tolist(),
                columns.late.tolist(),
                columns.quality.tolist(),
                left_out,
                strict=True,
            )
        ]
        lines.append("")
        self._file.write("\n".join(lines).encode())
        self.n_rows += len(columns)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._raw:
            self._file.close()


class RowsFile:
    """Rows for a model, label first: gathered as they come, thinned and shuffled as they go out.

    Args:
        spool: A file for what may go out.
        limit: How many rows go out at most.
    """

    def __init__(self, spool: Path, *, limit: int) -> None:
        self._spool = spool.open("w+b")
        self._sample = Sample(limit)

    @property
    def n_offered(self) -> int:
        """How many rows there were."""
        return self._sample.n_offered

    def offer(self, number: int, series: str, rows: Rows, part: NDArray[np.bool_]) -> None:
        """Take rows of a series, those of them that may still go out.

        Args:
            number: Names the series again.
            series: The series.
            rows: Some rows.
            part: Which of them are meant, (n,).
        """
        hashes = row_hashes(series, rows.window_start_ms)
        chosen = part.copy()
        chosen[part] = self._sample.may_stay(hashes[part])
        if not chosen.any():
            return
        place = self._spool.tell()
        places = []
        for values in rows.take(chosen).tolist():
            places.append((place, number))
            place += self._spool.write((",".join(map(repr, values)) + "\n").encode())
        self._sample.add(hashes[chosen], np.array(places, dtype=np.int64))

    def write(self, path: Path) -> list[int]:
        """Write what goes out; return the number of each row's series."""
        chosen = self._sample.chosen().tolist()
        with path.open("wb") as file:
            for place, _ in chosen:
                self._spool.seek(place)
                file.write(self._spool.readline())
        return [number for _, number in chosen]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._spool.close()


def seasonal_error(path: Path) -> float:
    """Return the seasonal baseline's mean absolute error on a file's rows, on the label's scale."""
    errors = []
    with path.open(encoding="ascii") as file:
        for line in file:
            label, *features = map(float, line.split(","))
            errors.append(abs(label - seasonal_scores([features])[0]))
    return math.fsum(errors) / len(errors)


def described(path: Path, *, rows: int) -> DataFile:
    """Return what the manifest says of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return DataFile(path.name, rows, path.stat().st_size, digest.hexdigest())


def _times(moments_ms: NDArray[np.int64]) -> list[str]:
    """Return times as RFC 3339; windows are whole seconds."""
    moments = (moments_ms // 1000).astype("datetime64[s]")
    texts: list[str] = np.datetime_as_string(moments, timezone="UTC").tolist()
    return texts


def _csv_field(text: str) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow([text])
    return written.getvalue()
