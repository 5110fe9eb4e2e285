"""The stand-in's endpoints: created, updated while the old model answers, rolled back, deleted."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded.engine import EngineAddress
from tests.support.botocore_shapes import operation_model, request_problems
from tests.support.models import model_of
from tests.support.standin import clear_faults, put_fault
from tests.support.standin_world import INSTANCES, SERVERLESS, World, eventually, standin_world

pytestmark = pytest.mark.engine

ALARMS = {"Alarms": [{"AlarmName": "errors-of-the-endpoint"}]}


@pytest.fixture(scope="module")
def world(engine: EngineAddress) -> Iterator[World]:
    """A stand-in whose models take a moment to be ready, and whose waits are short."""
    with standin_world(
        engine.url, "standin-endpoints", endpoint_seconds=0.3, time_scale=0.01
    ) as world:
        yield world


@pytest.fixture(scope="module")
def with_instances(world: World) -> str:
    """An endpoint with instances, in service."""
    world.put_endpoint("policy", model_of(1.0, version="policy-1"), INSTANCES)
    return "policy"


def canary(*, wait_s: int, percent: int = 20, alarms: bool = True) -> dict[str, Any]:
    routing = {
        "Type": "CANARY",
        "WaitIntervalInSeconds": wait_s,
        "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": percent},
    }
    policy = {"TrafficRoutingConfiguration": routing, "MaximumExecutionTimeoutInSeconds": 28_800}
    rest = {"AutoRollbackConfiguration": ALARMS} if alarms else {}
    return {"BlueGreenUpdatePolicy": policy, **rest}


def update(world: World, name: str, config: str, **more: Any) -> None:
    request = {"EndpointName": name, "EndpointConfigName": config, **more}
    assert request_problems("sagemaker", "UpdateEndpoint", request) == ""
    world.control.update_endpoint(**request)


def refused(call: Any, words: str, **request: Any) -> None:
    with pytest.raises(ClientError, match=words) as raised:
        call(**request)
    assert raised.value.response["Error"]["Code"] == "ValidationException"


def test_an_endpoint_is_created_and_then_serves(world: World) -> None:
    world.put_model("made-1", model_of(3.0, version="made-1"))
    request: Any = {"EndpointName": "Made", "EndpointConfigName": "made-1"}
    assert request_problems("sagemaker", "CreateEndpoint", request) == ""
    world.control.create_endpoint(**request)
    assert world.described("Made")["EndpointStatus"] == "Creating"
    refused(world.control.delete_endpoint, "Cannot update in-progress", EndpointName="Made")
    refused(world.control.create_endpoint, "already existing endpoint", **request)
    again = {**request, "EndpointName": "MADE"}
    refused(world.control.create_endpoint, "already existing endpoint", **again)
    told = world.settled("Made")
    assert told["EndpointStatus"] == "InService"
    assert told["EndpointConfigName"] == "made-1"
    assert told["ProductionVariants"][0]["CurrentServerlessConfig"]["MaxConcurrency"] == 5
    assert world.invoke("Made", b"2\n4") == ("made-1", [6.0, 12.0])


def test_no_request_fails_and_no_answer_is_mixed_while_endpoints_are_updated(world: World) -> None:
    world.put_endpoint("busy", model_of(0.0, bias=0.0, version="v0"))
    for number in range(1, 4):
        world.put_model(f"v{number}", model_of(0.0, bias=float(number), version=f"v{number}"))
    over = Event()

    def ask(_thread: int) -> Counter[str]:
        seen: Counter[str] = Counter()
        while not over.is_set():
            variant, scores = world.invoke("busy")
            # Each answer is one model's own: never the name of one and the score of another.
            assert variant == f"v{scores[0]:.0f}"
            seen[variant] += 1
        return seen

    with ThreadPoolExecutor(3) as threads:
        asked = [threads.submit(ask, thread) for thread in range(3)]
        try:
            for number in range(1, 4):
                update(world, "busy", f"v{number}")
                pending = world.described("busy")
                assert pending["EndpointStatus"] == "Updating"
                assert pending["EndpointConfigName"] == f"v{number - 1}"
                assert pending["PendingDeploymentSummary"]["EndpointConfigName"] == f"v{number}"
                # The old model answers until the new one is ready.
                assert world.invoke("busy")[0] == f"v{number - 1}"
                refused(
                    world.control.update_endpoint,
                    "Cannot update in-progress endpoint",
                    EndpointName="busy",
                    EndpointConfigName="v0",
                )
                told = world.settled("busy")
                assert told["EndpointConfigName"] == f"v{number}"
                assert "PendingDeploymentSummary" not in told
                assert world.invoke("busy")[0] == f"v{number}"
        finally:
            over.set()
        seen = sum((thread.result() for thread in asked), Counter())
    assert set(seen) == {"v0", "v1", "v2", "v3"}


def test_a_model_that_cannot_be_served_leaves_the_old_one_in_service(world: World) -> None:
    world.put_endpoint("kept", model_of(1.0, version="kept-1"))
    world.put_model("kept-2", b"no model")
    update(world, "kept", "kept-2")
    statuses = set()

    def told() -> dict[str, Any] | None:
        answer = world.described("kept")
        statuses.add(answer["EndpointStatus"])
        return answer if answer["EndpointStatus"] == "InService" else None

    answer = eventually(told)
    assert "RollingBack" in statuses
    assert answer["EndpointConfigName"] == "kept-1"
    assert "variant kept-2 did not pass the ping health check" in answer["FailureReason"]
    assert world.invoke("kept")[0] == "kept-1"
    update(world, "kept", "kept-1")
    assert "FailureReason" not in world.settled("kept")


def test_an_endpoint_that_never_served_can_only_be_deleted(world: World) -> None:
    world.put_model("never", b"no model")
    world.control.create_endpoint(EndpointName="never", EndpointConfigName="never")
    told = world.settled("never")
    assert told["EndpointStatus"] == "Failed"
    assert "did not pass the ping health check" in told["FailureReason"]
    request = {"EndpointName": "never", "EndpointConfigName": "never"}
    refused(world.control.update_endpoint, "it is Failed", **request)
    with pytest.raises(ClientError, match="Endpoint never of account 000000000000 not found"):
        world.invoke("never")
    in_use = {"EndpointConfigName": "never"}
    refused(world.control.delete_endpoint_config, "Cannot delete endpoint conf", **in_use)
    world.control.delete_endpoint(EndpointName="never")
    refused(world.control.describe_endpoint, "Could not find endpoint", EndpointName="never")
    world.control.delete_endpoint_config(**in_use)


def test_a_config_in_use_or_on_its_way_is_not_deleted_and_a_model_is(world: World) -> None:
    world.put_endpoint("used", model_of(1.0, version="used-1"))
    world.put_model("used-2", model_of(2.0, version="used-2"))
    update(world, "used", "used-2")
    for config in ("used-1", "used-2"):
        request = {"EndpointConfigName": config}
        refused(world.control.delete_endpoint_config, "uses it", **request)
    assert world.settled("used")["EndpointConfigName"] == "used-2"
    world.control.delete_endpoint_config(EndpointConfigName="used-1")
    world.control.delete_model(ModelName="used-2")
    assert world.invoke("used") == ("used-2", [2.0])
    world.control.delete_endpoint(EndpointName="used")
    world.control.delete_endpoint_config(EndpointConfigName="used-2")
    with pytest.raises(ClientError, match="not found"):
        world.invoke("used")


def test_a_canary_takes_its_share_and_then_all(world: World) -> None:
    world.put_endpoint("canary", model_of(1.0, version="canary-1"), INSTANCES)
    world.put_model("canary-2", model_of(2.0, version="canary-2"), INSTANCES)
    deployment = canary(wait_s=300)
    update(world, "canary", "canary-2", DeploymentConfig=deployment)
    eventually(lambda: {} if world.invoke("canary")[0] == "canary-2" else None)
    answered_by = Counter(world.invoke("canary")[0] for _ in range(20))
    assert answered_by == {"canary-1": 16, "canary-2": 4}
    assert world.described("canary")["EndpointStatus"] == "Updating"
    told = world.settled("canary")
    assert told["EndpointConfigName"] == "canary-2"
    assert told["LastDeploymentConfig"] == deployment
    assert {world.invoke("canary")[0] for _ in range(10)} == {"canary-2"}


def test_a_canary_that_errs_is_rolled_back(world: World) -> None:
    world.put_endpoint("erring", model_of(1.0, version="erring-1"), INSTANCES)
    world.put_model("erring-2", model_of(2.0, version="erring-2"), INSTANCES)
    put_fault(world.address, model="erring-2", fault="ModelError", times=None, status=500)
    # Longer than the test waits: only the alarm ends it.
    update(world, "erring", "erring-2", DeploymentConfig=canary(wait_s=3600))

    def failed() -> dict[str, Any] | None:
        try:
            world.invoke("erring")
        except ClientError as error:
            return dict(error.response["Error"])
        return None

    assert eventually(failed)["Code"] == "ModelError"
    told = world.settled("erring")
    clear_faults(world.address)
    assert told["EndpointStatus"] == "InService"
    assert told["EndpointConfigName"] == "erring-1"
    assert "taken back" in told["FailureReason"]
    assert {world.invoke("erring")[0] for _ in range(10)} == {"erring-1"}


def test_a_bad_request_to_a_canary_rolls_nothing_back(world: World) -> None:
    world.put_endpoint("asked", model_of(1.0, version="asked-1"), INSTANCES)
    world.put_model("asked-2", model_of(2.0, version="asked-2"), INSTANCES)
    update(world, "asked", "asked-2", DeploymentConfig=canary(wait_s=100, percent=50))
    eventually(lambda: {} if world.invoke("asked")[0] == "asked-2" else None)
    for _ in range(4):
        with pytest.raises(ClientError, match="client error"):
            world.invoke("asked", b"one")
    assert world.settled("asked")["EndpointConfigName"] == "asked-2"


@pytest.mark.parametrize("old", [SERVERLESS, INSTANCES], ids=["serverless", "instances"])
def test_a_deployment_config_is_refused_where_either_side_is_serverless(
    world: World, old: dict[str, Any]
) -> None:
    kind = "serverless" if old is SERVERLESS else "instances"
    world.put_endpoint(kind, model_of(1.0, version=f"{kind}-old"), old)
    world.put_model(f"{kind}-new", model_of(2.0, version=f"{kind}-new"))
    request = {"EndpointName": kind, "EndpointConfigName": f"{kind}-new"}
    words = "not supported for serverless" if old is SERVERLESS else "cannot become serverless"
    guarded = {**request, "DeploymentConfig": canary(wait_s=0)}
    refused(world.control.update_endpoint, words, **guarded)
    assert world.described(kind)["EndpointStatus"] == "InService"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 60}}, "not be more than 50%"),
        ({"CanarySize": {"Type": "INSTANCE_COUNT", "Value": 3}}, "not be more than 50%"),
        ({"Type": "LINEAR"}, "CanarySize must not be given"),
        ({"Type": "ALL_AT_ONCE"}, "CanarySize must not be given"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(
    world: World, with_instances: str, change: dict[str, Any], words: str
) -> None:
    deployment = canary(wait_s=0)
    deployment["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"] |= change
    request = {"EndpointName": with_instances, "EndpointConfigName": f"{with_instances}-1"}
    refused(world.control.update_endpoint, words, **request, DeploymentConfig=deployment)


def test_variants_share_the_requests_by_weight(world: World) -> None:
    for name in ("light", "heavy"):
        world.put_model(name, model_of(1.0, version=name))
    variants: Any = [
        {"VariantName": name, "ModelName": name, "InitialVariantWeight": weight, **INSTANCES}
        for name, weight in (("light", 1.0), ("heavy", 3.0))
    ]
    world.control.create_endpoint_config(EndpointConfigName="two", ProductionVariants=variants)
    world.control.create_endpoint(EndpointName="two", EndpointConfigName="two")
    world.settled("two")
    assert Counter(world.invoke("two")[0] for _ in range(40)) == {"light": 10, "heavy": 30}


def test_an_endpoint_with_instances_takes_aws_longest_body_and_no_byte_more(
    world: World, with_instances: str
) -> None:
    shape = operation_model("sagemaker-runtime", "InvokeEndpoint").input_shape
    assert shape is not None
    limit = shape.members["Body"].metadata["max"]
    row = b"1." + b"0" * 1021 + b"\n"
    longest = row * (limit // len(row))
    assert len(longest) == limit
    assert world.invoke(with_instances, longest)[1] == [1.0] * (limit // len(row))
    with pytest.raises(ClientError, match=f"less than or equal to {limit}") as raised:
        world.invoke(with_instances, longest + b"1")
    assert raised.value.response["Error"]["Code"] == "ValidationError"


def test_faults_happen_as_often_as_they_were_asked_for(world: World) -> None:
    world.put_endpoint("faulty", model_of(1.0, version="faulty-1"))
    put_fault(world.address, endpoint="faulty", fault="nan", times=1)
    answer = world.runtime.invoke_endpoint(
        EndpointName="faulty", ContentType="text/csv", Body=b"1\n2"
    )
    assert json.dumps(json.loads(answer["Body"].read())["predictions"]) == (
        '[{"score": NaN}, {"score": NaN}]'
    )
    put_fault(world.address, endpoint="faulty", fault="ModelError", times=1, status=503)
    with pytest.raises(ClientError, match=r"server error \(503\)") as raised:
        world.invoke("faulty")
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 424
    put_fault(world.address, endpoint="faulty", fault="ThrottlingException", times=1)
    with pytest.raises(ClientError, match="Rate exceeded") as raised:
        world.invoke("faulty")
    assert raised.value.response["Error"]["Code"] == "ThrottlingException"
    put_fault(world.address, operation="DeleteEndpoint", fault="ThrottlingException", times=1)
    with pytest.raises(ClientError, match="Rate exceeded"):
        world.control.delete_endpoint(EndpointName="faulty")
    assert world.invoke("faulty") == ("faulty-1", [1.0])
