"""Exports in memory: a stream's history, an export of it, and what lies in the dataset's folder."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable
from typing import Any

from tests.support.dataset_stores import ARN, completed
from tidegauge.adapters.memory_dataset import MemoryDatasetStore
from tidegauge.adapters.memory_models import MemoryModelLedger
from tidegauge.adapters.memory_objects import MemoryObjectStore
from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.manifest import Manifest
from tidegauge.steps.export import ExportOutcome, ExportStep
from tidegauge.steps.export_dataset import ExportRules

SIZE = 300_000
HOUR = 12 * SIZE
DAY = 24 * HOUR
START = 1_357_516_800_000  # 2013-01-07, a Monday, 00:00 UTC
FOLDER = "s3://exports/exports"


class TickingClock:
    """Each look is a millisecond later."""

    def __init__(self) -> None:
        self._now_ms = START

    def now_ms(self) -> int:
        self._now_ms += 1
        return self._now_ms


def count_at(window_start_ms: int) -> int:
    """Return a count with a day, a week and some noise."""
    hour = window_start_ms // HOUR % 24
    noise = (window_start_ms // SIZE * 2_654_435_761) % 2**32 % 7
    return 20 + 3 * abs(12 - hour) + noise


def days_of(
    days: float,
    *,
    generation: int = 1,
    series: str = "a",
    from_ms: int = START,
    count: Callable[[int], int] = count_at,
) -> Iterable[CompletedWindow]:
    """Yield a series' windows over some days."""
    for start_ms in range(from_ms, from_ms + round(days * DAY), SIZE):
        yield completed(generation, series, start_ms, count(start_ms))


class Exported:
    """A stream of one generation in memory, and the step that exports it."""

    def __init__(self, **rules: Any) -> None:
        self.clock = TickingClock()
        self.store = MemoryDatasetStore(ARN, self.clock)
        self.ledger = MemoryModelLedger(self.clock)
        self.objects = MemoryObjectStore("exports", clock=self.clock)
        self.rules = ExportRules(
            **{"folder_uri": FOLDER, "size_ms": SIZE, "enough_windows": 288, **rules}
        )

    def closed(self, days: float, *, generation: int = 1) -> None:
        """Let the stream be closed so many days from its start."""
        self.store.close(generation, START + round(days * DAY))

    def run(self, *, force: bool = False) -> ExportOutcome:
        """Export if it is due."""
        step = ExportStep(self.store, self.ledger, self.objects, self.rules)
        return step.run(force=force)

    def forced(self) -> Manifest:
        """Export, and return the manifest as it was stored."""
        outcome = self.run(force=True)
        assert outcome.exported, outcome.reason
        stored = self.objects.read(outcome.manifest_uri, max_bytes=10**6)
        assert stored is not None
        manifest = Manifest.from_json(stored)
        assert manifest == outcome.manifest
        return manifest

    def bytes_of(self, name: str) -> bytes:
        """Return a file of the folder that the last manifest lies in."""
        manifest_uri = self.objects.uris()[-1]
        assert manifest_uri.endswith("/manifest.json")
        data = self.objects.read(manifest_uri.removesuffix("manifest.json") + name, max_bytes=10**9)
        assert data is not None
        return data

    def counts(self) -> list[dict[str, str]]:
        """Return the rows of the counts file by their columns."""
        text = gzip.decompress(self.bytes_of("counts.csv.gz")).decode()
        return list(csv.DictReader(io.StringIO(text, newline="")))

    def rows(self, name: str) -> list[list[float]]:
        """Return the rows of the training or validation file."""
        lines = self.bytes_of(f"{name}.csv").decode("ascii").splitlines()
        return [list(map(float, line.split(","))) for line in lines]

    def card(self) -> dict[str, Any]:
        """Return the data card."""
        told: dict[str, Any] = json.loads(self.bytes_of("data_card.json"))
        return told
