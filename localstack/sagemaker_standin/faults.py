"""Faults on demand, so that tests see how their callers bear them. No part of AWS's API.

A fault is kept until it has happened as often as it was asked for. Safe to use from several
threads.
"""

import threading
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec

from tidegauge.domain.errors import InvalidInput


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is to go wrong: with an endpoint or a model, an operation, or a training job.

    Attributes:
        fault: What happens.
        endpoint: To requests of which endpoint.
        model: To requests that this model answers, whatever the endpoint.
        operation: To which operation of the control plane.
        times: How often; None is for ever.
        milliseconds: The latency.
        status: What the container of a `ModelError` answers.
        reason: The failure of a training job.
    """

    fault: Literal["ModelError", "ThrottlingException", "latency", "nan", "training"]
    endpoint: str | None = None
    model: str | None = None
    operation: str | None = None
    times: int | None = None
    milliseconds: float = 0.0
    status: int = 500
    reason: str = "this job was told to fail"


class Invocation(NamedTuple):
    """What goes wrong with one request.

    Attributes:
        wait_s: How much later it is answered, seconds.
        is_throttled: Whether it is refused.
        status: What the container answers instead of scores; None leaves the scores.
        is_nan: Whether each score is NaN.
    """

    wait_s: float
    is_throttled: bool
    status: int | None
    is_nan: bool


class Faults:
    """The faults that are still to happen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: list[Fault] = []

    def add(self, body: bytes) -> None:
        """Add a fault, given as JSON.

        Raises:
            InvalidInput: It is none; says why.
        """
        try:
            fault = msgspec.json.decode(body, type=Fault)
        except msgspec.MsgspecError as error:
            msg = f"this is no fault: {error}"
            raise InvalidInput(msg) from error
        problem = _problem_of(fault)
        if problem:
            raise InvalidInput(problem)
        with self._lock:
            self._left.append(fault)

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._left.clear()

    def told(self) -> list[dict[str, Any]]:
        """Return what is left, as JSON."""
        with self._lock:
            return [msgspec.to_builtins(fault) for fault in self._left]

    def of_invocation(self, endpoint: str, model: str) -> Invocation:
        """Take what happens to a request that a model of an endpoint is to answer."""
        taken = self._take(
            lambda fault: fault.endpoint == endpoint or fault.model == model,
        )
        statuses = [fault.status for fault in taken if fault.fault == "ModelError"]
        return Invocation(
            wait_s=sum(fault.milliseconds for fault in taken if fault.fault == "latency") / 1000.0,
            is_throttled=any(fault.fault == "ThrottlingException" for fault in taken),
            status=statuses[0] if statuses else None,
            is_nan=any(fault.fault == "nan" for fault in taken),
        )

    def of_operation(self, operation: str) -> bool:
        """Take whether an operation is refused by throttling."""
        return bool(self._take(lambda fault: fault.operation == operation))

    def of_training(self) -> str | None:
        """Take why a training job fails that starts now; None if it does not."""
        taken = self._take(lambda fault: fault.fault == "training")
        return taken[0].reason if taken else None

    def _take(self, matches: Callable[[Fault], bool]) -> list[Fault]:
        """Take the first fault of each kind that matches."""
        with self._lock:
            taken: dict[str, Fault] = {}
            left: list[Fault | None] = []
            for fault in self._left:
                if matches(fault) and fault.fault not in taken:
                    taken[fault.fault] = fault
                    left.append(_after(fault))
                else:
                    left.append(fault)
            self._left = [fault for fault in left if fault is not None]
            return list(taken.values())


def _after(fault: Fault) -> Fault | None:
    if fault.times is None:
        return fault
    return msgspec.structs.replace(fault, times=fault.times - 1) if fault.times > 1 else None


def _problem_of(fault: Fault) -> str | None:
    if fault.times is not None and fault.times < 1:
        return "times must be 1 or more, or null"
    if not 400 <= fault.status <= 599 or not 0.0 <= fault.milliseconds <= 600_000.0:
        return "status must be from 400 to 599, milliseconds from 0 to 600000"
    targets = [name for name in ("endpoint", "model", "operation") if getattr(fault, name)]
    wanted: tuple[list[str], ...]
    match fault.fault:
        case "training":
            wanted = ([],)
        case "ThrottlingException":
            wanted = (["endpoint"], ["model"], ["operation"])
        case _:
            wanted = (["endpoint"], ["model"])
    if targets in wanted:
        return None
    return f"{fault.fault} wants {' or '.join(map(', '.join, wanted)) or 'no target'}"
