"""The gate: whether a model may serve, and why, in words.

Takes errors that others measured, gives a judgement. All errors are mean absolute ones on the
label's scale and, where they are compared, on the same rows.
"""

import math

import msgspec

from tidegauge.domain.event_time import format_time


class Candidate(msgspec.Struct, frozen=True):
    """The model that wants to serve.

    Attributes:
        error: Its error on the validation rows; None where its training told none.
        until_ms: End of the history that it was trained on.
        baseline_error: The seasonal baseline's error on the same rows.
    """

    error: float | None
    until_ms: int
    baseline_error: float


class Champion(msgspec.Struct, frozen=True):
    """The model that serves now.

    Attributes:
        version: Its version.
        error: Its error; None where nobody knows.
        until_ms: End of its history; 0 for a model that we know nothing of.
        same_rows: Whether it was asked about the candidate's rows; else the error is of its own.
    """

    version: str
    error: float | None
    until_ms: int
    same_rows: bool = True


class Weighed(msgspec.Struct, frozen=True):
    """What the gate says.

    Attributes:
        passed: Whether the candidate may serve.
        reasons: Why not; or, where it may, what was compared.
    """

    passed: bool
    reasons: tuple[str, ...]


def weigh(candidate: Candidate, champion: Champion | None, *, margin: float) -> Weighed:
    """Hold a candidate against the baseline and against the model that serves.

    Args:
        candidate: The new model.
        champion: The model that serves now; None if none does.
        margin: How much worse than the champion it may be, as a part of the champion's error.
    """
    holds: list[str] = []
    fails: list[str] = []
    if champion is not None and candidate.until_ms < champion.until_ms:
        fails.append(
            f"it is older than the live model {champion.version}: its history ends at "
            f"{format_time(candidate.until_ms)}, that one's at {format_time(champion.until_ms)}"
        )
    error = candidate.error
    if error is None:
        fails.append("its training told no validation error")
    elif not math.isfinite(error):
        fails.append(f"its validation error is {error}")
    else:
        ours = number(error)
        baseline = number(candidate.baseline_error)
        if error < candidate.baseline_error:
            holds.append(f"its error {ours} is below the seasonal baseline's {baseline}")
        else:
            fails.append(f"its error {ours} is not below the seasonal baseline's {baseline}")
        if champion is not None:
            _compare(error, champion, margin, holds, fails)
    return Weighed(not fails, tuple(fails or holds))


def _compare(
    error: float, champion: Champion, margin: float, holds: list[str], fails: list[str]
) -> None:
    theirs = champion.error
    if theirs is None or not math.isfinite(theirs):
        holds.append(f"the error of the live model {champion.version} is not known")
        return
    rows = "the same rows" if champion.same_rows else "its own validation rows, as it was weighed"
    said = f"that of the live model {champion.version}, {number(theirs)} on {rows}"
    if error <= theirs * (1.0 + margin):
        holds.append(f"it is not more than {100.0 * margin:.4g}% above {said}")
    else:
        fails.append(f"its error {number(error)} is more than {100.0 * margin:.4g}% above {said}")


def number(error: float) -> str:
    """Return an error for people.

    >>> number(0.8123456), number(12.0)
    ('0.8123', '12')
    """
    return f"{error:.4g}"
