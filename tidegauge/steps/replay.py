"""Offline replay: the same steps as in the cloud, on the memory store, as fast as they go.

Takes what a fixture holds, gives completed windows with their judgements, alerts, what was set
aside, and sums. Windows that nothing can change any more are given out and forgotten on the way, so
memory does not grow with the fixture.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from tidegauge.domain.close import CloseRules
from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.event import Heartbeat, Rejection, RejectReason
from tidegauge.domain.fold import NO_FENCE, CountRules, Quarantined
from tidegauge.domain.offered import Offered
from tidegauge.domain.record import DecodedRecord
from tidegauge.ports import CountStore, Destination, Outbox, ShardListing, StreamIdentity
from tidegauge.steps.close import close_once
from tidegauge.steps.collect import collect
from tidegauge.steps.recorded_clock import RecordedLine
from tidegauge.steps.replay_clock import Beat, Told

if TYPE_CHECKING:
    from tidegauge.domain.prediction import Prediction  # brings numpy, which counting needs not

BARE_SHARD = "shardId-000000000000"
_BATCH_RECORDS = 4000
_ROWS_AT_ONCE = 20_000
_MAX_MESSAGES = 10_000
_LAST_HASH_KEY = (1 << 128) - 1


class ReplayStore(CountStore, Outbox, Protocol):
    """A store of counts that a replay can watch and empty."""

    def take_quarantine(self, generation: int) -> list[tuple[str, Quarantined]]:
        """Return what was set aside since the last call, and forget it."""
        ...

    def watermark_ms(self, generation: int) -> int | None:
        """Return the stream's watermark; None while some shard has no stream time."""
        ...

    def forget_completed(self, generation: int, before_ms: int) -> None:
        """Drop completed windows that start before a time and that nobody will ask for again."""
        ...


class SetAside(msgspec.Struct, frozen=True, gc=False):
    """A line of a recording that holds no record."""

    line: int
    rejection: Rejection


class ReplayOutput(Protocol):
    """Where a replay's results go."""

    def window(self, row: CompletedWindow, prediction: "Prediction | None") -> None:
        """Take a window's last revision, judged or not; in order of window, then series."""
        ...

    def alert(self, payload: bytes) -> None:
        """Take an alert, JSON; in the order in which they were decided."""
        ...

    def set_aside(
        self,
        line: int,
        shard_id: str,
        sequence_number: int | None,
        reason: RejectReason,
        data: bytes,
    ) -> None:
        """Take something that was quarantined, with the line of the fixture that holds it."""
        ...


class Judging(Protocol):
    """Judges what was announced; implemented over the predict step.

    Alerts go to the store's outbox, as in the cloud.
    """

    def judge(self, announced: Sequence[CompletedWindow]) -> None:
        """Judge all that was announced and not judged yet."""
        ...

    def prediction_of(self, row: CompletedWindow) -> "Prediction | None":
        """Return how a revision was judged."""
        ...

    def forget(self, before_ms: int) -> None:
        """Drop predictions of windows before a time that nobody will ask for any more."""
        ...


class ReplaySums(msgspec.Struct):
    """What a replay adds up to.

    Attributes:
        distinct: Events counted, late ones included.
        duplicates: Events whose key was known.
        late: Events counted after their window had closed.
        quarantined: Records, or parts of them, set aside, by reason.
        windows: Windows given out, over all series, zero counts included.
        corrected: Those whose last revision is above 1.
        alerts: Alerts decided.
    """

    distinct: int = 0
    duplicates: int = 0
    late: int = 0
    quarantined: Counter[RejectReason] = msgspec.field(default_factory=Counter)
    windows: int = 0
    corrected: int = 0
    alerts: int = 0

    @property
    def events(self) -> int:
        """Events seen: distinct and duplicate ones; what was quarantined is not among them."""
        return self.distinct + self.duplicates


