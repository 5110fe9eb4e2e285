"""An endpoint's life: created, updated and rolled back in the background, one thread a change.

While a change is under way nobody else may change the endpoint, so its thread owns it. What serves
now is `Traffic`'s; what is so is written down in the registry first, that a restart may go on.
"""

import logging
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from sagemaker_standin.artifacts import Artifacts
from sagemaker_standin.aws import ClientFault
from sagemaker_standin.deployment import plan_of
from sagemaker_standin.records import Config, Endpoint, EndpointStatus, Update, Variant
from sagemaker_standin.registry import Registry
from sagemaker_standin.traffic import Fleet, Served, Traffic

_logger = logging.getLogger(__name__)


class Lives:
    """The lives of all endpoints.

    Args:
        registry: Where they are known.
        artifacts: Where their models come from.
        traffic: Who answers.
        now_s: Tells the time, seconds since the epoch.
        ready_seconds: How long a loaded model takes to be ready.
        time_scale: Every wait of a deployment is multiplied by this.
    """

    def __init__(
        self,
        registry: Registry,
        artifacts: Artifacts,
        traffic: Traffic,
        *,
        now_s: Callable[[], float],
        ready_seconds: float,
        time_scale: float,
    ) -> None:
        self._registry = registry
        self._artifacts = artifacts
        self._traffic = traffic
        self._now_s = now_s
        self._ready_seconds = ready_seconds
        self._time_scale = time_scale

    def create(self, name: str) -> None:
        """Bring an endpoint that is being created into service, in the background."""
        self._begin(self._create, name)

    def update(self, name: str, update: Update) -> None:
        """Carry out the update of an endpoint that is being updated, in the background."""
        self._begin(lambda name: self._update(name, update), name)

    def end(self, name: str) -> None:
        """Let an endpoint serve no more."""
        self._traffic.end(name)

    def resume(self) -> None:
        """Go on where the last process stopped; for the start, before any request."""
        with self._registry.reading() as known:
            endpoints = list(known.endpoints.values())
            configs = dict(known.configs)
        for endpoint in endpoints:
            if endpoint.fleet and not self._serve_again(endpoint, configs):
                continue
            if endpoint.status is EndpointStatus.CREATING:
                self.create(endpoint.name)
            elif endpoint.status is EndpointStatus.ROLLING_BACK:
                self._settle(endpoint.name, endpoint.failure)
            elif endpoint.update is not None:
                self.update(endpoint.name, endpoint.update)

    def _serve_again(self, endpoint: Endpoint, configs: dict[str, Config]) -> bool:
        try:
            fleet = self._fleet(endpoint.fleet, configs[endpoint.config_name])
        except ClientFault as fault:
            _logger.warning("endpoint %s: %s", endpoint.name, fault)
            self._change(endpoint.name, status=EndpointStatus.FAILED, failure=str(fault))
            return False
        self._traffic.serve(endpoint.name, fleet)
        return True

    def _begin(self, work: Callable[[str], None], name: str) -> None:
        threading.Thread(target=work, args=(name,), name=f"endpoint {name}", daemon=True).start()

    def _create(self, name: str) -> None:
        config = self._config_of(name)
        try:
            variants = self._loaded(config)
        except ClientFault as fault:
            self._change(name, status=EndpointStatus.FAILED, failure=_reason(fault))
            return
        self._wait(self._ready_seconds)
        self._traffic.serve(name, self._fleet(variants, config))
        self._change(name, status=EndpointStatus.IN_SERVICE, fleet=variants)

    def _update(self, name: str, update: Update) -> None:
        with self._registry.reading() as known:
            config = known.configs[update.config_name]
        try:
            variants = self._loaded(config)
        except ClientFault as fault:
            self._roll_back(name, _reason(fault))
            return
        self._wait(self._ready_seconds)
        if self._shifted(name, self._fleet(variants, config), update, config):
            self._change(
                name,
                status=EndpointStatus.IN_SERVICE,
                config_name=config.name,
                fleet=variants,
                update=None,
                deployment=update.deployment,
                failure=None,
            )
        else:
            self._roll_back(
                name,
                "The update was taken back: the new fleet answered with a server error while its "
                "alarms were watched.",
            )

    def _shifted(self, name: str, fleet: Fleet, update: Update, config: Config) -> bool:
        """Send the traffic to the new fleet, step by step; False where its alarm rang."""
        plan = plan_of(update.deployment, config.variants)
        alarm = threading.Event()
        for shift in plan.shifts:
            self._traffic.shift(name, fleet, share=shift.share, watch=alarm)
            if plan.is_watched and alarm.wait(shift.wait_s * self._time_scale):
                return False
            if not plan.is_watched:
                self._wait(shift.wait_s * self._time_scale)
        self._traffic.serve(name, fleet)
        return True

    def _roll_back(self, name: str, why: str) -> None:
        with self._registry.reading() as known:
            endpoint = known.endpoints[name]
            config = known.configs[endpoint.config_name]
        _logger.warning("endpoint %s: %s", name, why)
        self._change(name, status=EndpointStatus.ROLLING_BACK, failure=why)
        self._traffic.serve(name, self._fleet(endpoint.fleet, config))
        self._wait(self._ready_seconds)
        self._settle(name, why)

    def _settle(self, name: str, failure: str | None) -> None:
        self._change(name, status=EndpointStatus.IN_SERVICE, update=None, failure=failure)

    def _loaded(self, config: Config) -> tuple[Variant, ...]:
        variants = []
        for asked in config.variants:
            with self._registry.reading() as known:
                model = known.models.get(asked["ModelName"])
            try:
                if model is None:
                    msg = f"there is no model {asked['ModelName']} any more"
                    raise ClientFault(msg)
                digest = self._artifacts.load(model)
            except ClientFault as fault:
                msg = (
                    f"The primary container for production variant {asked['VariantName']} did not "
                    f"pass the ping health check: {fault}"
                )
                raise ClientFault(msg) from fault
            weight = float(asked.get("InitialVariantWeight", 1.0))
            variants.append(Variant(asked["VariantName"], model.name, digest, weight))
        return tuple(variants)

    def _fleet(self, variants: tuple[Variant, ...], config: Config) -> Fleet:
        served = [Served(variant, self._artifacts.model(variant.artifact)) for variant in variants]
        return Fleet(tuple(served), config.is_serverless)

    def _config_of(self, name: str) -> Config:
        with self._registry.reading() as known:
            return known.configs[known.endpoints[name].config_name]

    def _change(self, name: str, **changes: Any) -> None:
        with self._registry.changing() as known:
            known.endpoints[name] = msgspec.structs.replace(
                known.endpoints[name], modified_s=self._now_s(), **changes
            )

    def _wait(self, seconds: float) -> None:
        if seconds > 0.0:
            threading.Event().wait(seconds)


def _reason(fault: ClientFault) -> str:
    # The service model gives a reason so many characters.
    return str(fault)[:1024]
