"""A polled table as a source: nothing left out, whatever is committed late, little put twice."""

import json
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support.sources import MemoryWriter
from tidegauge.adapters.mysql.connection import Database
from tidegauge.adapters.mysql.migrate import migrate
from tidegauge.adapters.mysql.source import DatabaseSource
from tidegauge.cli import main
from tidegauge.domain.decode import SeriesBy, decode
from tidegauge.domain.errors import Misconfigured, Transient
from tidegauge.domain.event import Event, Rejection
from tidegauge.domain.event_time import parse_time_ms
from tidegauge.settings import DatabaseSettings
from tidegauge.steps.produce import produce

pytestmark = pytest.mark.database

QUERY = (
    "SELECT id AS position, id, created_at AS time, 'order.placed' AS type,"
    " customer AS partition_key, country, amount"
    " FROM orders WHERE id > %(after)s AND country <> '%%' ORDER BY id LIMIT %(limit)s"
)
CREATED = datetime(2026, 11, 24, 10, 0, 0, 500_000)  # noqa: DTZ001 - as the table holds it
TABLE = (
    "CREATE TABLE orders (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,"
    " created_at DATETIME(3) NULL, customer VARCHAR(20), country VARCHAR(20),"
    " amount DECIMAL(10, 2)) ENGINE = InnoDB"
)


