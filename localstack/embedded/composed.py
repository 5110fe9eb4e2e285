"""The local stack in Docker: the services of docker-compose.yml, and what is deployed to them.

Does what `local` does with processes of this machine. The functions reach database and stand-in by
their names in Docker's network, this machine reaches them by ports on loopback: the two addresses
of one server are kept apart here.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from embedded.bootstrap import SetupFailed, environment
from embedded.compose import Compose
from embedded.database import url_of
from embedded.engine import EngineAddress
from embedded.local import Phase, Running, alone
from embedded.places import Places
from embedded.processes import LOOPBACK
from embedded.stack import Outputs, Stack, Wanted
from tidegauge.adapters.mysql.connection import Database as Connection
from tidegauge.adapters.mysql.migrate import migrate
from tidegauge.domain.errors import InvalidInput
from tidegauge.settings import DatabaseAddress, DatabaseSettings

DATABASE = "mysql"
ENGINE = "localstack"
SAGEMAKER = "sagemaker"
DATABASE_PORT = 3306
ENGINE_PORT = 4566
SAGEMAKER_PORT = 4599
USER = "tidegauge"
NAME = "tidegauge"
PASSWORD_FILE = "/run/tidegauge/password"  # noqa: S105 - where it lies in the containers
SAGEMAKER_INSIDE = f"http://{SAGEMAKER}:{SAGEMAKER_PORT}"
# Docker fetches the functions' image meanwhile.
DEPLOY_SECONDS = 900.0
# Enough to find the last failure in.
LOG_STREAMS = 3
LOG_LINES = 500


@dataclass(frozen=True, slots=True)
class ComposedServers:
    """Servers that are services of the compose file."""

    compose: Compose
    engine: EngineAddress

    @contextmanager
    def without_models(self) -> Iterator[None]:
        """Keep SageMaker down until the block ends; it comes back with nothing."""
        self.compose.stop(SAGEMAKER)
        yield
        self.compose.up(SAGEMAKER, anew=True)  # its state lies in no volume

    def engine_log(self) -> Path:
        """Return what LocalStack logged until now, and behind it what the functions did.

        LocalStack keeps the words of functions for CloudWatch Logs and prints none of them.
        """
        log = self.compose.log_of(ENGINE)
        with log.open("a") as file:
            file.writelines(f"{line}\n" for line in function_logs(self.engine))
        return log


class ComposedStack:
    """The local stack in Docker.

    Args:
        places: Its folders.
        wanted: What the template is deployed with; the processor is that of Docker's machine.
    """

    def __init__(self, places: Places, wanted: Wanted | None = None) -> None:
        self._places = places
        self._wanted = wanted or Wanted()
        self._started = places.state / "started"
        self.compose = Compose(places)

    def up(self, phase: Phase = lambda _name: nullcontext()) -> Running:
        """Bring up what is not up, and deploy what is not deployed.

        Args:
            phase: Told as each phase begins, left as it ends.

        Raises:
            InvalidInput: something cannot be brought up; one sentence that says what to do.
        """
        self.compose.require()
        self._places.state.mkdir(parents=True, exist_ok=True)
        with alone(self._places):
            self._started.touch()
            return self._up(phase)

    def _up(self, phase: Phase) -> Running:
        with phase("environments"):
            for name in ("engine", "sam"):  # the engine's has the Python that SAM builds with
                _environment(name, self._places)
        with phase("containers"):
            self.compose.up()
        inside = self._database_inside()
        with phase("migrate"):
            outside = self._outside(inside)
            migrate(Connection.from_settings(DatabaseSettings(database_url=url_of(outside))))
        stack = self._stack()
        with phase("build"):
            stack.build()
        with phase("deploy"):
            outputs = self._deployed(stack, inside)
        return self._running(outside, outputs)

    def down(self) -> list[str]:
        """Remove containers and network; return which services ran. Volumes are kept.

        Docker is left alone where this stack was never started.
        """
        if not self._started.exists():
            return []
        with alone(self._places):
            try:
                self.compose.require()
            except InvalidInput:
                return []  # no container runs without it
            stopped = self.compose.down()
            self._started.unlink()
        return [f"{service} (Docker)" for service in stopped]

    def _stack(self) -> Stack:
        wanted = replace(self._wanted, architecture=self.compose.architecture())
        return Stack(self._places, wanted, deploy_seconds=DEPLOY_SECONDS)

    def _deployed(self, stack: Stack, inside: DatabaseAddress) -> Outputs:
        engine = self._engine()
        if stack.is_current(engine, inside, SAGEMAKER_INSIDE):
            outputs = stack.outputs(engine)
            if outputs is not None:
                return outputs
        if stack.exists(engine):
            # LocalStack forgets with its container, and with its S3 what SageMaker knows of.
            self.compose.up(ENGINE, SAGEMAKER, anew=True)
            engine = self._engine()  # a port that Docker chose is another one now
        return stack.deploy(engine, inside, SAGEMAKER_INSIDE)

    def _running(self, outside: DatabaseAddress, outputs: Outputs) -> Running:
        sagemaker_url = f"http://{LOOPBACK}:{self.compose.port(SAGEMAKER, SAGEMAKER_PORT)}"
        engine = self._engine()
        servers = ComposedServers(self.compose, engine)
        return Running(engine, outside, outputs, sagemaker_url, servers)

    def _engine(self) -> EngineAddress:
        return EngineAddress(self.compose.port(ENGINE, ENGINE_PORT))

    def _database_inside(self) -> DatabaseAddress:
        """Return the database's address for functions."""
        password = self.compose.read(DATABASE, PASSWORD_FILE)
        return DatabaseAddress(DATABASE, DATABASE_PORT, USER, password, NAME)

    def _outside(self, inside: DatabaseAddress) -> DatabaseAddress:
        """Return the database's address for this machine."""
        return replace(inside, host=LOOPBACK, port=self.compose.port(DATABASE, DATABASE_PORT))


def function_logs(engine: EngineAddress) -> list[str]:
    """Return the last that each function of an engine logged, in order of time."""
    logs = engine.session().logs
    found: list[tuple[int, str]] = []
    for page in logs.get_paginator("describe_log_groups").paginate():
        for group in page["logGroups"]:
            streams = logs.describe_log_streams(
                logGroupName=group["logGroupName"],
                orderBy="LastEventTime",
                descending=True,
                limit=LOG_STREAMS,
            )["logStreams"]
            for stream in streams:
                told = logs.get_log_events(
                    logGroupName=group["logGroupName"],
                    logStreamName=stream["logStreamName"],
                    limit=LOG_LINES,
                )
                found += [(one["timestamp"], one["message"].rstrip()) for one in told["events"]]
    return [line for _, line in sorted(found)]


def _environment(name: str, places: Places) -> None:
    try:
        environment(name, tools=places.tools)
    except SetupFailed as error:
        raise InvalidInput(str(error)) from error
