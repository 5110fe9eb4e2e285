"""The doctor step: looks at everything that counting and judging need, and says what to mend.

Takes an environment and two looks (at the cloud, at the database), gives findings one by one. It
changes nothing and waits for nobody: each answer is bounded in time. A check whose ground is
missing is not made, and what could not be checked is never called sound.
"""

from collections.abc import Iterator, Mapping, Sequence

from tidegauge.domain.errors import Misconfigured, TidegaugeError, Transient
from tidegauge.domain.stream_reading import reading_faults, untold
from tidegauge.ports import PatientClock
from tidegauge.ports.diagnosis import (
    Absent,
    Caller,
    CloudLook,
    Denied,
    FunctionFacts,
    ModelStanding,
    StreamFacts,
    Unsupported,
)
from tidegauge.settings import AlertSettings
from tidegauge.steps.doctor_database import DatabaseAt, DatabaseChecks
from tidegauge.steps.doctor_finding import (
    Check,
    Finding,
    NotChecked,
    Unsound,
    not_checked,
    ok,
    warning,
    wrong,
)
from tidegauge.steps.doctor_needs import Shared
from tidegauge.steps.doctor_retraining import RetrainingChecks
from tidegauge.steps.doctor_roles import lacking
from tidegauge.steps.doctor_settings import (
    PARTS,
    RETRAINING,
    by_part,
    differences,
    faults_here,
    faults_of_function,
)

CLOCK_WARNING_MS = 5_000
CLOCK_WRONG_MS = 240_000  # AWS refuses signatures that are five minutes off
DAY_HOURS = 24


