"""The operations on models and endpoint configs."""

from collections.abc import Mapping
from typing import Any, NoReturn

from sagemaker_standin.artifacts import artifact_url
from sagemaker_standin.aws import arn_of, validation
from sagemaker_standin.listing import page_of
from sagemaker_standin.records import Config, Known, Model
from sagemaker_standin.registry import is_taken
from sagemaker_standin.request_check import told_members
from sagemaker_standin.service import Service

MODEL, CONFIG = "model", "endpoint-config"

# What would make an endpoint answer in another way than the stand-in can.
_CONFIG_ELSEWHERE = (
    "AsyncInferenceConfig",
    "CrossRegionTrafficConfig",
    "DataCaptureConfig",
    "ExplainerConfig",
    "ShadowProductionVariants",
)


def create_model(service: Service, request: Mapping[str, Any], region: str) -> dict[str, Any]:
    """Answer CreateModel. Its artifact is looked for once an endpoint loads it."""
    name = request["ModelName"]
    arn = arn_of(MODEL, name, region=region)
    if "Containers" in request:
        msg = "Containers are not in the stand-in: give a PrimaryContainer."
        raise validation(msg)
    model = Model(name=name, request=dict(request), created_s=service.now_s())
    container = request.get("PrimaryContainer", {})
    if not container.get("Image") or not artifact_url(model):
        msg = "PrimaryContainer must have an Image and a ModelDataUrl."
        raise validation(msg)
    if "ExecutionRoleArn" not in request:
        msg = "ExecutionRoleArn must be given."
        raise validation(msg)
    with service.registry.changing() as known:
        if is_taken(name, known.models):
            msg = f'Cannot create already existing model "{arn}".'
            raise validation(msg)
        known.models[name] = model
    return {"ModelArn": arn}


def describe_model(service: Service, request: Mapping[str, Any], region: str) -> dict[str, Any]:
    """Answer DescribeModel."""
    with service.registry.reading() as known:
        model = _model(known, request["ModelName"], region)
    return {
        "EnableNetworkIsolation": False,
        **told_members("DescribeModel", model.request),
        **_model_summary(model, region),
    }


def list_models(service: Service, request: Mapping[str, Any], region: str) -> dict[str, Any]:
    """Answer ListModels."""
    with service.registry.reading() as known:
        page = page_of(known.models.values(), request, order="Descending")
    return {"Models": [_model_summary(model, region) for model in page.items], **page.rest}


def delete_model(service: Service, request: Mapping[str, Any], region: str) -> dict[str, Any]:
    """Answer DeleteModel: endpoints that have loaded the model serve on."""
    with service.registry.changing() as known:
        del known.models[_model(known, request["ModelName"], region).name]
    return {}


def create_endpoint_config(
    service: Service, request: Mapping[str, Any], region: str
) -> dict[str, Any]:
    """Answer CreateEndpointConfig."""
    name = request["EndpointConfigName"]
    arn = arn_of(CONFIG, name, region=region)
    _check_config(request)
    with service.registry.changing() as known:
        if is_taken(name, known.configs):
            msg = f'Cannot create already existing endpoint configuration "{arn}".'
            raise validation(msg)
        for variant in request["ProductionVariants"]:
            _model(known, variant["ModelName"], region)
        known.configs[name] = Config(name=name, request=dict(request), created_s=service.now_s())
    return {"EndpointConfigArn": arn}


def describe_endpoint_config(
    service: Service, request: Mapping[str, Any], region: str
) -> dict[str, Any]:
    """Answer DescribeEndpointConfig."""
    with service.registry.reading() as known:
        config = config_of(known, request["EndpointConfigName"], region)
    variants = [{"InitialVariantWeight": 1.0, **variant} for variant in config.variants]
    return {
        **told_members("DescribeEndpointConfig", config.request),
        **_config_summary(config, region),
        "ProductionVariants": variants,
    }


def list_endpoint_configs(
    service: Service, request: Mapping[str, Any], region: str
) -> dict[str, Any]:
    """Answer ListEndpointConfigs."""
    with service.registry.reading() as known:
        page = page_of(known.configs.values(), request, order="Descending")
    configs = [_config_summary(config, region) for config in page.items]
    return {"EndpointConfigs": configs, **page.rest}


def delete_endpoint_config(
    service: Service, request: Mapping[str, Any], region: str
) -> dict[str, Any]:
    """Answer DeleteEndpointConfig, refused while an endpoint has to do with the config."""
    with service.registry.changing() as known:
        config = config_of(known, request["EndpointConfigName"], region)
        for endpoint in known.endpoints.values():
            updated_to = endpoint.update and endpoint.update.config_name
            if config.name in {endpoint.config_name, updated_to}:
                arn = arn_of(CONFIG, config.name, region=region)
                user = arn_of("endpoint", endpoint.name, region=region)
                msg = f'Cannot delete endpoint configuration "{arn}": "{user}" uses it.'
                raise validation(msg)
        del known.configs[config.name]
    return {}


def config_of(known: Known, name: str, region: str) -> Config:
    """Return a config.

    Raises:
        AwsError: ValidationException if there is none of that name.
    """
    if name not in known.configs:
        refuse_unknown("endpoint configuration", arn_of(CONFIG, name, region=region))
    return known.configs[name]


def refuse_unknown(what: str, arn: str) -> NoReturn:
    """Say as SageMaker does that there is no such thing."""
    msg = f'Could not find {what} "{arn}".'
    raise validation(msg)


def _model(known: Known, name: str, region: str) -> Model:
    if name not in known.models:
        refuse_unknown("model", arn_of(MODEL, name, region=region))
    return known.models[name]


def _check_config(request: Mapping[str, Any]) -> None:
    for member in _CONFIG_ELSEWHERE:
        if member in request:
            msg = f"{member} is not in the stand-in."
            raise validation(msg)
    variants = request["ProductionVariants"]
    if len({variant["VariantName"] for variant in variants}) < len(variants):
        msg = "Each production variant must have a name of its own."
        raise validation(msg)
    kinds = {"ServerlessConfig" in variant for variant in variants}
    if len(kinds) > 1 or (True in kinds and len(variants) > 1):
        msg = "A serverless endpoint has one production variant."
        raise validation(msg)
    for variant in variants:
        _check_variant(variant)


def _check_variant(variant: Mapping[str, Any]) -> None:
    name = variant["VariantName"]
    instances = {"InstanceType", "InitialInstanceCount"}
    if "ModelName" not in variant:
        msg = f"Production variant {name} must have a ModelName."
        raise validation(msg)
    if "ServerlessConfig" in variant:
        if instances & set(variant):
            msg = f"Production variant {name} has a ServerlessConfig, so it has no instances."
            raise validation(msg)
    elif not instances <= set(variant):
        msg = (
            f"Production variant {name} must have an InstanceType and an InitialInstanceCount, or "
            "a ServerlessConfig."
        )
        raise validation(msg)


def _model_summary(model: Model, region: str) -> dict[str, Any]:
    return {
        "ModelName": model.name,
        "ModelArn": arn_of(MODEL, model.name, region=region),
        "CreationTime": model.created_s,
    }


def _config_summary(config: Config, region: str) -> dict[str, Any]:
    return {
        "EndpointConfigName": config.name,
        "EndpointConfigArn": arn_of(CONFIG, config.name, region=region),
        "CreationTime": config.created_s,
    }
