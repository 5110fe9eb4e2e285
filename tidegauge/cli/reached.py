"""Which stream a command looks at: the one of the environment, else that of a local stack.

A stream is reached by variables, wherever they come from: `EVENTS_STREAM` and a database, and the
rest as far as it is set.
"""

import importlib.util
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from tidegauge.domain.errors import InvalidInput
from tidegauge.settings import (
    DeploySettings,
    ModelSettings,
    StreamSettings,
    WindowSettings,
    variable_names,
)
from tidegauge.steps.health import RULE_VARIABLES

if TYPE_CHECKING:
    from embedded.local import LocalStack, Running

RUN, LIVE = "make run", "make live"
# What functions are set to that commands must go by as well.
RULES = {
    *RULE_VARIABLES,
    "ENOUGH_WINDOWS",
    *(
        name
        for kind in (WindowSettings, StreamSettings, ModelSettings, DeploySettings)
        for name in variable_names(kind)
    ),
}


class Reached(msgspec.Struct, frozen=True):
    """A stream that can be looked at.

    Attributes:
        name: Where it comes from: `environment`, or how a local stack was started.
        variables: By which it is reached.
    """

    name: str
    variables: Mapping[str, str]


def in_environment(env: Mapping[str, str]) -> Reached | None:
    """Return what the environment names, if it names a stream and its database."""
    database = env.get("DATABASE_URL", "").strip() or env.get("DATABASE_SECRET_ARN", "").strip()
    if database and env.get("EVENTS_STREAM", "").strip():
        return Reached("environment", dict(env))
    return None


def local_stacks() -> "dict[str, LocalStack]":
    """Return the local stacks by name, up or down; none outside a clone of the repository.

    Raises:
        InvalidInput: a port that is set for them is none.
        Misconfigured: `DATABASE_URL` is none.
    """
    if importlib.util.find_spec("embedded") is None:
        return {}
    from embedded.live import settings_at
    from embedded.local import LocalStack
    from embedded.places import default_places, live_places

    live = live_places()
    return {RUN: LocalStack.from_env(default_places()), LIVE: settings_at(live).stack(live)}


def running_of(stack: "LocalStack") -> "Running | None":
    """Return a local stack if it is up; an engine that hangs is not."""
    from urllib.parse import urlsplit

    from embedded.engine import EngineAddress, answers

    port = urlsplit(dict(stack.servers())["engine"] or "").port
    return stack.running() if port is not None and answers(EngineAddress(port)) else None


def reached_in(name: str, running: "Running") -> Reached:
    """Return how the stream of a local stack is reached, as its functions reach it.

    Their secret tells the database: a `DATABASE_URL` of the environment may be of another stream.
    """
    from embedded.database import url_of
    from tidegauge.adapters.aws_errors import aws_call
    from tidegauge.database_address import DatabaseAddress

    session, outputs = running.engine.session(), running.outputs
    there: dict[str, str] = {}
    with aws_call("asking the local stack how its functions are set"):
        for name_of_function in (
            outputs.export_function_name,
            outputs.deploy_function_name,
            outputs.sweep_function_name,
        ):
            deployed = session.functions.get_function_configuration(FunctionName=name_of_function)
            there |= deployed.get("Environment", {}).get("Variables", {})
        secret = session.secrets.get_secret_value(SecretId=there.get("DATABASE_SECRET_ARN", ""))
    rules = {name: there[name] for name in RULES if name in there}
    variables = {
        **rules,
        **running.environment,
        "DATABASE_URL": url_of(DatabaseAddress.from_secret(secret.get("SecretString", ""))),
    }
    return Reached(name, variables)


def reached(env: Mapping[str, str], *, live: bool) -> Reached:
    """Return the one stream that a command is about.

    Args:
        env: Usually the environment.
        live: The stack of `make live`, whatever the environment says.

    Raises:
        InvalidInput: there is none; says how to name one.
    """
    here = None if live else in_environment(env)
    if here is not None:
        return here
    stacks = local_stacks()
    for name in (LIVE,) if live else (RUN, LIVE):
        running = running_of(stacks[name]) if name in stacks else None
        if running is not None:
            return reached_in(name, running)
    if live:
        msg = "the live stack is not up: start it with `make live`"
    else:
        msg = (
            "no stream to look at: set EVENTS_STREAM and DATABASE_URL (or DATABASE_SECRET_ARN), or "
            "start a local stack with `make run`"
        )
    raise InvalidInput(msg)


@contextmanager
def as_if_exported(variables: Mapping[str, str]) -> Iterator[None]:
    """Let AWS clients that are made in the block find these variables, and none of the user's.

    Those of the environment itself stay as they are.
    """
    kept = dict(os.environ)
    if "AWS_ENDPOINT_URL" in variables and kept.get("AWS_ENDPOINT_URL") != variables.get(
        "AWS_ENDPOINT_URL"
    ):
        for name in [name for name in kept if name.startswith("AWS_")]:
            del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)