class Doctor:
    """One examination.

    Args:
        env: The settings as they stand here; what functions alone need is taken from theirs.
        cloud: Looks at what is deployed.
        database_at: Looks at the database of an address.
        clock: This machine's.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        cloud: CloudLook,
        database_at: DatabaseAt,
        clock: PatientClock,
    ) -> None:
        self._env = {name: value for name, value in env.items() if value.strip()}
        self._cloud = cloud
        self._database = DatabaseChecks(
            self._variable, cloud, database_at, clock, self._clock_ahead_ms
        )
        self._retraining = RetrainingChecks(
            self._variable, cloud, lambda: self._functions, self._models
        )
        self._sound: set[str] = set()
        self._caller: Caller | None = None
        self._events: StreamFacts | None = None
        self._windows: StreamFacts | None = None
        self._functions: dict[str, FunctionFacts] = {}

    def run(self) -> Iterator[Finding]:
        """Yield findings in the order of the checks; each check has at least one."""
        for what, needs, check in self._checks():
            missing = [need for need in needs if need not in self._sound]
            if missing:
                yield not_checked(what, f"it needs the check of {missing[0]}, which failed")
                continue
            yield from self._guarded(what, check)

    def _checks(self) -> Sequence[tuple[str, tuple[str, ...], Check]]:
        account, events, functions = "AWS account", "events stream", "functions"
        return (
            ("settings", (), self._check_settings),
            (account, (), self._check_account),
            (events, (account,), self._check_events),
            (functions, (account,), self._check_functions),
            ("event source mapping", (events,), self._check_mapping),
            ("schedule", (functions,), self._check_schedule),
            ("windows stream", (account,), self._check_windows),
            ("topic", (account,), self._check_topic),
            ("roles", (functions, events), self._check_roles),
            *self._database.table(),
            *self._retraining.table(),
        )

    def _guarded(self, what: str, check: Check) -> Iterator[Finding]:
        try:
            yield from check()
        except Unsound:
            return
        except Denied as error:
            who = self._caller.arn if self._caller else "whoever runs this"
            yield wrong(what, str(error), f"allow {error.action} on {error.resource} to {who}")
        except (Unsupported, NotChecked) as error:
            yield not_checked(what, str(error))
        except Absent as error:
            yield wrong(what, str(error), _REMEDY_ABSENT.get(what, _DEPLOY))
        except Transient as error:
            yield wrong(what, str(error), _REMEDY_SILENT.get(what, _SILENT_CLOUD))
        except Misconfigured as error:
            for problem in error.problems:
                yield wrong(what, problem, _REMEDY_REFUSED.get(what, _LOG_IN))
        except TidegaugeError as error:
            yield wrong(what, str(error), _AGAIN)
        else:
            self._sound.add(what)

    def _variable(self, name: str) -> str:
        """Return a setting: as it stands here, else as the functions have it, else empty."""
        given = [f.variables.get(name, "") for f in self._functions.values()]
        return self._env.get(name) or next((value for value in given if value), "")

    def _models(self, endpoint: str) -> Sequence[ModelStanding]:
        if "schema" not in self._sound:
            msg = "it needs the check of schema"
            raise NotChecked(msg)
        return self._database.models(endpoint)

    def _clock_ahead_ms(self) -> int | None:
        return self._caller.clock_ahead_ms if self._caller else None

    # --- one method a check -----------------------------------------------------------------------

    def _check_settings(self) -> Iterator[Finding]:
        faults = faults_here(self._env)
        for fault in faults:
            yield wrong("settings", fault, "set it so, or unset it for its default")
        if not faults:
            yield ok("settings", "each that is set here can be used")

    def _check_account(self) -> Iterator[Finding]:
        caller = self._caller = self._cloud.caller()
        yield ok("AWS account", caller.arn)
        ahead_ms = caller.clock_ahead_ms
        told = f"this machine's clock is {_apart(ahead_ms)} AWS's"
        if abs(ahead_ms) <= CLOCK_WARNING_MS:
            yield ok("clock", told)
        else:
            kind = warning if abs(ahead_ms) <= CLOCK_WRONG_MS else wrong
            yield kind("clock", told, "let this machine's clock be set by NTP")

    def _check_events(self) -> Iterator[Finding]:
        name = self._variable("EVENTS_STREAM")
        if not name:
            raise Misconfigured(["EVENTS_STREAM is not set: it names the stream to look at"])
        self._events = self._cloud.stream(name)
        yield from _stream_findings("events stream", name, self._events)

    def _check_functions(self) -> Iterator[Finding]:
        found = by_part(self._cloud.functions(self._variable("EVENTS_STREAM")))
        self._functions = {part: some[0] for part, some in found.items()}
        if not found:
            msg = f"no function here reads stream {self._variable('EVENTS_STREAM') or '(unset)'}"
            raise Absent(msg)
        sound = True
        for part in (*PARTS, *(part for part in RETRAINING if part in found)):
            for finding in _function_findings(part, found.get(part, [])):
                sound = False
                yield finding
        for says, level in differences(self._functions, self._env):
            sound = False
            remedy = "deploy template.yaml again, which gives all functions the same"
            yield (wrong if level else warning)("functions", says, remedy)
        if sound:
            clock = self._variable("HEARTBEATS") or "sweep"
            yield ok("functions", f"{', '.join(found)}; the stream's clock is the {clock}")

    def _check_mapping(self) -> Iterator[Finding]:
        events = self._events
        readings = self._cloud.readings(events.arn if events else "")
        faults = reading_faults(readings)
        for fault in faults:
            says, _, remedy = fault.partition("; ")
            yield wrong("event source mapping", says, remedy or "deploy template.yaml again")
        silent = untold(readings)
        for sentence in silent:
            yield not_checked("event source mapping", sentence)
        if not faults and not silent:
            yield ok("event source mapping", "one reads the stream: in order, whole, without end")

    def _check_schedule(self) -> Iterator[Finding]:
        sweep = self._functions.get("sweep")
        if sweep is None:
            yield not_checked("schedule", "there is no sweep function")
            return
        rules = self._cloud.schedules(sweep.arn)
        enabled = [rule.name for rule in rules if rule.enabled]
        if enabled:
            yield ok("schedule", f"rule {enabled[0]} rings the sweep")
        elif rules:
            name = rules[0].name
            remedy = f"enable it with `aws events enable-rule --name {name}`"
            yield wrong("schedule", f"rule {name} of the sweep is disabled: no clock", remedy)
        else:
            yield wrong("schedule", "no rule rings the sweep: there is no clock", _DEPLOY)

    def _check_windows(self) -> Iterator[Finding]:
        name = self._variable("WINDOWS_STREAM")
        if not name:
            yield not_checked("windows stream", "WINDOWS_STREAM is set neither here nor there")
            return
        self._windows = self._cloud.stream(name)
        yield from _stream_findings("windows stream", name, self._windows)
        readings = self._cloud.readings(self._windows.arn)
        if not any(reading.enabled for reading in readings):
            remedy = "enable predict's mapping, or deploy template.yaml again"
            yield wrong("windows stream", "no enabled mapping reads it: nothing is judged", remedy)

    def _check_topic(self) -> Iterator[Finding]:
        arn = self._variable("ALERTS_TOPIC_ARN")
        if not arn:
            yield not_checked("topic", "ALERTS_TOPIC_ARN is set neither here nor there")
            return
        AlertSettings.from_env({"ALERTS_TOPIC_ARN": arn})
        topic = self._cloud.topic(arn)
        pending = f", {topic.pending} not confirmed" if topic.pending else ""
        if topic.confirmed:
            yield ok("topic", f"{topic.confirmed} subscribed{pending}")
        else:
            remedy = f"subscribe people: `aws sns subscribe --topic-arn {arn} --protocol email …`"
            yield warning("topic", f"nobody is subscribed{pending}: nobody hears of alerts", remedy)

    def _check_roles(self) -> Iterator[Finding]:
        shared = Shared(
            events_arn=self._events.arn if self._events else "",
            windows_arn=self._windows.arn if self._windows else "",
            bucket=self._variable("FAILED_BATCHES_BUCKET"),
            exports_bucket=self._variable("EXPORTS_BUCKET"),
            models_bucket=self._variable("MODELS_BUCKET"),
            model_role=self._variable("TRAINING_ROLE_ARN"),
        )
        for part, function in self._functions.items():
            try:
                yield from lacking(self._cloud, part, function, shared)
            except Denied as error:
                says = f"role of {part}: you may not {error.action} on {error.resource}"
                yield not_checked("roles", says)
            except (Unsupported, Absent, Transient, Misconfigured) as error:
                yield not_checked("roles", f"role of {part}: {error}")


_DEPLOY = (
    "deploy template.yaml, or look at the right account and region (AWS_PROFILE, "
    "AWS_DEFAULT_REGION)"
)
_AGAIN = "run the doctor again; if it says the same, see what it looked at by hand"
_SILENT_CLOUD = (
    "check this machine's network, AWS_DEFAULT_REGION and AWS_ENDPOINT_URL; run the doctor again"
)
_SILENT_DATABASE = (
    "check that it runs, its host and port, and that this machine may reach it (VPN, security "
    "group); then run the doctor again"
)
_REFUSED_TABLES = (
    "give the account SELECT on all tables of this database, or run `tidegauge migrate` with the "
    "version of this program that the functions have"
)
_SET_ADDRESS = (
    "set DATABASE_URL to mysql://user:password@host:3306/database, reserved characters as %XX, or "
    "DATABASE_SECRET_ARN to the secret that the functions use"
)
_LOG_IN = "log in: set AWS_PROFILE or credentials, and AWS_DEFAULT_REGION"
_REMEDY_ABSENT = {
    "events stream": "set EVENTS_STREAM to the stack's output EventsStreamName; is it the right "
    "account and region (AWS_PROFILE, AWS_DEFAULT_REGION)?",
}
_REMEDY_SILENT = dict.fromkeys(("database", "schema", "counting", "one clock"), _SILENT_DATABASE)
_REMEDY_REFUSED = {
    "database address": _SET_ADDRESS,
    "database": "mend user, password or database name in DATABASE_URL, or in the secret",
    **dict.fromkeys(("schema", "counting", "one clock"), _REFUSED_TABLES),
    "topic": "set ALERTS_TOPIC_ARN to the stack's output AlertsTopicArn",
    "endpoint": "set ENDPOINT_NAME to the name of an endpoint, as the stack's EndpointName has it",
    "events stream": "set EVENTS_STREAM to the stack's output EventsStreamName",
}


def _stream_findings(what: str, name: str, stream: StreamFacts) -> Iterator[Finding]:
    if stream.status not in ("ACTIVE", "UPDATING"):
        yield wrong(what, f"{name} is {stream.status}", "wait, or deploy template.yaml again")
    elif stream.retention_hours < DAY_HOURS:
        says = (
            f"{name} keeps records for {stream.retention_hours} h: an outage of a night loses some"
        )
        yield warning(what, says, "keep them for 24 h or more")
    else:
        shards = f"{stream.open_shards} open shard{'s' if stream.open_shards != 1 else ''}"
        yield ok(what, f"{name} is {stream.status.lower()}, {shards}")


def _function_findings(part: str, found: Sequence[FunctionFacts]) -> Iterator[Finding]:
    """Yield what is wrong with the functions of one part."""
    if not found:
        yield wrong("functions", f"there is no {part} function for this stream", _DEPLOY)
    if len(found) > 1:
        names = ", ".join(function.name for function in found)
        remedy = "delete the stack that is not wanted, or give it a stream of its own"
        yield wrong(
            "functions", f"{len(found)} functions are {part} of this stream: {names}", remedy
        )
    for function in found[:1]:
        if function.state == "Failed":
            remedy = "`aws lambda get-function-configuration` says why; deploy template.yaml again"
            yield wrong("functions", f"{function.name} is {function.state}", remedy)
        elif function.state != "Active":  # being made, or idle for weeks
            remedy = "wait a minute: Lambda is making it ready"
            yield warning("functions", f"{function.name} is {function.state}", remedy)
        for fault in faults_of_function(part, function.variables):
            yield wrong("functions", f"{part}: {fault}", "deploy template.yaml again")


def _apart(ahead_ms: int) -> str:
    seconds = abs(ahead_ms) / 1000
    if seconds < 1:
        return "within a second of"
    return f"{seconds:.0f} s {'ahead of' if ahead_ms > 0 else 'behind'}"
