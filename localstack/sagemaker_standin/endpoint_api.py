"""The operations on endpoints; what they set going is in `endpoint_life`."""

from collections.abc import Mapping
from typing import Any

import msgspec

from sagemaker_standin.aws import arn_of, validation
from sagemaker_standin.deployment import plan_of
from sagemaker_standin.listing import page_of
from sagemaker_standin.model_api import config_of, refuse_unknown
from sagemaker_standin.records import Config, Endpoint, EndpointStatus, Known, Update
from sagemaker_standin.registry import is_taken
from sagemaker_standin.service import Service

KIND = "endpoint"
_IN_PROGRESS = frozenset(
    {EndpointStatus.CREATING, EndpointStatus.UPDATING, EndpointStatus.ROLLING_BACK}
)


def create_endpoint(service: Service, request: Mapping[str, Any], region: str) -> dict[str, Any]:
    """Answer CreateEndpoint."""
    name = request["EndpointName"]
    arn = arn_of(KIND, name, region=region)
    deployment = request.get("DeploymentConfig")
    with service.registry.changing() as known:
        if is_taken(name, known.endpoints):
            msg = f'Cannot create already existing endpoint "{arn}".'
            raise validation(msg)
        config = config_of(known, request["EndpointConfigName"], region)
        plan_of(deployment, config.variants)
        now_s = service.now_s()
        known.endpoints[name] = Endpoint(
            name=name,
            config_name=config.name,
            created_s=now_s,
            modified_s=now_s,
            deployment=deployment,
        )
    service.lives.create(name)
    return {"EndpointArn": arn}


def update_endpoint(service: Service, request: Mapping[str, Any], region: str) -> dict[str, Any]:
    """Answer UpdateEndpoint: refused unless the endpoint is in service."""
    name = request["EndpointName"]
    arn = arn_of(KIND, name, region=region)
    with service.registry.changing() as known:
        endpoint = _endpoint(known, name, region)
        _refuse_in_progress(endpoint, arn)
        if endpoint.status is not EndpointStatus.IN_SERVICE:
            msg = f'Cannot update endpoint "{arn}": it is {endpoint.status}; delete it.'
            raise validation(msg)
        config = config_of(known, request["EndpointConfigName"], region)
        serving = config_of(known, endpoint.config_name, region)
        if config.is_serverless and not serving.is_serverless:
            msg = f'Cannot update endpoint "{arn}": one with instances cannot become serverless.'
            raise validation(msg)
        deployment = request.get("DeploymentConfig")
        if request.get("RetainDeploymentConfig"):
            deployment = endpoint.deployment
        plan_of(deployment, [*serving.variants, *config.variants])
        now_s = service.now_s()
        update = Update(config.name, now_s, deployment)
        known.endpoints[name] = msgspec.structs.replace(
            endpoint,
            status=EndpointStatus.UPDATING,
            update=update,
            modified_s=now_s,
            failure=None,
        )
    service.lives.update(name, update)
    return {"EndpointArn": arn}


def describe_endpoint(service: Service, request: Mapping[str, Any], region: str) -> dict[str, Any]:
    """Answer DescribeEndpoint."""
    with service.registry.reading() as known:
        endpoint = _endpoint(known, request["EndpointName"], region)
        config = config_of(known, endpoint.config_name, region)
        update = endpoint.update
        pending = config_of(known, update.config_name, region) if update else None
    answer: dict[str, Any] = {
        "EndpointName": endpoint.name,
        "EndpointArn": arn_of(KIND, endpoint.name, region=region),
        "EndpointConfigName": endpoint.config_name,
        "EndpointStatus": endpoint.status,
        "CreationTime": endpoint.created_s,
        "LastModifiedTime": endpoint.modified_s,
    }
    if endpoint.failure is not None:
        answer["FailureReason"] = endpoint.failure
    if endpoint.fleet:
        answer["ProductionVariants"] = _variants(config)
    if endpoint.deployment:
        answer["LastDeploymentConfig"] = endpoint.deployment
    if update and pending:
        answer["PendingDeploymentSummary"] = {
            "EndpointConfigName": update.config_name,
            "StartTime": update.started_s,
            "ProductionVariants": _variants(pending),
        }
    return answer


def list_endpoints(service: Service, request: Mapping[str, Any], region: str) -> dict[str, Any]:
    """Answer ListEndpoints."""
    status = request.get("StatusEquals")
    after = request.get("LastModifiedTimeAfter", float("-inf"))
    before = request.get("LastModifiedTimeBefore", float("inf"))
    with service.registry.reading() as known:
        page = page_of(
            known.endpoints.values(),
            request,
            order="Descending",
            keys={"Status": lambda endpoint: endpoint.status},
            keep=lambda endpoint: (
                status in {None, endpoint.status} and after <= endpoint.modified_s <= before
            ),
        )
    found = [
        {
            "EndpointName": endpoint.name,
            "EndpointArn": arn_of(KIND, endpoint.name, region=region),
            "EndpointStatus": endpoint.status,
            "CreationTime": endpoint.created_s,
            "LastModifiedTime": endpoint.modified_s,
        }
        for endpoint in page.items
    ]
    return {"Endpoints": found, **page.rest}


def delete_endpoint(service: Service, request: Mapping[str, Any], region: str) -> dict[str, Any]:
    """Answer DeleteEndpoint: refused while the endpoint changes, and done at once."""
    name = request["EndpointName"]
    with service.registry.changing() as known:
        endpoint = _endpoint(known, name, region)
        _refuse_in_progress(endpoint, arn_of(KIND, name, region=region))
        del known.endpoints[name]
        service.lives.end(name)
    return {}


def _endpoint(known: Known, name: str, region: str) -> Endpoint:
    if name not in known.endpoints:
        refuse_unknown("endpoint", arn_of(KIND, name, region=region))
    return known.endpoints[name]


def _refuse_in_progress(endpoint: Endpoint, arn: str) -> None:
    if endpoint.status in _IN_PROGRESS:
        msg = f'Cannot update in-progress endpoint "{arn}".'
        raise validation(msg)


def _variants(config: Config) -> list[dict[str, Any]]:
    variants = []
    for variant in config.variants:
        weight = variant.get("InitialVariantWeight", 1.0)
        told = {
            "VariantName": variant["VariantName"],
            "CurrentWeight": weight,
            "DesiredWeight": weight,
        }
        if "ServerlessConfig" in variant:
            told["CurrentServerlessConfig"] = variant["ServerlessConfig"]
            told["DesiredServerlessConfig"] = variant["ServerlessConfig"]
        instances = 0 if "ServerlessConfig" in variant else variant["InitialInstanceCount"]
        told |= {"CurrentInstanceCount": instances, "DesiredInstanceCount": instances}
        variants.append(told)
    return variants
