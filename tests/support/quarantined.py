"""Logs in which some records are set aside though they hold events, as by rules that changed."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.count_stores import Stores
from tests.support.events import event_json
from tests.support.lineage_worlds import WIDE
from tests.support.oracle import Beat, Told
from tests.support.shard_line import STREAM, Line
from tests.support.worlds import told
from tidegauge.domain.decode import SeriesBy, event_key
from tidegauge.domain.event import Event, Heartbeat, Rejection, RejectReason
from tidegauge.domain.fold import CountRules
from tidegauge.domain.record import DecodedRecord
from tidegauge.steps.collect import Collected, collect
from tidegauge.steps.quarantine import Outcome, retry

STREAM_NAME = STREAM.rpartition("/")[2]
BY_TYPE = SeriesBy()


@dataclass(frozen=True)
class Aside:
    """A record that is set aside, whatever it holds."""

    data: bytes
    reason: RejectReason = RejectReason.SERIES_TOO_LONG
    arrival_time_ms: int | None = None


MixedLog = Sequence[Told | Beat | Aside]


def aside(offset: int, series: str, ident: int) -> Aside:
    """The event that `told` has in a log, set aside."""
    event = told(offset, series, ident)
    return Aside(event_json(event.id, event.time, series=event.series, source="/s"))


def mixed_records(shard_id: str, log: MixedLog) -> list[DecodedRecord]:
    """Return a log as decoded records, numbered from 1."""
    made = []
    for number, item in enumerate(log, start=1):
        found: Event | Heartbeat | Rejection
        data, arrival_time_ms = b"", None
        if isinstance(item, Beat):
            found = Heartbeat("/clock", item.time, shard_id, None)
        elif isinstance(item, Aside):
            found = Rejection(item.reason, item.data)
            data, arrival_time_ms = item.data, item.arrival_time_ms
        else:
            found = Event(event_key("/s", item.id), item.series, item.time)
        made.append(DecodedRecord(number, arrival_time_ms, (found,), data))
    return made


class AsideLine(Line):
    """A line of shards of which some records are set aside, and their quarantine."""

    def __init__(self, stores: Stores, *, created_ms: int = 1) -> None:
        super().__init__(stores, created_ms=created_ms)
        self.quarantine = stores.quarantine(STREAM_NAME)

    def counted(
        self, shard_id: str, log: MixedLog, rules: CountRules = WIDE, *, fresh: bool = False
    ) -> Collected:
        """Count a shard's log as far as it is written; by a process that keeps nothing: `fresh`."""
        counts = self.stores.fresh() if fresh else self.stores.counts
        return collect(counts, self.generation, shard_id, mixed_records(shard_id, log), rules)

    def retry(self, item_id: int, rules: CountRules = WIDE, by: SeriesBy = BY_TYPE) -> Outcome:
        """Count an item anew."""
        return retry(self.quarantine, item_id, by, rules)
