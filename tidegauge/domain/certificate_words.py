"""The certificate of a window in words: one sentence for each thing that is known."""

from tidegauge.domain.alert import duration, odds
from tidegauge.domain.certificate import (
    Certificate,
    Check,
    Judged,
    RevisionCertificate,
    Sent,
    ShardCertificate,
    Standing,
)
from tidegauge.domain.count import Quality
from tidegauge.domain.event_time import format_time
from tidegauge.domain.evidence import KEPT_DAYS
from tidegauge.domain.prediction import PredictionStatus
from tidegauge.domain.verdict import Reason, Verdict

QUALITY_WORDS: dict[Quality, str] = {
    Quality.COMPLETE: "nothing of its span is known to be missing",
    Quality.PARTIAL: "the stream was not observed from its beginning: some may be missing",
    Quality.GAP: "records of its span are known to be lost: the true count may be higher",
    Quality.SUSPECT: "counts and ledgers disagree, a fault of ours: recount with `tidegauge audit`",
    Quality.RETIRED: "the series' last one: silent for so long, it is watched no more",
}
_REASON_WORDS: dict[Reason, str] = {
    Reason.NO_MODEL: "there was no model to ask",
    Reason.TOO_LITTLE_HISTORY: "the series had too little history",
    Reason.GAP: "records of its span are lost",
    Reason.PARTIAL: "it was not observed from its beginning",
    Reason.SUSPECT: "its count is suspect",
    Reason.RETIRED: "the series was retired with it",
    Reason.ERROR: "the model's answer could not be used",
    Reason.TOO_WEAK: "no count could have been unusual, so few were expected",
}
_SENT_WORDS = {
    Sent.SENT: "announcement sent",
    Sent.WAITING: "announcement waits in the outbox",
    Sent.UNKNOWN: "announcement perhaps not sent yet, too many wait",
}
# More names than these make nobody wiser.
_NAMED = 3


def standing_words(told: Certificate) -> str:
    """Return where the window stands for the series, as a sentence."""
    match told.standing:
        case Standing.TOLD:
            return _told_words(told)
        case Standing.OPEN:
            return f"still open, {told.sum.counted:,} counted so far: {_holding_words(told)}"
        case Standing.AHEAD:
            return f"it lies ahead of the stream: {_furthest_words(told)}"
        case Standing.OTHER:
            return (
                "its events were counted as `__other__`, since more series than MAX_SERIES were "
                "active: explain `__other__` for what was told of them together"
            )
        case Standing.BEFORE_OBSERVATION:
            from_ms = told.generation.observed_from_ms
            begins = "has not begun" if from_ms is None else f"begins with {format_time(from_ms)}"
            return f"nothing was told: observation of the stream {begins}"
        case Standing.BEFORE_SERIES:
            if told.state is None:
                return "nothing was told: no event of the series is counted yet"
            first = format_time(told.state.first_window_ms)
            return f"nothing was told: the series begins with the window of {first}"
        case Standing.AFTER_SERIES:
            return _retired_words(told)
        case Standing.NOT_TOLD if told.generation.ended:
            return (
                "nothing was told: the stream was made anew before it, which ended the generation"
            )
        case Standing.NOT_TOLD if told.untold:
            return (
                f"{_events(told.untold)} came after it had closed: the next closing tells of that"
            )
        case Standing.NOT_TOLD:
            return "it is closed, and nothing was told of the series in it"
        case Standing.UNKNOWN_SERIES:
            return "no such series is known"


def _told_words(told: Certificate) -> str:
    last = told.revisions[-1]
    late = f", {last.late:,} of them late" if last.late else ""
    revision = f"revision {last.revision}" if last.revision > 1 else "first and only revision"
    return (
        f"{_events(last.count)}{late} ({revision}); {last.quality}: {QUALITY_WORDS[last.quality]}"
    )


def _events(count: int) -> str:
    return "silent, 0 events" if count == 0 else f"{count:,} event{'s' if count > 1 else ''}"


def _holding_words(told: Certificate) -> str:
    holding = told.holding_back
    if not holding:
        return "every shard has passed its closing time, so the next closing tells it"
    named = ", ".join(_short_words(shard, told.closing_ms) for shard in holding[:_NAMED])
    more = f" and {len(holding) - _NAMED} more" if len(holding) > _NAMED else ""
    closing = format_time(told.closing_ms)
    return f"it waits until stream time {closing} on {named}{more}"


