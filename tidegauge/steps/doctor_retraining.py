"""The doctor on retraining: does a model answer, and does the next one come by itself.

A stack begins without a model, and that is no fault: so what an endpoint is depends on what our
records say of the models that were meant for it. The chain from a dataset to an endpoint hangs on
two schedules and on two buckets that call functions; each is looked at.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from tidegauge.domain.endpoint import BUSY, EndpointStatus
from tidegauge.domain.errors import Misconfigured, TidegaugeError, Transient
from tidegauge.domain.model_record import ModelState
from tidegauge.ports.diagnosis import (
    Absent,
    CloudLook,
    Denied,
    EndpointFacts,
    FunctionFacts,
    ModelStanding,
    Unsupported,
)
from tidegauge.settings import JudgingSettings
from tidegauge.steps.doctor_finding import (
    Check,
    Finding,
    NotChecked,
    not_checked,
    ok,
    warning,
    wrong,
)
from tidegauge.steps.doctor_settings import RETRAINING

_ENDPOINT = "endpoint"
_RETRAINING = "retraining"
_STORED = "s3:ObjectCreated:*"  # an upload in parts is no `Put`
# What the two buckets get, by the example of one key each.
_MANIFEST_KEY = "exports/20130212T000000Z-0123456789ab/manifest.json"
_ARTIFACT_KEY = "training/linear-learner-20130212-01234567/output/model.tar.gz"

_DEPLOY = "deploy template.yaml again"
_OTHER_MODEL = (
    "`tidegauge models` tells what became of each; `tidegauge rollback VERSION` brings back one "
    "that was live, `tidegauge retrain` trains another"
)
_FIRST_MODEL = (
    "wait: the first dataset is exported once there are two whole days of history, and `tidegauge "
    "retrain` need not wait for the schedule then; `tidegauge models` tells what becomes of it"
)
_IN_WORDS: Final[Mapping[ModelState, str]] = {
    ModelState.TRAINING: "being trained",
    ModelState.FAILED: "not trained: its job failed",
    ModelState.REFUSED: "refused",
    ModelState.DEPLOYING: "being deployed",
    ModelState.LIVE: "live",
    ModelState.RETIRED: "retired",
    ModelState.ROLLED_BACK: "rolled back",
}


class RetrainingChecks:
    """The checks of the endpoint and of the chain that leads to it.

    Args:
        variable: Gives a setting, as it stands here or as the functions have it.
        cloud: Looks at what is deployed.
        functions: Gives the functions that were found, by what they are.
        models: Gives the models of an endpoint, latest first. Raises NotChecked where no database
            can tell.
    """

    def __init__(
        self,
        variable: Callable[[str], str],
        cloud: CloudLook,
        functions: Callable[[], Mapping[str, FunctionFacts]],
        models: Callable[[str], Sequence[ModelStanding]],
    ) -> None:
        self._variable = variable
        self._cloud = cloud
        self._functions = functions
        self._models = models

    def table(self) -> Sequence[tuple[str, tuple[str, ...], Check]]:
        """Return each check with what it needs."""
        return (
            (_ENDPOINT, ("AWS account",), self._check_endpoint),
            (_RETRAINING, ("functions",), self._check_chain),
        )

    def _check_endpoint(self) -> Iterator[Finding]:
        name = self._variable("ENDPOINT_NAME")
        if not name:
            says = "no model is set (ENDPOINT_NAME): nothing is judged"
            yield warning(_ENDPOINT, says, f"{_DEPLOY}, which names one")
            return
        JudgingSettings.from_env({"ENDPOINT_NAME": name})
        try:
            facts = self._cloud.endpoint(name)
        except Absent:
            facts = None
        try:
            models = self._models(name)
        except (NotChecked, Transient, Misconfigured) as error:
            yield _by_status(name, facts) or _unknown(name, facts, error)
            return
        yield _by_status(name, facts) or (
            _missing(name, models) if facts is None else _answering(name, facts, models)
        )

    def _check_chain(self) -> Iterator[Finding]:
        deployed = self._functions()
        missing = [part for part in RETRAINING if part not in deployed]
        if len(missing) == len(RETRAINING):
            says = f"this stack has no functions {', '.join(missing)}: models do not come by itself"
            yield not_checked(_RETRAINING, says)
            return
        for part in missing:
            yield wrong(_RETRAINING, f"there is no {part} function for this stream", _DEPLOY)
        for check in (self._exporting, self._watching, self._training, self._deploying):
            try:
                yield from check(deployed)
            except Denied as error:
                yield not_checked(_RETRAINING, f"you may not {error.action} on {error.resource}")
            except (Unsupported, Transient, Misconfigured) as error:
                yield not_checked(_RETRAINING, str(error))

    def _exporting(self, deployed: Mapping[str, FunctionFacts]) -> Iterator[Finding]:
        if "export" not in deployed:
            return
        rule, enabled = self._rule(deployed["export"])
        if enabled:
            yield ok(_RETRAINING, f"rule {rule} asks export for datasets")
        elif rule:
            says = f"rule {rule} is disabled: no dataset is exported by itself"
            remedy = "deploy with Retraining=on; until then `tidegauge retrain` exports one"
            yield warning(_RETRAINING, says, remedy)
        else:
            yield wrong(_RETRAINING, "no rule asks export for datasets", _DEPLOY)

    def _watching(self, deployed: Mapping[str, FunctionFacts]) -> Iterator[Finding]:
        if "deploy" not in deployed:
            return
        rule, enabled = self._rule(deployed["deploy"])
        unseen = "a job that fails, or an update that lasts, goes unseen"
        if enabled:
            yield ok(_RETRAINING, f"rule {rule} has deploy look after jobs and updates")
        elif rule:
            remedy = f"enable it with `aws events enable-rule --name {rule}`"
            yield wrong(_RETRAINING, f"rule {rule} of deploy is disabled: {unseen}", remedy)
        else:
            yield wrong(_RETRAINING, f"no rule rings deploy: {unseen}", _DEPLOY)

    def _rule(self, function: FunctionFacts) -> tuple[str, bool]:
        """Return the rule that starts a function, and whether it is enabled; empty for none."""
        rules = sorted(self._cloud.schedules(function.arn), key=lambda rule: not rule.enabled)
        return (rules[0].name, rules[0].enabled) if rules else ("", False)

    def _training(self, deployed: Mapping[str, FunctionFacts]) -> Iterator[Finding]:
        yield from self._called(deployed, "train", "EXPORTS_BUCKET", _MANIFEST_KEY)

    def _deploying(self, deployed: Mapping[str, FunctionFacts]) -> Iterator[Finding]:
        yield from self._called(deployed, "deploy", "MODELS_BUCKET", _ARTIFACT_KEY)

    def _called(
        self, deployed: Mapping[str, FunctionFacts], part: str, variable: str, key: str
    ) -> Iterator[Finding]:
        """Yield whether a bucket calls a function for such a key."""
        bucket = self._variable(variable)
        if part not in deployed:
            return
        if not bucket:
            yield not_checked(_RETRAINING, f"{variable} is set neither here nor there")
            return
        arn, thing = deployed[part].arn, key.rpartition("/")[2]
        try:
            notifications = self._cloud.notifications(bucket)
        except Absent as error:
            yield wrong(_RETRAINING, f"bucket {bucket}: {error}", _DEPLOY)
            return
        for each in notifications:
            fits = key.startswith(each.prefix) and key.endswith(each.suffix)
            if each.function_arn == arn and fits and _STORED in each.events:
                yield ok(_RETRAINING, f"bucket {bucket} calls {part} for each {thing}")
                return
        says = f"bucket {bucket} does not call {part} for each {thing} that is stored"
        yield wrong(_RETRAINING, says, f"{_DEPLOY}; somebody else may have set its notifications")


def _by_status(name: str, facts: EndpointFacts | None) -> Finding | None:
    """Return the finding of an endpoint that is there and not in service; else None."""
    if facts is None or facts.status == EndpointStatus.IN_SERVICE:
        return None
    if facts.status in BUSY:
        return warning(
            _ENDPOINT, f"{name} is {facts.status}", "wait: predict retries until it answers"
        )
    why = f": {facts.reason}" if facts.reason else ""
    return wrong(_ENDPOINT, f"{name} is {facts.status}{why}", _OTHER_MODEL)


def _unknown(name: str, facts: EndpointFacts | None, error: TidegaugeError) -> Finding:
    """Return the finding where nobody knows which model should answer."""
    if facts is not None:
        return ok(_ENDPOINT, f"{name} is in service, with {_named(facts.variants)}")
    says = f"there is no {name}; whether a model was ever live on it, is not known: {error}"
    return not_checked(_ENDPOINT, says)


def _missing(name: str, models: Sequence[ModelStanding]) -> Finding:
    """Return the finding of an endpoint that is not there."""
    for was in (ModelState.LIVE, ModelState.RETIRED):
        for model in models:
            if model.state is was:
                says = f"{name} is missing, and {model.version} was live on it: nothing is judged"
                return wrong(_ENDPOINT, says, _OTHER_MODEL)
    waits = f"{name} waits for its first model; until then windows are counted and not judged"
    for model in models:
        if model.state in (ModelState.TRAINING, ModelState.DEPLOYING):
            says = f"{waits}; {model.version} is {_IN_WORDS[model.state]}"
            return warning(_ENDPOINT, says, "wait: `tidegauge models` tells how far it is")
    if models:
        last = models[0]
        says = f"{waits}; {last.version} was {_IN_WORDS[last.state]}"
        remedy = f"`tidegauge models {last.version}` tells why; `tidegauge retrain` trains another"
        return warning(_ENDPOINT, says, remedy)
    return warning(_ENDPOINT, waits, _FIRST_MODEL)


def _answering(name: str, facts: EndpointFacts, models: Sequence[ModelStanding]) -> Finding:
    """Return the finding of an endpoint in service, by whom it should serve."""
    states = {model.version: model.state for model in models}
    by_hand = [variant for variant in facts.variants if variant not in states]
    live = next((v for v, state in states.items() if state is ModelState.LIVE), None)
    # deploy notes within minutes that what it deployed answers
    served = {states.get(variant) for variant in facts.variants}
    if served & {ModelState.LIVE, ModelState.DEPLOYING} or (live is None and by_hand):
        return ok(_ENDPOINT, f"{name} is in service, with {_named(facts.variants)}")
    told = ", ".join(
        f"{variant}, which is {_IN_WORDS[states[variant]] if variant in states else 'not ours'}"
        for variant in facts.variants
    )
    says = f"{name} serves {told or 'nothing'}; live by our records is {live or 'none'}"
    remedy = (
        "wait five minutes for deploy to notice; then see `tidegauge models`, and bring back "
        "whichever shall answer with `tidegauge rollback VERSION`"
    )
    return warning(_ENDPOINT, says, remedy)


def _named(variants: Sequence[str]) -> str:
    return " and ".join(variants) or "no variant that it tells"
