"""Servers for tests: each test process starts its own, so that no stack of a user is disturbed."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pymysql
import pytest

from embedded.database import Database, url_of
from embedded.engine import Engine, EngineAddress
from embedded.local import LocalStack, Running
from embedded.places import Places
from tidegauge.domain.errors import InvalidInput
from tidegauge.settings import DatabaseAddress


def places_in(folder: Path) -> Places:
    """Return places of a stack of our own; tools and artifacts are shared with `make run`."""
    return Places(folder)


def missing(reason: object) -> NoReturn:
    """Skip on a laptop, fail in CI: there nothing may be missing."""
    if os.environ.get("CI"):
        pytest.fail(f"needed in CI: {reason}")
    pytest.skip(str(reason))


@contextmanager
def database_server(places: Places) -> Iterator[DatabaseAddress]:
    """Give the server of DATABASE_URL, or one of our own until the block ends."""
    given = os.environ.get("DATABASE_URL")
    if given:
        yield DatabaseAddress.from_url(given)
        return
    database = Database(places, durable=False)
    try:
        address = database.up()
    except InvalidInput as error:
        missing(error)
    try:
        yield address
    finally:
        database.down()


@contextmanager
def engine_server(places: Places) -> Iterator[EngineAddress]:
    """Give an engine of our own, without a stack, until the block ends."""
    engine = Engine(places)
    try:
        address = engine.up()
    except InvalidInput as error:
        missing(error)
    try:
        yield address
    finally:
        engine.down()


@contextmanager
def deployed_stack(places: Places, database: DatabaseAddress) -> Iterator[Running]:
    """Give a stack of our own, built and deployed, until the block ends."""
    local = LocalStack(places, database=database)
    try:
        try:
            running = local.up()
        except InvalidInput as error:
            missing(error)  # what was up already is taken down all the same
        yield running
    finally:
        local.down()


@contextmanager
def empty_database(server: DatabaseAddress) -> Iterator[str]:
    """Make a database that nobody else uses, give its address, and drop it after the block."""
    name = f"tidegauge_{secrets.token_hex(6)}"
    _execute(server, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    try:
        yield url_of(replace(server, database=name))
    finally:
        _execute(server, f"DROP DATABASE IF EXISTS {name}")


def _execute(server: DatabaseAddress, statement: str) -> None:
    connection = pymysql.connect(
        host=server.host, port=server.port, user=server.user, password=server.password
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()
