"""Errors, sorted by what the caller should do about them.

`Rejected` is set aside and counted; `Transient` ends the batch so that it is retried;
`Misconfigured` and `InvalidInput` tell a person what to mend; `BrokenInvariant` stops and wakes
someone.
"""

from collections.abc import Sequence


class TidegaugeError(Exception):
    """Base of every error that Tidegauge raises itself."""


class Rejected(TidegaugeError):
    """A record, or a part of one, that can never be counted.

    Args:
        reason: One of the reasons in `tidegauge.domain.event.RejectReason`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Transient(TidegaugeError):
    """The same call may succeed later: end the batch here and let it be retried."""


class Misconfigured(TidegaugeError):
    """Settings that cannot work.

    Args:
        problems: One sentence for each faulty setting; all of them, not the first.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class InvalidInput(TidegaugeError):
    """What a person handed to a command cannot be used; the message says what to do."""


class BrokenInvariant(TidegaugeError):
    """Something that the protocol rules out has happened: stop and wake someone."""


class UnusableAnswer(TidegaugeError):
    """A model answered, but not with one score for each row: store the status `error`."""


class NoModel(TidegaugeError):
    """There has never been a model to ask: nothing is expected, so nothing is judged."""
