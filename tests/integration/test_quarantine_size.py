"""A quarantine of many and of large items on a real server: what is read stays bounded."""

from collections.abc import Callable, Iterator
from hashlib import sha256

import pytest

from tests.support.count_stores import MysqlStores
from tests.support.lineage_worlds import WIDE
from tests.support.oracle import Beat, Told
from tests.support.quarantined import BY_TYPE, STREAM_NAME, Aside, AsideLine, aside, mixed_records
from tests.support.races import connection_to
from tests.support.rows_read import rows_read
from tests.support.shard_line import beat
from tests.support.worlds import BASE
from tidegauge.adapters.mysql import quarantine
from tidegauge.adapters.mysql.counting import MysqlCountStore
from tidegauge.adapters.mysql.quarantine_store import MysqlQuarantine
from tidegauge.domain.event import RejectReason
from tidegauge.domain.retry import ItemState, Refusal
from tidegauge.ports.quarantine import MAX_LOOKED_AT, ItemFilter
from tidegauge.steps.collect import collect
from tidegauge.steps.quarantine import held, retry

pytestmark = pytest.mark.database

N_ITEMS = 30_000


@pytest.fixture
def line(fresh_database_url: str) -> Iterator[AsideLine]:
    """A stream with one shard."""
    stores = MysqlStores(fresh_database_url)
    yield AsideLine(stores).listing("p")
    stores.close()


def fill(line: AsideLine, url: str) -> None:
    """Set many records aside, every other one of which is settled; a few old ones are empty."""
    with connection_to(url) as database, database.transaction() as cursor:
        cursor.executemany(
            "INSERT INTO quarantine (generation, shard_id, sequence_number, sub_index, reason,"
            " size_bytes, sha256, data, state) VALUES (%s, 'p', %s, 0, %s, 4, '', 'data', %s)",
            [
                (
                    line.generation,
                    str(number),
                    "empty" if number % 100 == 0 and number < N_ITEMS // 2 else "malformed_json",
                    "held" if number % 2 == 0 else "discarded",
                )
                for number in range(2 * N_ITEMS)
            ],
        )
        cursor.execute("ANALYZE TABLE quarantine")


def test_no_page_and_no_sum_reads_more_than_it_may_look_at(
    line: AsideLine, fresh_database_url: str
) -> None:
    fill(line, fresh_database_url)
    with connection_to(fresh_database_url) as database:
        of_stream = MysqlQuarantine(database, STREAM_NAME)

        def read(work: Callable[[], object]) -> int:
            before = rows_read(database)
            work()
            return rows_read(database) - before

        assert read(lambda: of_stream.page(ItemFilter(), limit=20)) < 2_000
        assert read(lambda: of_stream.page(ItemFilter(settled=True), limit=20)) < 2_000
        empty = ItemFilter(frozenset([RejectReason.EMPTY]))
        assert read(lambda: of_stream.page(empty, limit=20)) < 2 * MAX_LOOKED_AT
        assert read(of_stream.totals) < 4 * MAX_LOOKED_AT  # temporary tables are read too
        assert read(of_stream.last_id) < 20
        assert read(lambda: of_stream.held_ids(empty, after=0, until=N_ITEMS)) < 2_000
        assert read(lambda: of_stream.discard([2, 4, 6], "")) < 100

        page = of_stream.page(empty, limit=20)
        assert (page.items, page.next_before) == ([], 2 * N_ITEMS - 2 * MAX_LOOKED_AT + 1)
        page = of_stream.page(empty, limit=20, before=N_ITEMS)
        assert len(page.items) == 20
        totals = of_stream.totals()
        assert not totals.complete
        assert totals.by_reason == {"malformed_json": MAX_LOOKED_AT}
        found = [n for some in held(of_stream, empty, of_stream.last_id()) for n in some]
        assert len(found) == N_ITEMS // 200


def test_large_items_are_kept_read_and_counted_whole(
    line: AsideLine, fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "_PIECE_BYTES", 1_000_000)
    events = [aside(1, "a", number).data for number in range(40_000)]
    batch = b"[" + b",".join(events) + b"]"
    assert len(batch) > 4_000_000
    line.counted("p", [Beat(BASE), Aside(batch)])
    item, data = line.quarantine.item(1)
    assert (data, item.size_bytes) == (batch, len(batch))
    assert item.sha256 == sha256(batch).digest()
    with connection_to(fresh_database_url) as database:
        outcome = retry(MysqlQuarantine(database, STREAM_NAME), 1, BY_TYPE, WIDE)
    assert outcome.counted.on_time == 40_000
    line.counted("p", [Beat(BASE), Aside(batch), beat(1)])
    assert line.close() == [(0, 1, 40_000, "complete")]


def test_beyond_the_limit_only_the_hash_is_kept_and_room_comes_with_what_is_settled(
    line: AsideLine, fresh_database_url: str
) -> None:
    first, second = aside(1, "a", 1), aside(2, "a", 2)
    log: list[Told | Beat | Aside] = [Beat(BASE), first, second]
    with connection_to(fresh_database_url) as database:
        store = MysqlCountStore(database, quarantine_max_bytes=len(first.data) + 10)
        collect(store, line.generation, "p", mixed_records("p", log), WIDE)
        item, data = line.quarantine.item(2)
        assert (data, item.kept, item.state) == (None, False, ItemState.HELD)
        assert item.sha256 == sha256(second.data).digest()
        outcome = line.retry(2)
        assert outcome.refused is not None
        assert outcome.refused.refusal is Refusal.NOT_KEPT
        assert line.retry(1).state is ItemState.COUNTED  # and its room is free
        log.append(aside(3, "a", 3))
        collect(store, line.generation, "p", mixed_records("p", log), WIDE)
        assert line.quarantine.item(3)[1] == aside(3, "a", 3).data
        line.quarantine.discard([2, 3], "")
        with database.transaction() as cursor:
            cursor.execute("SELECT quarantined_bytes FROM shard")
            assert cursor.fetchone() == (0,)
