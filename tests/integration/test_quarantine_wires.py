"""Counting anew and giving up while the wire to the database breaks at every statement in turn."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.support.count_stores import MysqlStores
from tests.support.cutting_proxy import CuttingProxy, cutting_proxy
from tests.support.lineage_worlds import WIDE
from tests.support.oracle import Beat
from tests.support.quarantined import BY_TYPE, STREAM_NAME, Aside, AsideLine, MixedLog, aside
from tests.support.shard_line import beat
from tests.support.worlds import BASE, told
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.quarantine_store import MysqlQuarantine
from tidegauge.domain.event import RejectReason
from tidegauge.domain.retry import ItemState
from tidegauge.settings import DatabaseAddress
from tidegauge.steps.quarantine import discard, retry

pytestmark = pytest.mark.database

LOG: MixedLog = [
    Beat(BASE),
    aside(1, "a", 1),
    Aside(b"noise", RejectReason.MALFORMED_JSON),
    told(2, "a", 2),
    aside(2, "a", 2),
]


@pytest.fixture
def stores(fresh_database_url: str) -> Iterator[MysqlStores]:
    """Stores whose wire holds."""
    made = MysqlStores(fresh_database_url)
    yield made
    made.close()


@pytest.fixture
def proxy(stores: MysqlStores, fresh_database_url: str) -> Iterator[CuttingProxy]:
    """A wire to the same database."""
    del stores
    with cutting_proxy(DatabaseAddress.from_url(fresh_database_url)) as made:
        yield made


@pytest.fixture
def through(proxy: CuttingProxy, fresh_database_url: str) -> Iterator[Database]:
    """A database behind that wire."""
    address = replace(DatabaseAddress.from_url(fresh_database_url), port=proxy.port)
    database = Database(lambda _: address, needs_tls=lambda _: False)
    yield database
    database.close()


def begin(stores: MysqlStores, number: int) -> tuple[AsideLine, list[int]]:
    """Return a stream made anew, of which three records are set aside, and their numbers."""
    line = AsideLine(stores, created_ms=number)
    line.listing("p", "c<p").counted("p", LOG)
    line.drain("p")
    last = line.quarantine.last_id()
    return line, [last - 2, last - 1, last]


def check(line: AsideLine, item_ids: list[int]) -> None:
    items = [line.quarantine.item(item_id)[0] for item_id in item_ids]
    assert [item.state for item in items] == ["counted", "discarded", "known"]
    assert not any(item.kept for item in items)
    line.counted("c", [told(1, "a", 1), told(3, "a", 3), beat(1)])
    assert line.close() == [(0, 1, 3, "complete")]


def test_what_is_counted_anew_and_given_up_is_so_once_wherever_the_wire_breaks(
    stores: MysqlStores, proxy: CuttingProxy, through: Database
) -> None:
    quarantine = MysqlQuarantine(through, STREAM_NAME)
    n_cut = n_begun = 0
    for after in (False, True):
        for statement in range(200):
            n_begun += 1
            line, item_ids = begin(stores, n_begun)
            before = len(proxy.cut)
            proxy.arm(statement, after=after)
            for item_id in (item_ids[0], item_ids[2]):
                outcome = retry(quarantine, item_id, BY_TYPE, WIDE)
                assert outcome.state in (ItemState.COUNTED, ItemState.KNOWN)
            (outcome,) = discard(quarantine, [item_ids[1]], "noise")
            assert outcome.state is ItemState.DISCARDED
            proxy.arm(10**9, after=False)
            check(line, item_ids)
            if len(proxy.cut) == before:
                break
            n_cut += 1
    assert n_cut > 80
    assert any(statement.startswith(b"COMMIT") for statement in proxy.cut)
    with through.transaction() as cursor:
        cursor.execute("SELECT SUM(quarantined_bytes), MAX(ledger_number) FROM shard")
        assert cursor.fetchone() == (0, 2)  # of the batch, and of one retry: never of two
