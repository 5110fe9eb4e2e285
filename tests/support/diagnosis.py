"""Looks at a deployment that stands nowhere: sound at first, broken by a test as it likes."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from tests.support.snapshots import at, series, shard, snapshot
from tidegauge.database_address import DatabaseAddress
from tidegauge.domain.model_record import ModelState
from tidegauge.domain.snapshot import Snapshot
from tidegauge.ports import StreamReading
from tidegauge.ports.diagnosis import (
    Absent,
    Caller,
    EndpointFacts,
    FunctionFacts,
    ModelStanding,
    Notification,
    Schedule,
    SchemaFacts,
    ServerFacts,
    StreamFacts,
    TopicFacts,
)
from tidegauge.settings import DatabaseSettings
from tidegauge.steps.doctor import Doctor
from tidegauge.steps.doctor_finding import Finding, Level
from tidegauge.steps.doctor_needs import NEEDS
from tidegauge.steps.doctor_settings import PARTS, RETRAINING

ACCOUNT = "123456789012"
REGION = "eu-west-1"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:alerts"
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:database-AbCdEf"
MODEL_ROLE = f"arn:aws:iam::{ACCOUNT}:role/tg-model"
ENDPOINT = "tides"
MODEL = "linear-learner-20130212-01234567"  # the one that is live
PASSWORD = "s3cret-p4ss"  # noqa: S105 - must never be shown

_Answer = TypeVar("_Answer")


class ManualClock:
    """A clock that stands still but for whoever waits for it."""

    def __init__(self, time_ms: int = 0) -> None:
        self.time_ms = time_ms

    def now_ms(self) -> int:
        return self.time_ms

    def wait_until_ms(self, time_ms: int) -> None:
        self.time_ms = max(self.time_ms, time_ms)


def stream_arn(name: str) -> str:
    return f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{name}"


def function(part: str, **variables: str) -> FunctionFacts:
    """Return a function as `template.yaml` deploys it."""
    shared = {
        "EVENTS_STREAM": "events", "WINDOWS_STREAM": "windows", "DATABASE_SECRET_ARN": SECRET,
        "HEARTBEATS": "sweep", "WINDOW_SECONDS": "300",
    }  # fmt: skip
    own = {
        "predict": {"ALERTS_TOPIC_ARN": TOPIC, "ENDPOINT_NAME": ENDPOINT},
        "sweep": {"ALERTS_TOPIC_ARN": TOPIC, "FAILED_BATCHES_BUCKET": "failed-batches"},
        "export": {"ENDPOINT_NAME": ENDPOINT, "EXPORTS_BUCKET": "exports"},
        "train": {
            "ENDPOINT_NAME": ENDPOINT, "MODELS_BUCKET": "models", "TRAINING_IMAGE": "learner:1",
            "TRAINING_ROLE_ARN": MODEL_ROLE,
        },
        "deploy": {
            "ALERTS_TOPIC_ARN": TOPIC, "ENDPOINT_NAME": ENDPOINT, "ROLLBACK_ALARMS": "one,two",
        },
    }.get(part, {})  # fmt: skip
    return FunctionFacts(
        name=f"tg-{part}",
        arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:tg-{part}",
        role_arn=f"arn:aws:iam::{ACCOUNT}:role/tg-{part}",
        handler=f"{'retrain' if part in RETRAINING else 'consumers'}.{part}.app.handler",
        state="Active",
        variables={**shared, **own, **variables},
    )


def all_but(part: str, *others: FunctionFacts) -> list[FunctionFacts]:
    """Return the functions of a whole deployment, with others in place of one."""
    return [function(each) for each in (*PARTS, *RETRAINING) if each != part] + list(others)


READING = StreamReading(
    name="uuid-1", enabled=True, function="tg-collect", starting_position="TRIM_HORIZON",
    parallelization_factor=1, maximum_retry_attempts=-1, maximum_record_age_seconds=-1,
    bisects=False, partial_answers=False, tumbling_window_seconds=0,
)  # fmt: skip


def called(part: str, prefix: str, suffix: str, event: str = "s3:ObjectCreated:*") -> Notification:
    """Return a bucket's order to call a function."""
    return Notification(function(part).arn, [event], prefix, suffix)


