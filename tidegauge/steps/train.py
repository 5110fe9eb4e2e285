"""The training step: a dataset's manifest has arrived; its training job is started, once.

The event that brings the manifest here is a doorbell. What is there, when it was stored and what
became of it already is asked of the objects, the ledger and the jobs, so an event that comes twice,
late or out of order does no harm, and one that is sent by hand does what S3's would.
"""

from enum import StrEnum
from itertools import islice

import msgspec

from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.event_time import format_time
from tidegauge.domain.feature_names import FEATURE_NAMES
from tidegauge.domain.manifest import MAX_BYTES, Manifest, beside
from tidegauge.domain.model_record import ModelRecord, ModelState, Parameter
from tidegauge.domain.training import (
    MAX_ATTEMPTS,
    TrainingRules,
    job_name,
    plan_job,
    unfit_because,
)
from tidegauge.domain.training_job import BROKEN_OFF, TrainingJob
from tidegauge.ports import ModelChange, ModelLedger, ObjectInfo, ObjectStore, TrainingJobs

MAX_CANDIDATES = 100
"""How many jobs are looked at in search of a predecessor; then the defaults are taken."""

_TRAINED = frozenset(ModelState) - {ModelState.FAILED}


class TrainDecision(StrEnum):
    """What was done about a manifest."""

    STARTED = "started"
    KNOWN = "known"  # its job was started before, or is being started by another run
    PASSED_BY = "passed_by"  # a newer dataset was trained on already
    REFUSED = "refused"  # nothing can be trained on it, however often it comes


class PassedOver(msgspec.Struct, frozen=True):
    """A job that might have been the predecessor, and why it is not."""

    job: str
    reason: str


