"""A stream in a database that `tidegauge explain` is asked about, counted as a test needs it."""

from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from tests.support.closing import close_all
from tests.support.count_stores import MysqlStores
from tests.support.oracle import SIZE, Beat, Log, Told
from tests.support.worlds import CLOSE_RULES, RULES, records
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.judging import MysqlJudgingStore
from tidegauge.adapters.mysql.outbox import MysqlOutbox
from tidegauge.adapters.seasonal import SeasonalPredictor
from tidegauge.domain.close import CloseRules
from tidegauge.domain.event_time import format_time
from tidegauge.domain.judging import JudgingRules
from tidegauge.domain.record import DecodedRecord
from tidegauge.ports import Destination, OutboxMessage, Purged, ShardListing, StreamIdentity
from tidegauge.settings import DatabaseSettings
from tidegauge.steps.collect import collect
from tidegauge.steps.predict import PredictStep
from tidegauge.steps.publish import publish_outbox

# A Monday in 2026: what is young by the clock of a test is old by that of the stream.
BASE = 1_772_409_600_000
STREAM = "arn:aws:kinesis:eu-west-1:1:stream/events"


def at(window: int, offset_ms: int = 0) -> str:
    """Return a moment in a window as people write it."""
    return format_time(BASE + window * SIZE + offset_ms)


def beat(windows: int) -> Beat:
    """A heartbeat that closes so many windows after the base, and no more."""
    return Beat(BASE + windows * SIZE + 60_000)


def event(window: int, ident: int, series: str = "a") -> Told:
    """An event in a window."""
    return Told(f"id-{ident}", series, BASE + window * SIZE + ident % 1000)


def shard_of(told: dict[str, object], shard_id: str) -> dict[str, object]:
    """Return what a certificate's JSON tells of a shard."""
    shards = told["shards"]
    assert isinstance(shards, list)
    (found,) = [shard for shard in shards if shard["shard"] == shard_id]
    assert isinstance(found, dict)
    return found


NUMBERS = ("on_time", "late", "duplicates", "first_sequence_number", "last_sequence_number")

BUSY: Log = [
    Beat(BASE),
    event(0, 1),  # record 2
    event(0, 2),
    event(0, 1),  # again
    beat(1),
    event(0, 3),  # record 6, late
    event(-290, 4),  # too old
    beat(3),
]


class Explained:
    """One stream of a database of its own."""

    def __init__(self, url: str, *, created_ms: int = 0) -> None:
        self.stores = MysqlStores(url)
        self.database = Database.from_settings(DatabaseSettings(database_url=url))
        self.generation = self.stores.counts.generation(StreamIdentity(STREAM, created_ms))

    def listing(self, parents: Mapping[str, Sequence[str]]) -> None:
        """Register shards with their parents."""
        listing = [
            ShardListing(name, tuple(of), 0, 0, closed=False) for name, of in parents.items()
        ]
        self.stores.counts.register_shards(self.generation, listing)

    def count(self, logs: Mapping[str, Sequence[Told | Beat | DecodedRecord]]) -> None:
        """Count each shard's log, or its records."""
        for shard_id, log in logs.items():
            batch = [item for item in log if isinstance(item, DecodedRecord)]
            if not batch:
                batch = records(shard_id, [i for i in log if not isinstance(i, DecodedRecord)])
            collect(self.stores.counts, self.generation, shard_id, batch, RULES)

    def close(self, rules: CloseRules = CLOSE_RULES) -> None:
        """Close all that can be closed."""
        close_all(self.stores.counts, self.generation, rules)

    def purge(self) -> Purged:
        """Purge all windows that are closed, as once no event of them is accepted any more."""
        rules = replace(CLOSE_RULES, max_event_age_ms=0)
        return self.stores.sweeps.purge(self.generation, rules)

    def judge(self, series: str, rules: JudgingRules) -> None:
        """Judge a series' windows."""
        store = MysqlJudgingStore(self.database, interval_level=0.95)
        PredictStep(store, SeasonalPredictor(), rules).run({self.generation: {series}})

    def publish(self) -> None:
        """Send all messages, to nobody."""
        sinks = dict.fromkeys(Destination, _Deaf())
        publish_outbox(MysqlOutbox(self.database), sinks, limit=100_000)

    def execute(self, sql: str, values: Sequence[object] = ()) -> None:
        """Change the database behind the code's back."""
        with self.database.transaction() as cursor:
            cursor.execute(sql, values)

    def end(self) -> None:
        """Let go of connections."""
        self.database.close()
        self.stores.close()


class _Deaf:
    def send(self, messages: Sequence[OutboxMessage]) -> None:
        del messages


MakeExplained = Callable[..., Explained]
