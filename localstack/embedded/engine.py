"""The AWS engine: MiniStack as one child process on loopback, and clients for it.

Its memory is its state: a stopped engine forgets streams, functions and secrets. The functions run
as its children, with its environment below their own variables.
"""

import functools
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import botocore.session

from embedded import processes
from embedded.bootstrap import SetupFailed, environment
from embedded.places import Places, all_places
from tidegauge.domain.errors import InvalidInput

if TYPE_CHECKING:
    from boto3.session import Session

REGION = "us-east-1"
PREFERRED_PORT = 4566
START_SECONDS = 30.0
HEALTH_SECONDS = 2.0
_PROCESS = Path(__file__).with_name("engine_process.py")


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """Where the engine answers."""

    port: int

    @property
    def url(self) -> str:
        """As `AWS_ENDPOINT_URL` wants it."""
        return f"http://{processes.LOOPBACK}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which any AWS SDK or tool finds the engine, and never real AWS."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def within(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return variables that reach the engine, with none of the user's own AWS settings."""
        return {**without_aws(variables), **self.environment}

    def session(self) -> "LocalSession":
        """Return the clients of this engine, made once."""
        return _clients_of(self)


class LocalSession:
    """Makes AWS clients that can reach the engine alone, whatever the user's own settings say."""

    def __init__(self, address: EngineAddress) -> None:
        self._url = address.url
        # Without variables for profile and files, botocore finds nothing of the user's.
        bare = botocore.session.Session(
            {
                "profile": (None, None, None, None),
                "config_file": (None, None, os.devnull, None),
                "credentials_file": (None, None, os.devnull, None),
            }
        )
        self.session: Session = boto3.Session(
            botocore_session=bare,
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 - the engine takes any
            region_name=REGION,
        )
        self.cloudformation = self.session.client("cloudformation", endpoint_url=self._url)
        self.kinesis = self.session.client("kinesis", endpoint_url=self._url)
        self.functions = self.session.client("lambda", endpoint_url=self._url)
        self.logs = self.session.client("logs", endpoint_url=self._url)
        self.s3 = self.session.client("s3", endpoint_url=self._url)
        self.secrets = self.session.client("secretsmanager", endpoint_url=self._url)
        self.sns = self.session.client("sns", endpoint_url=self._url)
        self.sqs = self.session.client("sqs", endpoint_url=self._url)


@functools.cache
def _clients_of(address: EngineAddress) -> LocalSession:
    return LocalSession(address)


class Engine:
    """The engine of one state folder.

    Args:
        places: Its folders.
        port: Port to listen on; 0 takes the usual one of local AWS engines, or a free one.
    """

    def __init__(self, places: Places, *, port: int = 0) -> None:
        self._places = places
        self._port = port
        self._record = places.state / "engine.pid"
        self._log = places.logs / "engine.log"
        self._temporary = places.state / "engine"

    def up(self, functions_see: Mapping[str, str] | None = None) -> EngineAddress:
        """Start the engine if it does not run, and return its address.

        Args:
            functions_see: Variables that every function finds in its environment, such as the
                address of the SageMaker stand-in. Taken at the start only.

        Raises:
            InvalidInput: it cannot be set up or started; says what to do.
        """
        known = processes.running(self._record)
        if known is not None and answers(EngineAddress(known.port)):
            return EngineAddress(known.port)
        self.down()
        try:
            tools = environment("engine", tools=self._places.tools)
        except SetupFailed as error:
            raise InvalidInput(str(error)) from error
        port = processes.choose_port(
            self._port or self._usual_port(),
            what="the AWS engine",
            setting="TIDEGAUGE_ENGINE_PORT",
        )
        address = EngineAddress(port)
        self._temporary.mkdir(parents=True)
        self._log.unlink(missing_ok=True)
        processes.start(
            [str(tools / "bin" / "python"), "-I", str(_PROCESS)],
            record=self._record,
            log=self._log,
            port=port,
            environment={**self._environment(tools, port), **(functions_see or {})},
            folder=self._temporary,
        )
        processes.wait_for(
            lambda: answers(address),
            record=self._record,
            what="the AWS engine",
            log=self._log,
            seconds=START_SECONDS,
        )
        return address

    def _usual_port(self) -> int:
        """Return the usual port where a person's stack may have it, else 0 for any other.

        Tests start engines side by side: two that found one port free would meet on it.
        """
        of_a_person = self._places.state in (places.state for places in all_places())
        return PREFERRED_PORT if of_a_person and not processes.listens(PREFERRED_PORT) else 0

    def down(self) -> bool:
        """Stop the engine and the functions it runs. Returns whether there was one."""
        found = processes.stop(self._record)
        shutil.rmtree(self._temporary, ignore_errors=True)
        return found

    def address(self) -> EngineAddress | None:
        """Return the address of the running engine; None if it does not run."""
        known = processes.running(self._record)
        return None if known is None else EngineAddress(known.port)

    def _environment(self, tools: Path, port: int) -> dict[str, str]:
        # Not the user's: functions would inherit credentials, proxies and our own settings.
        kept = ("LANG", "LC_ALL", "TZ", "HOME", "SSL_CERT_FILE")
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "PATH": f"{tools / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin",
            "PYTHONUNBUFFERED": "1",
            # By default the engine listens on every interface.
            "BIND_HOST": processes.LOOPBACK,
            "GATEWAY_PORT": str(port),
            "MINISTACK_HOST": processes.LOOPBACK,
            "MINISTACK_REGION": REGION,
            "LAMBDA_EXECUTOR": "local",
            "TMPDIR": str(self._temporary),
            "S3_DATA_DIR": str(self._temporary / "s3"),
            "STATE_DIR": str(self._temporary / "state"),
            # These would take fixed ports, which two engines cannot share.
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
        }


def answers(address: EngineAddress) -> bool:
    """Return whether an engine answers there."""
    try:
        with urllib.request.urlopen(  # noqa: S310 - always http to loopback
            f"{address.url}/_ministack/health", timeout=HEALTH_SECONDS
        ) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def without_aws(variables: Mapping[str, str]) -> dict[str, str]:
    """Return variables without AWS settings.

    A user's profile would not be found, and an endpoint of one service would win over ours.
    """
    return {key: value for key, value in variables.items() if not key.startswith("AWS_")}


def runtime_name() -> str:
    """Return the Lambda runtime of the engine's functions: this very Python's version."""
    return f"python{sys.version_info.major}.{sys.version_info.minor}"
