"""The contract of `ports.ModelHost`, on memory and on the stand-in by boto3."""

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, cast

import pytest
from msgspec.structs import replace

from tests.support.live import until
from tests.support.models import first_feature_model
from tests.support.sources import WaitedClock
from tests.support.standin import AWS_ENVIRONMENT, running_standin
from tidegauge.adapters.memory_serving import MemoryModelHost
from tidegauge.adapters.model_file import pack_model
from tidegauge.adapters.sagemaker_serving import SageMakerModelHost
from tidegauge.domain.endpoint import (
    Endpoint,
    EndpointConfig,
    EndpointStatus,
    Rollout,
    RunningVariant,
    Variant,
)
from tidegauge.domain.errors import Misconfigured
from tidegauge.ports.serving import HostedModel, ModelHost, NameTaken

if TYPE_CHECKING:
    from embedded.engine import EngineAddress

BUCKET = "hosted-models"
SERVERLESS: dict[str, object] = {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}
INSTANCES: dict[str, object] = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 3}
_numbers = itertools.count(1)


class Hosts(Protocol):
    """One implementation under test, and what happens there by itself."""

    host: ModelHost

    def rest(self, name: str) -> Endpoint | None:
        """Wait until an endpoint is on its way to nothing."""
        ...


class InMemory:
    """The host in memory, by a clock that is moved."""

    def __init__(self) -> None:
        self.clock = WaitedClock(0)
        self.memory = MemoryModelHost(self.clock, change_ms=1_000)
        self.memory.broken.add("broken")
        self.host: ModelHost = self.memory

    def rest(self, name: str) -> Endpoint | None:
        self.clock.wait_until_ms(self.clock.now_ms() + 1_000)
        return self.host.endpoint(name)


class OnTheStandIn:
    """The host that the stand-in is."""

    def __init__(self, address: str) -> None:
        import boto3

        self.host: ModelHost = SageMakerModelHost(
            client=boto3.client("sagemaker", endpoint_url=address), page_size=3
        )

    def rest(self, name: str) -> Endpoint | None:
        def rested() -> tuple[Endpoint | None] | None:
            endpoint = self.host.endpoint(name)
            return None if endpoint and endpoint.busy else (endpoint,)

        return until(rested, seconds=30, what=f"endpoint {name} to be at rest")[0]


@pytest.fixture(scope="module")
def standin(request: pytest.FixtureRequest) -> Iterator[str]:
    engine = cast("EngineAddress", request.getfixturevalue("engine"))
    s3 = engine.session().s3
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="sound", Body=pack_model(first_feature_model("sound")))
    s3.put_object(Bucket=BUCKET, Key="broken", Body=b"no model")
    with running_standin(s3=engine.url, endpoint_seconds=0.5, time_scale=0.01) as address:
        yield address


@pytest.fixture(params=["memory", pytest.param("standin", marks=pytest.mark.engine)])
def hosts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    """Each implementation in turn."""
    if request.param == "memory":
        return InMemory()
    for name, value in AWS_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return OnTheStandIn(cast("str", request.getfixturevalue("standin")))


@pytest.fixture
def name() -> str:
    """A name that no other test uses, and no other name holds."""
    return f"t{next(_numbers)}x"


def hosted(name: str, artifact: str = "sound") -> HostedModel:
    return HostedModel(
        name, "image:1", f"s3://{BUCKET}/{artifact}", "arn:aws:iam::000000000000:role/models"
    )


def config_on(
    host: ModelHost, name: str, model: str = "", settings: dict[str, object] = SERVERLESS
) -> EndpointConfig:
    """Make a model, unless it is there, and a config with it."""
    model = model or f"{name}-model"
    host.add_model(hosted(model, "broken" if model == "broken" else "sound"))
    config = EndpointConfig(name, (Variant("version-1", model, settings),))
    host.add_config(config)
    return config


def in_service(hosts: Hosts, name: str, settings: dict[str, object] = SERVERLESS) -> None:
    config_on(hosts.host, f"{name}-1", settings=settings)
    assert hosts.host.create_endpoint(name, f"{name}-1")
    hosts.rest(name)


def test_what_is_not_there_is_none(hosts: Hosts, name: str) -> None:
    assert hosts.host.endpoint(name) is None
    assert hosts.host.config(name) is None
    assert not hosts.host.delete_config(name)
    assert not hosts.host.delete_model(name)
    assert hosts.host.delete_endpoint(name)
    assert hosts.host.models(containing=name) == []


@pytest.mark.parametrize("settings", [SERVERLESS, INSTANCES], ids=["serverless", "instances"])
def test_a_config_comes_back_as_it_was_made(
    hosts: Hosts, name: str, settings: dict[str, object]
) -> None:
    made = config_on(hosts.host, name, settings=settings)
    found = hosts.host.config(name)
    assert found is not None
    (variant,) = found.variants
    variant.settings.pop("InitialVariantWeight", None)  # told though nobody gave it
    assert found == made


def test_the_same_again_is_no_second_one(hosts: Hosts, name: str) -> None:
    config_on(hosts.host, name)
    config_on(hosts.host, name)
    assert hosts.host.configs(containing=name) == [name]
    assert hosts.host.models(containing=name) == [f"{name}-model"]


def test_another_one_of_the_same_name_is_told(hosts: Hosts, name: str) -> None:
    config_on(hosts.host, name)
    with pytest.raises(NameTaken, match=f"another model {name}-model already"):
        hosts.host.add_model(hosted(f"{name}-model", "other"))
    with pytest.raises(NameTaken, match=f"another model {name}-model already"):
        hosts.host.add_model(replace(hosted(f"{name}-model"), image="image:2"))
    hosts.host.add_model(hosted(f"{name}-b"))
    with pytest.raises(NameTaken, match=f"another endpoint config {name} already"):
        config_on(hosts.host, name, f"{name}-b")