class Shop:
    """A table of orders in a database of its own, polled by sources."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._opened: list[Database] = []
        self.database = self.connect()
        migrate(self.database)
        self.execute(TABLE)

    def connect(self) -> Database:
        database = Database.from_settings(DatabaseSettings(database_url=self.url))
        self._opened.append(database)
        return database

    def close(self) -> None:
        for database in self._opened:
            database.close()

    def execute(self, statement: str, *values: Any) -> None:
        with self.database.transaction() as cursor:
            cursor.execute(statement, values)

    def order(self, *ids: int, country: str = "DE") -> None:
        for number in ids:
            self.execute(
                "INSERT INTO orders VALUES (%s, %s, %s, %s, 9.50)",
                number, CREATED + timedelta(seconds=number), f"c-{number % 7}", country,
            )  # fmt: skip

    def source(self, query: str = QUERY, *, overlap: int = 10) -> DatabaseSource:
        return DatabaseSource("orders", query, self.connect(), self.connect(), overlap=overlap)


@pytest.fixture
def shop(fresh_database_url: str) -> Iterator[Shop]:
    shop = Shop(fresh_database_url)
    yield shop
    shop.close()


def ids(writer: MemoryWriter) -> list[int]:
    return [int(json.loads(data)["id"]) for data in writer.data]


def test_a_row_becomes_an_event_with_its_further_columns_as_data(shop: Shop) -> None:
    shop.order(3)
    writer = MemoryWriter()
    assert produce(shop.source(), writer).events == 1
    (entry,) = writer.log
    assert json.loads(entry.data) == {
        "specversion": "1.0",
        "source": "/tidegauge/source/orders",
        "id": "3",
        "type": "order.placed",
        "time": "2026-11-24T10:00:03.500000Z",
        "data": {"country": "DE", "amount": "9.50"},
    }
    assert entry.partition_key == "c-3"
    (event,) = decode(entry.data, SeriesBy(("type", "data.country")))
    assert isinstance(event, Event)
    assert event.series == '["order.placed","DE"]'
    assert event.event_time_ms == parse_time_ms("2026-11-24T10:00:03.5Z")


def test_a_source_goes_on_behind_its_position_and_puts_nothing_twice(shop: Shop) -> None:
    writer, source = MemoryWriter(), shop.source()
    assert produce(source, writer).events == 0
    assert source.position() == "-1"
    for first in (1, 4, 30):
        shop.order(*range(first, first + 3))
        produce(source, writer)
    assert ids(writer) == [1, 2, 3, 4, 5, 6, 30, 31, 32]
    assert source.position() == "32"
    assert produce(source, writer).events == 0


def test_a_row_that_is_committed_late_is_found_in_the_overlap_and_once(shop: Shop) -> None:
    writer, source = MemoryWriter(), shop.source()
    slow = shop.connect()
    with slow.transaction() as cursor:
        cursor.execute("INSERT INTO orders VALUES (5, %s, 'c', 'FR', 1)", (CREATED,))
        shop.order(4, 6, 7)
        produce(source, writer)
        assert ids(writer) == [4, 6, 7]
    for _ in range(3):
        produce(source, writer)
    assert ids(writer) == [4, 6, 7, 5]
    assert source.position() == "7"


def test_a_new_process_puts_the_overlap_once_more_and_nothing_before_it(shop: Shop) -> None:
    shop.order(*range(1, 31))
    produce(shop.source(), MemoryWriter())
    again = MemoryWriter()
    source = shop.source()
    produce(source, again)
    assert ids(again) == list(range(21, 31))
    produce(source, again)
    assert len(again.log) == 10


def test_what_was_not_acknowledged_is_put_again(shop: Shop) -> None:
    shop.order(1, 2, 3, 4)
    source = shop.source()
    writer = MemoryWriter(fails=lambda put: put == 0)
    with pytest.raises(Transient):
        produce(source, writer)
    assert source.position() == "-1"
    produce(source, writer)
    assert set(ids(writer)) == {1, 2, 3, 4}
    assert source.position() == "4"


def test_more_rows_than_one_batch_all_come_at_once(shop: Shop) -> None:
    shop.execute(
        "INSERT INTO orders (id, created_at, customer, country) SELECT seq.n, %s, 'c', 'DE' FROM ("
        " WITH RECURSIVE numbers AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers"
        " WHERE n < 900) SELECT n FROM numbers UNION SELECT n + 1000 FROM numbers"
        " UNION SELECT n + 2000 FROM numbers UNION SELECT n + 3000 FROM numbers"
        " UNION SELECT n + 4000 FROM numbers) AS seq",
        CREATED,
    )
    writer = MemoryWriter()
    source = shop.source(overlap=100)
    assert produce(source, writer).events == 4_500
    assert len(set(ids(writer))) == 4_500
    assert source.position() == "4900"


def test_two_that_poll_at_once_leave_nothing_out_and_never_turn_the_position_back(
    shop: Shop,
) -> None:
    one, other = shop.source(), shop.source()
    writers = MemoryWriter(), MemoryWriter()
    shop.order(1, 2)
    early = one.poll(one.position())
    shop.order(3, 4)
    produce(other, writers[1])
    one.commit(early.position)
    assert one.position() == other.position() == "4"
    assert ids(writers[1]) == [1, 2, 3, 4]


def test_a_row_without_a_time_is_put_for_collect_to_set_aside(shop: Shop) -> None:
    shop.execute("INSERT INTO orders VALUES (1, NULL, NULL, 'DE', NULL)")
    writer = MemoryWriter()
    produce(shop.source(), writer)
    (item,) = decode(writer.data[0], SeriesBy(("type",)))
    assert isinstance(item, Rejection)
    assert writer.log[0].partition_key == "1"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT id AS position, id FROM orders WHERE id > %(after)s LIMIT %(limit)s",
         "must give the columns time, type too; it gives position, id"),
        (QUERY.replace("FROM orders", "FROM odrers"), "odrers' doesn't exist"),
        (QUERY.replace("ORDER BY id", "ORDER BY id DESC"), "must be in order of position"),
        (QUERY.replace("id AS position", "customer AS position"), "must give whole numbers"),
        (QUERY.replace("id AS position", "id DIV 2 AS position"), "no two rows may have the same"),
        (QUERY.replace("id > %(after)s", "id > %(after)s - 99"), "gave position"),
        (QUERY.replace("LIMIT %(limit)s", "LIMIT 1000").replace("<>", "<> %(limit)s AND 1 <>"),
         "gave more rows"),
        (QUERY.replace("country,", "country, amount,"), "two columns of one name"),
        (QUERY.replace("ORDER", "ORDERED"), "cannot be run"),
    ],
)  # fmt: skip
def test_a_query_that_gives_something_else_is_told_in_a_sentence(
    shop: Shop, query: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegauge.adapters.mysql.source._BATCH_ROWS", 5)
    shop.order(*range(1, 40))
    source = shop.source(query, overlap=0)
    source.commit("20")
    with pytest.raises(Misconfigured, match="SOURCE_QUERY") as raised:
        produce(source, MemoryWriter())
    assert said in str(raised.value)


def test_a_query_may_not_write(shop: Shop) -> None:
    shop.order(1)
    shop.execute("CREATE FUNCTION meddle() RETURNS INT MODIFIES SQL DATA BEGIN"
                 " DELETE FROM orders; RETURN 1; END")  # fmt: skip
    query = QUERY.replace("amount FROM", "meddle() AS amount FROM")
    with pytest.raises(Misconfigured, match="SOURCE_QUERY cannot be run"):
        produce(shop.source(query), MemoryWriter())
    writer = MemoryWriter()
    produce(shop.source(), writer)
    assert ids(writer) == [1]


def test_a_schema_without_the_position_asks_for_the_migration(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.execute("DROP TABLE source_position")
    monkeypatch.setenv("DATABASE_URL", shop.url)
    monkeypatch.delenv("DATABASE_SECRET_ARN", raising=False)
    monkeypatch.delenv("SOURCE_DATABASE_URL", raising=False)
    monkeypatch.setenv("SOURCE_NAME", "orders")
    monkeypatch.setenv("SOURCE_QUERY", QUERY)
    monkeypatch.setattr(
        sys, "argv",
        ["tidegauge", "simulate", "--source", "database", "--to", "s", "--for", "1"],
    )  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "tidegauge migrate" in capsys.readouterr().err


@pytest.mark.engine
def test_the_command_puts_rows_on_a_stream_and_remembers_them(
    shop: Shop, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    engine = request.getfixturevalue("engine")
    for name, value in engine.environment.items():
        monkeypatch.setenv(name, value)
    kinesis = engine.session().kinesis
    kinesis.create_stream(StreamName="polled-orders", ShardCount=1)
    kinesis.get_waiter("stream_exists").wait(StreamName="polled-orders")
    shop.order(1, 2, 3)
    monkeypatch.setenv("DATABASE_URL", shop.url)
    monkeypatch.setenv("SOURCE_DATABASE_URL", shop.url)
    monkeypatch.delenv("DATABASE_SECRET_ARN", raising=False)
    monkeypatch.setenv("SOURCE_NAME", "orders")
    monkeypatch.setenv("SOURCE_QUERY", QUERY)
    monkeypatch.setattr(
        sys, "argv",
        ["tidegauge", "simulate", "--source", "database", "--to", "polled-orders", "--for", "1",
         "--json"],
    )  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)
    told = json.loads(capsys.readouterr().out)
    assert (told["source"], told["events"], told["position"]) == ("database", 3, "3")
    assert shop.source().position() == "3"
