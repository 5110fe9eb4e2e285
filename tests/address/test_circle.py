"""The slower circle at an address: history, export, S3, train, S3, deploy, and who answers then."""

import json
from typing import Any

import numpy as np
import pytest

from tests.support.address import Address
from tests.support.address_line import Line
from tests.support.command import Command
from tests.support.live import until
from tidegauge.adapters.mysql.models import MysqlModelLedger
from tidegauge.domain.event_time import parse_time_ms
from tidegauge.domain.feature_names import DAY_MS
from tidegauge.domain.model_record import SETTLED, ModelRecord, ModelState

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

SECONDS = 180
# Hours for a week, or five minutes for three days.
LEAST_WINDOWS, LEAST_DAYS = 168, 3
USUAL = 40.0


def messages(address: Address, queue: str) -> list[dict[str, Any]]:
    """Take what lies in the queue: envelopes, with what they hold as `told`."""
    received = address.sqs.receive_message(
        QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1
    ).get("Messages", [])
    envelopes = [json.loads(message["Body"]) for message in received]
    return [{**envelope, "told": json.loads(envelope["Message"])} for envelope in envelopes]


class Usual:
    """A series without a season, whose level wanders: the hour before tells more than the days.

    Only so does a model that was taught by one week beat the seasonal baseline for certain.
    """

    def __init__(self, line: Line, series: str) -> None:
        self._line = line
        self._series = series
        self._dice = np.random.default_rng(20130208)
        self._level = 0.0

    def put(self) -> int:
        """Put the next window, and close it; return its start."""
        self._level = 0.95 * self._level + 0.15 * self._dice.standard_normal()
        number = int(self._dice.poisson(USUAL * np.exp(self._level)))
        return put_window(self._line, self._series, number)


def put_window(line: Line, series: str, number: int) -> int:
    """Put a window of so many events as one record, and close it; return its start."""
    start_ms = line.window_ms
    if number:
        line.put([b"[" + b",".join(line.events(series, number)) + b"]"], key=series)
    line.next_window()
    return start_ms


def exported(address: Address) -> str:
    """Let the export function export now; return the address of the dataset's manifest."""
    answer = address.functions.invoke(
        FunctionName=address.outputs.export_function_name,
        Payload=json.dumps({"force": True}).encode(),
    )
    told = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, told
    assert told["exported"], told
    return str(told["manifest"])


def models(address: Address) -> list[ModelRecord]:
    """Return all models that the database knows."""
    database, lock = address.connect(), address.connect()
    try:
        ledger = MysqlModelLedger(database, lock, endpoint=address.settings["ENDPOINT_NAME"])
        return [stored.record for stored in ledger.all()]
    finally:
        database.close()
        lock.close()


def settled_model(address: Address, manifest_uri: str) -> ModelRecord:
    """Wait until a model was trained on a dataset and is live, or is known not to be."""

    def found() -> ModelRecord | None:
        of_it = (model for model in models(address) if model.manifest_uri == manifest_uri)
        return next((model for model in of_it if model.state in SETTLED), None)

    return until(found, seconds=SECONDS, what=f"a model of {manifest_uri}")


def answering_model(address: Address, manifest_uri: str) -> ModelRecord:
    """Return the model that is live once what came of a dataset is known.

    Where one was live before, the new one has to be as good; else that one stays.
    """
    before = [model for model in models(address) if model.state is ModelState.LIVE]
    model = settled_model(address, manifest_uri)
    if model.state is ModelState.REFUSED and before:
        return before[0]
    assert model.state is ModelState.LIVE, model.reasons
    return model


def test_history_becomes_a_model_that_judges_what_follows_and_alerts(
    line: Line, address: Address, queue: str
) -> None:
    series = line.series("circle")
    usual = Usual(line, series)
    enough = int(address.settings["ENOUGH_WINDOWS"])
    while line.now_ms % DAY_MS > line.size_ms:  # whole days count
        line.beat(line.now_ms - line.now_ms % DAY_MS + DAY_MS)
    for _ in range(max(LEAST_WINDOWS, LEAST_DAYS * DAY_MS // line.size_ms, 3 * enough)):
        last_ms = usual.put()
    until(lambda: last_ms in line.counts(series), seconds=SECONDS, what="the history's windows")
    assert line.counts(series) == line.recount(series)

    model = answering_model(address, exported(address))
    endpoint = address.sagemaker.describe_endpoint(EndpointName=model.endpoint)
    assert endpoint["EndpointStatus"] == "InService"
    assert endpoint["ProductionVariants"][0]["VariantName"] == model.version

    # As many again until the noise about its predictions is known, and some that are judged by it.
    for _ in range(enough + 6):
        last_ms = usual.put()
    until(lambda: last_ms in line.predictions(series), seconds=SECONDS, what="verdicts")
    status, verdict, version = line.predictions(series)[last_ms]
    assert (status, version) == ("ok", model.version)
    assert verdict != "NOT_JUDGED"
    outlier_ms = put_window(line, series, int(20 * USUAL))
    until(lambda: outlier_ms in line.predictions(series), seconds=SECONDS, what="the outlier")
    assert line.predictions(series)[outlier_ms] == ("ok", "TOO_HIGH", model.version)

    heard: list[dict[str, Any]] = []

    def alerted() -> bool:
        heard.extend(messages(address, queue))
        on_it = [one["told"] for one in heard if one["Subject"].startswith(f"{series}:")]
        return outlier_ms in {parse_time_ms(told["window_start"]) for told in on_it}

    until(alerted, seconds=SECONDS, what=f"an alert on the outlier of {series}")
    # People were told of the model itself, too: that it is live, or that another stays so.
    assert any(model.version in one["Subject"] + one["Message"] for one in heard)


def test_a_test_alert_is_heard(command: Command, address: Address, queue: str) -> None:
    sent = command("alert", "test", "--json").told
    heard: list[dict[str, Any]] = []

    def test_alert() -> bool:
        heard.extend(messages(address, queue))
        return any(one["MessageId"] == sent["message_id"] for one in heard)

    until(test_alert, seconds=SECONDS, what="the test alert")
