"""What was set aside, and what came of trying it again, in words that help whoever has to act."""

from typing import NamedTuple

from tidegauge.domain.decode import MAX_SERIES_BYTES
from tidegauge.domain.event import RejectReason
from tidegauge.domain.event_time import format_time
from tidegauge.domain.retry import Refusal, Refused


class ReasonWords(NamedTuple):
    """What a reason means.

    Attributes:
        says: What is wrong with it, half a sentence.
        cause: What usually causes it.
        do: What to do.
    """

    says: str
    cause: str
    do: str


_MEND = "mend the producer and send it again; `discard` this one"
_CUT = "a producer that cuts its output short, or writes two records into one"
_REASONS: dict[str, ReasonWords] = {
    RejectReason.EMPTY: ReasonWords(
        "it holds nothing",
        "a producer that puts a record before it has anything to say, or a probe of its health",
        "`discard` it",
    ),
    RejectReason.TOO_LARGE: ReasonWords(
        "it is larger than a record may be",
        "a reader other than Kinesis, which takes no such record",
        _MEND,
    ),
    RejectReason.NOT_UTF8: ReasonWords(
        "it is not UTF-8",
        "a producer that compresses, encrypts or uses another encoding",
        _MEND,
    ),
    RejectReason.MALFORMED_JSON: ReasonWords("it is no JSON", _CUT, _MEND),
    RejectReason.NOT_AN_EVENT: ReasonWords(
        "it is JSON, but neither a CloudEvent nor an EventBridge envelope",
        "another application that puts on the same stream",
        "give that application a stream of its own, or let it send CloudEvents; `discard` this one",
    ),
    RejectReason.MISSING_FIELD: ReasonWords(
        "a field that every event needs is missing or empty",
        "a producer without `id`, `source`, `type`, `time` or `specversion`",
        _MEND,
    ),
    RejectReason.WRONG_TYPE: ReasonWords(
        "a field is of the wrong type",
        "a producer that writes a number where CloudEvents has a text, such as in `id` or `time`",
        _MEND,
    ),
    RejectReason.BAD_TIME: ReasonWords(
        "its time is no RFC 3339 time with an offset",
        "a producer that leaves the zone out, or writes seconds since 1970",
        _MEND,
    ),
    RejectReason.LONE_SURROGATE: ReasonWords(
        "a name in it holds half a character, which has no UTF-8",
        "a producer that cuts texts in the middle of a character",
        _MEND,
    ),
    RejectReason.SERIES_TOO_LONG: ReasonWords(
        f"the name of its series is longer than {MAX_SERIES_BYTES} bytes",
        "SERIES_BY names fields whose values are long, or a producer writes long types",
        "set SERIES_BY to fields that are short, then `retry` it; or `discard` it",
    ),
    RejectReason.TOO_MANY_PARTS: ReasonWords(
        "it falls into many parts that are too short for events",
        "a producer that writes something other than events, line by line",
        _MEND,
    ),
    RejectReason.KPL_AGGREGATE: ReasonWords(
        "it is an aggregate of the Kinesis Producer Library that cannot be read",
        "a version that read no aggregates, or an aggregate whose bytes were changed on the way",
        "`retry` it with a version that reads aggregates",
    ),
    RejectReason.FOREIGN_HEARTBEAT: ReasonWords(
        "it is a heartbeat of a clock that is not this stream's",
        "a replay onto a stream whose clock is the sweep, or CLOCK_SOURCE that differs",
        "let one clock alone write (HEARTBEATS, CLOCK_SOURCE); `discard` this one",
    ),
    RejectReason.TOO_FAR_AHEAD: ReasonWords(
        "it lies further ahead of the stream's time than MAX_FUTURE_SKEW_SECONDS",
        "a producer whose clock is fast, or a time in another zone than it says",
        "`retry` it once the stream's time has come near, if its time is right; else `discard` it",
    ),
    RejectReason.TOO_OLD: ReasonWords(
        "it is older than MAX_EVENT_AGE_HOURS",
        "a producer that was cut off for long, or sends an archive",
        "replay an archive onto a stream of its own; `discard` this one",
    ),
    RejectReason.UNCONFIRMED_TIME: ReasonWords(
        "its time jumps ahead, and what follows does not confirm it",
        "one event of a wrong year in a recording",
        "correct the recording; `discard` this one",
    ),
}


def reason_words(reason: str) -> ReasonWords:
    """Return what a reason means; a newer version may have reasons that this one does not know."""
    return _REASONS.get(
        reason,
        ReasonWords(f"{reason}, which this version does not know", "", "use the newer version"),
    )


def refusal_words(refused: Refused) -> str:
    """Return why a retry was refused, and what to do, as one sentence without its full stop."""
    match refused.refusal:
        case Refusal.NOT_KEPT:
            return (
                "its bytes were not kept, only their hash, since QUARANTINE_MAX_MB was used up; "
                "read it from the stream or the producer again, and `discard` it"
            )
        case Refusal.NO_EVENT:
            words = reason_words(refused.reason or "")
            return f"{words.says} by the present rules ({refused.reason}); {words.do}"
        case Refusal.HEARTBEAT:
            return "a heartbeat is in it, and a retry must not move stream time; `discard` it"
        case Refusal.TOO_OLD:
            return (
                f"an event of {_time(refused.event_time_ms)} is too old: the keys that would show "
                "whether it was counted are kept for MAX_EVENT_AGE_HOURS, now from "
                f"{_time(refused.limit_ms)} on; `discard` it, or replay it onto another stream"
            )
        case Refusal.TOO_FAR_AHEAD:
            return (
                f"an event of {_time(refused.event_time_ms)} is too far ahead: nothing behind "
                f"{_time(refused.limit_ms)} counts yet; if its time is right, try again later"
            )
        case Refusal.FORGOTTEN:
            return (
                f"the keys of the window of {_time(refused.event_time_ms)} are purged, so nobody "
                "can tell whether it was counted; `discard` it, or replay it onto another stream"
            )
        case Refusal.RECREATED:
            return (
                "its stream was deleted and made anew since, and nothing more is announced of the "
                "old one; send it to the new stream, and `discard` it"
            )


def _time(time_ms: int | None) -> str:
    return "an unknown time" if time_ms is None else format_time(time_ms)
