"""`python -m embedded COMMAND`: what make needs beside the commands of `tidegauge`."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence

from embedded.bootstrap import SetupFailed, environment
from embedded.database import Database, find_server
from embedded.engine import without_aws
from embedded.invoke import invoke
from embedded.local import LocalStack
from embedded.node import KINESALITE, node_packages
from embedded.places import Places, default_places
from embedded.stack import Stack, Wanted
from tidegauge.domain.errors import InvalidInput, Misconfigured


def main(arguments: Sequence[str]) -> int:
    """Run one command: prepare, build, validate or `invoke NAME`."""
    places = default_places()
    command, *rest = [*arguments, ""]
    try:
        match command:
            case "prepare":
                return prepare(places)
            case "build":
                return build(places)
            case "validate":
                return validate(places)
            case "invoke":
                return invoke_one(rest[0], places)
    except (InvalidInput, Misconfigured, SetupFailed) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stderr.write("use: python -m embedded prepare|build|validate|invoke NAME\n")
    return 2


def prepare(places: Places) -> int:
    """Install what the tests need: engine, SAM, a Kinesis, a database server if none is there."""
    for name in ("engine", "sam"):
        environment(name, tools=places.tools)
    if "DATABASE_URL" not in os.environ and find_server() is None:
        Database(places).install()
    try:
        node_packages(KINESALITE, tools=places.tools)
    except SetupFailed as error:
        if os.environ.get("CI"):
            raise
        sys.stderr.write(f"Tests of resharding will be skipped: {error}\n")
    return 0


def build(places: Places) -> int:
    """Build the functions for this machine."""
    done = Stack(places, Wanted()).build()
    sys.stdout.write(f"{'Built' if done else 'Up to date'}: {places.build}\n")
    return 0


def validate(places: Places) -> int:
    """Check the template with cfn-lint, as CloudFormation would and more."""
    sam = environment("sam", tools=places.tools) / "bin" / "sam"
    return subprocess.run(  # noqa: S603 - SAM of our own environment
        [str(sam), "validate", "--lint", "--region", "us-east-1"],
        cwd=places.repository,
        env={**without_aws(os.environ), "SAM_CLI_TELEMETRY": "0"},
        check=False,
    ).returncode


def invoke_one(name: str, places: Places) -> int:
    """Run one function on its event.json against the running stack."""
    running = LocalStack.from_env(places).running()
    if running is None:
        msg = "the local stack is not up: start it with `make run`"
        raise InvalidInput(msg)
    answer = invoke(name, running, places.repository)
    sys.stdout.write(f"{json.dumps(answer)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