def test_what_needs_something_that_is_missing_is_refused(hosts: Hosts, name: str) -> None:
    with pytest.raises(Misconfigured):
        hosts.host.add_config(EndpointConfig(name, (Variant("v", "nobody", SERVERLESS),)))
    with pytest.raises(Misconfigured):
        hosts.host.create_endpoint(name, "nothing")
    in_service(hosts, name)
    with pytest.raises(Misconfigured):
        hosts.host.update_endpoint(name, "nothing", None)


def test_an_endpoint_is_made_and_says_what_it_serves(hosts: Hosts, name: str) -> None:
    config_on(hosts.host, f"{name}-1")
    assert hosts.host.create_endpoint(name, f"{name}-1")
    begun = hosts.host.endpoint(name)
    assert begun is not None
    assert begun.busy
    assert not hosts.host.create_endpoint(name, f"{name}-1")
    assert not hosts.host.update_endpoint(name, f"{name}-1", None)
    assert not hosts.host.delete_endpoint(name)
    made = hosts.rest(name)
    assert made == Endpoint(
        name, EndpointStatus.IN_SERVICE, f"{name}-1", variants=(RunningVariant("version-1"),)
    )
    assert not hosts.host.create_endpoint(name, f"{name}-1")


def test_an_update_is_pending_until_it_serves(hosts: Hosts, name: str) -> None:
    in_service(hosts, name)
    config_on(hosts.host, f"{name}-2")
    assert hosts.host.update_endpoint(name, f"{name}-2", None)
    begun = hosts.host.endpoint(name)
    assert begun is not None
    assert (begun.busy, begun.config, begun.pending_config) == (True, f"{name}-1", f"{name}-2")
    assert not hosts.host.update_endpoint(name, f"{name}-1", None)
    updated = hosts.rest(name)
    assert updated is not None
    assert (updated.status, updated.config, updated.pending_config) == (
        EndpointStatus.IN_SERVICE,
        f"{name}-2",
        "",
    )


def test_instances_are_told_and_change_over_by_a_canary(hosts: Hosts, name: str) -> None:
    in_service(hosts, name, INSTANCES)
    config_on(hosts.host, f"{name}-2", settings=INSTANCES)
    assert hosts.host.update_endpoint(name, f"{name}-2", Rollout(1, 60, ("errors",)))
    updated = hosts.rest(name)
    assert updated is not None
    assert updated.config == f"{name}-2"
    assert updated.variants == (RunningVariant("version-1", 3),)


def test_a_serverless_endpoint_takes_no_canary(hosts: Hosts, name: str) -> None:
    in_service(hosts, name)
    config_on(hosts.host, f"{name}-2")
    with pytest.raises(Misconfigured):
        hosts.host.update_endpoint(name, f"{name}-2", Rollout(0, 60, ()))


def test_a_model_that_does_not_load_never_serves(hosts: Hosts, name: str) -> None:
    in_service(hosts, name)
    config_on(hosts.host, f"{name}-2", "broken")
    assert hosts.host.update_endpoint(name, f"{name}-2", None)
    back = hosts.rest(name)
    assert back is not None
    assert (back.status, back.config) == (EndpointStatus.IN_SERVICE, f"{name}-1")
    assert back.failure


def test_an_endpoint_that_cannot_be_made_is_dead_until_it_is_deleted(
    hosts: Hosts, name: str
) -> None:
    config_on(hosts.host, f"{name}-1", "broken")
    assert hosts.host.create_endpoint(name, f"{name}-1")
    dead = hosts.rest(name)
    assert dead is not None
    assert (dead.status, dead.dead, dead.config) == (EndpointStatus.FAILED, True, f"{name}-1")
    assert dead.failure
    assert not hosts.host.update_endpoint(name, f"{name}-1", None)
    assert hosts.host.delete_endpoint(name)
    assert hosts.rest(name) is None


def test_what_an_endpoint_needs_is_in_use_and_stays(hosts: Hosts, name: str) -> None:
    in_service(hosts, name)
    config_on(hosts.host, f"{name}-2")
    config_on(hosts.host, f"{name}-3")
    used = hosts.host.in_use()
    assert f"{name}-1" in used.configs
    assert f"{name}-1-model" in used.models
    hosts.host.update_endpoint(name, f"{name}-2", None)
    assert not hosts.host.delete_config(f"{name}-2")
    assert not hosts.host.delete_config(f"{name}-1")
    assert hosts.host.delete_config(f"{name}-3")
    assert hosts.host.delete_model(f"{name}-3-model")
    used = hosts.host.in_use()
    assert f"{name}-2" in used.configs  # pending, or serving by now
    assert f"{name}-2-model" in used.models
    assert f"{name}-3" not in used.configs
    hosts.rest(name)
    assert hosts.host.delete_config(f"{name}-1")
    assert sorted(hosts.host.configs(containing=name)) == [f"{name}-2"]
    assert sorted(hosts.host.models(containing=name)) == [f"{name}-1-model", f"{name}-2-model"]


def test_many_names_are_listed_whole(hosts: Hosts, name: str) -> None:
    made = [f"{name}-{number}" for number in range(7)]
    for one in made:
        hosts.host.add_model(hosted(one))
    assert sorted(hosts.host.models(containing=name)) == made
