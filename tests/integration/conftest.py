"""The engine as the environment names it; worlds of streams that are resharded."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from embedded.engine import EngineAddress, LocalSession
from tests.support.oracle import SIZE
from tests.support.resharded_world import ReshardedWorld
from tests.support.world_stores import WorldStores, world_stores_on


@pytest.fixture
def aws(engine: EngineAddress, monkeypatch: pytest.MonkeyPatch) -> LocalSession:
    """Point every client that the adapters make at the engine."""
    for name, value in engine.environment.items():
        monkeypatch.setenv(name, value)
    return engine.session()


@pytest.fixture
def world_stores(fresh_database_url: str) -> Iterator[WorldStores]:
    """Stores on a database of their own."""
    with world_stores_on(fresh_database_url, size_ms=SIZE) as stores:
        yield stores


@pytest.fixture
def make_world(
    kinesis: EngineAddress, world_stores: WorldStores, request: pytest.FixtureRequest
) -> Callable[..., ReshardedWorld]:
    """Makes the test's world, with the settings of `ReshardedWorld`."""
    name = "".join(letter for letter in request.node.name if letter.isalnum())

    def make(**settings: Any) -> ReshardedWorld:
        return ReshardedWorld(kinesis, world_stores, name, **settings)

    return make
