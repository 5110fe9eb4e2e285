"""`tidegauge migrate` on a real server: it may run twice, and says what it did."""

import json
import sys

import pytest

from tidegauge.cli import main

pytestmark = pytest.mark.database


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
