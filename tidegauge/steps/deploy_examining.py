"""The deploy step's eyes: is an artifact what a training made, how good is what answers?

Takes a training job, a dataset, an endpoint; gives a verified copy of the artifact, the champion to
weigh against, and why a model that has just begun to serve must not go on. Changes nothing but that
it stores the copy.
"""

import math
from collections.abc import Callable
from hashlib import sha256
from typing import Final

import msgspec

from tidegauge.domain.errors import (
    InvalidInput,
    Misconfigured,
    Transient,
    UnusableAnswer,
)
from tidegauge.domain.gate import Champion, number
from tidegauge.domain.manifest import FILE_NAME, MAX_BYTES, Manifest, beside
from tidegauge.domain.model_record import ModelRecord, ModelState
from tidegauge.domain.training_job import TRAIN_CHANNEL, TrainingJob
from tidegauge.domain.validation import (
    ValidationRows,
    mean_absolute_error,
    parts_of,
    read_rows,
)
from tidegauge.ports import ModelLedger, ObjectStore, Predictor

MAX_ARTIFACT_BYTES: Final = 64 * 1024 * 1024
MAX_VALIDATION_BYTES: Final = 64 * 1024 * 1024

# The service's clocks differ a little, and a job ends shortly after its artifact was stored.
_LATE_MS = 5 * 60_000
# Written out, so many numbers stay below the 4 MB that a serverless endpoint takes at once.
_VALUES_PER_CALL = 120_000
_NO_ANSWER = (Transient, UnusableAnswer, Misconfigured)


class Dataset(msgspec.Struct, frozen=True):
    """What a model is weighed by."""

    manifest: Manifest
    rows: ValidationRows


class Artifact(msgspec.Struct, frozen=True):
    """The verified copy of an artifact, and the SHA-256 of its bytes, hexadecimal."""

    uri: str
    sha256: str


class Measured(msgspec.Struct, frozen=True):
    """The error of what answers on an endpoint; not finite where a score was not."""

    error: float
    version: str


