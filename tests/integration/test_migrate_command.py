"""`tidegauge migrate` on a real server: it may run twice, and says what it did."""

import json
import sys

import pytest

from tests.support.count_stores import EVIDENCE, summed
from tests.support.races import connection_to
from tidegauge.adapters.mysql.counting import MysqlCountStore
from tidegauge.adapters.mysql.migrate import migrate as run_migrations
from tidegauge.adapters.mysql.partial_counts import add_partials
from tidegauge.adapters.mysql.queries import migrations
from tidegauge.cli import main
from tidegauge.domain.evidence import Evidence
from tidegauge.domain.fold import Partial
from tidegauge.ports import StreamIdentity

pytestmark = pytest.mark.database

BASE = 1_700_000_100_000


def migrate(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["tidegauge", "migrate", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_second_run_finds_nothing_to_do(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", fresh_database_url)
    monkeypatch.delenv("DATABASE_SECRET_ARN", raising=False)
    assert migrate(monkeypatch, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["migrated"]) > 1
    assert migrate(monkeypatch) == 0
    assert capsys.readouterr().out == "The schema is up to date.\n"


def test_a_server_that_is_not_there_is_said_in_a_sentence_without_the_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://tide:s3cret@127.0.0.1:1/gauge")
    monkeypatch.delenv("DATABASE_SECRET_ARN", raising=False)
    assert migrate(monkeypatch) == 1
    said = capsys.readouterr().err
    assert said.startswith("tidegauge: ")
    assert said.count("\n") == 1
    assert "s3cret" not in said


def test_counts_from_before_evidence_was_kept_are_told_with_those_after(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = migrations()
    monkeypatch.setattr("tidegauge.adapters.mysql.migrate.migrations", lambda: shipped[:4])
    with connection_to(fresh_database_url) as database:
        assert len(run_migrations(database)) == 4
        generation = MysqlCountStore(database).generation(StreamIdentity("arn", BASE))
        with database.transaction() as cursor:
            cursor.execute(COUNTED_BEFORE, (generation, "a", 3))
        monkeypatch.undo()
        assert len(run_migrations(database)) == len(shipped) - 4
        with database.transaction() as cursor:
            # a process of the release before counts on until it is replaced
            cursor.execute(COUNTED_BEFORE, (generation, "a", 2))
            cursor.execute(COUNTED_BEFORE, (generation, "b", 1))
            spans = {Partial(BASE, "a", BASE): (10, 12), Partial(BASE, "c", BASE): (9, 11)}
            add_partials(cursor, (generation, "s"), dict.fromkeys(spans, 2), spans)
            cursor.execute(EVIDENCE, {"generation": generation})
            found = summed(cursor.fetchall())
    assert {series: one for (_, _, series), one in found.items()} == {
        b"a": Evidence(10, 12, on_time=7),
        b"b": Evidence(None, None, on_time=1),
        b"c": Evidence(9, 11, on_time=2),
    }


COUNTED_BEFORE = """
INSERT INTO partial_count (generation, step, window_start, series, shard_id, events)
VALUES (%s, '2023-11-14 22:15:00', '2023-11-14 22:15:00', %s, 's', %s)
ON DUPLICATE KEY UPDATE events = events + VALUES(events)
"""
