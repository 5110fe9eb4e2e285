"""Builds the functions and deploys `template.yaml` to the engine.

The same template as on AWS, with this machine's Python and processor. Nothing is done while what it
is made from is unchanged. A stack that is out of date is never updated in place: the engine is
started anew and deployed to, since emulators update less than they create.
"""

import fcntl
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from botocore.exceptions import ClientError

from embedded.bootstrap import SetupFailed, environment
from embedded.engine import REGION, EngineAddress, runtime_name, without_aws
from embedded.places import Places
from embedded.processes import reason_in
from tidegauge.domain.errors import InvalidInput
from tidegauge.settings import DatabaseAddress

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

STACK = "tidegauge"
BUCKET = "tidegauge-artifacts"
SECRET = "tidegauge/database"  # noqa: S105 - its name
ENDPOINT = "tidegauge"
DEPLOY_SECONDS = 180.0
BUILD_SECONDS = 600.0
_SOURCES = ("tidegauge", "consumers", "producers", "retrain", "sql")
_SOURCE_FILES = ("template.yaml", "samconfig.toml", "pyproject.toml", "uv.lock")
_IGNORED = {"__pycache__", ".DS_Store"}


def own_architecture() -> str:
    """Return Lambda's name of this machine's processor."""
    return "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x86_64"


