"""The deploy step's hands: moves an endpoint to a model, and back where that goes wrong.

Takes a record in state `DEPLOYING`, gives it settled, or as it stands where time ran short. What an
endpoint is asked for takes minutes and outlives us: each step is noted behind it, and each can be
taken again. Every way ends: a model is asked for once, and so is the way back.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from msgspec.structs import replace

from tidegauge.domain.alert import Alert
from tidegauge.domain.endpoint import (
    DeployRules,
    Endpoint,
    EndpointStatus,
    Variant,
    config_like,
    named_config,
)
from tidegauge.domain.errors import InvalidInput, Misconfigured, Transient, UnusableAnswer
from tidegauge.domain.model_notice import NoticeKind, notice_of
from tidegauge.domain.model_record import ModelRecord, ModelState, Phase
from tidegauge.domain.training_job import TrainingJob
from tidegauge.ports import ModelChange, ModelLedger, PatientClock, TrainingJobs
from tidegauge.ports.serving import HostedModel, ModelHost, NameTaken
from tidegauge.steps.deploy_examining import Dataset, Examiner

SMOKE_ATTEMPTS: Final = 5
POLL_MS: Final = 5_000

# What a model is loaded with as its training was.
_COPIED = ("VpcConfig", "EnableNetworkIsolation")


class _TimeIsShort(Exception):
    """The rest is for the next run."""


class Changeover:
    """Moves one endpoint.

    Args:
        ledger: Where each step is noted.
        jobs: What models were trained as.
        host: The endpoint's.
        examiner: Asks it.
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
        self._until_ms = 0
        self._told: Callable[[str], None] = _nobody

    def go_on(
        self, record: ModelRecord, *, until_ms: int, told: Callable[[str], None] | None = None
    ) -> ModelRecord:
        """Take every step that a deployment has left; return the record as it then stands.

        Args:
            record: In state `DEPLOYING`.
            until_ms: When to leave the rest to the next run, ms since the epoch.
            told: Hears what is waited for.

        Raises:
            Transient, Misconfigured: nothing is lost: the next run goes on from there.
        """
        self._until_ms = until_ms
        self._told = told or _nobody
        steps = {
            Phase.CHOSEN: self._begin,
            Phase.ASKED: self._arrive,
            Phase.BACK: self._turn_back,
            Phase.BACK_ASKED: self._come_back,
        }
        with _as_long_as_there_is_time():
            while record.state is ModelState.DEPLOYING:
                record = steps[record.phase](record, self._at_rest())
        return record

    def note(
        self, record: ModelRecord, was: ModelState | None, *others: ModelChange
    ) -> ModelRecord:
        """Write a record as it shall stand; what became of a settled one is told to people."""
        notices = [self._notice(record)] if record.state in _TOLD else []
        if not self._ledger.write([ModelChange(record, was), *others], notices):
            msg = f"somebody else has moved model {record.version} on at the same time"
            raise Transient(msg)
        return record

    # --- there

    def _begin(self, record: ModelRecord, endpoint: Endpoint | None) -> ModelRecord:
        if endpoint and endpoint.status is EndpointStatus.UPDATE_ROLLBACK_FAILED:
            return self._refuse(record, _MIXED)
        config = self._host.config(record.config) if record.config else None
        if config is None:
            return self._choose_config(record, endpoint)
        name = self._rules.endpoint
        if endpoint and endpoint.dead:
            # All that such an endpoint takes. The next look finds it gone.
            self._host.delete_endpoint(name)
            self._wait()
            return record
        if endpoint is None:
            asked = self._host.create_endpoint(name, config.name)
        elif endpoint.config == config.name:
            asked = True  # by a run that could not note it
        else:
            rollout = self._rules.rollout_of(config)
            asked = self._host.update_endpoint(name, config.name, rollout)
        if not asked:
            self._wait()
            return record
        return self._at(record, Phase.ASKED)

    def _choose_config(self, record: ModelRecord, endpoint: Endpoint | None) -> ModelRecord:
        """Make the model and the config in which it takes the place of the one in service."""
        version = record.version
        job = self._jobs.describe(version)
        if job is None or not job.spec.image:
            return self._refuse(record, "nobody knows any more what image its training ran")
        served = self._host.config(endpoint.config) if endpoint else None
        if served and len(served.variants) > 1:
            names = ", ".join(variant.name for variant in served.variants)
            return self._refuse(
                record, f"the endpoint is shared by {names}: an update would end that"
            )
        if served and endpoint:
            config = config_like(served, endpoint, version, model=version)
        else:
            config = named_config(Variant(version, version, self._rules.new_variant), {})
        try:
            self._host.add_model(_hosted(record, job))
            self._host.add_config(config)
        except NameTaken as error:
            return self._refuse(record, str(error))
        reasons = record.reasons
        if endpoint and endpoint.dead:
            reasons = (*reasons, f"{_ended(endpoint)}; it was deleted and made anew")
        before = endpoint.config if endpoint and not endpoint.dead else self._live_config(record)
        chosen = replace(record, config=config.name, previous_config=before, reasons=reasons)
        return self.note(chosen, ModelState.DEPLOYING)

    def _arrive(self, record: ModelRecord, endpoint: Endpoint | None) -> ModelRecord:
        if endpoint is None:
            return self._settle_back(record, "the endpoint was deleted while it changed over")
        if endpoint.dead:
            return self._at(record, Phase.BACK, _ended(endpoint))
        if endpoint.status is EndpointStatus.UPDATE_ROLLBACK_FAILED:
            return self._settle_back(record, _MIXED)
        if endpoint.config != record.config:
            why = f": {endpoint.failure}" if endpoint.failure else ""
            return self._settle_back(record, f"the endpoint went back to {endpoint.config}{why}")
        fault = self._fault_of(record)
        if fault:
            return self._at(record, Phase.BACK, fault)
        retired = [
            ModelChange(replace(one.record, state=ModelState.RETIRED), ModelState.LIVE)
            for one in self._ledger.all(ModelState.LIVE)
        ]
        live = replace(record, state=ModelState.LIVE)
        return self.note(live, ModelState.DEPLOYING, *retired)

    def _fault_of(self, record: ModelRecord) -> str:
        """Ask the model that serves now, several times where it gives no answer of use."""
        try:
            dataset = self._dataset_for(record)
        except InvalidInput as error:
            return f"nothing can be asked of it: {error}"
        fault = ""
        for attempt in range(SMOKE_ATTEMPTS):
            if attempt:
                self._told(fault)
                self._wait()
            try:
                return self._examiner.fault_in(record.version, dataset)
            except (Transient, UnusableAnswer, Misconfigured) as error:
                fault = f"it does not answer as it should: {error}"
        return fault

    def _dataset_for(self, record: ModelRecord) -> Dataset:
        """Return the model's own dataset; for one that served before, another if that is gone."""
        try:
            return self._examiner.dataset(record.manifest_uri)
        except InvalidInput:
            live = next(iter(self._ledger.all(ModelState.LIVE)), None)
            if not record.by_hand or live is None:
                raise
            return self._examiner.dataset(live.record.manifest_uri)

    # --- and back

    def _turn_back(self, record: ModelRecord, endpoint: Endpoint | None) -> ModelRecord:
        name, target = self._rules.endpoint, record.previous_config
        if endpoint and endpoint.config == target and not endpoint.dead:
            return self._settle_back(record)
        if endpoint and not endpoint.dead and endpoint.config != record.config:
            return self._settle_back(record, f"somebody lets it serve {endpoint.config} instead")
        reachable = bool(target) and self._host.config(target) is not None
        if endpoint and (endpoint.dead or not target):
            self._host.delete_endpoint(name)
            self._wait()
            return record
        if not reachable:
            lost = f"the config before it, {target}, is gone" if target else ""
            return self._settle_back(record, *([lost] if lost else []))
        if endpoint is None:
            asked = self._host.create_endpoint(name, target)
        else:
            # Plainly: what answers now is wrong already, and nothing is gained by a canary.
            asked = self._host.update_endpoint(name, target, None)
        if not asked:
            self._wait()
            return record
        return self._at(record, Phase.BACK_ASKED)

    def _come_back(self, record: ModelRecord, endpoint: Endpoint | None) -> ModelRecord:
        target = record.previous_config
        if endpoint and not endpoint.dead and endpoint.config == target:
            return self._settle_back(record)
        stands = _ended(endpoint) if endpoint else "the endpoint is gone"
        return self._settle_back(record, f"it did not come back to {target}: {stands}")

    # --- what all of them do

    def _at(self, record: ModelRecord, phase: Phase, *why: str) -> ModelRecord:
        moved = replace(record, phase=phase, reasons=why or record.reasons)
        return self.note(moved, ModelState.DEPLOYING)

    def _refuse(self, record: ModelRecord, why: str) -> ModelRecord:
        # One that served before may do so again: only this wish is refused.
        state = ModelState.RETIRED if record.by_hand else ModelState.REFUSED
        refused = replace(record, state=state, reasons=(why,))
        return self.note(refused, ModelState.DEPLOYING)

    def _settle_back(self, record: ModelRecord, *why: str) -> ModelRecord:
        turned = record.phase in (Phase.BACK, Phase.BACK_ASKED)
        reasons = (*record.reasons, *why) if turned else why
        settled = replace(record, state=ModelState.ROLLED_BACK, reasons=reasons)
        return self.note(settled, ModelState.DEPLOYING)

    def _notice(self, record: ModelRecord) -> Alert:
        kind = _TOLD[record.state]
        serves = self._serving()
        return notice_of(kind, record, at_ms=self._clock.now_ms(), serves=serves)

    def _serving(self) -> str:
        endpoint = self._host.endpoint(self._rules.endpoint)
        if endpoint is None or endpoint.dead:
            return ""
        return ", ".join(variant.name for variant in endpoint.variants)

    def _live_config(self, record: ModelRecord) -> str:
        others = (one.record for one in self._ledger.all(ModelState.LIVE))
        return next((one.config for one in others if one.version != record.version), "")

    def _at_rest(self) -> Endpoint | None:
        """Return the endpoint once it is on its way to nothing."""
        while True:
            endpoint = self._host.endpoint(self._rules.endpoint)
            if endpoint is None or not endpoint.busy:
                return endpoint
            self._told(f"the endpoint is {endpoint.status.value}")
            self._wait()

    def _wait(self) -> None:
        then_ms = self._clock.now_ms() + self._poll_ms
        if then_ms > self._until_ms:
            raise _TimeIsShort
        self._clock.wait_until_ms(then_ms)


_TOLD: Final = {
    ModelState.LIVE: NoticeKind.DEPLOYED,
    ModelState.REFUSED: NoticeKind.REFUSED,
    ModelState.FAILED: NoticeKind.TRAINING_FAILED,
    ModelState.ROLLED_BACK: NoticeKind.ROLLED_BACK,
}
_MIXED: Final = (
    "an update of the endpoint failed, and so did its roll-back (UpdateRollbackFailed): delete the "
    "endpoint or update it by hand"
)


def _hosted(record: ModelRecord, job: TrainingJob) -> HostedModel:
    spec = job.spec
    copied = {name: spec.configuration[name] for name in _COPIED if spec.configuration.get(name)}
    return HostedModel(record.version, spec.image, record.artifact_uri, spec.role_arn, copied)


def _ended(endpoint: Endpoint) -> str:
    why = f": {endpoint.failure}" if endpoint.failure else ""
    return f"the endpoint is {endpoint.status.value}{why}"


def _nobody(_: str) -> None:
    """Hear nothing."""


@contextmanager
def _as_long_as_there_is_time() -> Iterator[None]:
    try:
        yield
    except _TimeIsShort:
        return
