"""One run of export in a process of its own, as Lambda has it: prints its answer and its memory.

With an argument the windows come from nowhere: so many series of a year, made as they are read.
"""

import json
import os
import resource
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from retrain.export import app
from tests.support.dataset_stores import ARN
from tidegauge.adapters.clock import SystemClock
from tidegauge.adapters.memory_models import MemoryModelLedger
from tidegauge.adapters.s3 import S3ObjectStore
from tidegauge.domain.dataset import Dataset, Exclusion, SeriesIncident, SeriesSpan, StreamHistory
from tidegauge.domain.dataset_rows import WindowColumns
from tidegauge.settings import ExportSettings, read_settings
from tidegauge.steps.export import ExportStep
from tidegauge.steps.export_dataset import ExportRules

SIZE = 300_000
WINDOWS = 365 * 288
START = 1_357_516_800_000
CONTEXT: Any = SimpleNamespace(
    function_name="export", memory_limit_in_mb=1, invoked_function_arn="arn", aws_request_id="r"
)


class SyntheticStore:
    """A stream of some series with a year of windows each; implements `ports.DatasetStore`."""

    def __init__(self, n_series: int) -> None:
        self._n_series = n_series

    def history(self) -> StreamHistory:
        return StreamHistory(ARN, (1,), START + WINDOWS * SIZE)

    def series(self, *_: object) -> list[SeriesSpan]:
        last_ms = START + (WINDOWS - 1) * SIZE
        return [
            SeriesSpan(f"series-{number:04d}", (1,), START, last_ms, START)
            for number in range(self._n_series)
        ]

    def windows(self, series: SeriesSpan, span: Any) -> WindowColumns:
        starts = np.arange(span.from_ms, span.until_ms, SIZE, dtype=np.int64)
        numbers = starts // SIZE
        counts = 40 + numbers % 288 // 8 + (numbers * 2_654_435_761 + int(series.series[-4:])) % 13
        ones, nothing = np.ones_like(starts), np.zeros_like(starts)
        return WindowColumns(starts, ones, ones, counts, nothing, nothing)

    def incidents(self, _: object) -> list[SeriesIncident]:
        return []

    def exclusions(self) -> list[Exclusion]:
        return []

    def latest(self, _: str) -> None:
        return None

    def note(self, _: Dataset) -> None:
        pass


def exported(n_series: int) -> dict[str, Any]:
    """Export what comes from nowhere to the bucket of the environment."""
    (exports,) = read_settings(os.environ, ExportSettings)
    rules = ExportRules(exports.folder_uri, size_ms=SIZE, enough_windows=288)
    ledger = MemoryModelLedger(SystemClock())
    outcome = ExportStep(SyntheticStore(n_series), ledger, S3ObjectStore(), rules).run()
    return {"exported": outcome.exported, "manifest": outcome.manifest_uri}


def peak_mb() -> float:
    """Return the most memory that this program had, MB.

    What getrusage tells on Linux is that of the process, begun as a copy of whoever started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


if __name__ == "__main__":
    answer = exported(int(sys.argv[1])) if sys.argv[1:] else app.handler({"force": True}, CONTEXT)
    sys.stderr.write(json.dumps({**answer, "peak_mb": peak_mb()}))