class OfflineReplay:
    """One replay on one empty store.

    Args:
        store: Holds the counts meanwhile.
        rules: What is counted where.
        close_rules: What is announced.
        judging: Judges what is announced; None to count only.
        output: Where results go.
    """

    def __init__(
        self,
        store: ReplayStore,
        rules: CountRules,
        close_rules: CloseRules,
        *,
        judging: Judging | None,
        output: ReplayOutput,
    ) -> None:
        self._store = store
        self._rules = rules
        self._close_rules = close_rules
        self._judging = judging
        self._output = output
        self._generation = store.generation(StreamIdentity("replay", 0))
        self._rows: dict[int, dict[str, CompletedWindow]] = {}
        self.sums = ReplaySums()

    def run_bare(self, told: Iterable[Told]) -> ReplaySums:
        """Count, close and judge bare events and the heartbeats between them."""
        self._register([BARE_SHARD])
        batch = _Batch(BARE_SHARD)
        previous: int | None = None
        for number, one in enumerate(told):
            line = 0
            if isinstance(one, Offered):
                line = one.line
                record = DecodedRecord(number, None, (one.item,), one.data)
            elif isinstance(one, Beat):
                beat = Heartbeat(self._rules.clock_source, one.time_ms, BARE_SHARD, previous)
                previous = number
                record = DecodedRecord(number, None, (beat,), b"")
            else:
                line, data = one.offered.line, one.offered.data
                rejection = Rejection(RejectReason.UNCONFIRMED_TIME, data)
                record = DecodedRecord(number, None, (rejection,), data)
            batch.add(line, record)
            if len(batch.records) == _BATCH_RECORDS:
                self._collect(batch)
                self._close()
        self._collect(batch)
        return self._finish()

    def run_recorded(
        self, records: Iterable[RecordedLine | SetAside], shards: Sequence[str]
    ) -> ReplaySums:
        """Count, close and judge recorded records with the heartbeats that they carry.

        Args:
            records: In the order of the file; in order per shard.
            shards: All shards that occur.

        Raises:
            InvalidInput: some shard has no heartbeat, so no window could ever close; or a record is
                of another shard.
        """
        self._register(shards)
        batches = {shard_id: _Batch(shard_id) for shard_id in shards}
        waiting = 0
        for one in records:
            if isinstance(one, SetAside):
                self._set_aside(one.line, "", None, one.rejection.reason, one.rejection.data)
                continue
            if one.shard_id not in batches:
                msg = (
                    f"line {one.line} is of shard {one.shard_id}, which the manifest does not list"
                )
                raise InvalidInput(msg)
            batches[one.shard_id].add(one.line, one.record)
            waiting += 1
            if waiting == _BATCH_RECORDS:
                self._collect_all(batches.values())
                waiting = 0
        self._collect_all(batches.values())
        if self._store.watermark_ms(self._generation) is None:
            msg = (
                "the recording has a shard without any heartbeat of "
                f"{self._rules.clock_source}, so no window of it could ever close; record it with "
                "its heartbeats, set CLOCK_SOURCE to their source, or replay its bare events"
            )
            raise InvalidInput(msg)
        return self._finish()

    def _register(self, shards: Sequence[str]) -> None:
        listing = [ShardListing(shard_id, (), 0, _LAST_HASH_KEY, False) for shard_id in shards]
        self._store.register_shards(self._generation, listing)

    def _collect_all(self, batches: "Iterable[_Batch]") -> None:
        for batch in batches:
            self._collect(batch)
        self._close()

    def _collect(self, batch: "_Batch") -> None:
        if not batch.records:
            return
        collected = collect(
            self._store, self._generation, batch.shard_id, batch.records, self._rules
        )
        counted = collected.batch
        self.sums.distinct += counted.distinct
        self.sums.duplicates += counted.duplicates
        self.sums.late += counted.late
        for shard_id, item in self._store.take_quarantine(self._generation):
            line = batch.line_of(item.sequence_number)
            self._set_aside(line, shard_id, item.sequence_number, item.reason, item.data)
        batch.clear()

    def _set_aside(
        self,
        line: int,
        shard_id: str,
        sequence_number: int | None,
        reason: RejectReason,
        data: bytes,
    ) -> None:
        self.sums.quarantined[reason] += 1
        self._output.set_aside(line, shard_id, sequence_number, reason, data)

    def _close(self) -> None:
        # Closing by closing: a jump of years closes more windows than memory should hold.
        announced: list[CompletedWindow] = []
        finished = False
        while not finished:
            outcome = close_once(self._store, self._generation, self._close_rules)
            announced += outcome.rows
            self.sums.late += outcome.late_by_observation
            finished = outcome.finished
            if announced and (finished or len(announced) >= _ROWS_AT_ONCE):
                self._take(announced)
                announced = []

    def _take(self, announced: list[CompletedWindow]) -> None:
        self._drop_announcements()
        for row in announced:
            self._rows.setdefault(row.window_start_ms, {})[row.series] = row
        if self._judging is not None:
            self._judging.judge(announced)
            self._give_out_alerts()
        rules = self._rules
        # a later step may still bring a correction until the age limit has passed for good
        unsettled_ms = rules.max_event_age_ms + 2 * rules.size_ms + rules.lateness_ms
        self._give_out(announced[-1].step_ms - unsettled_ms)

    def _drop_announcements(self) -> None:
        """Empty the outbox of doorbells: judging is called directly here."""
        while bells := self._store.take(Destination.WINDOWS, _MAX_MESSAGES):
            self._store.mark_sent([bell.number for bell in bells])

    def _give_out_alerts(self) -> None:
        while alerts := self._store.take(Destination.ALERTS, _MAX_MESSAGES):
            for alert in alerts:
                self.sums.alerts += 1
                self._output.alert(alert.message.payload)
            self._store.mark_sent([alert.number for alert in alerts])

    def _finish(self) -> ReplaySums:
        self._close()
        self._give_out(None)
        return self.sums

    def _give_out(self, before_ms: int | None) -> None:
        """Give out all windows that start before a time; all of them for None."""
        final = sorted(w for w in self._rows if before_ms is None or w < before_ms)
        for window_ms in final:
            by_series = self._rows.pop(window_ms)
            for series in sorted(by_series):
                row = by_series[series]
                self.sums.windows += 1
                self.sums.corrected += row.revision > 1
                judging = self._judging
                self._output.window(row, judging.prediction_of(row) if judging else None)
        if final and before_ms is not None:
            self._store.forget_completed(self._generation, before_ms)
            if self._judging is not None:
                self._judging.forget(before_ms)


class _Batch:
    """Records of one shard that wait to be counted, with the lines that hold them."""

    def __init__(self, shard_id: str) -> None:
        self.shard_id = shard_id
        self._last = NO_FENCE
        self.clear()

    def clear(self) -> None:
        self.records: list[DecodedRecord] = []
        self._lines: list[int] = []

    def add(self, line: int, record: DecodedRecord) -> None:
        if record.sequence_number > self._last:  # else a redelivery, as the fence knows it
            self._last = record.sequence_number
            self.records.append(record)
            self._lines.append(line)

    def line_of(self, sequence_number: int) -> int:
        at = bisect_left(self.records, sequence_number, key=lambda r: r.sequence_number)
        return self._lines[at]
