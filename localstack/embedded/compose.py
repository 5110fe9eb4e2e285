"""Docker Compose for `localstack/docker-compose.yml`: starts, stops and asks its services.

Runs the `docker` of the PATH and nothing else, so whatever it has for a context or `DOCKER_HOST`
holds. What goes wrong is told in one sentence; what Docker printed is kept in a log.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from embedded.places import Places
from embedded.processes import reason_in
from tidegauge.domain.errors import InvalidInput

# `up --wait` takes a service that ends at once for what it is.
MINIMUM = (2, 20)
# Images are pulled at the first start.
UP_SECONDS = 1800.0
ANSWER_SECONDS = 90.0
# A port on loopback by the variable that says another, as docker-compose.yml has them.
PORTS = {
    "TIDEGAUGE_ENGINE_PORT": 4566,
    "TIDEGAUGE_DATABASE_PORT": 3307,
    "TIDEGAUGE_SAGEMAKER_PORT": 4599,
    "TIDEGAUGE_ADMINER_PORT": 8081,
}
# LocalStack ends with it where it wants a token.
NO_LICENSE = 55
_OTHERWISE = "`make run` starts the same without Docker"
_TAKEN = re.compile(r"already allocated|already in use|not available", re.IGNORECASE)
_ADDRESS = re.compile(r"127\.0\.0\.1:(\d+)")


class Service(msgspec.Struct, frozen=True, rename="pascal"):
    """A service's container as `docker compose ps` tells it."""

    service: str
    state: str
    health: str = ""
    exit_code: int = 0

    @property
    def runs(self) -> bool:
        """Whether its container runs."""
        return self.state == "running"

    @property
    def fails(self) -> bool:
        """Whether it is why the stack does not come up."""
        ended_badly = self.state in ("exited", "dead") and self.exit_code != 0
        return self.health == "unhealthy" or ended_badly or self.state == "restarting"


