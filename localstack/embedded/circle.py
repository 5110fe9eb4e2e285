"""The slower circle: what was counted is exported, trained on, deployed; then it judges.

Asks the deployed functions as the schedule and S3 do. Waits by what the ledger of models says.
"""

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from embedded.local import Running
from embedded.stack import ENDPOINT
from tidegauge.adapters.mysql.models import MysqlModelLedger
from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.model_record import ModelRecord, ModelState

if TYPE_CHECKING:
    from embedded.progress import Phases
    from tidegauge.adapters.mysql.connection import Database

# Each step takes seconds; what stalls does not come by itself.
STUCK_SECONDS = 120.0
POLL_SECONDS = 0.1


def forget_models(running: Running) -> None:
    """Begin with no dataset, no training job, no model, no endpoint, and nothing predicted."""
    with running.servers.without_models():
        _forget_datasets(running)


def _forget_datasets(running: Running) -> None:
    """Empty the buckets and the ledgers of what lay in them."""
    s3 = running.engine.session().s3
    for bucket in (running.outputs.exports_bucket_name, running.outputs.models_bucket_name):
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        for page in pages:
            for found in page.get("Contents", []):
                s3.delete_object(Bucket=bucket, Key=found["Key"])
    database = running.connect()
    try:
        with database.transaction() as cursor:
            cursor.execute("DELETE FROM model")
            cursor.execute("DELETE FROM dataset")
            # Predict waits for a model that has answered before, in whatever generation.
            cursor.execute("DELETE FROM prediction")
    finally:
        database.close()


def first_model(running: Running, phases: "Phases") -> ModelRecord:
    """Export what is counted, and wait until the model that comes of it is live.

    Raises:
        InvalidInput: it does not come to that; says why.
    """
    database, lock = running.connect(), running.connect()
    try:
        ledger = ledger_on(database, lock)
        with phases("export"):
            manifest_uri = export(running)
        with phases("train"):
            _await(lambda: _state(ledger, manifest_uri) not in (None, ModelState.TRAINING))
        with phases("deploy the model"):
            _await(lambda: _state(ledger, manifest_uri) is not ModelState.DEPLOYING)
        record = _of(ledger, manifest_uri)
    finally:
        database.close()
        lock.close()
    if record is None or record.state is not ModelState.LIVE:
        state = record.state.value if record else "not there"
        why = "; ".join(record.reasons) if record else "nobody noted it"
        msg = f"the first model is {state}: {why}"
        raise InvalidInput(msg)
    return record


def ledger_on(database: "Database", lock: "Database") -> MysqlModelLedger:
    """Return the ledger of a local stack's models."""
    return MysqlModelLedger(database, lock, endpoint=ENDPOINT)


def export(running: Running) -> str:
    """Let the export function export now; return the address of the dataset's manifest.

    Raises:
        InvalidInput: it exported nothing; says why.
    """
    answer = running.engine.session().functions.invoke(
        FunctionName=running.outputs.export_function_name,
        Payload=json.dumps({"force": True}).encode(),
    )
    told = json.loads(answer["Payload"].read())
    if "FunctionError" in answer or not told.get("exported"):
        msg = f"nothing was exported: {told.get('reason') or told.get('errorMessage') or told}"
        raise InvalidInput(msg)
    return str(told["manifest"])


def _of(ledger: MysqlModelLedger, manifest_uri: str) -> ModelRecord | None:
    found = (stored.record for stored in ledger.all())
    return next((record for record in found if record.manifest_uri == manifest_uri), None)


def _state(ledger: MysqlModelLedger, manifest_uri: str) -> ModelState | None:
    record = _of(ledger, manifest_uri)
    return record.state if record else None


def _await(reached: Callable[[], bool]) -> None:
    """Wait until a condition holds; what comes of it is looked at behind."""
    deadline = time.monotonic() + STUCK_SECONDS
    while not reached() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
