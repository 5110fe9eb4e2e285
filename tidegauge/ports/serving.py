"""Where models answer: endpoints, the configs that they serve, and the models behind those."""

from typing import Any, Protocol

import msgspec

from tidegauge.domain.endpoint import Endpoint, EndpointConfig, Rollout
from tidegauge.domain.errors import TidegaugeError


class NameTaken(TidegaugeError):
    """There is something else by that name already."""


class HostedModel(msgspec.Struct, frozen=True):
    """A model as an endpoint loads it.

    Attributes:
        name: Its name.
        image: Registry path of the image that answers.
        artifact_uri: What is unpacked for it.
        role_arn: The role that it runs as.
        settings: The rest, named as SageMaker's `CreateModel` does: `VpcConfig` and such.
    """

    name: str
    image: str
    artifact_uri: str
    role_arn: str
    settings: dict[str, Any] = {}


class InUse(msgspec.Struct, frozen=True):
    """What endpoints need, any of them: their configs, pending ones too, and those ones' models."""

    configs: frozenset[str]
    models: frozenset[str]


class ModelHost(Protocol):
    """Endpoints, configs and models by name; every method raises Transient or Misconfigured."""

    def endpoint(self, name: str) -> Endpoint | None:
        """Return an endpoint; None if there is none."""
        ...

    def config(self, name: str) -> EndpointConfig | None:
        """Return a config; None if there is none."""
        ...

    def add_model(self, model: HostedModel) -> None:
        """Make a model; one that is there already, and the same, is as good.

        Raises:
            NameTaken: there is one with another image or artifact.
        """
        ...

    def add_config(self, config: EndpointConfig) -> None:
        """Make a config; one that is there already, and the same, is as good.

        Raises:
            NameTaken: there is one with other models.
        """
        ...

    def create_endpoint(self, name: str, config: str) -> bool:
        """Begin to make an endpoint; False where there is one already."""
        ...

    def update_endpoint(self, name: str, config: str, rollout: Rollout | None) -> bool:
        """Begin to update an endpoint; False where it takes no update now: look at it again.

        Args:
            name: An endpoint in service.
            config: What it shall serve.
            rollout: How the instances change over; None as the host does by itself.
        """
        ...

    def delete_endpoint(self, name: str) -> bool:
        """Begin to delete an endpoint; False where it cannot be deleted now: look at it again."""
        ...

    def models(self, *, containing: str) -> list[str]:
        """Return the names of the models that hold a text somewhere."""
        ...

    def configs(self, *, containing: str) -> list[str]:
        """Return the names of the configs that hold a text somewhere."""
        ...

    def in_use(self) -> InUse:
        """Return what any endpoint needs now."""
        ...

    def delete_model(self, name: str) -> bool:
        """Delete a model; False where that is refused or there is none."""
        ...

    def delete_config(self, name: str) -> bool:
        """Delete a config; False where that is refused or there is none."""
        ...
