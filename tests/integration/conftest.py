"""The engine as the environment names it; worlds of streams that are resharded, or explained."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded.engine import EngineAddress, LocalSession
from tests.support.command import Command, name_stream
from tests.support.explained import Explained, MakeExplained
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


@pytest.fixture
def explain(
    fresh_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Command:
    """The command, with a stream and a database in its environment and no local stack."""
    name_stream(monkeypatch, tmp_path, database=fresh_database_url, stream="events")
    return Command(monkeypatch, capsys)


@pytest.fixture
def make_explained(fresh_database_url: str) -> Iterator[MakeExplained]:
    """Makes generations of the stream."""
    made: list[Explained] = []

    def one(*, created_ms: int = 0) -> Explained:
        made.append(Explained(fresh_database_url, created_ms=created_ms))
        return made[-1]

    yield one
    for stream in made:
        stream.end()


@pytest.fixture
def explained(make_explained: MakeExplained) -> Explained:
    """A generation with two shards."""
    one = make_explained()
    one.listing({"s0": (), "s1": ()})
    return one
