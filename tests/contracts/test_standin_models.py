"""The stand-in's models and endpoint configs, and how it refuses requests of a wrong shape."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedded.engine import EngineAddress
from tests.support.botocore_shapes import request_problems
from tests.support.models import model_of
from tests.support.standin_world import (
    IMAGE,
    INSTANCES,
    ROLE,
    SERVERLESS,
    World,
    answered,
    standin_world,
)

pytestmark = pytest.mark.engine

ARN = "arn:aws:sagemaker:eu-west-1:000000000000"


@pytest.fixture(scope="module")
def world(engine: EngineAddress) -> Iterator[World]:
    with standin_world(engine.url, "standin-models") as world:
        yield world


def code_of(raised: pytest.ExceptionInfo[ClientError]) -> str:
    return raised.value.response["Error"]["Code"]


def model_request(name: str, **changes: Any) -> dict[str, Any]:
    container = {"Image": IMAGE, "ModelDataUrl": "s3://models/model.tar.gz"}
    return {
        "ModelName": name,
        "PrimaryContainer": container,
        "ExecutionRoleArn": ROLE,
        "Tags": [{"Key": "job", "Value": "job-7"}],
        **changes,
    }


def test_a_model_is_made_told_and_deleted(world: World) -> None:
    request = model_request("Told")
    assert request_problems("sagemaker", "CreateModel", request) == ""
    made = answered("CreateModel", world.control.create_model(**request))
    assert made == {"ModelArn": f"{ARN}:model/told"}
    told = answered("DescribeModel", world.control.describe_model(ModelName="Told"))
    assert told["PrimaryContainer"] == request["PrimaryContainer"]
    assert told["ExecutionRoleArn"] == ROLE
    with pytest.raises(ClientError, match='Cannot create already existing model "arn') as raised:
        world.control.create_model(**request)
    assert code_of(raised) == "ValidationException"
    world.control.delete_model(ModelName="Told")
    for ask in (world.control.describe_model, world.control.delete_model):
        with pytest.raises(ClientError, match=f'Could not find model "{ARN}:model/told"') as raised:
            ask(ModelName="Told")
        assert code_of(raised) == "ValidationException"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"PrimaryContainer": {"Image": IMAGE}}, "an Image and a ModelDataUrl"),
        ({"Containers": [{"Image": IMAGE}]}, "not in the stand-in"),
        ({"ModelName": "under_score"}, "Value 'under_score' at 'modelName' failed to satisfy"),
        ({"ModelName": "x" * 64}, "length less than or equal to 63"),
        ({"ExecutionRoleArn": "arn:aws:iam::0:role/tidegauge"}, "at 'executionRoleArn'"),
    ],
)
def test_a_model_of_a_wrong_shape_is_refused(
    world: World, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ClientError, match=words) as raised:
        world.control.create_model(**model_request("wrong", **changes))
    assert code_of(raised) == "ValidationException"


def test_a_config_is_made_told_and_deleted(world: World) -> None:
    world.control.create_model(**model_request("of-config"))
    variants: Any = [{"VariantName": "job-7", "ModelName": "of-config", **SERVERLESS}]
    request: Any = {"EndpointConfigName": "told", "ProductionVariants": variants}
    assert request_problems("sagemaker", "CreateEndpointConfig", request) == ""
    made = answered("CreateEndpointConfig", world.control.create_endpoint_config(**request))
    assert made == {"EndpointConfigArn": f"{ARN}:endpoint-config/told"}
    answer = world.control.describe_endpoint_config(EndpointConfigName="told")
    told = answered("DescribeEndpointConfig", answer)
    assert told["ProductionVariants"] == [{**variants[0], "InitialVariantWeight": 1.0}]
    with pytest.raises(ClientError, match="already existing endpoint configuration") as raised:
        world.control.create_endpoint_config(**request)
    assert code_of(raised) == "ValidationException"
    world.control.delete_endpoint_config(EndpointConfigName="told")
    with pytest.raises(ClientError, match="Could not find endpoint configuration") as raised:
        world.control.describe_endpoint_config(EndpointConfigName="told")
    assert code_of(raised) == "ValidationException"


@pytest.mark.parametrize(
    ("variants", "words"),
    [
        ([{"ModelName": "nobody", **SERVERLESS}], "Could not find model"),
        ([{**SERVERLESS}], "must have a ModelName"),
        ([{"ModelName": "of-variants"}], "must have an InstanceType"),
        ([{"ModelName": "of-variants", **SERVERLESS, **INSTANCES}], "has no instances"),
        ([{"ModelName": "of-variants", **SERVERLESS}] * 2, "a name of its own"),
        ([{"ModelName": "of-variants", **INSTANCES, "InstanceType": "ml.tiny"}], "enum value set"),
    ],
)
def test_a_config_of_a_wrong_shape_is_refused(
    world: World, variants: list[dict[str, Any]], words: str
) -> None:
    if not listed(world, "of-variants"):
        world.control.create_model(**model_request("of-variants"))
    asked: Any = [{"VariantName": "v", **variant} for variant in variants]
    with pytest.raises(ClientError, match=words) as raised:
        world.control.create_endpoint_config(EndpointConfigName="bad", ProductionVariants=asked)
    assert code_of(raised) == "ValidationException"


def listed(world: World, part: str) -> list[str]:
    answer = world.control.list_models(NameContains=part)
    answered("ListModels", answer)
    return [model["ModelName"] for model in answer["Models"]]


def test_models_and_configs_are_listed_newest_first(world: World) -> None:
    names = [f"listed-{number}" for number in range(3)]
    for name in names:
        world.put_model(name, model_of(1.0, version=name))
    assert listed(world, "listed-") == names[::-1]
    control = world.control
    models = control.list_models(NameContains="listed-", SortBy="Name", SortOrder="Ascending")
    assert [model["ModelName"] for model in models["Models"]] == names
    first = control.list_endpoint_configs(NameContains="listed-", MaxResults=2)
    answered("ListEndpointConfigs", first)
    second = control.list_endpoint_configs(NameContains="listed-", NextToken=first["NextToken"])
    found = [*first["EndpointConfigs"], *second["EndpointConfigs"]]
    assert [config["EndpointConfigName"] for config in found] == names[::-1]
    assert "NextToken" not in second
    with pytest.raises(ClientError, match="belongs to another question"):
        control.list_endpoint_configs(NameContains="other", NextToken=first["NextToken"])


@pytest.mark.parametrize(
    ("operation", "body", "code", "words"),
    [
        ("CreateModel", {}, "ValidationException", "Value null at 'modelName'"),
        ("CreateModel", {"ModelName": 7}, "SerializationException", "ModelName: 7 is no string"),
        ("CreateModel", {"ModelName": None}, "ValidationException", "Member must not be null"),
        ("ListModels", {"MaxResults": True}, "SerializationException", "is no integer"),
        ("ListModels", {"MaxResults": 0}, "ValidationException", "greater than or equal to 1"),
        ("ListModels", {"MaxResults": 101}, "ValidationException", "less than or equal to 100"),
        ("ListModels", {"SortBy": "Mood"}, "ValidationException", "enum value set: [Name, Cre"),
        ("CreateModel", {"ModelName": "a", "Tags": {}}, "SerializationException", "a list"),
        (
            "CreateEndpointConfig",
            {"EndpointConfigName": "c", "ProductionVariants": [{"ModelName": "m"}]},
            "ValidationException",
            "at 'productionVariants.1.member.VariantName'",
        ),
    ],
)
def test_requests_that_no_client_of_botocore_sends_are_checked_too(
    world: World, operation: str, body: dict[str, Any], code: str, words: str
) -> None:
    request = urllib.request.Request(  # noqa: S310
        world.address,
        data=json.dumps(body).encode(),
        headers={"X-Amz-Target": f"SageMaker.{operation}"},
    )
    with pytest.raises(urllib.error.HTTPError) as raised, urllib.request.urlopen(request):  # noqa: S310
        pass
    with raised.value as answer:
        assert answer.code == 400
        told = json.load(answer)
    assert told["__type"] == code
    assert words in told["message"]
