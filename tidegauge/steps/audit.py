"""The audit step: recounts a source of events and holds it against what was announced.

Takes the books first, all as of one moment, and then reads the source as far as they reach: what
comes later is on neither side. Changes nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from math import inf, isinf

from tidegauge.domain.audit import (
    LEAST_RETENTION_MS,
    Audit,
    Books,
    Held,
    audit,
    forgotten_until_ms,
    rulings_by_shard,
)
from tidegauge.domain.decode import SeriesBy, decode
from tidegauge.domain.errors import InvalidInput, Transient
from tidegauge.domain.event_time import format_time
from tidegauge.domain.fold import NO_FENCE, CountRules
from tidegauge.domain.offered import Offered
from tidegauge.domain.record import DecodedRecord
from tidegauge.domain.recount import FileRecount, Recounted, ShardRecount, Span, over_lineage
from tidegauge.ports import Clock, StreamIdentity
from tidegauge.ports.audit import BookKeeper, RereadStream
from tidegauge.steps.recorded_clock import RecordedLine
from tidegauge.steps.replay import SetAside
from tidegauge.steps.replay_clock import Beat, Told

# How far a stream is read, in thousandths of a shard.
SHARD_PARTS = 1000
Progress = Callable[[int], None]


class Auditor:
    """Audits one span of one stream's counts.

    Args:
        keeper: Where they are kept.
        rules: By which they were counted.
        series_by: The same.
        asked: The windows.
        generation: As for `BookKeeper.books`.

    Raises:
        InvalidInput: there is nothing to compare; says why, and what to do.
    """

    def __init__(
        self,
        keeper: BookKeeper,
        rules: CountRules,
        series_by: SeriesBy,
        asked: Span,
        *,
        generation: int | None = None,
    ) -> None:
        self._rules = rules
        self._series_by = series_by
        self._asked = asked
        if not asked.n_windows:
            msg = (
                f"no window of {rules.size_ms // 1000} seconds starts in the time that FROM and TO "
                "leave: ask for more of it"
            )
            raise InvalidInput(msg)
        books = keeper.books(asked, generation)
        if books is None:
            which = "" if generation is None else f"as generation {generation} "
            msg = (
                f"nothing of this stream was ever counted {which}in this database: EVENTS_STREAM "
                "and DATABASE_URL must be those of its functions"
            )
            raise InvalidInput(msg)
        self.books: Books = books
        self._closed = asked.cut(asked.from_ms, _first_open_ms(books, asked))

    def of_file(self, told: Iterable[Told]) -> Audit:
        """Audit against the events of a file, in its order, as a replay would send them."""
        recount = FileRecount(self._closed, self._series_by, self.books.rulings)
        for one in told:
            if isinstance(one, Offered):
                recount.take(one.item, one.data)
            elif not isinstance(one, Beat):
                recount.take(one.offered.item, one.offered.data, unconfirmed=True)
        return self._audit(recount.result(), self._closed)

    def of_recording(
        self, lines: Iterable[RecordedLine | SetAside], parents: Mapping[str, tuple[str, ...]]
    ) -> Audit:
        """Audit against recorded records of this very stream.

        Args:
            lines: In order of each shard.
            parents: Of each recorded shard, as far as the recording knows.

        Raises:
            InvalidInput: none of the shards is one of the stream's.
        """
        shards = self._shards()
        foreign: set[str] = set()
        no_records: Counter[str] = Counter()
        for line in lines:
            if isinstance(line, SetAside):
                no_records[line.rejection.reason] += 1
            elif line.shard_id in shards:
                shards[line.shard_id].take(line.record)
            else:
                foreign.add(line.shard_id)
        if foreign and all(shard.last == NO_FENCE for shard in shards.values()):
            msg = (
                f"the recording is of other shards ({', '.join(sorted(foreign)[:3])}) than stream "
                f"{self.books.stream_arn} was counted from: audit with a recording of that stream"
            )
            raise InvalidInput(msg)
        recounted = over_lineage(shards, {**parents, **self._parents()})
        recounted.no_events.update(no_records)
        return self._audit(recounted, self._closed)

    def of_stream(
        self, stream: RereadStream, clock: Clock, progress: Progress = lambda _: None
    ) -> Audit:
        """Audit against what the stream still holds.

        Args:
            stream: The stream.
            clock: Tells what the stream may have forgotten.
            progress: Told how much was read, in `SHARD_PARTS` of each shard.

        Raises:
            InvalidInput: the stream is another one by now, or has forgotten all of the span.
            Transient: the stream cannot be read now.
        """
        identity = stream.identity()
        self._check_identity(identity)
        shards = self._shards()
        for number, shard in enumerate(self.books.shards):
            if shard.fence != NO_FENCE:
                reading = _Reading(shard.fence, progress, number * SHARD_PARTS)
                reading.all(stream, shards[shard.shard_id], self._series_by)
            progress((number + 1) * SHARD_PARTS)
        if stream.identity() != identity:
            msg = "the stream was made anew under its name while it was read: ask again"
            raise Transient(msg)
        recounted = over_lineage(shards, self._parents())
        return self._audit(recounted, self._covered(shards, clock))

    def _shards(self) -> dict[str, ShardRecount]:
        times = {shard.shard_id: shard.stream_time_ms for shard in self.books.shards}
        rulings = rulings_by_shard(self.books.rulings)
        return {
            shard.shard_id: ShardRecount(
                shard.shard_id,
                self._rules,
                self._closed,
                self._series_by,
                fence=shard.fence,
                inherited_ms=max(
                    (ms for name in shard.parent_ids if (ms := times.get(name)) is not None),
                    default=None,
                ),
                rulings=rulings.get(shard.shard_id, ()),
            )
            for shard in self.books.shards
        }

    def _parents(self) -> dict[str, tuple[str, ...]]:
        return {shard.shard_id: shard.parent_ids for shard in self.books.shards}

    def _check_identity(self, identity: StreamIdentity) -> None:
        books = self.books
        if identity == StreamIdentity(books.stream_arn, books.created_ms):
            return
        made = format_time(identity.created_ms)
        msg = (
            f"the stream that is there now was made at {made}; generation {books.generation} was "
            f"counted from one made at {format_time(books.created_ms)}, whose records nobody can "
            "read any more: audit with --fixture"
        )
        raise InvalidInput(msg)

    def _covered(self, shards: Mapping[str, ShardRecount], clock: Clock) -> Span:
        """Return the closed windows of which the stream cannot have forgotten anything."""
        latest_ms = clock.now_ms() - LEAST_RETENTION_MS
        if self.books.created_ms >= latest_ms:
            return self._closed
        held = {
            shard.shard_id: Held(
                shard,
                shards[shard.shard_id].first_arrival_ms,
                shards[shard.shard_id].first_beat_ms,
                broken=shards[shard.shard_id].restarted,
            )
            for shard in self.books.shards
        }
        forgotten_ms = forgotten_until_ms(
            held, clock_is_sweep=self._rules.clock_is_sweep, latest_ms=latest_ms
        )
        if forgotten_ms is None:
            return self._closed
        first_ms = inf if isinf(forgotten_ms) else forgotten_ms + self._rules.max_future_skew_ms + 1
        if first_ms >= self._closed.until_ms:
            msg = (
                "the stream may have forgotten records of every window of this time: ask for a "
                "later FROM, or audit with --fixture"
            )
            raise InvalidInput(msg)
        return self._closed.cut(int(first_ms), self._closed.until_ms)

    def _audit(self, recounted: Recounted, compared: Span) -> Audit:
        return audit(self.books, recounted, self._asked, compared)


def _first_open_ms(books: Books, asked: Span) -> int:
    """Return the first open window. Raises InvalidInput where it is not behind what was asked."""
    next_ms = books.next_window_ms
    if next_ms is None:
        msg = (
            "no window of this stream is closed yet, so that there is nothing to compare: "
            "`tidegauge status` says what holds them back"
        )
        raise InvalidInput(msg)
    if next_ms <= asked.from_ms:
        msg = (
            f"no window of this time is closed yet: the first open one starts at "
            f"{format_time(next_ms)}; ask for an earlier FROM"
        )
        raise InvalidInput(msg)
    return next_ms


class _Reading:
    """Reads one shard; sequence numbers tell roughly how much of it is read."""

    def __init__(self, fence: int, progress: Progress, done: int) -> None:
        self._fence = fence
        self._progress = progress
        self._done = done
        self._first: int | None = None

    def all(self, stream: RereadStream, shard: ShardRecount, series_by: SeriesBy) -> None:
        for page in stream.pages(shard.shard_id, self._fence):
            if not page.whole:
                shard.restart()
            for record in page.records:
                items = decode(record.data, series_by)
                shard.take(
                    DecodedRecord(
                        record.sequence_number, record.arrival_time_ms, items, record.data
                    )
                )
            if page.records:
                self._tell(page.records[0].sequence_number, page.records[-1].sequence_number)

    def _tell(self, first: int, last: int) -> None:
        if self._first is None:
            self._first = first
        whole = max(1, self._fence - self._first)
        part = (last - self._first) * SHARD_PARTS // whole
        self._progress(self._done + min(SHARD_PARTS, part))