class Outputs(msgspec.Struct, frozen=True, rename="pascal"):
    """What the deployed stack is called in the engine."""

    events_stream_name: str
    events_stream_arn: str
    windows_stream_name: str
    alerts_topic_arn: str
    collect_function_name: str
    predict_function_name: str
    sweep_function_name: str
    exports_bucket_name: str
    models_bucket_name: str
    model_role_arn: str
    export_function_name: str
    train_function_name: str
    deploy_function_name: str
    simulator_function_name: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the template is deployed with.

    Attributes:
        heartbeats: Who is the clock of the events stream: sweep or producer.
        events_shards: Shards of the events stream.
        retrains: Whether datasets are exported by schedule.
        settings: Further parameters of the template, by name.
        runtime: Lambda's name of the Python that runs the functions.
        architecture: Lambda's name of the processor that runs them.
    """

    heartbeats: str = "producer"
    events_shards: int = 2
    retrains: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    runtime: str = field(default_factory=runtime_name)
    architecture: str = field(default_factory=own_architecture)

    @property
    def build_parameters(self) -> dict[str, str]:
        """Parameters that decide what an artifact holds."""
        return {"PythonRuntime": self.runtime, "Architecture": self.architecture}

    @property
    def parameters(self) -> dict[str, str]:
        """All parameters of the template that differ from those for AWS."""
        return {
            **self.build_parameters,
            "Platform": "emulator",
            "Heartbeats": self.heartbeats,
            "EventsShards": str(self.events_shards),
            "EndpointName": ENDPOINT,
            "Retraining": "on" if self.retrains else "off",
            **self.settings,
        }


def source_hash(repository: Path, parameters: Mapping[str, str]) -> str:
    """Return a hash of everything that a build and a deployment are made from."""
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    paths = [repository / name for name in _SOURCE_FILES]
    for folder in _SOURCES:
        paths.extend(
            path
            for path in (repository / folder).rglob("*")
            if path.is_file() and not _IGNORED.intersection(path.parts)
        )
    for path in sorted(paths):
        name = path.relative_to(repository).as_posix()
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{name} {content}\n".encode())
    return digest.hexdigest()


class Stack:
    """The built and deployed functions of one state folder.

    Args:
        places: Its folders.
        wanted: What the template is deployed with.
        python: Environment with the Python of the wanted runtime; the engine's if None.
        deploy_seconds: A deployment that takes longer has failed.
    """

    def __init__(
        self,
        places: Places,
        wanted: Wanted,
        *,
        python: Path | None = None,
        deploy_seconds: float = DEPLOY_SECONDS,
    ) -> None:
        self._deploy_seconds = deploy_seconds
        self._places = places
        self._python = python
        self._wanted = wanted
        self._log = places.logs / "sam.log"
        self._deployed = places.state / "deployed"

    def build(self) -> bool:
        """Build the artifacts unless they are up to date. Returns whether anything was done.

        Raises:
            InvalidInput: SAM cannot be set up, or the build failed.
        """
        with self._artifacts():
            return self._build()

    @contextmanager
    def _artifacts(self) -> Iterator[None]:
        """Have the artifacts for oneself: a test run builds and deploys the same ones."""
        self._places.shared.mkdir(parents=True, exist_ok=True)
        with (self._places.shared / "build.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _build(self) -> bool:
        made_from = source_hash(self._places.repository, self._wanted.build_parameters)
        stamp = self._places.build / "made-from"
        if stamp.exists() and stamp.read_text() == made_from:
            return False
        stamp.unlink(missing_ok=True)
        self._sam(
            "build",
            "--build-dir",
            str(self._places.build),
            "--parameter-overrides",
            *_pairs(self._wanted.build_parameters),
            reach={},
            seconds=BUILD_SECONDS,
        )
        stamp.write_text(made_from)
        return True

    def is_current(
        self, engine: EngineAddress, database: DatabaseAddress, sagemaker_url: str
    ) -> bool:
        """Return whether the engine runs what would be deployed now."""
        identity = self._identity(database, sagemaker_url)
        if not self._deployed.exists() or self._deployed.read_text() != identity:
            return False
        return self.outputs(engine) is not None

    def deploy(
        self, engine: EngineAddress, database: DatabaseAddress, sagemaker_url: str
    ) -> Outputs:
        """Deploy to an engine that holds no stack yet; builds what is out of date.

        Args:
            engine: Where to.
            database: What the functions find in their secret.
            sagemaker_url: What the engine's functions find in their environment.

        Raises:
            InvalidInput: the deployment failed; says where the log is.
        """
        self._deployed.unlink(missing_ok=True)
        secret_arn = _prepared(engine, database)
        parameters = {**self._wanted.parameters, "DatabaseSecretArn": secret_arn}
        with self._artifacts():
            self._build()  # another stack may have built from other sources since
            self._sam(
                "deploy",
                "--template-file",
                str(self._places.build / "template.yaml"),
                "--stack-name",
                STACK,
                "--s3-bucket",
                BUCKET,
                "--no-resolve-s3",
                "--no-confirm-changeset",
                "--no-progressbar",
                "--capabilities",
                "CAPABILITY_IAM",
                "CAPABILITY_AUTO_EXPAND",
                "--parameter-overrides",
                *_pairs(parameters),
                reach=engine.environment,
                seconds=self._deploy_seconds,
            )
        outputs = self.outputs(engine)
        if outputs is None:
            msg = f"the stack was deployed but is not there (the whole log: {self._log})"
            raise InvalidInput(msg)
        self._deployed.write_text(self._identity(database, sagemaker_url))
        return outputs

    def outputs(self, engine: EngineAddress) -> Outputs | None:
        """Return the names of the deployed stack; None if there is none."""
        stack = _described(engine)
        if stack is None or stack["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            return None
        told = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
        return msgspec.convert(told, type=Outputs)

    def exists(self, engine: EngineAddress) -> bool:
        """Return whether the engine holds a stack of our name, in whatever state."""
        return _described(engine) is not None

    def _identity(self, database: DatabaseAddress, sagemaker_url: str) -> str:
        parameters = {
            **self._wanted.parameters,
            "database": secret_of(database),
            "sagemaker": sagemaker_url,
        }
        return source_hash(self._places.repository, parameters)

    def _sam(self, *arguments: str, reach: Mapping[str, str], seconds: float) -> None:
        try:
            sam = environment("sam", tools=self._places.tools)
            python = self._python or environment("engine", tools=self._places.tools)
        except SetupFailed as error:
            raise InvalidInput(str(error)) from error
        self._log.parent.mkdir(parents=True, exist_ok=True)
        # SAM looks for the runtime's Python on the PATH: it shall find the one that will run it.
        path = os.pathsep.join([str(python / "bin"), os.environ.get("PATH", "")])
        command = [str(sam / "bin" / "sam"), *arguments]
        with self._log.open("wb") as output:
            code = _run(
                command,
                folder=self._places.repository,
                output=output.fileno(),
                variables={
                    **without_aws(os.environ),
                    "SAM_CLI_TELEMETRY": "0",
                    "AWS_DEFAULT_REGION": REGION,
                    **reach,
                    "PATH": path,
                },
                seconds=seconds,
            )
        if code != 0:
            msg = f"sam {arguments[0]} failed: {reason_in(self._log)} (the whole log: {self._log})"
            raise InvalidInput(msg)


def _described(engine: EngineAddress) -> "StackTypeDef | None":
    try:
        return engine.session().cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    except ClientError:
        return None


def _prepared(engine: EngineAddress, database: DatabaseAddress) -> str:
    """Make bucket and secret, or bring them up to date; return the secret's ARN."""
    clients = engine.session()
    clients.s3.create_bucket(Bucket=BUCKET)
    secret = secret_of(database)
    try:
        return clients.secrets.create_secret(Name=SECRET, SecretString=secret)["ARN"]
    except clients.secrets.exceptions.ResourceExistsException:
        return clients.secrets.put_secret_value(SecretId=SECRET, SecretString=secret)["ARN"]


def secret_of(database: DatabaseAddress) -> str:
    """Return the JSON of the secret that functions read."""
    return json.dumps(
        {
            "host": database.host,
            "port": database.port,
            "username": database.user,
            "password": database.password,
            "dbname": database.database,
        }
    )


def _pairs(parameters: Mapping[str, str]) -> list[str]:
    # SAM refuses an empty value; what may be empty is so by default.
    return [f"{name}={value}" for name, value in parameters.items() if value]


def _run(
    command: Sequence[str],
    *,
    folder: Path,
    output: int,
    variables: Mapping[str, str],
    seconds: float,
) -> int:
    """Run a command to its end; 1 if it takes longer than `seconds`."""
    try:
        return subprocess.run(  # noqa: S603 - SAM of our own environment
            list(command),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(variables),
            timeout=seconds,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        return 1
