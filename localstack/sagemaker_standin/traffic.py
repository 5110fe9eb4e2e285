"""Who answers: for each endpoint its fleet, and a second one while an update shifts its traffic.

Requests are handed out in turn by share, without dice: of a share of a fifth, each fifth request.
"""

import threading
from typing import NamedTuple

from sagemaker_standin.records import Variant
from tidegauge.domain.linear_model import LinearModel


class Served(NamedTuple):
    """A variant with its model loaded."""

    variant: Variant
    model: LinearModel


class Fleet(NamedTuple):
    """What one config serves.

    Attributes:
        variants: At least one.
        is_serverless: Whether the limits of serverless endpoints hold.
    """

    variants: tuple[Served, ...]
    is_serverless: bool


class Chosen(NamedTuple):
    """Who is to answer a request.

    Attributes:
        served: Variant and model.
        is_serverless: As its fleet's.
        watch: Set when an answer of the fleet is an error; None if nobody watches it.
    """

    served: Served
    is_serverless: bool
    watch: threading.Event | None


class Traffic:
    """The fleets of all endpoints. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._routes: dict[str, _Route] = {}

    def serve(self, endpoint: str, fleet: Fleet) -> None:
        """Send all requests to a fleet."""
        with self._lock:
            self._routes[endpoint] = _Route(fleet)

    def shift(self, endpoint: str, fleet: Fleet, *, share: float, watch: threading.Event) -> None:
        """Send a share of the requests, in (0, 1], to a second fleet whose errors are watched."""
        with self._lock:
            route = self._routes[endpoint]
            route.second, route.share, route.watch = fleet, share, watch

    def end(self, endpoint: str) -> None:
        """Send no requests any more."""
        with self._lock:
            self._routes.pop(endpoint, None)

    def choose(self, endpoint: str, wanted: str | None = None) -> Chosen | None:
        """Choose who answers a request.

        Args:
            endpoint: Its name.
            wanted: A variant's name, if the request asks for one.

        Returns:
            None if the endpoint does not serve, or has no such variant.
        """
        with self._lock:
            route = self._routes.get(endpoint)
            return route.choose(wanted) if route else None


class _Route:
    def __init__(self, fleet: Fleet) -> None:
        self.first = fleet
        self.second: Fleet | None = None
        self.share = 0.0
        self.watch: threading.Event | None = None
        self._shifting = _Turns()
        self._variants = _Turns()

    def choose(self, wanted: str | None) -> Chosen | None:
        fleet, watch = self.first, None
        if self.second is not None:
            shares = {"second": self.share, "first": 1.0 - self.share}
            if self._shifting.next(shares) == "second":
                fleet, watch = self.second, self.watch
        named = {served.variant.name: served for served in fleet.variants}
        if wanted is None:
            weights = {name: served.variant.weight for name, served in named.items()}
            wanted = self._variants.next(weights)
        served = named.get(wanted)
        return Chosen(served, fleet.is_serverless, watch) if served else None


class _Turns:
    """Hands out turns by weight: whoever is furthest behind its share is next."""

    def __init__(self) -> None:
        self._credits: dict[str, float] = {}

    def next(self, weights: dict[str, float]) -> str:
        # A weight of zero gets nothing, whatever is owed to it from before.
        weighed = {name: weight for name, weight in weights.items() if weight > 0.0}
        shares = weighed or dict.fromkeys(weights, 1.0)
        total = sum(shares.values())
        self._credits = {
            name: self._credits.get(name, 0.0) + share / total for name, share in shares.items()
        }
        name = max(self._credits, key=lambda name: self._credits[name])
        self._credits[name] -= 1.0
        return name
