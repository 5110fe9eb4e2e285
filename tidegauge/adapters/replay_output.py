"""Result files of a replay: windows as CSV, alerts and quarantine as JSON lines.

A result that exists is a whole one. The same results give the same bytes.
"""

import base64
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tidegauge.adapters.whole_file import WholeFile, is_replaceable, whole_file
from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.event import RejectReason
from tidegauge.domain.event_time import format_time

if TYPE_CHECKING:
    from tidegauge.domain.prediction import Prediction  # brings numpy, which counting needs not

WINDOW_COLUMNS = (
    "series",
    "window_start",
    "window_end",
    "count",
    "revision",
    "late",
    "quality",
    "expected",
    "lower",
    "upper",
    "verdict",
)
NOT_JUDGED = "NOT_JUDGED"
_QUOTED = frozenset('",\r\n')


class OutputPaths(msgspec.Struct, frozen=True):
    """Where results go; None for nowhere."""

    windows: Path | None = None
    alerts: Path | None = None
    quarantine: Path | None = None

    def given(self) -> list[Path]:
        """Return the paths that are set."""
        return [path for path in (self.windows, self.alerts, self.quarantine) if path is not None]


class ReplayFiles:
    """The open result files; a file that is None takes nothing.

    Args:
        size_ms: Window length.
    """

    def __init__(
        self,
        windows: WholeFile | None,
        alerts: WholeFile | None,
        quarantine: WholeFile | None,
        *,
        size_ms: int,
    ) -> None:
        self._windows = windows
        self._alerts = alerts
        self._quarantine = quarantine
        self._size_ms = size_ms
        if windows is not None:
            windows.write(",".join(WINDOW_COLUMNS).encode() + b"\n")

    def window(self, row: CompletedWindow, prediction: "Prediction | None") -> None:
        """Write one window; the expected count only where there is a verdict."""
        if self._windows is None:
            return
        verdict = NOT_JUDGED if prediction is None else prediction.verdict.value
        bounds: tuple[float | None, ...] = (None, None, None)
        if prediction is not None and verdict != NOT_JUDGED:
            bounds = (prediction.expected, prediction.lower, prediction.upper)
        fields = (
            csv_field(row.series),
            format_time(row.window_start_ms),
            format_time(row.window_start_ms + self._size_ms),
            str(row.count),
            str(row.revision),
            str(row.late),
            row.quality,
            *("" if bound is None else f"{bound:.3f}" for bound in bounds),
            verdict,
        )
        self._windows.write(",".join(fields).encode() + b"\n")

    def alert(self, payload: bytes) -> None:
        """Write one alert, JSON without line breaks."""
        if self._alerts is not None:
            self._alerts.write(payload + b"\n")

    def set_aside(
        self,
        line: int,
        shard_id: str,
        sequence_number: int | None,
        reason: RejectReason,
        data: bytes,
    ) -> None:
        """Write one quarantined thing; `text` where its bytes are UTF-8, else `base64`."""
        if self._quarantine is None:
            return
        told: dict[str, object] = {
            "line": line,
            "shard": shard_id,
            "sequence_number": None if sequence_number is None else str(sequence_number),
            "reason": reason,
        }
        try:
            told["text"] = data.decode()
        except UnicodeDecodeError:
            told["base64"] = base64.b64encode(data).decode()
        self._quarantine.write(msgspec.json.encode(told) + b"\n")


def csv_field(text: str) -> str:
    """Return a field as RFC 4180 writes it: quoted only where it must be.

    >>> csv_field('a "b", c')
    '"a ""b"", c"'
    """
    # Python's csv module leaves a lone carriage return unquoted in some versions.
    if text and _QUOTED.isdisjoint(text) and text == text.strip(" "):
        return text
    return '"' + text.replace('"', '""') + '"'


@contextmanager
def replay_files(
    paths: OutputPaths, *, inputs: tuple[Path, ...], size_ms: int
) -> Iterator[ReplayFiles]:
    """Open the result files; rename them into place when the block ends well, else remove them.

    Args:
        paths: Where results go.
        inputs: Files that must not be overwritten.
        size_ms: Window length.

    Raises:
        InvalidInput: a place cannot be written, is an input, or is given twice.
    """
    _check(paths, inputs)
    with ExitStack() as stack:
        opened = [
            None if path is None else stack.enter_context(whole_file(path))
            for path in (paths.windows, paths.alerts, paths.quarantine)
        ]
        yield ReplayFiles(*opened, size_ms=size_ms)


def _check(paths: OutputPaths, inputs: tuple[Path, ...]) -> None:
    seen = {path.resolve() for path in inputs}
    for path in paths.given():
        real = path.resolve()
        if real in seen:
            msg = f"{path} would overwrite an input or another output; give it another name"
            raise InvalidInput(msg)
        if not is_replaceable(path):
            continue  # /dev/null may be given twice
        seen.add(real)
