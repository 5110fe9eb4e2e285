"""The servers that tests may ask for. A missing one skips on a laptop and fails in CI."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from embedded.engine import EngineAddress
from embedded.local import Running
from embedded.places import Places
from tests.support.embedded import (
    database_server,
    deployed_stack,
    empty_database,
    engine_server,
    places_in,
)
from tests.support.kinesis_standin import kinesis_server
from tests.support.live import LiveStack, live_stack
from tidegauge.settings import DatabaseAddress

# A busy machine is no failure. CI runs the same examples each time; a laptop looks for new ones.
settings.register_profile(
    "tidegauge",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("tidegauge")


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """Folders of this test process's own stack; the database and the bare engine have others."""
    return places_in(tmp_path_factory.mktemp("stack"))


@pytest.fixture(scope="session")
def database_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseAddress]:
    """The database server of this test process: DATABASE_URL's, else a private one."""
    with database_server(places_in(tmp_path_factory.mktemp("database"))) as address:
        yield address


@pytest.fixture(scope="session")
def database_url(database_address: DatabaseAddress) -> Iterator[str]:
    """Address of one empty database for all tests of this process that share it."""
    with empty_database(database_address) as url:
        yield url


@pytest.fixture
def fresh_database_url(database_address: DatabaseAddress) -> Iterator[str]:
    """Address of an empty database for one test alone."""
    with empty_database(database_address) as url:
        yield url


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineAddress]:
    """An AWS engine of this test process, empty at first; tests name what they make."""
    with engine_server(places_in(tmp_path_factory.mktemp("engine"))) as address:
        yield address


@pytest.fixture(scope="session")
def kinesis() -> Iterator[EngineAddress]:
    """A Kinesis of this test process that can reshard; tests name the streams that they make."""
    with kinesis_server() as address:
        yield address


@pytest.fixture(scope="session")
def stack(places: Places, database_address: DatabaseAddress) -> Iterator[Running]:
    """The built and deployed functions with a database of their own, schema and model in place."""
    with (
        empty_database(database_address) as url,
        deployed_stack(places, DatabaseAddress.from_url(url)) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def live(
    tmp_path_factory: pytest.TempPathFactory, database_address: DatabaseAddress
) -> Iterator[LiveStack]:
    """A live stack with windows of 20 seconds, whose clock runs since a minute."""
    with (
        empty_database(database_address) as url,
        live_stack(
            places_in(tmp_path_factory.mktemp("live")), DatabaseAddress.from_url(url)
        ) as running,
    ):
        yield running
