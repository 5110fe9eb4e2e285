"""`make invoke F=collect`: runs one function's handler on its event.json, without Docker.

The handler runs in this process against the running local stack, with the variables that the
deployed function has there. Only the events stream is another one, made anew each time: the example
counts in a generation of its own, since its sequence numbers would else fence off what producers
put on the real one.
"""

import importlib
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from embedded.local import Running
from embedded.stream import spare_generation
from tidegauge.domain.errors import InvalidInput

SPARE_STREAM = "tidegauge-invoke"
KINDS = ("consumers", "producers", "retrain")


@dataclass(frozen=True, slots=True)
class Context:
    """What Lambda hands a handler beside the event, as far as Powertools reads it."""

    function_name: str
    memory_limit_in_mb: int = 1024
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:000000000000:function:local"
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def get_remaining_time_in_millis(self) -> int:
        """Return as much as a fresh invocation has."""
        return 120_000


def functions(repository: Path) -> dict[str, Path]:
    """Return the functions that can be invoked: names, and the folders they stand in."""
    events = (path for kind in KINDS for path in repository.glob(f"{kind}/*/event.json"))
    return {folder.name: folder for folder in sorted(path.parent for path in events)}


def invoke(name: str, running: Running, repository: Path) -> dict[str, Any]:
    """Run a function on its example event and return its answer.

    Raises:
        InvalidInput: there is no such function.
    """
    known = functions(repository)
    if name not in known:
        msg = f"there is no function {name!r}: use F={' or F='.join(known)}"
        raise InvalidInput(msg)
    folder = known[name]
    event = _of_this_stack(json.loads((folder / "event.json").read_text()), name, running)
    spare_generation(running.engine, SPARE_STREAM)
    reached = running.engine.within(os.environ)
    os.environ.clear()
    os.environ.update(
        {**reached, **variables(name, running), "EVENTS_STREAM": SPARE_STREAM, "DATABASE_URL": ""}
    )
    handler = importlib.import_module(f"{folder.parent.name}.{name}.app").handler
    answer: dict[str, Any] = handler(event, Context(name))
    return answer


def _of_this_stack(event: dict[str, Any], name: str, running: Running) -> dict[str, Any]:
    """Let an example of S3 be about the bucket that calls the function here."""
    buckets = {
        "train": running.outputs.exports_bucket_name,
        "deploy": running.outputs.models_bucket_name,
    }
    for record in event.get("Records", []):
        if "s3" in record:
            record["s3"]["bucket"]["name"] = buckets[name]
    return event


def variables(name: str, running: Running) -> Mapping[str, str]:
    """Return the variables of a deployed function, as the engine gives them to it.

    A function that this stack goes without has its defaults. The database is found by its secret: a
    function takes that or `DATABASE_URL`, never both.
    """
    outputs = running.outputs
    deployed = {
        "collect": outputs.collect_function_name,
        "predict": outputs.predict_function_name,
        "sweep": outputs.sweep_function_name,
        "listener_sim": outputs.simulator_function_name,
        "export": outputs.export_function_name,
        "train": outputs.train_function_name,
        "deploy": outputs.deploy_function_name,
    }
    if not deployed[name]:
        return {}
    functions_client = running.engine.session().functions
    configuration = functions_client.get_function_configuration(FunctionName=deployed[name])
    return {
        **configuration["Environment"]["Variables"],
        "AWS_ENDPOINT_URL_SAGEMAKER": running.sagemaker_url,
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": running.sagemaker_url,
    }
