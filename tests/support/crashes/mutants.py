"""Faults that a rule of the protocol forbids, each put into the product's code of one process.

A test that is right with the code as it is must be wrong with each of them: else it shows nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from tidegauge.adapters.mysql import counting, ledger_rows, queries
from tidegauge.adapters.mysql.closing import MysqlClosing
from tidegauge.adapters.mysql.ledgers import WarmLedgers
from tidegauge.adapters.mysql.lineage import lock_shard
from tidegauge.adapters.mysql.queries import query
from tidegauge.adapters.mysql.times import from_sql
from tidegauge.domain.close import StepCount
from tidegauge.domain.event_time import LATEST_TIME_MS
from tidegauge.domain.fold import BatchCount, Partial, ShardState, count_batch
from tidegauge.domain.lineage import ShardLine
from tidegauge.domain.record import DecodedRecord
from tidegauge.steps import collect

if TYPE_CHECKING:
    from pymysql.cursors import Cursor


def plain_read_before_the_lock() -> None:
    """The shard's row is read, then locked, and what was read first is believed."""

    def read_then_lock(cursor: "Cursor", generation: int, shard_id: str) -> tuple[ShardLine, int]:
        locking = query("lock_shard")
        _queries()["lock_shard"] = locking.removesuffix(" FOR UPDATE")
        read = lock_shard(cursor, generation, shard_id)
        _queries()["lock_shard"] = locking
        lock_shard(cursor, generation, shard_id)
        return read

    counting.lock_shard = read_then_lock  # type: ignore[attr-defined]


def sets_kept_when_others_wrote() -> None:
    """What a warm process remembers is believed though somebody else has counted since."""

    def keep(self: WarmLedgers, shard: tuple[int, str]) -> None:
        """Do nothing."""

    WarmLedgers.drop = keep  # type: ignore[method-assign]


def sets_kept_after_a_rollback() -> None:
    """A warm process adds to its sets before COMMIT has answered, and drops them on no error."""
    sets_kept_when_others_wrote()
    write = counting._Collecting.write  # noqa: SLF001

    def write_and_keep(self: counting._Collecting, batch: BatchCount) -> None:
        write(self, batch)
        self.committed()

    counting._Collecting.write = write_and_keep  # type: ignore[method-assign]  # noqa: SLF001


def counts_before_stream_times() -> None:
    """A closing sums the partial counts before it reads how far the shards are."""
    begin, counts = MysqlClosing.__init__, MysqlClosing.counts
    read: list[StepCount] = []

    def begin_with_counts(self: MysqlClosing, cursor: "Cursor", generation: int) -> None:
        begin(self, cursor, generation)
        read[:] = counts(self, None, LATEST_TIME_MS)

    def counts_read_before(
        self: MysqlClosing,  # noqa: ARG001 - as the method has it
        first_ms: int | None,
        until_ms: int,
    ) -> list[StepCount]:
        return [
            count
            for count in read
            if count.step_ms < until_ms and (first_ms is None or count.step_ms >= first_ms)
        ]

    MysqlClosing.__init__ = begin_with_counts  # type: ignore[method-assign]
    MysqlClosing.counts = counts_read_before  # type: ignore[method-assign]


def fence_as_text() -> None:
    """Sequence numbers are compared as the text that the database stores."""

    def count(
        state: ShardState, records: Sequence[DecodedRecord], *rest: Any, **names: Any
    ) -> BatchCount:
        behind = [
            r for r in records if state.fence < 0 or str(r.sequence_number) > str(state.fence)
        ]
        return count_batch(state, behind, *rest, **names)

    collect.count_batch = count  # type: ignore[attr-defined]


def series_as_text() -> None:
    """Series stand in a text column, whose collation takes `Order`, `order ` and `ordér` for one.

    `TEXT_SERIES` makes the column so; this reads it.
    """
    for name in ("step_counts", "step_counts_from_all"):
        folded = query(name).replace(
            "window_start, series, SUM", "window_start, BINARY series, SUM"
        )
        _queries()[name] = folded


TEXT_SERIES = (
    "ALTER TABLE partial_count"
    " MODIFY series VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL"
)


def parents_ledgers_only() -> None:
    """A key is looked for in the ledgers of a shard and its parents, and no further up."""

    def nearest(shard_id: str, parents: Mapping[str, Iterable[str]]) -> list[str]:
        return [shard_id, *(parent for parent in parents[shard_id] if parent in parents)]

    ledger_rows.ancestry = nearest  # type: ignore[attr-defined]


def lateness_by_the_database() -> None:
    """An event is late if its window is closed by the time that it is counted."""
    write = counting._Collecting.write  # noqa: SLF001

    def write_by_the_frontier(self: counting._Collecting, batch: BatchCount) -> None:
        self._cursor.execute(
            "SELECT next_window FROM frontier WHERE generation = %s", self._shard[:1]
        )
        row = self._cursor.fetchone()
        open_ms = from_sql(row[0]) if row is not None else None
        partials: dict[Partial, int] = {}
        spans: dict[Partial, tuple[int, int]] = {}
        for partial, number in batch.partials.items():
            step_ms = max(partial.window_start_ms, open_ms or 0)
            moved = replace(partial, step_ms=step_ms)
            partials[moved] = partials.get(moved, 0) + number
            spans[moved] = batch.spans[partial]
        batch.partials, batch.spans = partials, spans
        write(self, batch)

    counting._Collecting.write = write_by_the_frontier  # type: ignore[method-assign]  # noqa: SLF001


def _queries() -> dict[str, str]:
    return queries._queries()  # noqa: SLF001 - changed in place, for this process alone


MUTANTS: dict[str, Callable[[], None]] = {
    mutant.__name__: mutant
    for mutant in (
        plain_read_before_the_lock,
        sets_kept_when_others_wrote,
        sets_kept_after_a_rollback,
        counts_before_stream_times,
        fence_as_text,
        series_as_text,
        parents_ledgers_only,
        lateness_by_the_database,
    )
}


def apply(name: str) -> None:
    """Put a fault into the code of this process."""
    MUTANTS[name]()
