"""What audits are tried on: the books of any store of counts, and streams that are read again."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256

from tests.support.worlds import RULES
from tidegauge.domain.audit import Announced, Audit, Books, CountedShard, Difference, KnownGap
from tidegauge.domain.count import CompletedWindow, Quality
from tidegauge.domain.decode import SeriesBy
from tidegauge.domain.fold import CountRules, Quarantined
from tidegauge.domain.record import DecodedRecord, Record
from tidegauge.domain.recount import Ruling, Span
from tidegauge.domain.retry import ItemState
from tidegauge.ports import CountStore, StreamIdentity, SweepStore
from tidegauge.ports.audit import Page
from tidegauge.ports.quarantine import ItemFilter, QuarantineStore
from tidegauge.steps.audit import Auditor
from tidegauge.steps.recorded_clock import RecordedLine

Change = Callable[[Books], None]


class StoreBooks:
    """The books of one generation, read through what every store offers to the steps.

    Args:
        counts: The store.
        sweeps: Its shards.
        generation: The stream generation's number.
        rulings: What was set aside so far.
        change: Tampers with the books.
        arn: Of the stream.
    """

    def __init__(
        self,
        counts: CountStore,
        sweeps: SweepStore,
        generation: int,
        *,
        rulings: Callable[[], Iterable[Ruling]] = tuple,
        change: Change = lambda _: None,
        arn: str = "s",
    ) -> None:
        self._counts = counts
        self._sweeps = sweeps
        self._generation = generation
        self._rulings = rulings
        self._change = change
        self._arn = arn

    def books(self, span: Span, generation: int | None) -> Books | None:
        assert generation in (None, self._generation)
        with self._counts.closing(self._generation) as closing:
            next_ms = closing.frontier.next_window_ms
            closed = span.cut(span.from_ms, span.from_ms if next_ms is None else next_ms)
            starts = range(closed.from_ms, closed.until_ms, closed.size_ms)
            series = closing.series()
            rows = closing.latest({(at, name) for at in starts for name in series})
            untold = closing.counts(next_ms, 1 << 45)
            gaps = closing.gaps(closed.from_ms, closed.until_ms)
        books = Books(
            generation=self._generation,
            stream_arn=self._arn,
            created_ms=0,
            next_window_ms=next_ms,
            shards=[
                CountedShard(one.shard_id, one.parent_ids, one.fence, one.stream_time_ms)
                for one in self._sweeps.shards(self._generation)
            ],
            announced=announced(rows.values()),
            gaps=[KnownGap(from_ms, until_ms, "", "") for from_ms, until_ms in sorted(gaps)],
            rulings=list(self._rulings()),
        )
        for count in untold:
            if closed.holds(count.window_start_ms) and count.count:
                counts = books.announced.counts.setdefault(count.window_start_ms, {})
                counts[count.series] = counts.get(count.series, 0) + count.count
                books.announced.late[count.window_start_ms] += count.count
        self._change(books)
        return books


def announced(rows: Iterable[CompletedWindow]) -> Announced:
    """Return what last revisions tell."""
    told = Announced({}, Counter(), {})
    for row in rows:
        if row.count:
            told.counts.setdefault(row.window_start_ms, {})[row.series] = row.count
        if row.late:
            told.late[row.window_start_ms] += row.late
        if row.quality in (Quality.PARTIAL, Quality.GAP, Quality.SUSPECT):
            told.qualities.setdefault(row.window_start_ms, set()).add(row.quality)
    return told


def ruling(shard_id: str, item: Quarantined, state: ItemState = ItemState.HELD) -> Ruling:
    """Return what quarantine holds of something that was set aside."""
    return Ruling(
        shard_id,
        item.sequence_number,
        item.sub_index,
        item.reason.value,
        state,
        sha256(item.data).digest(),
    )


def rulings_in(quarantine: QuarantineStore) -> list[Ruling]:
    """Return what the quarantine of a stream holds, or has settled."""
    page = quarantine.page(ItemFilter(settled=True), limit=1000)
    return [
        Ruling(i.shard_id, i.sequence_number, i.sub_index, i.reason, i.state, i.sha256)
        for i in page.items
    ]


def lines_of(logs: Mapping[str, Sequence[DecodedRecord]]) -> list[RecordedLine]:
    """Return logs as the lines of a recording, shard by shard, children first."""
    return [
        RecordedLine(0, shard_id, "", record)
        for shard_id in reversed(list(logs))
        for record in logs[shard_id]
    ]


def audited(
    books: StoreBooks,
    lines: Iterable[RecordedLine],
    span: Span,
    *,
    rules: CountRules = RULES,
) -> Audit:
    """Audit against a recording that knows of no lineage: the store's own has to do."""
    return Auditor(books, rules, SeriesBy(), span).of_recording(lines, {})


def places(differences: Iterable[Difference]) -> dict[tuple[int, str], int]:
    """Return how far each count is wrong, by window start and series."""
    return {(one.window_start_ms, one.series): one.difference for one in differences}


class FixedStream:
    """A stream whose shards hold fixed pages.

    Args:
        identity: What it is.
        shards: The pages of each shard; the first is never whole, others are unless named here.
        broken: Shard and number of the pages that may lack something before them.
    """

    def __init__(
        self,
        identity: StreamIdentity,
        shards: Mapping[str, Sequence[Sequence[Record]]],
        *,
        broken: Iterable[tuple[str, int]] = (),
    ) -> None:
        self.now = identity
        self._shards = shards
        self._broken = set(broken)
        self.reads: list[str] = []

    def identity(self) -> StreamIdentity:
        return self.now

    def pages(self, shard_id: str, until: int) -> Iterator[Page]:
        self.reads.append(shard_id)
        for number, page in enumerate(self._shards.get(shard_id, ())):
            whole = number > 0 and (shard_id, number) not in self._broken
            yield Page([r for r in page if r.sequence_number <= until], whole)
