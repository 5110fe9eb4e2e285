"""The engine as the environment names it; worlds that are resharded, explained or deployed to."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded.engine import EngineAddress, LocalSession
from tests.support.command import Command, name_stream
from tests.support.explained import Explained, MakeExplained
from tests.support.oracle import SIZE
from tests.support.real_deployment import INSTANCES, RealDeployment, make_buckets
from tests.support.resharded_world import ReshardedWorld
from tests.support.standin import AWS_ENVIRONMENT, clear_faults, running_standin
from tests.support.world_stores import WorldStores, world_stores_on

_endpoints = itertools.count(1)


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


@pytest.fixture(scope="module")
def deploy_standin(engine: EngineAddress) -> Iterator[str]:
    """A stand-in on which a change takes a second or two, whatever a canary's minutes."""
    make_buckets(engine)
    # A model takes a moment to be ready, and a canary of ten minutes is over in one and a half.
    with running_standin(s3=engine.url, endpoint_seconds=0.6, time_scale=0.0025) as address:
        yield address


@pytest.fixture
def there(
    engine: EngineAddress,
    deploy_standin: str,
    fresh_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[RealDeployment]:
    """An endpoint of this test's own, on instances where that is asked for."""
    for name, value in AWS_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    kind = {"new_variant": INSTANCES} if getattr(request, "param", "") == "instances" else {}
    made = RealDeployment(
        engine, deploy_standin, fresh_database_url, f"gauge{next(_endpoints)}", **kind
    )
    yield made
    made.close()
    clear_faults(deploy_standin)
