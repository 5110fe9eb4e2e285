"""The model container: answers what SageMaker passes on to it as the linear-learner does.

Takes a content type and a body, gives a status and a body. It knows neither endpoints nor AWS's
error codes: what it refuses, the runtime API wraps as a `ModelError`.
"""

import json
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tidegauge.domain.linear_model import LinearModel

CSV = "text/csv"
JSON = "application/json"
ACCEPTED = frozenset({"", "*/*", "application/*", JSON})


class ContainerAnswer(NamedTuple):
    """What the container said: a status, a media type and a body (or why not)."""

    status: int
    media_type: str
    body: str


def answer_of(
    model: LinearModel, *, content_type: str, accept: str, body: bytes
) -> ContainerAnswer:
    """Score a CSV body, one row a line, without header and label.

    Returns:
        200 and `{"predictions": [{"score": number}, …]}`; 415 or 406 for media types that are not
        served, 400 for a body that cannot be scored. A score that is not finite is written as
        Python's json does: `NaN`.
    """
    media_type, _, parameters = content_type.partition(";")
    if media_type.strip().lower() != CSV or not _is_unlabelled(parameters):
        return _refusal(415, f"content-type {content_type or 'missing'} not supported")
    accepted = {choice.partition(";")[0].strip().lower() for choice in accept.split(",")}
    if not accepted & ACCEPTED:
        return _refusal(406, f"accept type {accept} not supported")
    try:
        rows = _rows_of(body)
    except ValueError as error:
        return _refusal(400, f"unable to evaluate payload provided: {error}")
    n_features = len(model.weights)
    if rows.shape[1] != n_features:
        return _refusal(
            400,
            f"unable to evaluate payload provided: Feature size of csv inference data "
            f"{rows.shape[1]} is not consistent with feature size of trained model {n_features}",
        )
    predictions = [{"score": score} for score in model.score(rows).tolist()]
    return ContainerAnswer(200, JSON, json.dumps({"predictions": predictions}))


def _rows_of(body: bytes) -> NDArray[np.float64]:
    if b"_" in body:
        # Python reads 1_000 as a number; no CSV means that.
        msg = "a field is no number"
        raise ValueError(msg)
    lines = [line for line in body.decode("utf-8").splitlines() if line.strip()]
    if not lines:
        msg = "no rows"
        raise ValueError(msg)
    rows = [[float(field) for field in line.split(",")] for line in lines]
    if len({len(row) for row in rows}) > 1:
        msg = "rows differ in their number of columns"
        raise ValueError(msg)
    return np.array(rows, dtype=np.float64)


def _is_unlabelled(parameters: str) -> bool:
    """Tell whether a content type's parameters leave the label out, as inference wants it."""
    names = dict(part.strip().partition("=")[::2] for part in parameters.split(";") if part.strip())
    return names.get("label_size", "0") == "0"


def _refusal(status: int, why: str) -> ContainerAnswer:
    return ContainerAnswer(status, "text/plain", why)
