"""Endpoints in memory: implements `ports.ModelHost` as SageMaker behaves, for tests and trials.

Changes take time by a clock that the caller moves. What goes wrong is told beforehand: a model that
no endpoint can load, an update that an alarm turns back.
"""

from collections.abc import Mapping

import msgspec

from tidegauge.domain.endpoint import (
    Endpoint,
    EndpointConfig,
    EndpointStatus,
    Rollout,
    RunningVariant,
)
from tidegauge.domain.errors import Misconfigured
from tidegauge.ports import Clock
from tidegauge.ports.serving import HostedModel, InUse, NameTaken


class _Change(msgspec.Struct, frozen=True):
    """What an endpoint is on its way to; None for its end."""

    due_ms: int
    then: Endpoint | None


class MemoryModelHost:
    """Some endpoints.

    Args:
        clock: By which changes take their time.
        change_ms: How long one takes.

    Attributes:
        broken: Models that no endpoint can load.
        alarmed: Models whose update of instances an alarm turns back.
        rollouts: How each update was asked for, in order.
    """

    def __init__(self, clock: Clock, *, change_ms: int = 0) -> None:
        self._clock = clock
        self._change_ms = change_ms
        self._endpoints: dict[str, Endpoint] = {}
        self._changes: dict[str, _Change] = {}
        self._configs: dict[str, EndpointConfig] = {}
        self._models: dict[str, HostedModel] = {}
        self.broken: set[str] = set()
        self.alarmed: set[str] = set()
        self.rollouts: list[Rollout | None] = []

    def endpoint(self, name: str) -> Endpoint | None:
        """Return an endpoint; None if there is none."""
        change = self._changes.get(name)
        if change is not None and change.due_ms <= self._clock.now_ms():
            del self._changes[name]
            if change.then is None:
                del self._endpoints[name]
            else:
                self._endpoints[name] = change.then
        return self._endpoints.get(name)

    def config(self, name: str) -> EndpointConfig | None:
        """Return a config; None if there is none."""
        return self._configs.get(name)

    def add_model(self, model: HostedModel) -> None:
        """Make a model."""
        there = self._models.setdefault(model.name, model)
        if (there.image, there.artifact_uri) != (model.image, model.artifact_uri):
            msg = f"there is another model {model.name} already"
            raise NameTaken(msg)

    def add_config(self, config: EndpointConfig) -> None:
        """Make a config."""
        self._check(config.models, self._models)
        if self._configs.setdefault(config.name, config).models != config.models:
            msg = f"there is another endpoint config {config.name} already"
            raise NameTaken(msg)

    def create_endpoint(self, name: str, config: str) -> bool:
        """Begin to make an endpoint; False where there is one already."""
        self._check({config}, self._configs)
        if self.endpoint(name) is not None:
            return False
        begun = self._serving(name, config, EndpointStatus.CREATING)
        then = self._serving(name, config, EndpointStatus.IN_SERVICE)
        if self._configs[config].models & self.broken:
            then = Endpoint(name, EndpointStatus.FAILED, config, failure="the model did not load")
        self._begin(begun, then)
        return True

    def update_endpoint(self, name: str, config: str, rollout: Rollout | None) -> bool:
        """Begin to update an endpoint; False where it takes no update now."""
        self._check({config}, self._configs)
        before = self.endpoint(name)
        if before is None or before.status is not EndpointStatus.IN_SERVICE:
            return False
        if rollout and any(one.serverless for one in self._configs[config].variants):
            raise Misconfigured(["a serverless endpoint takes no deployment configuration"])
        self.rollouts.append(rollout)
        begun = msgspec.structs.replace(
            before, status=EndpointStatus.UPDATING, pending_config=config
        )
        then = self._serving(name, config, EndpointStatus.IN_SERVICE)
        models = self._configs[config].models
        if models & self.broken or (rollout and rollout.alarms and models & self.alarmed):
            then = msgspec.structs.replace(before, failure="the update was rolled back")
        self._begin(begun, then)
        return True

    def delete_endpoint(self, name: str) -> bool:
        """Begin to delete an endpoint; False where it cannot be deleted now."""
        before = self.endpoint(name)
        if before is None or before.busy:
            return before is None
        self._begin(msgspec.structs.replace(before, status=EndpointStatus.DELETING), None)
        return True

    def models(self, *, containing: str) -> list[str]:
        """Return the names of the models that hold a text somewhere."""
        return [name for name in self._models if containing in name]

    def configs(self, *, containing: str) -> list[str]:
        """Return the names of the configs that hold a text somewhere."""
        return [name for name in self._configs if containing in name]

    def in_use(self) -> InUse:
        """Return what any endpoint needs now."""
        endpoints = [endpoint for name in [*self._endpoints] if (endpoint := self.endpoint(name))]
        names = {name for one in endpoints for name in (one.config, one.pending_config) if name}
        models = {model for name in names for model in self._configs[name].models}
        return InUse(frozenset(names), frozenset(models))

    def delete_model(self, name: str) -> bool:
        """Delete a model."""
        return self._models.pop(name, None) is not None

    def delete_config(self, name: str) -> bool:
        """Delete a config; False while an endpoint needs it."""
        return name not in self.in_use().configs and self._configs.pop(name, None) is not None

    # --- what happens by itself, and what answers

    def place(self, endpoint: Endpoint) -> None:
        """Let an endpoint be so, whatever it was."""
        self._changes.pop(endpoint.name, None)
        self._endpoints[endpoint.name] = endpoint

    def answers(self, name: str) -> tuple[str, str] | None:
        """Return the variant and the model that answer on an endpoint; None if none does."""
        endpoint = self.endpoint(name)
        dark = (EndpointStatus.CREATING, EndpointStatus.DELETING)
        if endpoint is None or endpoint.dead or endpoint.status in dark:
            return None
        variant = self._configs[endpoint.config].variants[0]
        return variant.name, variant.model

    def artifact_of(self, model: str) -> str:
        """Return what a model was made from."""
        return self._models[model].artifact_uri

    def _begin(self, begun: Endpoint, then: Endpoint | None) -> None:
        self._endpoints[begun.name] = begun
        self._changes[begun.name] = _Change(self._clock.now_ms() + self._change_ms, then)

    def _serving(self, name: str, config: str, status: EndpointStatus) -> Endpoint:
        variants = self._configs[config].variants
        running = tuple(RunningVariant(one.name, one.instances) for one in variants)
        return Endpoint(name, status, config, variants=running)

    def _check(self, names: frozenset[str] | set[str], there: Mapping[str, object]) -> None:
        missing = sorted(names - there.keys())
        if missing:
            raise Misconfigured([f"there is no {missing[0]}"])
