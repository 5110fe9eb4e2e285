"""SageMaker's endpoints, configs and models; implements `ports.ModelHost`.

What SageMaker refuses because of how things stand, it tells by the code of every bad request. So
after a refusal we look how things stand, and do not go by its words wherever we need not.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from tidegauge.adapters.aws_client import client_config
from tidegauge.adapters.aws_errors import aws_call, code_of
from tidegauge.domain.endpoint import (
    Endpoint,
    EndpointConfig,
    EndpointStatus,
    Rollout,
    RunningVariant,
    Variant,
)
from tidegauge.domain.errors import BrokenInvariant, Misconfigured
from tidegauge.ports.serving import HostedModel, InUse, NameTaken

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient

READ_TIMEOUT_S: Final = 15.0

_VALIDATION: Final = "ValidationException"
_NOT_FOUND: Final = "Could not find"
_IN_PROGRESS: Final = "in-progress"
_NOT_DELETED: Final = {_VALIDATION, "ResourceNotFound", "ResourceInUse", "ConflictException"}

# What a config has beside its variants, and the next one shall have too. Shadow variants are a
# test of a model of its own; it ends with the model that it shadowed.
_COPIED: Final = (
    "DataCaptureConfig",
    "KmsKeyId",
    "AsyncInferenceConfig",
    "ExplainerConfig",
    "ExecutionRoleArn",
    "VpcConfig",
    "EnableNetworkIsolation",
    "MetricsConfig",
)
# Beside the waits, instances are started and models loaded.
_STARTING_S: Final = 3_600
_MAX_EXECUTION_S: Final = 28_800


class SageMakerModelHost:
    """The endpoints of an account and region.

    Args:
        client: For tests; None makes one from the environment on first use.
        page_size: How many names one call brings, up to 100.
    """

    def __init__(self, *, client: "SageMakerClient | None" = None, page_size: int = 100) -> None:
        self._given_client = client
        self._page_size = page_size

    @cached_property
    def _client(self) -> "SageMakerClient":
        if self._given_client is not None:
            return self._given_client
        import boto3

        with aws_call("making a SageMaker client"):
            return boto3.client("sagemaker", config=client_config(read_timeout_s=READ_TIMEOUT_S))

    def endpoint(self, name: str) -> Endpoint | None:
        """Return an endpoint; None if there is none. Raises Transient, Misconfigured."""
        answer = _found(
            f"describing endpoint {name}",
            lambda: self._client.describe_endpoint(EndpointName=name),
        )
        return None if answer is None else endpoint_of(answer)

    def config(self, name: str) -> EndpointConfig | None:
        """Return a config; None if there is none. Raises Transient, Misconfigured."""
        answer = _found(
            f"describing endpoint config {name}",
            lambda: self._client.describe_endpoint_config(EndpointConfigName=name),
        )
        return None if answer is None else config_of(answer)

    def add_model(self, model: HostedModel) -> None:
        """Make a model; one that is there already, and the same, is as good.

        Raises:
            NameTaken: There is one with another image or artifact.
            Transient: SageMaker cannot answer now; the model may have been made.
            Misconfigured: It refuses the model.
        """
        container: Any = {"Image": model.image, "ModelDataUrl": model.artifact_uri}
        try:
            with aws_call(f"making model {model.name}"):
                self._client.create_model(
                    ModelName=model.name,
                    PrimaryContainer=container,
                    ExecutionRoleArn=model.role_arn,
                    **model.settings,
                )
        except Misconfigured as error:
            there = self._model_container(model.name) if _is_validation(error) else None
            if there is None:
                raise
            if {name: there.get(name) for name in container} != container:
                msg = f"there is another model {model.name} already: delete it, or train anew"
                raise NameTaken(msg) from error

    def add_config(self, config: EndpointConfig) -> None:
        """Make a config; one that is there already, and the same, is as good.

        Raises:
            NameTaken: There is one with other models.
            Transient: SageMaker cannot answer now; the config may have been made.
            Misconfigured: It refuses the config.
        """
        variants: Any = [
            {**variant.settings, "VariantName": variant.name, "ModelName": variant.model}
            for variant in config.variants
        ]
        settings: Any = config.settings
        try:
            with aws_call(f"making endpoint config {config.name}"):
                self._client.create_endpoint_config(
                    EndpointConfigName=config.name, ProductionVariants=variants, **settings
                )
        except Misconfigured as error:
            there = self.config(config.name) if _is_validation(error) else None
            if there is None:
                raise
            if there.models != config.models:
                msg = f"there is another endpoint config {config.name} already: delete it"
                raise NameTaken(msg) from error

    def create_endpoint(self, name: str, config: str) -> bool:
        """Begin to make an endpoint; False where there is one already."""
        try:
            with aws_call(f"making endpoint {name}"):
                self._client.create_endpoint(EndpointName=name, EndpointConfigName=config)
        except Misconfigured as error:
            if _is_validation(error) and self.endpoint(name) is not None:
                return False
            raise
        return True

    def update_endpoint(self, name: str, config: str, rollout: Rollout | None) -> bool:
        """Begin to update an endpoint; False where it is not in service now."""
        deployment: Any = {"DeploymentConfig": deployment_of(rollout)} if rollout else {}
        try:
            with aws_call(f"updating endpoint {name}"):
                self._client.update_endpoint(
                    EndpointName=name, EndpointConfigName=config, **deployment
                )
        except Misconfigured as error:
            if not _is_validation(error):
                raise
            if _IN_PROGRESS in str(error):
                return False  # though it may have come to rest by now
            endpoint = self.endpoint(name)
            if endpoint is not None and endpoint.status is EndpointStatus.IN_SERVICE:
                raise
            return False
        return True

    def delete_endpoint(self, name: str) -> bool:
        """Begin to delete an endpoint; False where it cannot be deleted now."""
        try:
            with aws_call(f"deleting endpoint {name}"):
                self._client.delete_endpoint(EndpointName=name)
        except Misconfigured as error:
            if not _is_validation(error):
                raise
            if _IN_PROGRESS in str(error):
                return False
            endpoint = self.endpoint(name)
            if endpoint is not None and not endpoint.busy:
                raise
            return endpoint is None
        return True

    def models(self, *, containing: str) -> list[str]:
        """Return the names of the models that hold a text somewhere."""

        def page(**more: Any) -> Any:
            return self._client.list_models(
                NameContains=containing, MaxResults=self._page_size, **more
            )

        return [one["ModelName"] for one in _pages("listing models", page, "Models")]

    def configs(self, *, containing: str) -> list[str]:
        """Return the names of the configs that hold a text somewhere."""

        def page(**more: Any) -> Any:
            return self._client.list_endpoint_configs(
                NameContains=containing, MaxResults=self._page_size, **more
            )

        found = _pages("listing endpoint configs", page, "EndpointConfigs")
        return [one["EndpointConfigName"] for one in found]

    def in_use(self) -> InUse:
        """Return what any endpoint needs now: each of the account and region is described."""

        def page(**more: Any) -> Any:
            return self._client.list_endpoints(MaxResults=self._page_size, **more)

        found = _pages("listing endpoints", page, "Endpoints")
        names = {
            name
            for one in found
            if (endpoint := self.endpoint(one["EndpointName"])) is not None
            for name in (endpoint.config, endpoint.pending_config)
            if name
        }
        configs = [config for name in names if (config := self.config(name)) is not None]
        models = {model for config in configs for model in config.models}
        return InUse(frozenset(names), frozenset(models))

    def delete_model(self, name: str) -> bool:
        """Delete a model; False where that is refused or there is none."""
        return _deleted(f"deleting model {name}", lambda: self._client.delete_model(ModelName=name))

    def delete_config(self, name: str) -> bool:
        """Delete a config; False where that is refused or there is none."""
        return _deleted(
            f"deleting endpoint config {name}",
            lambda: self._client.delete_endpoint_config(EndpointConfigName=name),
        )

    def _model_container(self, name: str) -> Mapping[str, Any] | None:
        answer = _found(
            f"describing model {name}", lambda: self._client.describe_model(ModelName=name)
        )
        return None if answer is None else answer.get("PrimaryContainer", {})


def endpoint_of(answer: Mapping[str, Any]) -> Endpoint:
    """Return an endpoint from its description.

    Raises:
        BrokenInvariant: it has a status that we do not know.
    """
    name = answer["EndpointName"]
    try:
        status = EndpointStatus(answer["EndpointStatus"])
    except ValueError as error:
        msg = f"endpoint {name} has an unknown status: {error}"
        raise BrokenInvariant(msg) from error
    pending = answer.get("PendingDeploymentSummary", {})
    return Endpoint(
        name=name,
        status=status,
        # An endpoint that is being made from a config that is gone may tell none.
        config=answer.get("EndpointConfigName", ""),
        pending_config=pending.get("EndpointConfigName", ""),
        failure=answer.get("FailureReason", ""),
        variants=tuple(
            RunningVariant(one["VariantName"], int(one.get("DesiredInstanceCount", 0)))
            for one in answer.get("ProductionVariants", ())
        ),
    )


def config_of(answer: Mapping[str, Any]) -> EndpointConfig:
    """Return a config from its description, with all that the next one shall have too."""
    variants = []
    for told in answer["ProductionVariants"]:
        settings = dict(told)
        name, model = settings.pop("VariantName"), settings.pop("ModelName", "")
        variants.append(Variant(name, model, settings))
    settings = {name: answer[name] for name in _COPIED if answer.get(name)}
    return EndpointConfig(answer["EndpointConfigName"], tuple(variants), settings)


def deployment_of(rollout: Rollout) -> dict[str, Any]:
    """Return how SageMaker shall roll out an update of instances."""
    routing: dict[str, Any] = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": rollout.wait_s}
    if rollout.canary_instances:
        size = {"Type": "INSTANCE_COUNT", "Value": rollout.canary_instances}
        routing = {**routing, "Type": "CANARY", "CanarySize": size}
    deployment: dict[str, Any] = {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing,
            "TerminationWaitInSeconds": rollout.wait_s,
            "MaximumExecutionTimeoutInSeconds": min(
                _MAX_EXECUTION_S, 2 * rollout.wait_s + _STARTING_S
            ),
        }
    }
    if rollout.alarms:
        alarms = [{"AlarmName": name} for name in rollout.alarms]
        deployment["AutoRollbackConfiguration"] = {"Alarms": alarms}
    return deployment


def _found(doing: str, call: Callable[[], Any]) -> Any | None:
    """Return an answer; None where SageMaker says that there is no such thing."""
    try:
        with aws_call(doing):
            return call()
    except Misconfigured as error:
        if _is_validation(error) and _NOT_FOUND in str(error):
            return None
        raise


def _deleted(doing: str, call: Callable[[], object]) -> bool:
    try:
        with aws_call(doing):
            call()
    except Misconfigured as error:
        if code_of(error) in _NOT_DELETED:
            return False
        raise
    return True


def _pages(doing: str, call: Callable[..., Any], member: str) -> Iterator[Mapping[str, Any]]:
    token = ""
    while True:
        more = {"NextToken": token} if token else {}
        with aws_call(doing):
            answer = call(**more)
        yield from answer[member]
        token = answer.get("NextToken", "")
        if not token:
            return


def _is_validation(error: Misconfigured) -> bool:
    return code_of(error) == _VALIDATION
