"""A world in memory that models are trained and deployed in; all its errors are known beforehand.

A row's only feature is its label, and a model answers it with an offset, which so is its error.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, cast

from msgspec.structs import replace

from tests.support.models import model_of
from tests.support.sources import WaitedClock
from tidegauge.adapters.artifact import check_archive
from tidegauge.adapters.memory_models import MemoryModelLedger
from tidegauge.adapters.memory_objects import MemoryObjectStore
from tidegauge.adapters.memory_serving import MemoryModelHost
from tidegauge.adapters.memory_training import MemoryTrainingJobs
from tidegauge.adapters.model_file import pack_model
from tidegauge.domain.endpoint import DeployRules, Endpoint, EndpointConfig, Variant
from tidegauge.domain.errors import Transient
from tidegauge.domain.event_time import format_time
from tidegauge.domain.manifest import FORMAT, DataFile, Manifest
from tidegauge.domain.model_record import ModelRecord, ModelState
from tidegauge.domain.training_job import VALIDATION_ERROR, Channel, JobSpec
from tidegauge.ports import ModelChange, Scores
from tidegauge.ports.serving import HostedModel
from tidegauge.steps.deploy import DeployOutcome, DeployStep
from tidegauge.steps.deploy_examining import Examiner, artifact_key

NOON = 1_360_324_800_000
DAY = 86_400_000
MINUTE = 60_000
CHANGE_MS = 5 * MINUTE
ENDPOINT = "gauge"
LABELS = (1.0, 2.5, 40.0)
SERVERLESS: dict[str, Any] = {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}
RULES = DeployRules(
    endpoint=ENDPOINT, job_prefix="job", margin=0.05, keep=2, new_variant=SERVERLESS
)


class OffsetPredictor:
    """The endpoint's answers; implements `ports.Predictor`.

    Attributes:
        offsets: By model.
        mute: Models that never answer.
    """

    def __init__(self, host: MemoryModelHost) -> None:
        self._host = host
        self.offsets: dict[str, float] = {}
        self.mute: set[str] = set()

    def predict(self, rows: Sequence[Sequence[float]]) -> Scores:
        answering = self._host.answers(ENDPOINT)
        if answering is None or answering[1] in self.mute:
            msg = "the endpoint does not answer"
            raise Transient(msg)
        variant, model = answering
        return Scores(tuple(row[0] + self.offsets[model] for row in rows), variant)


class Failing:
    """Anything, of which one call fails: before it is done, or when it is.

    Args:
        inner: What is called.
        fault: Counts the calls of all that share it.
    """

    def __init__(self, inner: object, fault: "Fault") -> None:
        self._inner = inner
        self._fault = fault

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found) or name == "only_one":
            return found

        def call(*positional: object, **named: object) -> Any:
            due = self._fault.is_due()
            if due and self._fault.before:
                raise Transient(name)
            answer = found(*positional, **named)
            if due:
                raise Transient(name)
            return answer

        return call


class Fault:
    """One call in a row of many that fails."""

    def __init__(self, number: int, *, before: bool) -> None:
        self.before = before
        self._left = number

    def is_due(self) -> bool:
        self._left -= 1
        return self._left == 0

    @property
    def happened(self) -> bool:
        return self._left <= 0


class DeployWorld:
    """Everything that the deploy step reaches."""

    def __init__(self, rules: DeployRules = RULES) -> None:
        self.rules = rules
        self.clock = WaitedClock(NOON)
        self.ledger = MemoryModelLedger(self.clock)
        self.jobs = MemoryTrainingJobs(self.clock)
        self.objects = MemoryObjectStore("exports", "models", "others", clock=self.clock)
        self.host = MemoryModelHost(self.clock, change_ms=CHANGE_MS)
        self.predictor = OffsetPredictor(self.host)

    # --- what others do

    def dataset(
        self, version: str, *, until_ms: int = NOON, baseline: float = 1.0, bucket: str = "exports"
    ) -> str:
        """Export a dataset; return its manifest's address."""
        rows = b"".join(b"%r,%r\n" % (label, label) for label in LABELS)
        file = DataFile("validation.csv", len(LABELS), len(rows), sha256(rows).hexdigest())
        folder = f"s3://{bucket}/exports/{version}"
        manifest = Manifest(
            format=FORMAT, stream_arn="arn", start=format_time(until_ms - 9 * DAY),
            until=format_time(until_ms), split=format_time(until_ms - DAY), window_seconds=300,
            series=1, feature_names=("label",), train=replace(file, name="train.csv"),
            validation=file, counts=replace(file, name="counts.csv.gz"),
            data_card=replace(file, name="data_card.json"), baseline="seasonal",
            baseline_error=baseline,
        )  # fmt: skip
        self.objects.put(f"{folder}/validation.csv", rows, content_type="text/csv")
        uri = f"{folder}/manifest.json"
        self.objects.put(uri, manifest.to_json(), content_type="application/json")
        if bucket == "exports":
            self.ledger.datasets.add(uri)
        return uri

    def start(self, version: str, *, noted: bool = True, **dataset: Any) -> None:
        """Export a dataset and start a training on it; a notebook's is not noted."""
        uri = self.dataset(version, **dataset)
        spec = JobSpec(
            hyperparameters={},
            channels=(Channel("train", f"{uri.rpartition('/')[0]}/train.csv"),),
            output_uri="s3://models/training",
            configuration={
                "AlgorithmSpecification": {"TrainingImage": "image:1"},
                "RoleArn": "arn:aws:iam::000000000000:role/models",
            },
        )
        if noted:
            record = ModelRecord(
                version=version, endpoint=ENDPOINT, state=ModelState.TRAINING,
                until_ms=dataset.get("until_ms", NOON), manifest_uri=uri,
            )  # fmt: skip
            assert self.ledger.write([ModelChange(record, None)])
        assert self.jobs.start(version, spec)

    def complete(
        self, version: str, error: float | None = 0.8, artifact: bytes | None = None
    ) -> None:
        """End a training well: its artifact is stored, then its job is completed."""
        data = pack_model(model_of(1.0, version=version)) if artifact is None else artifact
        uri = f"s3://models/{artifact_key(version)}"
        self.objects.put(uri, data, content_type="application/gzip")
        self.jobs.complete(version, {} if error is None else {VALIDATION_ERROR: error})
        self.predictor.offsets[version] = error or 0.0

    def train(self, version: str, error: float = 0.8, **dataset: Any) -> None:
        """Start a training and end it well."""
        self.start(version, **dataset)
        self.complete(version, error)
        self.clock.advance(MINUTE)

    def remove(self, uri: str) -> None:
        """Let an object be gone."""
        assert self.objects.look(uri) is not None
        del self.objects._objects[uri]  # noqa: SLF001 - the port has no way to

    def serve(self, version: str, *variants: dict[str, Any], **settings: Any) -> EndpointConfig:
        """Let somebody have made the endpoint, by hand, with a model of theirs."""
        model = f"{version}-theirs"
        self.host.add_model(HostedModel(model, "image:0", "s3://elsewhere/model.tar.gz", "role"))
        names = [version, *(f"{version}-{n}" for n in range(2, len(variants) + 1))]
        made = tuple(
            Variant(name, model, variant)
            for name, variant in zip(names, variants or (SERVERLESS,), strict=True)
        )
        config = EndpointConfig(f"{version}-by-hand", made, settings)
        self.host.add_config(config)
        assert self.host.create_endpoint(ENDPOINT, config.name)
        self.clock.advance(CHANGE_MS)
        self.predictor.offsets[model] = 0.9
        return config

    # --- the step

    def step(self, fault: Fault | None = None) -> DeployStep:
        """Return the step; one of its calls may fail."""
        parts = [
            self.ledger, self.jobs, self.host,
            Examiner(
                cast("Any", Failing(self.objects, fault)) if fault else self.objects,
                cast("Any", Failing(self.predictor, fault)) if fault else self.predictor,
                check_archive,
            ),
        ]  # fmt: skip
        if fault is not None:
            parts[:3] = [cast("Any", Failing(part, fault)) for part in parts[:3]]
        ledger, jobs, host, examiner = cast("Any", parts)
        return DeployStep(ledger, jobs, host, examiner, self.rules, self.clock)

    def ring(self, *names: str, minutes: float = 60) -> DeployOutcome:
        """Let jobs ring."""
        until_ms = self.clock.now_ms() + round(minutes * MINUTE)
        return self.step().ring(names, until_ms=until_ms)

    def watch(self, minutes: float = 60) -> DeployOutcome:
        """Let the schedule come."""
        return self.step().watch(until_ms=self.clock.now_ms() + round(minutes * MINUTE))

    def put_back(self, version: str, minutes: float = 60) -> ModelRecord:
        """Let a person ask for a model."""
        until_ms = self.clock.now_ms() + round(minutes * MINUTE)
        return self.step().put_back(version, until_ms=until_ms)

    # --- readers

    def record(self, version: str) -> ModelRecord:
        """Return a model's record."""
        stored = self.ledger.get(version)
        assert stored is not None
        return stored.record

    def state(self, version: str) -> str:
        """Return where a model is."""
        return self.record(version).state.value

    def endpoint(self) -> Endpoint | None:
        """Return the endpoint."""
        return self.host.endpoint(ENDPOINT)

    def serves(self) -> str:
        """Return the variant that answers; empty for none."""
        answering = self.host.answers(ENDPOINT)
        return answering[0] if answering else ""

    def config(self) -> EndpointConfig:
        """Return the config that the endpoint serves."""
        endpoint = self.endpoint()
        assert endpoint is not None
        config = self.host.config(endpoint.config)
        assert config is not None
        return config

    def told(self) -> list[dict[str, Any]]:
        """Return what people were told, as their programs see it."""
        import msgspec

        return [msgspec.json.decode(message.payload) for message in self.ledger.messages]

    def kinds(self) -> list[tuple[str, str]]:
        """Return what people were told, in short: what happened to which model."""
        return [(one["json"]["kind"], one["json"]["model"]) for one in self.told()]


def live_world() -> DeployWorld:
    """Return a world in which job-1 is live, with an error of 0.8, below the baseline's of 1."""
    made = DeployWorld()
    made.train("job-1")
    made.ring("job-1")
    assert made.serves() == "job-1"
    return made
