"""The export step: from the completed windows of a stream to a dataset that a model can be made of.

Decides whether a dataset is due, lets it be made of the windows of the last year, and stores counts
for people, rows for training and validation, a data card, and last the manifest.
"""

import hashlib
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from tidegauge.domain.dataset import (
    Dataset,
    StreamHistory,
    dataset_name,
    history_until_ms,
    span_of,
    start_ms,
    why_not_due,
    why_not_enough,
)
from tidegauge.domain.event_time import format_time
from tidegauge.domain.manifest import FILE_NAME, Manifest
from tidegauge.domain.model_record import ModelState
from tidegauge.ports import ModelLedger, ObjectStore
from tidegauge.ports.dataset import DatasetStore, StepSpan
from tidegauge.steps.export_dataset import Exporting, ExportRules, Told

LOCK: Final = "export"
_CSV: Final = "text/csv"
_JSON: Final = "application/json"


class ExportOutcome(msgspec.Struct, frozen=True):
    """What a run did.

    Attributes:
        reason: Why there is no new dataset; empty where there is one.
        dataset_id: Its name.
        manifest_uri: Where its manifest is.
        manifest: What it says.
        windows: How many windows were exported.
        excluded_windows: How many of those gave no row for a reason that the data card names.
    """

    reason: str = ""
    dataset_id: str = ""
    manifest_uri: str = ""
    manifest: Manifest | None = None
    windows: int = 0
    excluded_windows: int = 0

    @property
    def exported(self) -> bool:
        """Whether there is a new dataset."""
        return self.manifest is not None


class ExportStep:
    """Exports one stream; holds nothing between runs.

    Args:
        store: Windows in, datasets noted.
        ledger: What became of the last dataset's model; lets one export run at a time.
        objects: Where datasets go.
        rules: The settings.
    """

    def __init__(
        self, store: DatasetStore, ledger: ModelLedger, objects: ObjectStore, rules: ExportRules
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._objects = objects
        self._rules = rules

    def run(self, *, force: bool = False, told: Told = lambda _done, _all: None) -> ExportOutcome:
        """Export a dataset if one is due.

        Args:
            force: Whether it is wanted all the same, as far as there is enough history.
            told: Hears how far it is.

        Raises:
            Transient: The database or the objects' store ask for another try; unless the manifest
                was written, nothing has begun.
            Misconfigured: They are not what the settings say.
        """
        with self._ledger.only_one(LOCK) as alone:
            if not alone:
                return ExportOutcome("another export is running")
            history = self._store.history()
            if history is None:
                return ExportOutcome("too little history: no window of the stream is closed")
            return self._run(history, force=force, told=told)

    def _run(self, history: StreamHistory, *, force: bool, told: Told) -> ExportOutcome:
        size_ms = self._rules.size_ms
        until_ms = history_until_ms(history.next_window_ms, size_ms=size_ms)
        series = self._store.series(
            history.generations, StepSpan(start_ms(until_ms), until_ms, until_ms)
        )
        trusted = [one.trusted_ms for one in series if one.trusted_ms is not None]
        if not trusted:
            before = format_time(until_ms)
            return ExportOutcome(f"too little history: no count before {before} can be trusted")
        span = span_of(min(trusted), until_ms, size_ms=size_ms)
        reason = why_not_enough(span)
        if reason is None and not force:
            latest = self._store.latest(history.stream_arn)
            reason = why_not_due(span, latest, self._became_of(latest))
        if reason is not None:
            return ExportOutcome(reason)
        with tempfile.TemporaryDirectory(prefix="tidegauge-export-") as folder:
            exporting = Exporting(self._store, self._rules, history, series, span, Path(folder))
            made = exporting.run(told)
            if made is None:
                return ExportOutcome("too little history: no row to train or to validate with yet")
            return self._publish(exporting, made)

    def _became_of(self, latest: Dataset | None) -> ModelState | None:
        """Return the state of the last model that was trained on a dataset."""
        if latest is None:
            return None
        records = (model.record for model in self._ledger.all())
        return next((one.state for one in records if one.manifest_uri == latest.manifest_uri), None)

    def _publish(self, exporting: Exporting, manifest: Manifest) -> ExportOutcome:
        """Store the files, last the manifest, and note the dataset."""
        written = manifest.to_json()
        name = dataset_name(manifest.until_ms, hashlib.sha256(written).hexdigest())
        folder_uri = f"{self._rules.folder_uri}/{name}"
        for file, content_type in (
            (manifest.train, _CSV),
            (manifest.validation, _CSV),
            (manifest.counts, "application/gzip"),
            (manifest.data_card, _JSON),
        ):
            self._objects.upload(
                f"{folder_uri}/{file.name}", exporting.folder / file.name, content_type=content_type
            )
        manifest_uri = f"{folder_uri}/{FILE_NAME}"
        self._objects.put(manifest_uri, written, content_type=_JSON)
        # Behind the manifest: a dataset that is noted and has none would hold back the next one.
        span = exporting.span
        self._store.note(
            Dataset(manifest_uri, manifest.stream_arn, exporting.first_ms, span.until_ms)
        )
        return ExportOutcome(
            dataset_id=name,
            manifest_uri=manifest_uri,
            manifest=manifest,
            windows=manifest.counts.rows,
            excluded_windows=exporting.n_excluded,
        )