def _short_words(shard: ShardCertificate, closing_ms: int) -> str:
    if shard.closes_ms is None:
        return f"{shard.shard_id} (no stream time yet)"
    return f"{shard.shard_id} ({duration(closing_ms - shard.closes_ms)} short)"


def _furthest_words(told: Certificate) -> str:
    times = [shard.stream_time_ms for shard in told.shards if shard.stream_time_ms is not None]
    if not times:
        return "no shard has a stream time yet"
    return f"no shard has come further than {format_time(max(times))}"


def _retired_words(told: Certificate) -> str:
    state = told.state
    if state is None or state.retired_window_ms is None:
        return "nothing was told: the series was retired"
    last = format_time(state.retired_window_ms)
    back = f", and came back with {format_time(state.first_window_ms)}" if state.active else ""
    return f"nothing was told: the series was retired with the window of {last}{back}"


def check_words(told: Certificate) -> str:
    """Return whether what the shards gave adds up to what was told, as a sentence."""
    given = told.sum.counted
    last = told.revisions[-1].count if told.revisions else 0
    untold = f" and {told.untold:,} to be told yet" if told.untold else ""
    match told.check:
        case Check.ADDS_UP:
            return f"the shards gave {given:,}: as many as were told{untold}"
        case Check.DIFFERS:
            return (
                f"the shards gave {given:,}, and {last:,} were told{untold}: that is a fault; "
                "hold the window against a recount with `tidegauge audit`"
            )
        case Check.NOT_TOLD:
            return f"nothing is told yet to hold the shards' {given:,} against"
        case Check.SHARED:
            return (
                "not possible by series: more series than MAX_SERIES were active, and those beyond "
                "were told together as `__other__`"
            )
        case Check.TOO_OLD:
            since_ms = told.evidence_since_ms
            since = "" if since_ms is None else f", at the earliest since {format_time(since_ms)}"
            return (
                f"not possible: evidence of {given:,} is left, {last:,} were told{untold}; it is "
                f"kept for {KEPT_DAYS} days{since}"
            )


def shard_words(shard: ShardCertificate, closing_ms: int) -> str:
    """Return how a shard stands towards the window's closing time."""
    if shard.drained:
        return "drained: read to its end, and closed"
    if shard.waiting and not shard.active:
        return "waits for its parents to be read to their end"
    if shard.closes_ms is None:
        return "no stream time yet: holds the window back"
    at = format_time(shard.closes_ms)
    if shard.closes_ms < closing_ms:
        return f"stream time {at}, {duration(closing_ms - shard.closes_ms)} short of closing it"
    past_ms = shard.closes_ms - closing_ms
    past = f"{duration(past_ms)} past" if past_ms else "just at"
    return f"stream time {at}, {past} the closing time"


def announced_words(revision: RevisionCertificate) -> str:
    """Return whether a revision's announcement was sent."""
    return _SENT_WORDS[revision.announced]


def judged_words(judged: Judged | None) -> list[str]:
    """Return what was found of a revision and what that rests on, in one or two sentences."""
    if judged is None:
        return ["not judged yet"]
    found = judged.prediction
    if found.verdict is Verdict.NOT_JUDGED:
        lines = [f"NOT_JUDGED: {_REASON_WORDS.get(found.reason, found.reason.value)}"]
    else:
        lines = [f"{found.verdict}{_rests_on(judged)}"]
    lines.append(f"{_expected_words(judged)}judged at {format_time(judged.judged_ms)}")
    return lines


def _rests_on(judged: Judged) -> str:
    found = judged.prediction
    windows = f", by the sum of {found.windows_judged} windows" if found.windows_judged > 1 else ""
    tail = found.tail_probability
    unusual = found.verdict in (Verdict.TOO_HIGH, Verdict.TOO_LOW) and tail is not None
    return f"{windows}: {odds(tail)}" if unusual and tail is not None else windows


def _expected_words(judged: Judged) -> str:
    found = judged.prediction
    if found.expected is None:
        nonsense = found.status is PredictionStatus.ERROR
        return "the model answered nonsense, " if nonsense else "nothing expected, "
    band = ""
    if found.lower is not None and found.upper is not None:
        level = f"{100 * judged.level:g} %"
        band = f" (usually {_number(found.lower)} to {_number(found.upper)}, level {level})"
    by = f" by model {found.model_version}" if found.model_version else ""
    return f"{_number(found.expected)} expected{band}{by}, "


def _number(value: float) -> str:
    """Return an expected count for people."""
    return f"{value:,.0f}" if value >= 1000.0 else f"{value:,.1f}"
