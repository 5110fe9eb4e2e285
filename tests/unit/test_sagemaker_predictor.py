"""The endpoint's predictor: its payload, and what it makes of answers."""

import io
import json
import math
from typing import Any, cast

import numpy as np
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from tests.support.botocore_shapes import request_problems
from tidegauge.adapters.sagemaker import (
    MAX_PAYLOAD_BYTES,
    EndpointPredictor,
    payloads_of,
    scores_of,
)
from tidegauge.domain.errors import (
    Misconfigured,
    NoModel,
    TidegaugeError,
    Transient,
    UnusableAnswer,
)


class FakeEndpoint:
    """Answers each row with its first number; or raises, or says something else."""

    def __init__(
        self, *, versions: list[str], error: Exception | None = None, says: bytes | None = None
    ) -> None:
        self._versions = versions
        self._error = error
        self._says = says
        self.bodies: list[bytes] = []

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        assert not request_problems("sagemaker-runtime", "InvokeEndpoint", request)
        self.bodies.append(request["Body"])
        if self._error:
            raise self._error
        scores = [float(line.split(b",")[0]) for line in request["Body"].splitlines()]
        answer = json.dumps({"predictions": [{"score": score} for score in scores]}).encode()
        return {
            "Body": io.BytesIO(self._says or answer),
            "InvokedProductionVariant": self._versions[len(self.bodies) - 1],
        }


def predictor_on(client: FakeEndpoint, *, max_bytes: int = MAX_PAYLOAD_BYTES) -> EndpointPredictor:
    return EndpointPredictor("gauge", client=cast("Any", client), max_payload_bytes=max_bytes)


def refusal(code: str, status: int = 400) -> ClientError:
    return ClientError(
        cast(
            "Any",
            {
                "Error": {"Code": code, "Message": "because"},
                "ResponseMetadata": {"HTTPStatusCode": status},
            },
        ),
        "InvokeEndpoint",
    )


def test_all_rows_go_in_one_call_and_the_variant_is_the_version() -> None:
    client = FakeEndpoint(versions=["job-7"])
    scores = predictor_on(client).predict([[1.5, 2.0], [0.1, 1e-9]])
    assert client.bodies == [b"1.5,2.0\n0.1,1e-09\n"]
    assert scores.values == (1.5, 0.1)
    assert scores.model_version == "job-7"


def test_rows_may_be_an_array() -> None:
    client = FakeEndpoint(versions=["v"])
    rows = cast("Any", np.array([[0.1, 2.0]]))
    assert predictor_on(client).predict(rows).values == (0.1,)
    assert client.bodies == [b"0.1,2.0\n"]


def test_a_batch_too_large_for_one_call_is_split_in_order() -> None:
    client = FakeEndpoint(versions=["v", "v"])
    scores = predictor_on(client, max_bytes=8).predict([[1.0], [2.0], [3.0]])
    assert client.bodies == [b"1.0\n2.0\n", b"3.0\n"]
    assert scores.values == (1.0, 2.0, 3.0)


def test_a_model_changed_in_the_middle_of_a_batch_is_asked_again() -> None:
    client = FakeEndpoint(versions=["old", "new"])
    with pytest.raises(Transient, match="changed its model"):
        predictor_on(client, max_bytes=4).predict([[1.0], [2.0]])


def test_no_rows_call_nobody() -> None:
    client = FakeEndpoint(versions=[])
    assert predictor_on(client).predict([]).values == ()
    assert client.bodies == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (refusal("ValidationError"), Transient),
        (refusal("ModelError", 424), Transient),
        (refusal("ModelNotReadyException", 429), Transient),
        (refusal("ServiceUnavailable", 503), Transient),
        (refusal("ThrottlingException"), Transient),
        (ReadTimeoutError(endpoint_url="http://127.0.0.1:1"), Transient),
        (refusal("AccessDeniedException", 403), Misconfigured),
    ],
)
def test_an_endpoint_that_does_not_answer(error: Exception, expected: type[TidegaugeError]) -> None:
    with pytest.raises(expected, match="invoking endpoint gauge") as raised:
        predictor_on(FakeEndpoint(versions=["v"], error=error)).predict([[1.0]])
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    ("code", "was_live", "expected"),
    [
        ("ValidationError", False, NoModel),
        ("ValidationError", True, Transient),
        ("ModelError", False, Transient),
    ],
)
def test_only_an_endpoint_that_never_had_a_model_and_is_missing_waits_for_its_first(
    code: str, was_live: bool, expected: type[TidegaugeError]
) -> None:
    client = FakeEndpoint(versions=["v"], error=refusal(code))
    predictor = EndpointPredictor("gauge", client=cast("Any", client), was_live=lambda: was_live)
    with pytest.raises(TidegaugeError) as raised:
        predictor.predict([[1.0]])
    assert type(raised.value) is expected


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b"\xff",
        b"[" * 100_000,
        b"[]",
        b"{}",
        b'{"predictions": {"score": 1}}',
        b'{"predictions": []}',
        b'{"predictions": [{"score": 1}, {"score": 2}]}',
        b'{"predictions": [{"score": null}]}',
        b'{"predictions": [{"score": "1"}]}',
        b'{"predictions": [{"score": true}]}',
        b'{"predictions": [{"score": [1]}]}',
        b'{"predictions": [{"label": 1}]}',
        b'{"predictions": [1]}',
    ],
)
def test_an_answer_of_another_shape_is_unusable(answer: bytes) -> None:
    with pytest.raises(UnusableAnswer):
        predictor_on(FakeEndpoint(versions=["v"], says=answer)).predict([[1.0]])


def test_a_score_that_is_not_finite_spoils_its_own_row_only() -> None:
    answer = (
        b'{"predictions": [{"score": NaN}, {"score": 2}, {"score": -Infinity}, {"score": 1e999},'
        b' {"score": 1' + b"0" * 400 + b"}]}"
    )
    scores = scores_of(answer, n_rows=5)
    assert scores[1] == 2.0
    assert all(math.isnan(scores[index]) for index in (0, 2, 3, 4))


@given(
    st.lists(st.lists(st.floats(allow_nan=False), min_size=2, max_size=2), min_size=1, max_size=30),
    st.integers(1, 200),
)
def test_payloads_hold_every_row_in_order_and_to_the_last_bit(
    rows: list[list[float]], max_bytes: int
) -> None:
    payloads = list(payloads_of(rows, max_bytes=max_bytes))
    lines = b"".join(payload for payload, _ in payloads).splitlines()
    assert [[float(field) for field in line.split(b",")] for line in lines] == rows
    for payload, n_rows in payloads:
        assert payload.count(b"\n") == n_rows
        assert len(payload) <= max_bytes or n_rows == 1
