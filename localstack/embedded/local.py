"""The whole local stack: database, SageMaker stand-in, engine, and what is deployed to it.

Brings the parts up in the order in which they need each other, tells each phase as it begins, and
takes them down again. Starting twice is quick and changes nothing.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from embedded.bootstrap import SetupFailed, environment
from embedded.database import Database, make_database, url_of
from embedded.engine import Engine, EngineAddress
from embedded.places import Places, all_places
from embedded.stack import ENDPOINT, Outputs, Stack, Wanted
from embedded.standin import FirstModel, StandIn
from tidegauge.adapters.mysql.connection import Database as Connection
from tidegauge.adapters.mysql.migrate import migrate
from tidegauge.domain.errors import InvalidInput
from tidegauge.settings import DatabaseAddress, DatabaseSettings

Phase = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports on loopback; 0 for one that is free."""

    engine: int = 0
    database: int = 0
    sagemaker: int = 0

    @classmethod
    def from_env(cls, env: Mapping[str, str], stack: str = "") -> "Ports":
        """Read TIDEGAUGE_ENGINE_PORT, TIDEGAUGE_DATABASE_PORT and TIDEGAUGE_SAGEMAKER_PORT.

        Args:
            env: Where they stand.
            stack: Stands before the server's name, for the stack that is not that of `make run`.

        Raises:
            InvalidInput: one is no port.
        """
        return cls(*(_port(env, f"TIDEGAUGE_{stack}{name}_PORT") for name in _SERVERS))


_SERVERS = ("ENGINE", "DATABASE", "SAGEMAKER")


class Servers(Protocol):
    """The servers of a stack that is up, wherever they run, as far as a replay asks them."""

    def without_models(self) -> AbstractContextManager[None]:
        """Keep SageMaker down until the block ends; it comes back with nothing."""
        ...

    def engine_log(self) -> Path:
        """Return a file with what the engine and its functions logged until now."""
        ...


class _Elsewhere:
    """Servers of which only the addresses are known."""

    def without_models(self) -> AbstractContextManager[None]:
        raise InvalidInput(_NOT_OURS)

    def engine_log(self) -> Path:
        raise InvalidInput(_NOT_OURS)


_NOT_OURS = "these servers were not started here: use those of `make run` or `make up`"


@dataclass(frozen=True, slots=True)
class _OwnServers:
    """Servers that are processes of a state folder."""

    places: Places
    engine: EngineAddress
    sagemaker_url: str

    @contextmanager
    def without_models(self) -> Iterator[None]:
        stand_in = StandIn(self.places)
        stand_in.forget()
        yield
        stand_in.up(self.sagemaker_url, self.engine)

    def engine_log(self) -> Path:
        return self.places.logs / "engine.log"


