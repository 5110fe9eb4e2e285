"""What a diagnosis asks of the outside world: bounded in time, and nothing is ever changed."""

from collections.abc import Mapping, Sequence, Set
from typing import Protocol

import msgspec

from tidegauge.database_address import DatabaseAddress
from tidegauge.domain.errors import TidegaugeError
from tidegauge.domain.model_record import ModelState
from tidegauge.domain.snapshot import Snapshot
from tidegauge.ports.stream import StreamReading


class Denied(TidegaugeError):
    """A call is not allowed.

    Args:
        action: The missing permission, such as `kinesis:ListShards`.
        resource: What on, an ARN or `*`.
    """

    def __init__(self, action: str, resource: str) -> None:
        super().__init__(f"not allowed: {action} on {resource}")
        self.action = action
        self.resource = resource


class Absent(TidegaugeError):
    """What was asked for does not exist there."""


class Unsupported(TidegaugeError):
    """The service does not know the call, as a stand-in for AWS may not."""


class Snapshots(Protocol):
    """Reads how far a stream is counted."""

    def read(self) -> Snapshot | None:
        """Return what is known of the stream's newest generation; None if none was ever counted.

        Raises:
            Transient: the store cannot answer now.
            Misconfigured: it cannot be used as it is set.
        """
        ...


class Caller(msgspec.Struct, frozen=True):
    """Who we are to the cloud, and what its clock shows.

    Attributes:
        arn: Our identity.
        clock_ahead_ms: How far this machine's clock is ahead of the cloud's; exact to a second.
    """

    arn: str
    clock_ahead_ms: int


class StreamFacts(msgspec.Struct, frozen=True):
    """A stream as it stands."""

    arn: str
    status: str
    open_shards: int
    retention_hours: int


class TopicFacts(msgspec.Struct, frozen=True):
    """How many subscriptions a topic has; `pending` ones were never confirmed."""

    confirmed: int
    pending: int


class FunctionFacts(msgspec.Struct, frozen=True):
    """A deployed function.

    Attributes:
        name: Its name.
        arn: Its ARN.
        role_arn: The role that it runs as.
        handler: As the runtime calls it, which names the deployable.
        state: `Active`, or why not.
        variables: Its environment.
    """

    name: str
    arn: str
    role_arn: str
    handler: str
    state: str
    variables: Mapping[str, str]


class Schedule(msgspec.Struct, frozen=True):
    """A rule that starts a function."""

    name: str
    enabled: bool


class EndpointFacts(msgspec.Struct, frozen=True):
    """A model endpoint as it stands.

    Attributes:
        status: Such as `InService`.
        variants: Names of the production variants that answer; ours are named after the model.
        reason: Why it failed, as SageMaker says it; else empty.
    """

    status: str
    variants: Sequence[str] = ()
    reason: str = ""


class Notification(msgspec.Struct, frozen=True):
    """A bucket's order to call a function.

    Attributes:
        function_arn: The function.
        events: Upon what, such as `s3:ObjectCreated:*`.
        prefix: How the object's key must begin.
        suffix: How it must end.
    """

    function_arn: str
    events: Sequence[str]
    prefix: str = ""
    suffix: str = ""


class CloudLook(Protocol):
    """Looks at what is deployed.

    All methods raise Denied, Absent and Unsupported, Transient where there is no answer in time,
    and Misconfigured for any other refusal.
    """

    def caller(self) -> Caller:
        """Return who we are."""
        ...

    def stream(self, name: str) -> StreamFacts:
        """Return a stream's facts."""
        ...

    def functions(self, events_stream: str) -> list[FunctionFacts]:
        """Return the functions whose variable EVENTS_STREAM names a stream."""
        ...

    def readings(self, stream_arn: str) -> list[StreamReading]:
        """Return every event source mapping of a stream."""
        ...

    def schedules(self, function_arn: str) -> list[Schedule]:
        """Return the rules that start a function."""
        ...

    def topic(self, arn: str) -> TopicFacts:
        """Return a topic's facts."""
        ...

    def endpoint(self, name: str) -> EndpointFacts:
        """Return a model endpoint's facts."""
        ...

    def notifications(self, bucket: str) -> list[Notification]:
        """Return which functions a bucket calls."""
        ...

    def secret(self, arn: str) -> DatabaseAddress:
        """Return what a database's secret holds."""
        ...

    def allowed(self, role_arn: str, actions: Sequence[str], resource: str) -> Set[str]:
        """Return those of the actions that a role's own policies allow on a resource."""
        ...

    def may_pass(self, role_arn: str, passed_arn: str, service: str) -> bool:
        """Return whether a role's own policies let it pass a role to a service of AWS.

        Raises:
            Unsupported: the simulation does not heed to which service.
        """
        ...


class ServerFacts(msgspec.Struct, frozen=True):
    """A database server that let us in.

    Attributes:
        version: As it tells it.
        encrypted: Whether the connection is.
        clock_ahead_ms: How far this machine's clock is ahead of the server's.
    """

    version: str
    encrypted: bool
    clock_ahead_ms: int


class SchemaFacts(msgspec.Struct, frozen=True):
    """Migrations by name.

    Attributes:
        missing: Those that we ship and the database lacks.
        unknown: Those that it has and we do not ship.
    """

    missing: Sequence[str]
    unknown: Sequence[str]


class ModelStanding(msgspec.Struct, frozen=True):
    """Where a model is on its way, by our records."""

    version: str
    state: ModelState


class DatabaseLook(Snapshots, Protocol):
    """Looks at the database.

    All methods raise Transient where there is no answer in time, Misconfigured for a refusal.
    """

    def server(self) -> ServerFacts:
        """Return the server's facts."""
        ...

    def schema(self) -> SchemaFacts:
        """Return how far the schema is."""
        ...

    def models(self, endpoint: str) -> Sequence[ModelStanding]:
        """Return every model that was meant for an endpoint, latest first."""
        ...