@dataclass
class FakeCloud:
    """What is deployed. Whatever stands in `failures` by a method's name is raised by it."""

    clock_ahead_ms: int = 0
    streams: dict[str, StreamFacts] = field(
        default_factory=lambda: {
            name: StreamFacts(stream_arn(name), "ACTIVE", 2, 24) for name in ("events", "windows")
        }
    )
    deployed: list[FunctionFacts] = field(
        default_factory=lambda: [function(part) for part in (*PARTS, *RETRAINING)]
    )
    mappings: dict[str, list[StreamReading]] = field(
        default_factory=lambda: {
            stream_arn("events"): [READING],
            stream_arn("windows"): [READING],
        }
    )
    rules: dict[str, list[Schedule]] = field(
        default_factory=lambda: {
            "sweep": [Schedule("every-minute", True)],
            "export": [Schedule("every-day", True)],
            "deploy": [Schedule("every-five-minutes", True)],
        }
    )
    subscribers: TopicFacts = field(default_factory=lambda: TopicFacts(2, 0))
    endpoint_facts: EndpointFacts = field(
        default_factory=lambda: EndpointFacts("InService", [MODEL])
    )
    calls: dict[str, list[Notification]] = field(
        default_factory=lambda: {
            "exports": [called("train", "exports/", "/manifest.json")],
            "models": [called("deploy", "training/", "/model.tar.gz")],
        }
    )
    address: DatabaseAddress = field(
        default_factory=lambda: DatabaseAddress("db.internal", 3306, "tide", PASSWORD, "gauge")
    )
    denied_actions: set[str] = field(default_factory=set)
    allows_all: bool = False
    failures: dict[str, Exception] = field(default_factory=dict)

    def _answer(self, name: str, answer: _Answer) -> _Answer:
        if name in self.failures:
            raise self.failures[name]
        return answer

    def caller(self) -> Caller:
        me = f"arn:aws:iam::{ACCOUNT}:user/operator"
        return self._answer("caller", Caller(me, self.clock_ahead_ms))

    def stream(self, name: str) -> StreamFacts:
        found = self._answer("stream", self.streams).get(name)
        if found is None:
            msg = f"Stream {name} not found"
            raise Absent(msg)
        return found

    def functions(self, events_stream: str) -> list[FunctionFacts]:
        deployed = self._answer("functions", self.deployed)
        return [each for each in deployed if each.variables["EVENTS_STREAM"] == events_stream]

    def readings(self, stream_arn: str) -> list[StreamReading]:
        return self._answer("readings", self.mappings)[stream_arn]

    def schedules(self, function_arn: str) -> list[Schedule]:
        return self._answer("schedules", self.rules)[function_arn.rpartition(":tg-")[2]]

    def topic(self, arn: str) -> TopicFacts:
        assert arn == TOPIC
        return self._answer("topic", self.subscribers)

    def endpoint(self, name: str) -> EndpointFacts:
        assert name == ENDPOINT
        return self._answer("endpoint", self.endpoint_facts)

    def notifications(self, bucket: str) -> list[Notification]:
        found = self._answer("notifications", self.calls).get(bucket)
        if found is None:
            msg = "The specified bucket does not exist"
            raise Absent(msg)
        return found

    def secret(self, arn: str) -> DatabaseAddress:
        assert arn == SECRET
        return self._answer("secret", self.address)

    def allowed(self, role_arn: str, actions: Sequence[str], resource: str) -> Set[str]:
        assert resource == "*" or resource.startswith("arn:aws:"), resource
        part = role_arn.rpartition("/tg-")[2]
        mine = {action for _, some in NEEDS[part] for action in some}
        answer = set(actions) if self.allows_all else mine & set(actions) - self.denied_actions
        return self._answer("allowed", answer)

    def may_pass(self, role_arn: str, passed_arn: str, service: str) -> bool:
        assert passed_arn == MODEL_ROLE
        assert service == "sagemaker.amazonaws.com"
        allowed = self.allowed(role_arn, ["iam:PassRole"], passed_arn)
        return self._answer("may_pass", bool(allowed))


def counted() -> Snapshot:
    """Return what a sound stream's store tells."""
    return snapshot(shard("s0", 59.5), shard("s1", 60), series=[series("a", 50, 3)])


@dataclass
class FakeDatabase:
    """A database that lets us in. As `FakeCloud`."""

    facts: ServerFacts = field(default_factory=lambda: ServerFacts("8.4.3", True, 0))
    migrations: SchemaFacts = field(default_factory=lambda: SchemaFacts([], []))
    snapshot: Snapshot | None = field(default_factory=counted)
    next_snapshots: list[Snapshot] = field(default_factory=list)
    standings: list[ModelStanding] = field(
        default_factory=lambda: [ModelStanding(MODEL, ModelState.LIVE)]
    )
    failures: dict[str, Exception] = field(default_factory=dict)
    asked_for: list[tuple[str, str, bool]] = field(default_factory=list)

    def __call__(
        self,
        address: DatabaseAddress,
        settings: DatabaseSettings,
        stream_name: str,
        *,
        with_earlier: bool,
    ) -> "FakeDatabase":
        assert settings.needs_tls(address) is not address.is_loopback
        self.asked_for.append((address.host, stream_name, with_earlier))
        return self

    def server(self) -> ServerFacts:
        if "server" in self.failures:
            raise self.failures["server"]
        return self.facts

    def schema(self) -> SchemaFacts:
        if "schema" in self.failures:
            raise self.failures["schema"]
        return self.migrations

    def read(self) -> Snapshot | None:
        if "read" in self.failures:
            raise self.failures["read"]
        now = self.snapshot
        if self.next_snapshots:
            self.snapshot = self.next_snapshots.pop(0)
        return now

    def models(self, endpoint: str) -> list[ModelStanding]:
        assert endpoint == ENDPOINT
        if "models" in self.failures:
            raise self.failures["models"]
        return self.standings


def examined(
    cloud: FakeCloud | None = None,
    database: FakeDatabase | None = None,
    env: Mapping[str, str] | None = None,
) -> list[Finding]:
    """Return the doctor's findings in this deployment, sound where nothing is given."""
    doctor = Doctor(
        {"EVENTS_STREAM": "events"} if env is None else env,
        cloud or FakeCloud(),
        database or FakeDatabase(),
        ManualClock(at(60)),
    )
    return list(doctor.run())


def levels(findings: Sequence[Finding], what: str) -> list[Level]:
    """Return how a thing was found, in order."""
    return [finding.level for finding in findings if finding.what == what]


def only(findings: Sequence[Finding], level: Level) -> Finding:
    """Return the one finding of a level."""
    (found,) = [finding for finding in findings if finding.level is level]
    return found


def with_mapping(**changes: object) -> FakeCloud:
    """Return a cloud whose mapping of the events stream is set otherwise."""
    cloud = FakeCloud()
    cloud.mappings[stream_arn("events")] = [msgspec.structs.replace(READING, **changes)]
    return cloud
