"""LocalStack's runtime as one child process on loopback, without Docker, and our stack on it.

The same release, template and hooks as with Docker. What the image brings is made here: Kinesis
from npm, and Lambda's environments as child processes (`lambda_executor`). Needs Python 3.13.
"""

import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from embedded import processes
from embedded.bootstrap import SetupFailed, environment
from embedded.database import url_of
from embedded.engine import REGION, EngineAddress
from embedded.local import Running
from embedded.node import KINESIS_LOCAL, node_packages
from embedded.places import REPOSITORY, Places
from embedded.stack import Stack, Wanted
from embedded.standin import StandIn
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.migrate import migrate
from tidegauge.domain.errors import InvalidInput
from tidegauge.settings import DatabaseAddress, DatabaseSettings

LABEL = "LocalStack 4.14.0's runtime in host mode, not the Docker image"
RUNTIME = "python3.13"
HOOKS = REPOSITORY / "localstack" / "ready.d"
START_SECONDS = 120.0
# It goes on to wait for threads of its own when it is told to stop; nothing of it is kept anyway.
STOP_SECONDS = 5.0
ANSWER_SECONDS = 5.0
_EXECUTOR = REPOSITORY / "tests" / "support" / "lambda_executor"


class LocalStackHost:
    """LocalStack of one state folder.

    Args:
        places: Its folders.
        python: A Python 3.13, which LocalStack and the functions run in.
        hooks: Folder of what it runs once it is ready.
    """

    def __init__(self, places: Places, python: str, *, hooks: Path = HOOKS) -> None:
        self._places = places
        self._python = python
        self._hooks = hooks
        self._record = places.state / "localstack.pid"
        self._log = places.logs / "localstack.log"
        self._root = places.state / "localstack"

    @property
    def tools(self) -> Path:
        """Its environment, made first if need be. Raises SetupFailed."""
        return environment("localstack", tools=self._places.tools, python=self._python)

    def up(self, variables: Mapping[str, str]) -> EngineAddress:
        """Start it and wait until its hooks have run.

        Args:
            variables: What hooks, and functions as far as they name an endpoint, find.

        Raises:
            InvalidInput: it cannot be set up or started; says why.
        """
        try:
            tools = self.tools
            kinesis = node_packages(KINESIS_LOCAL, tools=self._places.tools).parent
        except SetupFailed as error:
            raise InvalidInput(str(error)) from error
        self._lay_out(kinesis)
        address = EngineAddress(processes.free_port())
        processes.start(
            [str(tools / "bin" / "python"), "-m", "localstack.runtime.main"],
            record=self._record,
            log=self._log,
            port=address.port,
            environment={**self._environment(tools, address), **variables},
            # Never the repository: its own `localstack` folder would hide LocalStack's package.
            folder=self._root,
        )
        processes.wait_for(
            lambda: bool(hooks_of(address).get("completed")),
            record=self._record,
            what=LABEL,
            log=self._log,
            seconds=START_SECONDS,
        )
        return address

    def down(self) -> bool:
        """Stop it with all that it runs. Returns whether there was one."""
        children = self.children()
        found = processes.stop(self._record, seconds=STOP_SECONDS)
        for pid, identity in children.items():
            # Its Kinesis is a session of its own, which no end of LocalStack's group ends.
            if processes.start_identity(pid) == identity:
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self._root, ignore_errors=True)
        return found

    def beside(self, places: Places, *, hooks: Path) -> "LocalStackHost":
        """Return another one, by the same Python."""
        return LocalStackHost(places, self._python, hooks=hooks)

    def children(self) -> dict[int, str]:
        """Return its child processes, each with what tells it from a later one of its number."""
        known = processes.running(self._record)
        return children_of(known.pid) if known else {}

    def _lay_out(self, kinesis: Path) -> None:
        """Put what it would fetch, and the hooks, where the image has them."""
        for place, target in (
            (f"usr/lib/localstack/kinesis-local/{_kinesis_version()}", kinesis),
            ("etc/localstack/init/ready.d", self._hooks),
        ):
            link = self._root / "filesystem" / place
            link.parent.mkdir(parents=True)
            link.symlink_to(target)
        for folder in ("tmp", "home"):
            (self._root / folder).mkdir()

    def _environment(self, tools: Path, address: EngineAddress) -> dict[str, str]:
        return {
            # Node.js is wherever the user has it.
            "PATH": f"{tools / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PYTHONPATH": str(_EXECUTOR),
            "PYTHONUNBUFFERED": "1",
            "HOME": str(self._root / "home"),
            "TMPDIR": str(self._root / "tmp"),
            "FILESYSTEM_ROOT": str(self._root / "filesystem"),
            "OVERRIDE_IN_DOCKER": "0",
            "GATEWAY_LISTEN": f"{processes.LOOPBACK}:{address.port}",
            "LAMBDA_RUNTIME_EXECUTOR": "process",
            "KINESIS_MOCK_VERSION": _kinesis_version(),
            # Nothing is told to its maker, nothing fetched, no name server started.
            "DISABLE_EVENTS": "1",
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            "DNS_ADDRESS": "0",
            # Hooks look for it where the image has it otherwise.
            "AWS_ENDPOINT_URL": address.url,
            "AWS_DEFAULT_REGION": REGION,
        }


