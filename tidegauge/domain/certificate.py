"""The certificate of a window: all that is known of how one series' count came to be.

Takes what one reading of the store tells, gives where the window stands and whether its parts add
up. Plain values, times in ms since the epoch, UTC; `certificate_words` says it to people.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from tidegauge.domain.close import SeriesState
from tidegauge.domain.count import OTHER_SERIES, Quality
from tidegauge.domain.evidence import KEPT_DAYS, Evidence
from tidegauge.domain.features import DAY_MS
from tidegauge.domain.incident import Incident
from tidegauge.domain.prediction import Prediction
from tidegauge.domain.window import closing_time_ms

# What was set aside, and messages that wait, are counted no further.
MANY = 1_000


class Sent(StrEnum):
    """What is known of a message."""

    SENT = "sent"
    WAITING = "waiting"  # in the outbox
    UNKNOWN = "unknown"  # too many wait to look at each


class ShardCertificate(msgspec.Struct, frozen=True):
    """What one shard has to do with the window.

    Attributes:
        shard_id: The shard.
        parent_ids: Its parents, registered or not.
        drained: Whether all its records are counted and no more can come.
        waiting: Whether a registered parent is not drained.
        stream_time_ms: Its stream time now; None before it has any.
        closes_ms: Up to where it lets windows close: its stream time, or the beginning of a loss
            that no heartbeat has ended; None where it lets none.
        active: Whether it holds the watermark back.
        evidence: What it gave to the count; None for nothing.
    """

    shard_id: str
    parent_ids: tuple[str, ...]
    drained: bool
    waiting: bool
    stream_time_ms: int | None
    closes_ms: int | None
    active: bool
    evidence: Evidence | None = None

    def holds_back(self, closing_ms: int) -> bool:
        """Return whether a window of this closing time waits for the shard."""
        return self.active and (self.closes_ms is None or self.closes_ms < closing_ms)


class SetAside(msgspec.Struct, frozen=True):
    """Things set aside for one reason that now stand alike.

    Attributes:
        reason: Why.
        state: What became of them: `held`, `counted`, `known`, `discarded`.
        count: How many.
        item_ids: The first of them, as `tidegauge quarantine` names them.
    """

    reason: str
    state: str
    count: int
    item_ids: tuple[int, ...]


class GapCertificate(msgspec.Struct, frozen=True):
    """A known loss that touches the window; no shard where the whole stream lost it."""

    from_ms: int
    until_ms: int
    reason: str
    shard_id: str


class Judged(msgspec.Struct, frozen=True):
    """A prediction, its nominal level, and when it was judged by the wall clock."""

    prediction: Prediction
    level: float
    judged_ms: int


class RevisionCertificate(msgspec.Struct, frozen=True):
    """One revision of the count.

    Attributes:
        revision: 1 as the window closed, one more for each step that brought late events.
        step_ms: The window whose closing told it.
        count: Distinct events.
        late: How many of them came after the window had closed.
        quality: How far it can be trusted.
        announced: Whether its announcement was sent.
        judged: How it was judged; None where it was not yet.
    """

    revision: int
    step_ms: int
    count: int
    late: int
    quality: Quality
    announced: Sent
    judged: Judged | None


class AlertCertificate(msgspec.Struct, frozen=True):
    """An alert that the judgement of this window decided; sent ones are kept for a week."""

    alert_id: str
    kind: str
    subject: str
    decided_ms: int
    sent_ms: int | None


class Generation(msgspec.Struct, frozen=True):
    """The generation of the stream that the certificate is of.

    Attributes:
        number: In the store.
        stream_arn: The stream.
        created_ms: When it was created.
        first_seen_ms: When the store came to know it.
        next_window_ms: Its first open window; None before the first closing.
        observed_from_ms: The first window that it was watched for from its beginning.
        ended: Whether a later one has ended it.
        others: Other generations of the stream that have the window too, the newest first.
    """

    number: int
    stream_arn: str
    created_ms: int
    first_seen_ms: int
    next_window_ms: int | None
    observed_from_ms: int | None
    ended: bool
    others: tuple[int, ...] = ()


class Standing(StrEnum):
    """Where the window stands for the series."""

    TOLD = "told"  # announced, perhaps with corrections
    OPEN = "open"  # the watermark has not passed its closing time, or nobody has closed it yet
    AHEAD = "ahead"  # no shard's stream time has reached it
    OTHER = "counted as __other__"
    BEFORE_OBSERVATION = "before observation"
    BEFORE_SERIES = "before the series"
    AFTER_SERIES = "after the series"  # retired
    NOT_TOLD = "not told"  # closed, and yet no revision tells of it
    UNKNOWN_SERIES = "unknown series"


class Check(StrEnum):
    """Whether what the shards gave adds up to what was told."""

    ADDS_UP = "adds up"
    DIFFERS = "differs"
    NOT_TOLD = "nothing told yet"
    SHARED = "counted together"  # with others, as `__other__`
    TOO_OLD = "evidence may be gone"  # purged, or counted before it was kept


class Certificate(msgspec.Struct, frozen=True):
    """All that is known of one series' window.

    Attributes:
        generation: The stream's.
        series: The series' name, as asked for.
        window_start_ms: Start of the window.
        size_ms: Window length.
        lateness_ms: How long it waits for its events after its end.
        now_ms: The wall clock's time as it was read.
        evidence_since_ms: Since when evidence is kept at all, by the wall clock.
        evidence_noted_ms: When the window's first evidence that is left was noted, which of what is
            not purged yet is now; None for none.
        state: The series as it is known; None if no closing has met it.
        shards: All that are active or gave something, in order of id.
        shards_beside: How many there are besides.
        gaps: Losses that touch the window.
        revisions: In order.
        untold: Events that are counted and that no revision tells yet.
        other_count: What the window's `__other__` counts; None for nothing.
        set_aside: Events of this series and window that were set aside.
        nobodys: What was set aside among the window's records, of whatever series.
        incident: The series' incident that spans the window; None for none.
        alerts: Those that this window decided, as far as they are kept.
    """

    generation: Generation
    series: str
    window_start_ms: int
    size_ms: int
    lateness_ms: int
    now_ms: int
    evidence_since_ms: int | None
    evidence_noted_ms: int | None
    state: SeriesState | None
    shards: Sequence[ShardCertificate]
    shards_beside: int
    gaps: Sequence[GapCertificate]
    revisions: Sequence[RevisionCertificate]
    untold: int
    other_count: int | None
    set_aside: Sequence[SetAside]
    nobodys: Sequence[SetAside]
    incident: Incident | None
    alerts: Sequence[AlertCertificate]

    @property
    def window_end_ms(self) -> int:
        """Return the end of the window, which it does not hold itself."""
        return self.window_start_ms + self.size_ms

    @property
    def closing_ms(self) -> int:
        """Return the least stream time that closes the window."""
        return closing_time_ms(
            self.window_start_ms, size_ms=self.size_ms, lateness_ms=self.lateness_ms
        )

    @property
    def told(self) -> RevisionCertificate | None:
        """Return the last revision; None if there is none."""
        return self.revisions[-1] if self.revisions else None

    @property
    def sum(self) -> Evidence:
        """Return what all shards gave together; its sequence numbers mean nothing."""
        parts = (shard.evidence for shard in self.shards if shard.evidence is not None)
        return sum(parts, start=Evidence())

    @property
    def holding_back(self) -> list[ShardCertificate]:
        """Return the shards that the window waits for."""
        return [shard for shard in self.shards if shard.holds_back(self.closing_ms)]

    @property
    def closed(self) -> bool:
        """Return whether the window is closed."""
        next_ms = self.generation.next_window_ms
        return self.generation.ended or (next_ms is not None and self.window_start_ms < next_ms)

    @property
    def standing(self) -> Standing:
        """Return where the window stands for the series."""
        start_ms, state = self.window_start_ms, self.state
        if self.revisions:
            return Standing.TOLD
        has_events = self.sum != Evidence()
        if state is None and not has_events and not self.set_aside:
            return Standing.UNKNOWN_SERIES
        if not self.closed:
            return Standing.OPEN if has_events or self._reached() else Standing.AHEAD
        if self.sum.counted:
            return Standing.NOT_TOLD if self.other_count is None else Standing.OTHER
        if state is not None and state.retired_window_ms is not None:
            retired = not state.active or start_ms < state.first_window_ms
            if retired and start_ms > state.retired_window_ms:
                return Standing.AFTER_SERIES
        observed_ms = self.generation.observed_from_ms
        if observed_ms is None or start_ms < observed_ms:
            return Standing.BEFORE_OBSERVATION
        if state is None or start_ms < state.first_window_ms:
            return Standing.BEFORE_SERIES
        return Standing.NOT_TOLD

    def _reached(self) -> bool:
        times = (shard.stream_time_ms for shard in self.shards)
        return any(time_ms is not None and time_ms >= self.window_start_ms for time_ms in times)

    @property
    def check(self) -> Check:
        """Return whether what the shards gave adds up to what was told."""
        given, last = self.sum.counted, self.told
        if last is None:
            lost = self.closed and given > self.untold and self.other_count is None
            return Check.DIFFERS if lost else Check.NOT_TOLD
        told = last.count + self.untold
        if self.series == OTHER_SERIES:
            return Check.SHARED
        if given == told:
            return Check.ADDS_UP
        if self.other_count:
            return Check.SHARED
        # what is gone or was never kept can be missing, and never be too much
        return Check.TOO_OLD if given < told and self._may_be_gone() else Check.DIFFERS

    def _may_be_gone(self) -> bool:
        """Return whether some of the window's events may have been counted too long ago.

        They come within a day of each other: what is older than the others by more is too old.
        """
        from_ms = self.now_ms - KEPT_DAYS * DAY_MS
        since_ms = self.evidence_since_ms
        if since_ms is None or self.generation.first_seen_ms < since_ms:
            from_ms = max(from_ms, self.now_ms if since_ms is None else since_ms)
        judged = [one.judged.judged_ms for one in self.revisions if one.judged is not None]
        noted = [] if self.evidence_noted_ms is None else [self.evidence_noted_ms]
        known_ms = min(judged + noted, default=None)
        return known_ms is None or known_ms < from_ms + DAY_MS
