"""Event source mappings as Lambda lists them, every page, and nothing guessed that is not told."""

from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from tests.support.botocore_shapes import answer_problems, operation_model, request_problems
from tidegauge.adapters.stream_readings import LambdaMappings
from tidegauge.domain.errors import Misconfigured, Transient
from tidegauge.domain.stream_reading import reading_faults, untold

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/events"
UUID = "91eaeb7e-c976-1234-9451-8709db01f137"
# As Lambda answers for a mapping with our template's settings.
MAPPING: dict[str, Any] = {
    "UUID": UUID,
    "BatchSize": 1000,
    "MaximumBatchingWindowInSeconds": 1,
    "ParallelizationFactor": 1,
    "EventSourceArn": STREAM,
    "FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:collect",
    "LastProcessingResult": "OK",
    "State": "Enabled",
    "StateTransitionReason": "User action",
    "StartingPosition": "TRIM_HORIZON",
    "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::failed"}},
    "MaximumRecordAgeInSeconds": -1,
    "BisectBatchOnFunctionError": False,
    "MaximumRetryAttempts": -1,
    "TumblingWindowInSeconds": 0,
    "FunctionResponseTypes": [],
}


class FakeLambda:
    """Answers one page after the other."""

    def __init__(self, *pages: list[dict[str, Any]]) -> None:
        self._pages = pages
        self.requests: list[dict[str, Any]] = []

    def list_event_source_mappings(self, **request: Any) -> dict[str, Any]:
        assert not request_problems("lambda", "ListEventSourceMappings", request)
        self.requests.append(request)
        number = int(request.get("Marker", "0"))
        answer: dict[str, Any] = {"EventSourceMappings": list(self._pages[number])}
        if number + 1 < len(self._pages):
            answer["NextMarker"] = str(number + 1)
        shape = operation_model("lambda", "ListEventSourceMappings").output_shape
        assert shape is not None
        assert answer_problems(answer, shape) == []
        return answer


def mappings_of(*pages: list[dict[str, Any]]) -> LambdaMappings:
    return LambdaMappings(client=cast("Any", FakeLambda(*pages)))


def test_our_own_mapping_is_right_and_tells_all() -> None:
    readings = mappings_of([MAPPING]).readings(STREAM)
    assert [(reading.name, reading.function) for reading in readings] == [(UUID, "collect")]
    assert reading_faults(readings) == []
    assert untold(readings) == []


def test_every_page_is_asked_for_the_stream_alone() -> None:
    client = FakeLambda([MAPPING], [], [{**MAPPING, "State": "Disabled"}])
    readings = LambdaMappings(client=cast("Any", client)).readings(STREAM)
    assert [reading.enabled for reading in readings] == [True, False]
    assert [request["EventSourceArn"] for request in client.requests] == [STREAM] * 3


@pytest.mark.parametrize(
    ("state", "enabled"),
    [
        ("Creating", True),
        ("Enabling", True),
        ("Updating", True),
        ("Disabling", False),
        ("Disabled", False),
        ("Deleting", False),
    ],
)
def test_a_mapping_on_its_way_counts_as_what_it_will_be(state: str, enabled: bool) -> None:
    (reading,) = mappings_of([{**MAPPING, "State": state}]).readings(STREAM)
    assert reading.enabled is enabled


@pytest.mark.parametrize(
    "wrong",
    [
        {"StartingPosition": "LATEST"},
        {"ParallelizationFactor": 2},
        {"MaximumRetryAttempts": 3},
        {"MaximumRecordAgeInSeconds": 3600},
        {"BisectBatchOnFunctionError": True},
        {"FunctionResponseTypes": ["ReportBatchItemFailures"]},
        {"TumblingWindowInSeconds": 300},
        {"FilterCriteria": {"Filters": [{"Pattern": "{}"}]}},
    ],
)
def test_a_wrong_setting_is_found(wrong: dict[str, Any]) -> None:
    assert len(reading_faults(mappings_of([{**MAPPING, **wrong}]).readings(STREAM))) == 1


def test_what_the_answer_leaves_out_is_neither_right_nor_wrong() -> None:
    told = ("UUID", "FunctionArn", "State")
    readings = mappings_of([{name: MAPPING[name] for name in told}]).readings(STREAM)
    assert reading_faults(readings) == []
    (sentence,) = untold(readings)
    assert "starting position, parallelization factor" in sentence


@pytest.mark.parametrize(
    ("code", "expected"),
    [("AccessDeniedException", Misconfigured), ("TooManyRequestsException", Transient)],
)
def test_a_refusal_says_what_was_tried(code: str, expected: type[Exception]) -> None:
    class Refusing:
        def list_event_source_mappings(self, **_: Any) -> dict[str, Any]:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "List")

    readings = LambdaMappings(client=cast("Any", Refusing()))
    with pytest.raises(expected, match="listing the event source mappings of arn:aws:kinesis"):
        readings.readings(STREAM)
