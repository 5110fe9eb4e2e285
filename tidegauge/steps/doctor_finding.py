"""What the doctor finds: what was looked at, how it is, and how to mend it."""

from collections.abc import Callable, Iterator
from enum import StrEnum

import msgspec

from tidegauge.domain.errors import TidegaugeError


class NotChecked(TidegaugeError):
    """A check ends here without a verdict; the message says why."""


class Level(StrEnum):
    """How it is; `NOT_CHECKED` is no verdict."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    NOT_CHECKED = "not checked"


class Finding(msgspec.Struct, frozen=True):
    """One finding.

    Attributes:
        what: What was looked at.
        level: How it is.
        says: One sentence.
        remedy: One sentence; empty where there is nothing to mend.
    """

    what: str
    level: Level
    says: str
    remedy: str = ""


class Unsound(TidegaugeError):
    """A check ends here, its finding is told; what needs it is not checked."""


Check = Callable[[], Iterator[Finding]]


def ok(what: str, says: str) -> Finding:
    """Return that something is sound."""
    return Finding(what, Level.OK, says)


def warning(what: str, says: str, remedy: str) -> Finding:
    """Return that something works and is likely not what people want."""
    return Finding(what, Level.WARNING, says, remedy)


def wrong(what: str, says: str, remedy: str) -> Finding:
    """Return that something has to be mended."""
    return Finding(what, Level.WRONG, says, remedy)


def not_checked(what: str, says: str) -> Finding:
    """Return that nothing can be said, and why."""
    return Finding(what, Level.NOT_CHECKED, says)
