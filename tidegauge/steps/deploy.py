"""The deploy step: a trained model to the endpoint, if it is better; people are told either way.

Takes names of training jobs as doorbells, or none; gives endpoints that serve, records and notices
in the ledger. What it does is decided by the ledger and by the jobs themselves: doorbells may come
twice, late, in any order or not at all.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

import msgspec
from msgspec.structs import replace

from tidegauge.domain.endpoint import DeployRules
from tidegauge.domain.errors import InvalidInput, TidegaugeError
from tidegauge.domain.gate import Candidate, Champion, weigh
from tidegauge.domain.model_record import ModelRecord, ModelState, Phase
from tidegauge.domain.training_job import BROKEN_OFF, VALIDATION_ERROR, JobStatus, TrainingJob
from tidegauge.ports import ModelChange, ModelLedger, PatientClock, StoredModel, TrainingJobs
from tidegauge.ports.serving import ModelHost
from tidegauge.steps.deploy_changeover import POLL_MS, Changeover
from tidegauge.steps.deploy_cleaning import clean_up
from tidegauge.steps.deploy_examining import (
    Dataset,
    Examiner,
    artifact_key,
    manifest_uri_of,
)

LOCK: Final = "deploy"

# A row is written ahead of its job; whoever wrote it tries for minutes.
_JOBLESS_MS: Final = 3_600_000
# The artifact is stored, and so announced, a little before its job says that it is completed.
_JOB_PATIENCE_MS: Final = 120_000
# How far back a job is looked for that nobody noted.
_MAX_LOOKED_AT: Final = 10

# One that slept, or is asked by many, answers the second time.
_CHAMPION_ATTEMPTS: Final = 3

_RESTORABLE: Final = (ModelState.RETIRED, ModelState.LIVE)


class DeployOutcome(msgspec.Struct):
    """What one run did.

    Attributes:
        ran: False where another one runs: it does this one's work too.
        deployed: Versions that are live now.
        refused: Versions that the gate or their artifact kept out.
        failed: Versions whose training failed.
        rolled_back: Versions that the endpoint went back from.
        waiting: Versions that are in training or on their way: the next run looks again.
        unknown: Names that rang and are no jobs of ours.
        deleted: Models and configs that were cleaned up.
        left: Why some were not, or nothing.
    """

    ran: bool = True
    deployed: list[str] = []
    refused: list[str] = []
    failed: list[str] = []
    rolled_back: list[str] = []
    waiting: list[str] = []
    unknown: list[str] = []
    deleted: list[str] = []
    left: str = ""


class DeployStep:
    """Deploys models to one endpoint; holds nothing between runs.

    Args:
        ledger: What is known of every model.
        jobs: Their training jobs.
        host: The endpoint's.
        examiner: Looks at artifacts, datasets and answers.
        rules: The settings.
        clock: By which it waits.
        poll_ms: How long between two looks.
    """

    def __init__(
        self,
        ledger: ModelLedger,
        jobs: TrainingJobs,
        host: ModelHost,
        examiner: Examiner,
        rules: DeployRules,
        clock: PatientClock,
        *,
        poll_ms: int = POLL_MS,
    ) -> None:
        self._ledger = ledger
        self._jobs = jobs
        self._host = host
        self._examiner = examiner
        self._rules = rules
        self._clock = clock
        self._poll_ms = poll_ms
        self._changeover = Changeover(ledger, jobs, host, examiner, rules, clock, poll_ms=poll_ms)

    def ring(self, names: Sequence[str], *, until_ms: int) -> DeployOutcome:
        """Deploy what is to be deployed; the jobs named have just stored their artifacts.

        Args:
            names: Training jobs.
            until_ms: When to leave the rest to the next run, ms since the epoch.

        Raises:
            Transient, Misconfigured: nothing is lost: the next run goes on from there.
        """
        return self._run(names, until_ms)

    def watch(self, *, until_ms: int) -> DeployOutcome:
        """Deploy what is to be deployed, whoever has trained it, and end what has failed."""
        return self._run([], until_ms)

    def put_back(
        self, version: str, *, until_ms: int, told: Callable[[str], None] | None = None
    ) -> ModelRecord:
        """Let the endpoint serve a model again that it served before; a person asks for that.

        Args:
            version: The model's version.
            until_ms: When to leave the rest to the next run.
            told: Hears what is waited for.

        Returns:
            The model's record: live, rolled back, or still on its way.

        Raises:
            InvalidInput: it cannot be; says why. Nothing was changed.
        """
        with self._ledger.only_one(LOCK) as alone:
            if not alone:
                msg = "another deployment is running: try again when it has ended"
                raise InvalidInput(msg)
            record = self._restorable(version)
            live = [one.record for one in self._ledger.all(ModelState.LIVE)]
            before = next((one for one in live if one.version != version), None)
            asked = replace(
                record,
                state=ModelState.DEPLOYING,
                phase=Phase.CHOSEN,
                config="",
                previous_config="",
                by_hand=True,
                champion=before.version if before else "",
                champion_error=before.error if before else None,
                reasons=("a person asked for it",),
            )
            self._changeover.note(asked, record.state)
            return self._changeover.go_on(asked, until_ms=until_ms, told=told)

    # --- what there is to do

    def _run(self, rung: Sequence[str], until_ms: int) -> DeployOutcome:
        outcome = DeployOutcome()
        with self._ledger.only_one(LOCK) as alone:
            if not alone:
                return DeployOutcome(ran=False)
            for name in dict.fromkeys(rung):
                self._heed(name, outcome, until_ms)
            self._adopt_newest()
            # A model that was settled took its time: what came meanwhile is looked at as well.
            while self._look_at_all(outcome, until_ms):
                pass
            if outcome.deployed:
                self._clean_up(outcome)
        return outcome

    def _look_at_all(self, outcome: DeployOutcome, until_ms: int) -> bool:
        """Take every unsettled model as far as it goes; return whether one was settled."""
        settled = False
        outcome.waiting = []
        for stored in self._unsettled():
            record = self._look_at(stored, until_ms)
            if record.state is ModelState.DEPLOYING:
                # The endpoint takes one at a time, and the next are weighed against this one.
                outcome.waiting.append(record.version)
                return False
            told = {
                ModelState.LIVE: outcome.deployed,
                ModelState.REFUSED: outcome.refused,
                ModelState.FAILED: outcome.failed,
                ModelState.ROLLED_BACK: outcome.rolled_back,
            }
            told.get(record.state, outcome.waiting).append(record.version)
            settled = settled or record.state is not ModelState.TRAINING
        return settled

    def _unsettled(self) -> list[StoredModel]:
        """Return what is to be looked at: on its way first, then by the newest history."""
        found = self._ledger.all(ModelState.TRAINING, ModelState.DEPLOYING)
        return sorted(
            found, key=lambda one: (one.record.state is ModelState.TRAINING, -one.record.until_ms)
        )

    def _look_at(self, stored: StoredModel, until_ms: int) -> ModelRecord:
        record = stored.record
        if record.state is ModelState.TRAINING:
            job = self._jobs.describe(record.version)
            if job is None:
                if self._clock.now_ms() - stored.noted_ms < _JOBLESS_MS:
                    return record
                return self._fail(record, "its training job was never started, or is gone")
            if job.status in BROKEN_OFF:
                why = job.failure_reason or "no reason is told"
                return self._fail(record, f"its training job is {job.status.value}: {why}")
            if job.status is not JobStatus.COMPLETED:
                return record
            record = self._weigh(record, job)
        if record.state is ModelState.DEPLOYING:
            record = self._changeover.go_on(record, until_ms=until_ms)
        return record

    def _weigh(self, record: ModelRecord, job: TrainingJob) -> ModelRecord:
        """Look at a trained model; it is refused, or may be deployed."""
        try:
            artifact = self._examiner.verified_copy(job)
            dataset = self._examiner.dataset(record.manifest_uri)
        except InvalidInput as error:
            refused = replace(
                record,
                state=ModelState.REFUSED,
                error=job.metrics.get(VALIDATION_ERROR),
                reasons=(str(error),),
            )
            return self._changeover.note(refused, ModelState.TRAINING)
        manifest = dataset.manifest
        champion = self._champion(dataset)
        candidate = Candidate(
            job.metrics.get(VALIDATION_ERROR), manifest.until_ms, manifest.baseline_error
        )
        weighed = weigh(candidate, champion, margin=self._rules.margin)
        after = replace(
            record,
            state=ModelState.DEPLOYING if weighed.passed else ModelState.REFUSED,
            until_ms=manifest.until_ms,
            artifact_uri=artifact.uri,
            artifact_sha256=artifact.sha256,
            error=candidate.error,
            baseline_error=candidate.baseline_error,
            champion=champion.version if champion else "",
            champion_error=champion.error if champion else None,
            reasons=weighed.reasons,
        )
        return self._changeover.note(after, ModelState.TRAINING)

    def _champion(self, dataset: Dataset) -> Champion | None:
        """Return the model that serves, asked again where it gives no answer at first."""
        endpoint = self._host.endpoint(self._rules.endpoint)
        attempts = 1 if endpoint is None or endpoint.dead else _CHAMPION_ATTEMPTS
        for _ in range(attempts - 1):
            champion = self._examiner.champion(self._ledger, dataset)
            if champion is not None and champion.same_rows:
                return champion
            self._clock.wait_until_ms(self._clock.now_ms() + self._poll_ms)
        return self._examiner.champion(self._ledger, dataset)

    def _fail(self, record: ModelRecord, why: str) -> ModelRecord:
        failed = replace(record, state=ModelState.FAILED, reasons=(why,))
        return self._changeover.note(failed, ModelState.TRAINING)

    # --- models that nobody noted

    def _heed(self, name: str, outcome: DeployOutcome, until_ms: int) -> None:
        """Note a job that rang, if it is one of ours, and wait a little for it to be completed."""
        ours = name.startswith(self._rules.job_prefix)
        job = self._ended(name, until_ms) if ours else None
        if job is None:
            outcome.unknown.append(name)
        elif self._ledger.get(name) is None:
            try:
                self._adopt(job)
            except InvalidInput as error:
                refused = replace(
                    self._record_of(job, job.created_ms),
                    state=ModelState.REFUSED,
                    reasons=(str(error),),
                )
                self._changeover.note(refused, None)
                outcome.refused.append(name)

    def _ended(self, name: str, until_ms: int) -> TrainingJob | None:
        """Return a job once it has ended, or as it is when patience has."""
        until_ms = min(until_ms, self._clock.now_ms() + _JOB_PATIENCE_MS)
        while True:
            job = self._jobs.describe(name)
            then_ms = self._clock.now_ms() + self._poll_ms
            if job is None or job.status is not JobStatus.IN_PROGRESS or then_ms > until_ms:
                return job
            self._clock.wait_until_ms(then_ms)

    def _adopt_newest(self) -> None:
        """Note the newest completed job of ours that nobody noted, if it is newer than all noted.

        A notebook's training counts like any other one's, as long as its data are an export's.
        """
        noted = self._ledger.all()
        prefix = self._rules.job_prefix
        for name in islice(self._jobs.completed(containing=prefix), _MAX_LOOKED_AT):
            if not name.startswith(prefix):
                continue
            job = None if self._ledger.get(name) else self._jobs.describe(name)
            if job is None or (noted and job.created_ms < noted[0].noted_ms):
                return
            if not job.artifact_uri.endswith(f"/{artifact_key(name)}"):
                continue
            try:
                self._adopt(job)
            except InvalidInput:
                continue  # trained on something else, which nobody asked us to deploy
            return

    def _adopt(self, job: TrainingJob) -> None:
        """Note a job of nobody's. Raises InvalidInput unless an export of ours is its dataset.

        Other stacks' jobs may be named like ours.
        """
        uri = manifest_uri_of(job)
        if not self._ledger.is_dataset(uri):
            msg = f"it was not trained on an export of ours: {uri or 'it has no train channel'}"
            raise InvalidInput(msg)
        record = self._record_of(job, self._examiner.manifest(uri).until_ms)
        self._ledger.write([ModelChange(record, None)])

    def _record_of(self, job: TrainingJob, until_ms: int) -> ModelRecord:
        return ModelRecord(
            version=job.name,
            endpoint=self._rules.endpoint,
            state=ModelState.TRAINING,
            until_ms=until_ms,
            manifest_uri=manifest_uri_of(job),
        )

    def _restorable(self, version: str) -> ModelRecord:
        stored = self._ledger.get(version)
        if stored is None:
            msg = f"there is no model {version}: `tidegauge models` lists all"
            raise InvalidInput(msg)
        record = stored.record
        if record.state not in _RESTORABLE:
            msg = (
                f"model {version} is {record.state.value.replace('_', ' ')}: only one that was "
                "live can be live again"
            )
            raise InvalidInput(msg)
        moving = self._ledger.all(ModelState.DEPLOYING)
        if moving:
            msg = (
                f"model {moving[0].record.version} is being deployed: try again when that has ended"
            )
            raise InvalidInput(msg)
        endpoint = self._host.endpoint(self._rules.endpoint)
        if endpoint and endpoint.busy:
            msg = (
                f"endpoint {endpoint.name} is {endpoint.status.value}: try again when it has ended"
            )
            raise InvalidInput(msg)
        serves = endpoint is not None and not endpoint.dead and endpoint.config == record.config
        if record.state is ModelState.LIVE and serves:
            msg = f"model {version} is live already"
            raise InvalidInput(msg)
        self._examiner.check_copy(record)
        return record

    def _clean_up(self, outcome: DeployOutcome) -> None:
        try:
            outcome.deleted = clean_up(self._ledger, self._host, self._rules)
        except TidegaugeError as error:
            outcome.left = str(error)
