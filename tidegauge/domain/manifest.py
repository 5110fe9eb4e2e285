"""The manifest of a dataset: written last, it says that all the rest is there and what it is.

An export gives it; training and deploying take it. It holds no time of writing, so the same windows
give the same bytes.
"""

import re
from typing import Final, Self

import msgspec

from tidegauge.domain.errors import InvalidInput, Rejected
from tidegauge.domain.event_time import parse_time_ms

FORMAT: Final = "tidegauge-dataset/1"
FILE_NAME: Final = "manifest.json"
"""A dataset is a folder; the arrival of this file in it starts a training."""

MAX_BYTES: Final = 1024 * 1024

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class DataFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of the dataset's folder.

    Attributes:
        name: Below the folder, without one of its own.
        rows: Lines with data, a header not counted.
        size_bytes: As stored.
        sha256: Of its bytes, hexadecimal.
    """

    name: str
    rows: int
    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a dataset holds.

    Attributes:
        format: `FORMAT`; another one is another kind of file.
        stream_arn: The stream whose windows these are.
        start: Start of its first window, RFC 3339.
        until: End of its last window.
        split: Start of the first window of the validation file.
        window_seconds: Window length.
        series: How many series gave rows.
        feature_names: The columns behind the label, in order.
        train: CSV, label first, no header.
        validation: The same for the time behind `split`.
        counts: All windows, for people: CSV with a header.
        data_card: What the dataset is made of, JSON.
        baseline: Version of the baseline that was asked about the validation rows.
        baseline_error: Its mean absolute error on them, on the label's scale: `stabilise(count)`.
    """

    format: str
    stream_arn: str
    start: str
    until: str
    split: str
    window_seconds: int
    series: int
    feature_names: tuple[str, ...]
    train: DataFile
    validation: DataFile
    counts: DataFile
    data_card: DataFile
    baseline: str
    baseline_error: float

    @property
    def start_ms(self) -> int:
        """Start of the first window, ms since the epoch."""
        return parse_time_ms(self.start)

    @property
    def split_ms(self) -> int:
        """Start of the first window of the validation file."""
        return parse_time_ms(self.split)

    @property
    def until_ms(self) -> int:
        """End of the last window, ms since the epoch."""
        return parse_time_ms(self.until)

    def to_json(self) -> bytes:
        """Return the manifest as JSON; the same manifest, the same bytes."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read a manifest and check it.

        Raises:
            InvalidInput: It is no manifest of this format, or its parts cannot be.
        """
        if len(data) > MAX_BYTES:
            msg = f"a manifest has at most {MAX_BYTES} bytes, not {len(data)}"
            raise InvalidInput(msg)
        try:
            manifest = msgspec.json.decode(data, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            msg = f"this is no manifest of a dataset: {error}"
            raise InvalidInput(msg) from error
        problems = _problems_of(manifest)
        if problems:
            msg = f"this manifest cannot be used: {'; '.join(problems)}"
            raise InvalidInput(msg)
        return manifest


def beside(uri: str, name: str) -> str:
    """Return the address of a file in the same folder, such as one that a manifest names.

    >>> beside("s3://exports/exports/x/train.csv", "manifest.json")
    's3://exports/exports/x/manifest.json'
    """
    return f"{uri.rpartition('/')[0]}/{name}"


def _problems_of(manifest: Manifest) -> list[str]:
    if manifest.format != FORMAT:
        return [f"its format is {manifest.format!r}, not {FORMAT!r}"]
    problems = []
    files = (manifest.train, manifest.validation, manifest.counts, manifest.data_card)
    for file in files:
        if not _FILE_NAME.fullmatch(file.name) or not _SHA256.fullmatch(file.sha256):
            problems.append(f"{file.name!r} is no file name, or its sha256 is none")
        if min(file.rows, file.size_bytes) < 0:
            problems.append(f"{file.name} has fewer than no rows or bytes")
    if min(manifest.train.rows, manifest.validation.rows) < 1:
        problems.append("there is nothing to train or to validate with")
    if not manifest.feature_names:
        problems.append("it names no features")
    if not 0.0 <= manifest.baseline_error < float("inf"):
        problems.append(f"its baseline error is {manifest.baseline_error}")
    try:
        start, split, until = (
            parse_time_ms(text) for text in (manifest.start, manifest.split, manifest.until)
        )
    except Rejected:
        problems.append("one of its times is none")
    else:
        if not start <= split < until:
            problems.append("its times are not in order")
    return problems