@dataclass(frozen=True, slots=True)
class Running:
    """A stack that is up."""

    engine: EngineAddress
    database: DatabaseAddress
    outputs: Outputs
    sagemaker_url: str
    servers: Servers = field(default_factory=_Elsewhere, compare=False)

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which commands and tests reach this stack."""
        return {
            **self.engine.environment,
            "AWS_ENDPOINT_URL_SAGEMAKER": self.sagemaker_url,
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": self.sagemaker_url,
            "DATABASE_URL": url_of(self.database),
            "EVENTS_STREAM": self.outputs.events_stream_name,
            "WINDOWS_STREAM": self.outputs.windows_stream_name,
            "ALERTS_TOPIC_ARN": self.outputs.alerts_topic_arn,
            "EXPORTS_BUCKET": self.outputs.exports_bucket_name,
            "MODELS_BUCKET": self.outputs.models_bucket_name,
            "TRAINING_ROLE_ARN": self.outputs.model_role_arn,
            "ENDPOINT_NAME": ENDPOINT,
        }

    def connect(self) -> Connection:
        """Return a connection to its database."""
        return Connection.from_settings(DatabaseSettings(database_url=url_of(self.database)))


class LocalStack:
    """The local stack of one state folder.

    Args:
        places: Its folders.
        wanted: What the template is deployed with.
        ports: Where its servers listen.
        database: A server to use instead of one of its own.
        durable: As for `Database`.
        model: What the endpoint serves at first; None for none, until one was trained.
        schema_suffix: Added to the name of the server's database; the one so named is made if
            need be. Empty for the database itself.
    """

    def __init__(
        self,
        places: Places,
        wanted: Wanted | None = None,
        *,
        ports: Ports | None = None,
        database: DatabaseAddress | None = None,
        durable: bool = True,
        model: FirstModel | None = None,
        schema_suffix: str = "",
    ) -> None:
        ports = ports or Ports()
        self._suffix = schema_suffix
        self._model = model
        self._places = places
        self._given = database
        self._database = Database(places, port=ports.database, durable=durable)
        self._engine = Engine(places, port=ports.engine)
        self._sagemaker = StandIn(places, port=ports.sagemaker)
        self._stack = Stack(places, wanted or Wanted())

    @classmethod
    def from_env(cls, places: Places, env: Mapping[str, str] = os.environ) -> "LocalStack":
        """Return the stack of `make run`; see `Ports` and `DATABASE_URL`.

        Raises:
            InvalidInput: a port is none.
            Misconfigured: `DATABASE_URL` is none.
        """
        return cls(places, ports=Ports.from_env(env), database=given_database(env))

    def up(self, phase: Phase = lambda _name: nullcontext()) -> Running:
        """Bring up what is not up.

        Args:
            phase: Told as each phase begins, left as it ends.

        Raises:
            InvalidInput: something cannot be brought up; one sentence that says what to do.
        """
        self._places.state.mkdir(parents=True, exist_ok=True)
        with alone(self._places):
            return self._up(phase)

    def _up(self, phase: Phase) -> Running:
        with phase("environments"):
            for name in ("engine", "sam"):
                _environment(name, self._places)
        with phase("database"):
            database = self._named(self._given or self._database.up())
            if self._suffix:
                make_database(database)
        with phase("migrate"):
            migrate(Connection.from_settings(DatabaseSettings(database_url=url_of(database))))
        if self._model is not None:
            with phase("model"):
                self._sagemaker.fit(self._model)
        with phase("build"):
            self._stack.build()
        with phase("deploy"):
            # Functions know the stand-in, which knows the engine that they run in.
            sagemaker_url = self._sagemaker.choose_url()
            engine, outputs = self._deployed(database, sagemaker_url)
            self._sagemaker.up(sagemaker_url, engine)
        servers = _OwnServers(self._places, engine, sagemaker_url)
        return Running(engine, database, outputs, sagemaker_url, servers)

    def down(self) -> list[str]:
        """Stop what runs; return what was stopped. The database keeps its data.

        A start that another terminal is at comes to its end first: it would start again what is
        stopped here.
        """
        if not self._places.state.is_dir():
            return []
        with alone(self._places):
            return self._down()

    def _down(self) -> list[str]:
        servers = {
            "engine": self._engine.down,
            "SageMaker stand-in": self._sagemaker.down,
            "database": self._database.down,
        }
        return [name for name, stop in servers.items() if stop()]

    def running(self) -> Running | None:
        """Return the stack if all of it is up."""
        engine = self._engine.address()
        server = self._given or self._database.address()
        database = None if server is None else self._named(server)
        sagemaker_url = self._sagemaker.url
        outputs = None if engine is None else self._stack.outputs(engine)
        if engine is None or database is None or sagemaker_url is None or outputs is None:
            return None
        servers = _OwnServers(self._places, engine, sagemaker_url)
        return Running(engine, database, outputs, sagemaker_url, servers)

    def servers(self) -> list[tuple[str, str | None]]:
        """Return each server with its address, None for one that is down."""
        engine = self._engine.address()
        database = self._database.address()
        where = self._given or database
        return [
            ("engine", engine.url if engine else None),
            ("database", f"{where.host}:{where.port}" if where else None),
            ("SageMaker stand-in", self._sagemaker.url),
        ]

    def _named(self, server: DatabaseAddress) -> DatabaseAddress:
        return replace(server, database=f"{server.database}{self._suffix}")

    def _deployed(
        self, database: DatabaseAddress, sagemaker_url: str
    ) -> tuple[EngineAddress, Outputs]:
        engine = self._engine.address()
        if engine is not None and self._stack.is_current(engine, database, sagemaker_url):
            outputs = self._stack.outputs(engine)
            if outputs is not None:
                return engine, outputs
        self._engine.down()
        # What it knows of lies in the S3 that is gone with the engine.
        self._sagemaker.forget()
        services = ("AWS_ENDPOINT_URL_SAGEMAKER", "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME")
        engine = self._engine.up(dict.fromkeys(services, sagemaker_url))
        return engine, self._stack.deploy(engine, database, sagemaker_url)


@contextmanager
def alone(places: Places) -> Iterator[None]:
    """Wait until no other terminal brings this stack up or down."""
    with (places.state / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def given_database(env: Mapping[str, str]) -> DatabaseAddress | None:
    """Return the address of `DATABASE_URL`, unless a local stack's own server has it.

    `tidegauge status` tells people to export that, and they may have done so for the other stack.

    Raises:
        Misconfigured: `DATABASE_URL` is none.
    """
    url = env.get("DATABASE_URL", "")
    given = DatabaseAddress.from_url(url) if url else None
    if given is None or any(Database(own).is_own(given) for own in all_places()):
        return None
    return given


def _environment(name: str, places: Places) -> None:
    try:
        environment(name, tools=places.tools)
    except SetupFailed as error:
        raise InvalidInput(str(error)) from error


def _port(env: Mapping[str, str], name: str) -> int:
    text = env.get(name, "0").strip() or "0"
    if not text.isdecimal() or int(text) > 65_535:
        msg = f"{name} must be a port between 1 and 65535, or 0 for a free one, not {text!r}"
        raise InvalidInput(msg)
    return int(text)
