"""SageMaker's model host: requests that botocore takes, and what is made of its answers."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from tests.support.botocore_shapes import request_problems
from tidegauge.adapters.sagemaker_serving import (
    SageMakerModelHost,
    config_of,
    deployment_of,
    endpoint_of,
)
from tidegauge.domain.endpoint import EndpointConfig, Rollout, Variant
from tidegauge.domain.errors import BrokenInvariant, Misconfigured, Transient
from tidegauge.ports.serving import HostedModel

OPERATIONS = {
    "create_endpoint": "CreateEndpoint",
    "create_endpoint_config": "CreateEndpointConfig",
    "create_model": "CreateModel",
    "delete_endpoint": "DeleteEndpoint",
    "delete_endpoint_config": "DeleteEndpointConfig",
    "delete_model": "DeleteModel",
    "describe_endpoint": "DescribeEndpoint",
    "describe_endpoint_config": "DescribeEndpointConfig",
    "describe_model": "DescribeModel",
    "list_endpoint_configs": "ListEndpointConfigs",
    "list_endpoints": "ListEndpoints",
    "list_models": "ListModels",
    "update_endpoint": "UpdateEndpoint",
}
IN_SERVICE = {"EndpointName": "e", "EndpointStatus": "InService", "EndpointConfigName": "c"}
CALLS: list[Callable[[SageMakerModelHost], object]] = [
    lambda host: host.endpoint("e"),
    lambda host: host.config("c"),
    lambda host: host.add_model(HostedModel("m", "i", "s3://b/k", "r" * 20)),
    lambda host: host.add_config(EndpointConfig("c", (Variant("v", "m", {}),))),
    lambda host: host.create_endpoint("e", "c"),
    lambda host: host.update_endpoint("e", "c", None),
    lambda host: host.delete_endpoint("e"),
    lambda host: host.models(containing="m"),
    lambda host: host.configs(containing="c"),
    lambda host: host.in_use(),
    lambda host: host.delete_model("m"),
    lambda host: host.delete_config("c"),
]


class FakeSageMaker:
    """Answers as it is told, and holds requests against botocore's shapes."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers
        self.requests: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation = OPERATIONS[name]

        def call(**request: Any) -> Any:
            assert not request_problems("sagemaker", operation, request)
            self.requests.append((operation, request))
            answer = self._answers.get(name, self._answers.get("everything", {}))
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def host_on(client: FakeSageMaker) -> SageMakerModelHost:
    return SageMakerModelHost(client=cast("Any", client))


def refusal(code: str, message: str = "because", status: int = 400) -> ClientError:
    response = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(cast("Any", response), "Operation")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (refusal("ThrottlingException"), Transient),
        (refusal("AccessDeniedException", status=403), Misconfigured),
        (refusal("ResourceLimitExceeded"), Misconfigured),
    ],
    ids=["throttled", "denied", "limit"],
)
def test_what_nobody_can_answer_is_raised(
    call: Callable[[SageMakerModelHost], object],
    error: ClientError,
    expected: type[Exception],
) -> None:
    with pytest.raises(expected) as raised:
        call(host_on(FakeSageMaker(everything=error)))
    assert raised.value.__cause__ is error


def test_what_is_refused_at_rest_is_no_reason_to_wait() -> None:
    refused = refusal("ValidationException", "one with instances cannot become serverless")
    client = FakeSageMaker(update_endpoint=refused, describe_endpoint=IN_SERVICE)
    with pytest.raises(Misconfigured, match="cannot become serverless"):
        host_on(client).update_endpoint("e", "c", None)


def test_a_refusal_of_an_endpoint_that_came_to_rest_meanwhile_is_looked_at_again() -> None:
    refused = refusal("ValidationException", 'Cannot update in-progress endpoint "arn".')
    client = FakeSageMaker(
        update_endpoint=refused, delete_endpoint=refused, describe_endpoint=IN_SERVICE
    )
    assert not host_on(client).update_endpoint("e", "c", None)
    assert not host_on(client).delete_endpoint("e")


@pytest.mark.parametrize("canary", [0, 1, 50])
@pytest.mark.parametrize("minutes", [1, 10, 60])
@pytest.mark.parametrize("alarms", [(), ("errors", "latency")])
def test_every_rollout_that_settings_may_ask_for_is_one_that_sagemaker_takes(
    canary: int, minutes: int, alarms: tuple[str, ...]
) -> None:
    client = FakeSageMaker()
    rollout = Rollout(canary, minutes * 60, alarms)
    assert host_on(client).update_endpoint("e", "c", rollout)
    ((_, request),) = client.requests
    policy = request["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    # what the service adds up before it begins
    routing = policy["TrafficRoutingConfiguration"]
    needed_s = routing["WaitIntervalInSeconds"] + policy["TerminationWaitInSeconds"]
    assert needed_s < policy["MaximumExecutionTimeoutInSeconds"] <= 28_800
    assert routing["WaitIntervalInSeconds"] <= 3_600
    assert ("CanarySize" in routing) == (canary > 0)
    assert ("AutoRollbackConfiguration" in request["DeploymentConfig"]) == bool(alarms)


def test_a_canary_counts_instances() -> None:
    policy = deployment_of(Rollout(2, 60, ()))["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"] == {
        "Type": "CANARY",
        "WaitIntervalInSeconds": 60,
        "CanarySize": {"Type": "INSTANCE_COUNT", "Value": 2},
    }


def test_what_a_config_has_beside_its_variant_goes_into_the_next_one() -> None:
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 10,
        "DestinationS3Uri": "s3://captured/here",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }
    told = {
        "EndpointConfigName": "c",
        "EndpointConfigArn": "arn",
        "ProductionVariants": [
            {
                "VariantName": "v",
                "ModelName": "m",
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 2,
                "ContainerStartupHealthCheckTimeoutInSeconds": 300,
            }
        ],
        "DataCaptureConfig": capture,
        "KmsKeyId": "alias/key",
        "EnableNetworkIsolation": False,
        "ShadowProductionVariants": [],
    }
    config = config_of(told)
    assert config.settings == {"DataCaptureConfig": capture, "KmsKeyId": "alias/key"}
    client = FakeSageMaker()
    host_on(client).add_config(EndpointConfig("next", config.variants, config.settings))
    ((_, request),) = client.requests
    assert request["ProductionVariants"] == told["ProductionVariants"]
    assert request["DataCaptureConfig"] == capture


def test_a_model_is_made_with_the_network_of_its_training() -> None:
    client = FakeSageMaker()
    network = {"VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}}
    role = "arn:aws:iam::000000000000:role/models"
    host_on(client).add_model(HostedModel("m", "image", "s3://b/k", role, network))
    ((_, request),) = client.requests
    assert request["VpcConfig"] == network["VpcConfig"]
    assert request["PrimaryContainer"] == {"Image": "image", "ModelDataUrl": "s3://b/k"}


def test_a_status_that_we_do_not_know_wakes_somebody() -> None:
    with pytest.raises(BrokenInvariant, match="unknown status"):
        endpoint_of({**IN_SERVICE, "EndpointStatus": "Dancing"})
