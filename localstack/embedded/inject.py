"""Injects a fault into the simulator of a live stack that is up.

Takes a fault as people write it, gives it to the function as a variable, its span in full, and
starts the function anew. What it then puts a second time has the same ids, so that only what the
fault changes changes.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import replace

from embedded.local import Running
from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.event_time import format_time
from tidegauge.domain.simulation import Fault
from tidegauge.simulator_settings import SimulatorSettings, fault_of, written

VARIABLE = "SIMULATOR_FAULTS"
UPDATE_SECONDS = 30.0
_POLL_SECONDS = 0.1
# A fault that is over stays as long as its minute may be put again.
_KEPT_MS = 600_000


def inject(running: Running, texts: Sequence[str], *, lasting: str, now_ms: int) -> list[Fault]:
    """Let faults begin with the next tick, all of them with one change of the function.

    Args:
        running: The stack.
        texts: `KIND:TYPE` each, such as `silence:order.placed`; or with `@START+DURATION` behind
            it, START in RFC 3339 or `+SECONDS` from the next tick.
        lasting: For how long, where a text does not say it; such as `3m`.
        now_ms: The time, ms since the epoch.

    Raises:
        InvalidInput: there is no such fault or type, it is over, it asks for too much together
            with those that go on, or the engine did not take it in time.
    """
    name = running.outputs.simulator_function_name
    if not name:
        msg = "this stack has no simulator: faults are injected into that of `make live`"
        raise InvalidInput(msg)
    functions = running.engine.session().functions
    variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    settings = SimulatorSettings.from_env(variables)
    try:
        faults, setting = with_faults(settings, texts, lasting=lasting, now_ms=now_ms)
    except InvalidInput as error:
        msg = f"--inject {error}"
        raise InvalidInput(msg) from error
    variables = {**variables, VARIABLE: setting}
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
    _await_update(running, name)
    # The engine ends what runs of a function that is changed, in the midst of its minute.
    functions.invoke(
        FunctionName=name,
        InvocationType="Event",
        Payload=json.dumps({"time": format_time(now_ms)}).encode(),
    )
    return faults


def with_faults(
    settings: SimulatorSettings, texts: Sequence[str], *, lasting: str, now_ms: int
) -> tuple[list[Fault], str]:
    """Return the faults of some texts, and `VARIABLE` with them and those that may still matter.

    The simulator reads the variable at any later time, so nothing in it counts from now.

    Raises:
        InvalidInput: the simulator could not use it; the sentence goes on behind the option's name.
    """
    names = [kind.name for kind in settings.types()]
    start_ms = now_ms - now_ms % settings.tick_ms + 2 * settings.tick_ms
    spans = [text if "@" in text else f"{text}@{format_time(start_ms)}+{lasting}" for text in texts]
    faults = [fault_of(text, names, now_ms=start_ms) for text in spans]
    for text, fault in zip(texts, faults, strict=True):
        if fault.end_ms <= now_ms:
            msg = f"{text} is over: let it begin later, or leave out @START+DURATION"
            raise InvalidInput(msg)
    earlier = [part.strip() for part in settings.simulator_faults.split(",") if part.strip()]
    kept = [part for part in earlier if fault_of(part, names).end_ms > now_ms - _KEPT_MS]
    setting = ",".join([*kept, *(written(fault) for fault in faults)])
    replace(settings, simulator_faults=setting).simulation()
    return faults, setting


def _await_update(running: Running, name: str) -> None:
    functions = running.engine.session().functions
    deadline = time.monotonic() + UPDATE_SECONDS
    while True:
        configuration = functions.get_function_configuration(FunctionName=name)
        if configuration["LastUpdateStatus"] == "Successful":
            return
        if time.monotonic() > deadline:
            msg = f"the engine did not change the simulator within {UPDATE_SECONDS:.0f} s"
            raise InvalidInput(msg)
        time.sleep(_POLL_SECONDS)
