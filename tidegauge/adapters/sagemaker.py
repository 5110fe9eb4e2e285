"""A SageMaker endpoint that answers feature rows: text/csv in, one score a row out.

The contract is that of the built-in linear-learner's regressor, so any model with it may stand
behind the endpoint. **Who answered** is learned from the same call: SageMaker names the production
variant that served it, and whoever deploys a model names the variant after the model's version
(1 to 63 letters, digits and hyphens: a training job's name fits). Asking DescribeEndpoint instead
would need a second call, and would name the wrong model while an update is under way.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tidegauge.adapters.aws_client import client_config
from tidegauge.adapters.aws_errors import aws_call, code_of
from tidegauge.domain.errors import NoModel, Transient, UnusableAnswer
from tidegauge.ports import Scores

if TYPE_CHECKING:
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient

# InvokeEndpoint's body, as its service model says. (The user guide speaks of 25 MB for newer
# endpoints; the lower limit holds everywhere.)
MAX_PAYLOAD_BYTES = 6_291_456

# An endpoint may take 60 s to answer; a healthy linear model takes milliseconds, a serverless one
# that starts up some seconds. The batch is retried anyway, so botocore need not.
READ_TIMEOUT_S = 25.0

# What InvokeEndpoint says of an endpoint that is missing or not in service.
_NOT_THERE = "ValidationError"

CSV = "text/csv"
JSON = "application/json"


class EndpointPredictor:
    """Scores rows by a SageMaker endpoint; implements `ports.Predictor`.

    Args:
        endpoint_name: The endpoint.
        client: For tests; None makes one from the environment on first use.
        max_payload_bytes: Largest body of a call.
        was_live: Tells whether a model has ever been live on the endpoint. One that is missing then
            has to come back; else it waits for its first model. None takes it for one that was.
    """

    def __init__(
        self,
        endpoint_name: str,
        *,
        client: "SageMakerRuntimeClient | None" = None,
        max_payload_bytes: int = MAX_PAYLOAD_BYTES,
        was_live: Callable[[], bool] | None = None,
    ) -> None:
        self._endpoint_name = endpoint_name
        self._was_live = was_live
        self._given_client = client
        self._max_payload_bytes = max_payload_bytes

    @cached_property
    def _client(self) -> "SageMakerRuntimeClient":
        if self._given_client is not None:
            return self._given_client
        import boto3

        with aws_call("making a SageMaker runtime client"):
            return boto3.client(
                "sagemaker-runtime",
                config=client_config(read_timeout_s=READ_TIMEOUT_S, attempts=1),
            )

    def predict(self, rows: Sequence[Sequence[float]]) -> Scores:
        """Return one score for each row (n_rows, n_features), by one call unless it is too large.

        A score that is not finite is given as NaN: it spoils its own row, not its neighbours.
        No row: no call, and no version.

        Raises:
            Transient: The endpoint is missing, updating, throttled or failing, refuses the rows,
                or changed its model between two calls: retry the batch, skip nothing.
            UnusableAnswer: It answered, but not with one score a row.
            NoModel: It is missing, and no model has ever been live on it.
            Misconfigured: It may not be invoked.
        """
        values: list[float] = []
        versions: set[str] = set()
        for payload, n_rows in payloads_of(rows, max_bytes=self._max_payload_bytes):
            answer, version = self._invoke(payload)
            values += scores_of(answer, n_rows=n_rows)
            versions.add(version)
        if len(versions) > 1:
            msg = f"endpoint {self._endpoint_name} changed its model between two calls of a batch"
            raise Transient(msg)
        return Scores(tuple(values), next(iter(versions), ""))

    def _invoke(self, payload: bytes) -> tuple[bytes, str]:
        client = self._client
        try:
            with aws_call(f"invoking endpoint {self._endpoint_name}"):
                response = client.invoke_endpoint(
                    EndpointName=self._endpoint_name, ContentType=CSV, Accept=JSON, Body=payload
                )
                answer = response["Body"].read()
        except Transient as error:
            if code_of(error) == _NOT_THERE and self._was_live is not None and not self._was_live():
                msg = f"endpoint {self._endpoint_name} waits for its first model"
                raise NoModel(msg) from error
            raise
        return answer, response.get("InvokedProductionVariant", "")


def payloads_of(rows: Sequence[Sequence[float]], *, max_bytes: int) -> Iterator[tuple[bytes, int]]:
    """Yield text/csv bodies of at most `max_bytes`, each with its number of rows, in order.

    Numbers are written so that they read back as the same double. A single row beyond the limit
    gets a body of its own and is left to the endpoint to refuse.
    """
    lines: list[bytes] = []
    size_bytes = 0
    for row in rows:
        # float(): the repr of a numpy scalar names its type.
        line = ",".join(repr(float(value)) for value in row).encode() + b"\n"
        if lines and size_bytes + len(line) > max_bytes:
            yield b"".join(lines), len(lines)
            lines, size_bytes = [], 0
        lines.append(line)
        size_bytes += len(line)
    if lines:
        yield b"".join(lines), len(lines)


def scores_of(answer: bytes, *, n_rows: int) -> list[float]:
    """Return the scores of a linear-learner's JSON answer; NaN for one that is not finite.

    Raises:
        UnusableAnswer: It is not `{"predictions": [{"score": number}, …]}` with `n_rows` scores.
    """
    try:
        # json reads NaN and Infinity, which containers written in Python do send.
        parsed: Any = json.loads(answer)
    except (ValueError, RecursionError) as error:
        msg = f"the endpoint's answer is not JSON: {answer[:80]!r}"
        raise UnusableAnswer(msg) from error
    predictions = parsed.get("predictions") if isinstance(parsed, dict) else None
    if not isinstance(predictions, list):
        msg = f"the endpoint's answer has no list of predictions: {answer[:80]!r}"
        raise UnusableAnswer(msg)
    if len(predictions) != n_rows:
        msg = f"the endpoint answered {len(predictions)} predictions for {n_rows} rows"
        raise UnusableAnswer(msg)
    return [_score_of(prediction) for prediction in predictions]


def _score_of(prediction: Any) -> float:
    score = prediction.get("score") if isinstance(prediction, dict) else None
    if isinstance(score, bool) or not isinstance(score, (int, float)):
        msg = f"a prediction is not a score but {str(prediction)[:80]!r}"
        raise UnusableAnswer(msg)
    try:
        value = float(score)
    except OverflowError:
        return math.nan
    return value if math.isfinite(value) else math.nan
