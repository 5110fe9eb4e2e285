"""Verdicts: what a window's count turned out to be, and what that rests on.

The words alone: how they are found is said in `sums`. Whatever sends alerts needs these and no
arithmetic, so nothing heavy is imported here.
"""

from enum import StrEnum

import msgspec


class Verdict(StrEnum):
    """What a window's count turned out to be."""

    NORMAL = "NORMAL"
    TOO_HIGH = "TOO_HIGH"
    TOO_LOW = "TOO_LOW"
    NOT_JUDGED = "NOT_JUDGED"


class Reason(StrEnum):
    """Why a window was not judged."""

    NONE = ""
    NO_MODEL = "no model"
    TOO_LITTLE_HISTORY = "too little history"
    GAP = "gap"
    PARTIAL = "partial"
    SUSPECT = "suspect"
    RETIRED = "retired"
    ERROR = "prediction error"
    TOO_WEAK = "too weak to judge"


class Judgement(msgspec.Struct, frozen=True):
    """A verdict and what it rests on.

    Attributes:
        verdict: The verdict.
        reason: Why not, where it is `NOT_JUDGED`.
        windows: How many windows were summed, the judged one last; 0 where nothing was.
        actual: Sum of their counts.
        expected: Sum of their expected counts.
        lower: Lower bound of the sum's prediction interval.
        upper: Upper bound of it.
        tail_probability: How often normal noise is at least so far out, in [0, 1].
        could_be_low: A count could have been too low: the window tells of recovery from a drop.
        could_be_high: The same for a spike.
    """

    verdict: Verdict
    reason: Reason = Reason.NONE
    windows: int = 0
    actual: float = 0.0
    expected: float = 0.0
    lower: float = 0.0
    upper: float = 0.0
    tail_probability: float = 1.0
    could_be_low: bool = False
    could_be_high: bool = False

    @property
    def anomalous(self) -> bool:
        """Whether the window is too high or too low."""
        return self.verdict in (Verdict.TOO_HIGH, Verdict.TOO_LOW)

    @property
    def in_band(self) -> bool:
        """Whether the count lies in its prediction interval."""
        return self.lower <= self.actual <= self.upper

    def speaks_against(self, direction: Verdict) -> bool:
        """Return whether the window could have been anomalous in a direction and was not so."""
        could = self.could_be_low if direction is Verdict.TOO_LOW else self.could_be_high
        return could and not self.anomalous


def not_judged(reason: Reason) -> Judgement:
    """Return the judgement of a window that cannot be judged."""
    return Judgement(Verdict.NOT_JUDGED, reason)