class TrainOutcome(msgspec.Struct, frozen=True):
    """What one manifest came to.

    Attributes:
        decision: What was done.
        manifest_uri: The manifest.
        reason: Why, in words.
        job: The job that was started, or is known; empty if there is none.
        predecessor: The job that was copied; empty for the defaults.
        parameters: All that the job was started with; empty if none was.
        passed_over: Jobs that were looked at for a predecessor and not taken.
    """

    decision: TrainDecision
    manifest_uri: str
    reason: str
    job: str = ""
    predecessor: str = ""
    parameters: tuple[Parameter, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()


class _Dataset(msgspec.Struct, frozen=True):
    """A manifest that can be trained on, as it lies in the store."""

    uri: str
    manifest: Manifest
    stored: ObjectInfo

    @property
    def trigger(self) -> str:
        """When the manifest was stored, so that the order of texts is that of times.

        An event that comes again finds the same; a manifest that is stored again asks anew.
        """
        return f"{self.stored.modified_ms:015d}"


class TrainStep:
    """Starts training jobs for datasets; raises Transient and Misconfigured as its ports do.

    Args:
        objects: Where datasets lie.
        jobs: The service that trains.
        ledger: What became of every model.
        rules: What jobs are started with.
        endpoint: The endpoint that the models are meant for.
    """

    def __init__(
        self,
        objects: ObjectStore,
        jobs: TrainingJobs,
        ledger: ModelLedger,
        rules: TrainingRules,
        *,
        endpoint: str,
    ) -> None:
        self._objects = objects
        self._jobs = jobs
        self._ledger = ledger
        self._rules = rules
        self._endpoint = endpoint

    def run(self, manifest_uri: str) -> TrainOutcome:
        """Start the job for a manifest unless that was done, or cannot or need not be done.

        Args:
            manifest_uri: A manifest that has been stored, perhaps long ago.
        """
        try:
            dataset = self._dataset(manifest_uri)
        except InvalidInput as error:
            return TrainOutcome(TrainDecision.REFUSED, manifest_uri, str(error))
        attempts, last = self._attempts(dataset)
        job = self._jobs.describe(last.version) if last and _is_training(last) else None
        unstarted = last if last and _is_training(last) and job is None else None
        if last is not None and unstarted is None:
            failed = last.state is ModelState.FAILED or (job and job.status in BROKEN_OFF)
            if not failed or last.trigger >= dataset.trigger:
                reason = "it failed" if failed else f"it is {last.state.value}"
                return TrainOutcome(TrainDecision.KNOWN, manifest_uri, reason, last.version)
            if attempts == MAX_ATTEMPTS:
                reason = f"each of its {MAX_ATTEMPTS} attempts failed; export the windows anew"
                return TrainOutcome(TrainDecision.REFUSED, manifest_uri, reason, last.version)
        newer = self._newer_than(dataset)
        if newer is not None:
            until = format_time(newer.until_ms)
            reason = f"{newer.version} is made of windows until {until}"
            return TrainOutcome(TrainDecision.PASSED_BY, manifest_uri, reason, newer.version)
        version = unstarted.version if unstarted else self._name(dataset, attempts + 1)
        return self._begin(dataset, version, noted=unstarted)

    def _dataset(self, uri: str) -> _Dataset:
        """Read a manifest, and look whether its files are there. Raises InvalidInput if not."""
        info = self._objects.look(uri)
        data = self._objects.read(uri, max_bytes=MAX_BYTES) if info else None
        if info is None or data is None:
            msg = "it is not there any more"
            raise InvalidInput(msg)
        manifest = Manifest.from_json(data)
        if manifest.feature_names != FEATURE_NAMES:
            msg = "its features are not those that this version judges by; export the windows anew"
            raise InvalidInput(msg)
        for file in (manifest.train, manifest.validation, manifest.counts, manifest.data_card):
            stored = self._objects.look(beside(uri, file.name))
            if stored is None or stored.size_bytes != file.size_bytes:
                found = f"has {stored.size_bytes} bytes" if stored else "is not there"
                msg = f"{file.name} {found}, and should have {file.size_bytes} bytes"
                raise InvalidInput(msg)
        return _Dataset(uri, manifest, info)

    def _name(self, dataset: _Dataset, attempt: int) -> str:
        return job_name(
            self._rules.job_prefix,
            until_ms=dataset.manifest.until_ms,
            manifest_uri=dataset.uri,
            etag=dataset.stored.etag,
            attempt=attempt,
        )

    def _attempts(self, dataset: _Dataset) -> tuple[int, ModelRecord | None]:
        """Return how often a dataset was tried, and the last attempt's record."""
        last = None
        for attempt in range(1, MAX_ATTEMPTS + 1):
            stored = self._ledger.get(self._name(dataset, attempt))
            if stored is None:
                return attempt - 1, last
            last = stored.record
        return MAX_ATTEMPTS, last

    def _newer_than(self, dataset: _Dataset) -> ModelRecord | None:
        """Return the model of the latest history, if that ends behind the dataset's."""
        known = [stored.record for stored in self._ledger.all(*_TRAINED)]
        newest = max(known, key=lambda record: record.until_ms, default=None)
        if newest is None or newest.until_ms <= dataset.manifest.until_ms:
            return None
        return newest

    def _begin(
        self, dataset: _Dataset, version: str, *, noted: ModelRecord | None = None
    ) -> TrainOutcome:
        """Note a model, then start its job: whoever sees the job finds its record.

        Args:
            dataset: What it is trained on.
            version: Its job's name.
            noted: Its record, where a run before this one noted it and came no further. That one
                may be at work still, so what it had copied from is copied from again.
        """
        predecessor = (
            self._jobs.describe(noted.predecessor) if noted and noted.predecessor else None
        )
        passed_over: tuple[PassedOver, ...] = ()
        if predecessor is None and (noted is None or noted.predecessor):
            predecessor, passed_over = self._predecessor()
        planned = plan_job(
            dataset.manifest, dataset.uri, rules=self._rules, predecessor=predecessor
        )
        record = ModelRecord(
            version=version,
            endpoint=self._endpoint,
            state=ModelState.TRAINING,
            until_ms=dataset.manifest.until_ms,
            manifest_uri=dataset.uri,
            trigger=dataset.trigger,
            predecessor=planned.predecessor,
            parameters=planned.parameters,
            baseline_error=dataset.manifest.baseline_error,
        )
        was = noted.state if noted else None
        if record != noted and not self._ledger.write([ModelChange(record, was)]):
            reason = "another run has just noted it"
            return TrainOutcome(TrainDecision.KNOWN, dataset.uri, reason, version)
        started = self._jobs.start(version, planned.spec)
        return TrainOutcome(
            decision=TrainDecision.STARTED if started else TrainDecision.KNOWN,
            manifest_uri=dataset.uri,
            reason="its job was started" if started else "a job of its name was started before",
            job=version,
            predecessor=planned.predecessor,
            parameters=planned.parameters,
            passed_over=passed_over,
        )

    def _predecessor(self) -> tuple[TrainingJob | None, tuple[PassedOver, ...]]:
        """Return the latest completed job whose parameters can be copied, and who was passed over.

        Names that hold the prefix elsewhere than at their beginning are other people's.
        """
        passed_over: list[PassedOver] = []
        prefix = self._rules.job_prefix
        completed = self._jobs.completed(containing=prefix)
        ours = (name for name in completed if name.startswith(prefix))
        for name in islice(ours, MAX_CANDIDATES):
            job = self._jobs.describe(name)
            reason = unfit_because(job) if job else "it is not there any more"
            if job is not None and not reason:
                return job, tuple(passed_over)
            passed_over.append(PassedOver(name, reason))
        return None, tuple(passed_over)


def _is_training(record: ModelRecord) -> bool:
    return record.state is ModelState.TRAINING