class Compose:
    """The services of the compose file.

    Args:
        places: Where the file is, and where logs go.
    """

    def __init__(self, places: Places) -> None:
        self.file = places.repository / "localstack" / "docker-compose.yml"
        self._logs = places.logs

    def require(self) -> None:
        """Raise InvalidInput unless there is a Docker that answers, with a compose new enough."""
        docker = _docker()
        answer = _run([docker, "version", "--format", "{{.Server.Version}}"], ANSWER_SECONDS)
        if answer.returncode != 0:
            msg = f"Docker does not answer ({_last(answer)}): start it; {_OTHERWISE}"
            raise InvalidInput(msg)
        told = _run([docker, "compose", "version", "--short"], ANSWER_SECONDS)
        version = re.match(r"v?(\d+)\.(\d+)", told.stdout.strip())
        if told.returncode != 0 or version is None or _numbers(version) < MINIMUM:
            wanted = ".".join(map(str, MINIMUM))
            msg = f"this Docker has no compose {wanted} or newer: install its plugin; {_OTHERWISE}"
            raise InvalidInput(msg)

    def architecture(self) -> str:
        """Return the processor of Docker's machine, in Lambda's words."""
        told = self._ask([_docker(), "version", "--format", "{{.Server.Arch}}"])
        return "arm64" if told in ("arm64", "aarch64") else "x86_64"

    def up(self, *services: str, anew: bool = False) -> None:
        """Start services, all if none is named, and wait until they are healthy.

        Args:
            services: Their names.
            anew: Whether containers are made anew, which forgets all that lies in no volume.

        Raises:
            InvalidInput: one does not come up; says which, and why.
        """
        options = ["--detach", "--build", "--wait"]
        if anew:
            options += ["--force-recreate", "--no-deps"]
        done = _run(self._command("up", *options, *services), UP_SECONDS)
        log = self._keep("docker", done.stdout + done.stderr)
        if done.returncode != 0:
            raise InvalidInput(self._why(done.stdout + done.stderr, log))

    def stop(self, service: str) -> None:
        """Stop one service; its container stays."""
        self._ask(self._command("stop", service))

    def down(self) -> list[str]:
        """Remove containers and network, and return which services ran. Volumes are kept."""
        ran = [one.service for one in self.services() if one.runs]
        self._ask(self._command("down"))
        return ran

    def services(self) -> list[Service]:
        """Return the services that have a container, those that ended too."""
        text = self._ask(self._command("ps", "--all", "--format", "json"))
        if text.startswith("["):  # as older ones tell it
            return msgspec.json.decode(text, type=list[Service])
        return [msgspec.json.decode(line, type=Service) for line in text.splitlines() if line]

    def port(self, service: str, inside: int) -> int:
        """Return the port of this machine under which a service is reached.

        Args:
            service: Its name.
            inside: The port in its container.
        """
        return int(self._ask(self._command("port", service, str(inside))).rpartition(":")[2])

    def read(self, service: str, path: str) -> str:
        """Return the text of a file in a running service's container."""
        return self._ask(self._command("exec", "-T", service, "cat", path))

    def log_of(self, service: str) -> Path:
        """Return a file with what a service printed until now."""
        options = ("--no-color", "--no-log-prefix", "--tail", "20000")
        done = _run(self._command("logs", *options, service), ANSWER_SECONDS)
        return self._keep(service, done.stdout + done.stderr)

    def _why(self, printed: str, log: Path) -> str:
        for line in printed.splitlines():
            address = _ADDRESS.search(line)
            if address and _TAKEN.search(line):
                return _taken(int(address.group(1)), os.environ)
        failed = next((one for one in self.services() if one.fails), None)
        if failed is None:
            return f"docker compose up failed: {reason_in(log)} (the whole log: {log})"
        if failed.exit_code == NO_LICENSE:
            return (
                f"this {failed.service} wants a token: set LOCALSTACK_AUTH_TOKEN,"
                " or unset LOCALSTACK_IMAGE for the last one that needs none"
            )
        own = self.log_of(failed.service)
        how = "is unhealthy" if failed.health == "unhealthy" else f"ended with {failed.exit_code}"
        return f"{failed.service} {how}: {reason_in(own)} (the whole log: {own})"

    def _command(self, *arguments: str) -> list[str]:
        return [_docker(), "compose", "--file", str(self.file), *arguments]

    def _ask(self, command: Sequence[str]) -> str:
        done = _run(command, ANSWER_SECONDS)
        if done.returncode != 0:
            what = next(word for word in command[1:] if not word.startswith("-"))
            msg = f"docker {what} failed: {_last(done)} (asked: {' '.join(command)})"
            raise InvalidInput(msg)
        return done.stdout.strip()

    def _keep(self, name: str, text: str) -> Path:
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{name}.log"
        log.write_text(text)
        return log


def _docker() -> str:
    found = shutil.which("docker")
    if found is None:
        msg = f"there is no docker on the PATH: install Docker; {_OTHERWISE}"
        raise InvalidInput(msg)
    return found


def _run(command: Sequence[str], seconds: float) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(  # noqa: S603 - docker with our own arguments, no shell
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"docker did not answer within {seconds:.0f} s: {' '.join(command)}"
        raise InvalidInput(msg) from error


def _taken(port: int, env: Mapping[str, str]) -> str:
    of = [name for name, usual in PORTS.items() if env.get(name, "") in ("", str(port))]
    named = [name for name in of if env.get(name) or PORTS[name] == port]
    setting = named[0] if named else " or ".join(PORTS)
    return f"port {port} is taken: stop what listens there, or set {setting} to another port"


def _last(done: "subprocess.CompletedProcess[str]") -> str:
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return lines[-1] if lines else "it printed nothing"


def _numbers(version: re.Match[str]) -> tuple[int, int]:
    return int(version.group(1)), int(version.group(2))
