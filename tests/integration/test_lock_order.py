"""Locks in order: frontier first, then shards by their ids; no transaction goes back.

Read from the statements that the server is given, whoever sends them: two transactions that keep to
one order never wait for each other in a circle.
"""

import random
import re
from collections.abc import Iterator

import pytest
from pymysql.connections import Connection

from tests.support.count_stores import MysqlStores
from tests.support.lineage_worlds import Counting, resharded
from tests.support.oracle import Beat
from tests.support.quarantined import AsideLine, aside
from tests.support.shard_line import beat, event
from tests.support.worlds import BASE, CLOSE_RULES, told

pytestmark = pytest.mark.database

FRONTIER = ""  # sorts before every shard
_ONE_SHARD = re.compile(r"\bshard WHERE generation = \d+ AND shard_id = '([^']*)'\s*FOR UPDATE")
_UPDATED = re.compile(r"UPDATE shard\b.*\bshard_id = '([^']*)'", re.DOTALL)


class Transactions:
    """The rows of frontier and shards that each transaction locked, in the order of locking."""

    def __init__(self) -> None:
        self.done: list[list[str]] = []
        self._open: dict[int, list[str]] = {}

    def note(self, connection: int, sql: str) -> None:
        """Take a statement of a connection."""
        if sql.startswith(("BEGIN", "COMMIT", "ROLLBACK")):
            locked = self._open.pop(connection, [])
            if locked:
                self.done.append(locked)
            return
        for row in locked_by(sql):
            rows = self._open.setdefault(connection, [])
            if row not in rows:
                rows.append(row)


def locked_by(sql: str) -> list[str]:
    """Return the rows of frontier or shards that a statement locks for itself."""
    if "FROM frontier" in sql and "FOR UPDATE" in sql:
        return [FRONTIER]
    if sql.lstrip().startswith("UPDATE frontier"):
        return [FRONTIER]
    found = _ONE_SHARD.search(sql) or _UPDATED.search(sql)
    return [found[1]] if found else []


@pytest.fixture
def transactions(monkeypatch: pytest.MonkeyPatch) -> Transactions:
    """Everything that is locked from now on."""
    seen = Transactions()
    send = Connection._execute_command  # type: ignore[attr-defined]  # noqa: SLF001

    def noted(self: Connection, command: int, sql: str | bytes) -> None:
        text = sql if isinstance(sql, str) else sql.decode(errors="replace")
        seen.note(id(self), text)
        send(self, command, sql)

    monkeypatch.setattr(Connection, "_execute_command", noted)
    return seen


@pytest.fixture
def stores(fresh_database_url: str) -> Iterator[MysqlStores]:
    """Stores on a database of their own."""
    made = MysqlStores(fresh_database_url)
    yield made
    made.close()


def test_random_streams_are_counted_drained_and_closed_with_locks_in_order(
    stores: MysqlStores, transactions: Transactions
) -> None:
    for seed in range(12):
        chance = random.Random(seed)  # noqa: S311
        Counting(stores.counts, stores.sweeps, resharded(chance), name=f"s-{seed}").run(chance)
    check(transactions, several=20)


def test_losses_retries_and_purges_lock_in_order_too(
    stores: MysqlStores, transactions: Transactions
) -> None:
    line = AsideLine(stores)
    line.listing("p", "q", "c<p,q")
    line.counted("q", [Beat(BASE), told(1, "a", 1), aside(2, "a", 2), beat(1)])
    line.counted("p", [Beat(BASE), told(2, "a", 2), beat(1)])
    assert stores.sweeps.note_failure(line.generation, "q", "failed", [event(5, 5)], CLOSE_RULES)
    assert line.drain("q")
    line.listing("q", "c<p,q", "d", gone=["p"])
    assert line.retry(1).changed
    assert line.close()
    stores.sweeps.purge(line.generation, CLOSE_RULES)
    check(transactions, several=2)


def check(transactions: Transactions, *, several: int) -> None:
    """Check the order of every transaction; some of them must have locked several rows."""
    for rows in transactions.done:
        assert rows == sorted(rows), rows
        if len(rows) > 1:
            assert rows[0] == FRONTIER, rows
    assert sum(len(rows) > 2 for rows in transactions.done) >= several