class Examiner:
    """Looks at artifacts, datasets and answers.

    Args:
        objects: Where they lie.
        predictor: The endpoint's.
        check_archive: Raises InvalidInput for a `model.tar.gz` that must not be unpacked.
    """

    def __init__(
        self, objects: ObjectStore, predictor: Predictor, check_archive: Callable[[bytes], None]
    ) -> None:
        self._objects = objects
        self._predictor = predictor
        self._check_archive = check_archive

    def manifest(self, uri: str) -> Manifest:
        """Read a manifest. Raises InvalidInput if it is none, or is gone."""
        if not uri:
            msg = "nobody knows its dataset: no manifest lies beside its training file"
            raise InvalidInput(msg)
        data = self._objects.read(uri, max_bytes=MAX_BYTES)
        if data is None:
            msg = f"the manifest of its dataset, {uri}, is not there"
            raise InvalidInput(msg)
        return Manifest.from_json(data)

    def dataset(self, manifest_uri: str) -> Dataset:
        """Read a manifest and its validation rows. Raises InvalidInput if they cannot be used."""
        manifest = self.manifest(manifest_uri)
        uri = beside(manifest_uri, manifest.validation.name)
        data = self._objects.read(uri, max_bytes=MAX_VALIDATION_BYTES)
        if data is None:
            msg = f"its validation file, {uri}, is not there"
            raise InvalidInput(msg)
        return Dataset(manifest, read_rows(data, manifest))

    def verified_copy(self, job: TrainingJob) -> Artifact:
        """Check the artifact of a completed job; store its bytes where nothing else ever goes.

        What is served is the copy, so that nobody changes it between the look and the loading.

        Raises:
            InvalidInput: it must not be served; the message says why.
        """
        uri = job.artifact_uri
        bucket, key = _split(uri)
        if key != artifact_key(job.name):
            msg = f"its artifact {uri or '(none)'} is not s3://…/{artifact_key(job.name)}"
            raise InvalidInput(msg)
        data = self._objects.read(uri, max_bytes=MAX_ARTIFACT_BYTES)
        # Looked at behind the reading: what was put there in between shows.
        info = self._objects.look(uri)
        if data is None or info is None:
            msg = f"its artifact {uri} is not there"
            raise InvalidInput(msg)
        if job.ended_ms is None or info.modified_ms > job.ended_ms + _LATE_MS:
            msg = f"its artifact {uri} was changed after the training had ended"
            raise InvalidInput(msg)
        try:
            self._check_archive(data)
        except InvalidInput as error:
            msg = f"its artifact must not be unpacked: {error}"
            raise InvalidInput(msg) from error
        digest = sha256(data).hexdigest()
        copy = f"s3://{bucket}/deployed/{job.name}/{digest}/model.tar.gz"
        self._objects.put(copy, data, content_type="application/gzip")
        return Artifact(copy, digest)

    def check_copy(self, record: ModelRecord) -> None:
        """Check that the copy of a model that served before is what was verified then.

        Raises:
            InvalidInput: it is not, or it is gone.
        """
        data = self._objects.read(record.artifact_uri, max_bytes=MAX_ARTIFACT_BYTES)
        if data is None:
            msg = f"its artifact {record.artifact_uri} is not there any more"
            raise InvalidInput(msg)
        if sha256(data).hexdigest() != record.artifact_sha256:
            msg = f"its artifact {record.artifact_uri} was tampered with: its SHA-256 differs"
            raise InvalidInput(msg)

    def error_on(self, rows: ValidationRows) -> Measured:
        """Ask the endpoint about rows; return its error and who answered.

        Raises:
            Transient: it gives no answer now, or another model took over in between.
            UnusableAnswer: it answered something else.
            Misconfigured: it may not be asked.
        """
        scores: list[float] = []
        versions: set[str] = set()
        for part in parts_of(rows, max_values=_VALUES_PER_CALL):
            answer = self._predictor.predict(part)
            scores += answer.values
            versions.add(answer.model_version)
        if len(versions) != 1:
            msg = "the endpoint changed its model between two calls"
            raise Transient(msg)
        return Measured(mean_absolute_error(rows.labels, scores), versions.pop())

    def champion(self, ledger: ModelLedger, dataset: Dataset) -> Champion | None:
        """Return the model that serves, weighed by a candidate's rows wherever it answers.

        Where it does not, what its own weighing found stands in.
        """
        try:
            measured = self.error_on(dataset.rows)
        except _NO_ANSWER:
            for live in ledger.all(ModelState.LIVE):
                record = live.record
                return Champion(record.version, record.error, record.until_ms, same_rows=False)
            return None
        known = ledger.get(measured.version)
        return Champion(measured.version, measured.error, known.record.until_ms if known else 0)

    def fault_in(self, version: str, dataset: Dataset) -> str:
        """Ask an endpoint that should serve a model; return what is wrong, empty if nothing is.

        Raises:
            Transient, UnusableAnswer, Misconfigured: it gives no answer of use now.
        """
        measured = self.error_on(dataset.rows)
        if measured.version != version:
            msg = f"the endpoint is answered by {measured.version}"
            raise Transient(msg)
        baseline = dataset.manifest.baseline_error
        if not math.isfinite(measured.error):
            return "it answers its validation rows with something else than numbers"
        if measured.error >= baseline:
            return (
                f"it answers its validation rows with an error of {number(measured.error)}, "
                f"not below the seasonal baseline's {number(baseline)}"
            )
        return ""


def artifact_key(version: str) -> str:
    """Return where the training of a version puts its artifact, in whatever bucket."""
    return f"training/{version}/output/model.tar.gz"


def manifest_uri_of(job: TrainingJob) -> str:
    """Return where the manifest of a job's dataset lies: beside its training file."""
    uri = job.spec.channel_uri(TRAIN_CHANNEL)
    return beside(uri, FILE_NAME) if uri else ""


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