def _kinesis_version() -> str:
    listed = json.loads((KINESIS_LOCAL / "package.json").read_text())
    return str(listed["dependencies"]["kinesis-local"])


def children_of(pid: int) -> dict[int, str]:
    """Return the child processes of a process, each with what tells it from a later one."""
    listing = subprocess.run(
        ["/bin/ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    pairs = (map(int, line.split()) for line in listing.splitlines())
    children = [child for child, parent in pairs if parent == pid]
    found = {child: processes.start_identity(child) for child in children}
    return {child: identity for child, identity in found.items() if identity is not None}


def hooks_of(address: EngineAddress) -> dict[str, Any]:
    """Return what LocalStack tells of its hooks; nothing before it answers."""
    try:
        with urllib.request.urlopen(  # noqa: S310 - always http to loopback
            f"{address.url}/_localstack/init/ready", timeout=ANSWER_SECONDS
        ) as answer:
            told: dict[str, Any] = json.load(answer)
            return told
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return {}


def variables_of_hooks(database: DatabaseAddress, password_file: Path) -> dict[str, str]:
    """Return what the hooks want to know of the database; writes the file with its password."""
    password_file.parent.mkdir(parents=True, exist_ok=True)
    password_file.touch(mode=0o600)
    password_file.write_text(database.password)
    return {
        "TIDEGAUGE_DB_HOST": database.host,
        "TIDEGAUGE_DB_PORT": str(database.port),
        "TIDEGAUGE_DB_USER": database.user,
        "TIDEGAUGE_DB_NAME": database.database,
        "TIDEGAUGE_DB_PASSWORD_FILE": str(password_file),
    }


@contextmanager
def localstack_stack(
    places: Places, database: DatabaseAddress, python: str, wanted: Wanted
) -> Iterator[Running]:
    """Give our stack, built for Python 3.13 and deployed to LocalStack, until the block ends.

    Raises:
        InvalidInput: it cannot be brought up, or a hook failed; says why.
    """
    migrate(Database.from_settings(DatabaseSettings(database_url=url_of(database))))
    host, sagemaker = LocalStackHost(places, python), StandIn(places)
    try:
        url = sagemaker.choose_url()
        engine = host.up(
            {
                "AWS_ENDPOINT_URL_SAGEMAKER": url,
                "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": url,
                **variables_of_hooks(database, places.state / "password"),
            }
        )
        failed = [hook for hook in hooks_of(engine)["scripts"] if hook["state"] != "SUCCESSFUL"]
        if failed:
            msg = f"hooks failed: {failed} (LocalStack's log: {places.logs / 'localstack.log'})"
            raise InvalidInput(msg)
        outputs = Stack(places, wanted, python=host.tools).deploy(engine, database, url)
        sagemaker.up(url, engine)
        yield Running(engine, database, outputs, url)
    finally:
        sagemaker.down()
        host.down()
