"""Runs a command of `tidegauge` in this process, as a shell would."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tidegauge.cli import main
from tidegauge.settings import StreamSettings, WindowSettings, variable_names


def name_stream(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *, database: str, stream: str, **others: str
) -> None:
    """Let the environment name a stream and its database, and no local stack be found.

    Args:
        monkeypatch: Of the test.
        folder: Where no stack is.
        database: `DATABASE_URL`.
        stream: `EVENTS_STREAM`.
        others: Further variables; what else the settings have is not set.
    """
    known = {*variable_names(WindowSettings), *variable_names(StreamSettings)}
    for name in {"DATABASE_SECRET_ARN", *known} - others.keys():
        monkeypatch.delenv(name, raising=False)
    for name, value in others.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("EVENTS_STREAM", stream)
    monkeypatch.setenv("TIDEGAUGE_STATE", str(folder / "run"))
    monkeypatch.setenv("TIDEGAUGE_LIVE_STATE", str(folder / "live"))


class Ran:
    """What one run of a command gave."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def told(self) -> dict[str, Any]:
        """The printed JSON, which is all of standard output."""
        found: dict[str, Any] = json.loads(self.out)
        return found


class Command:
    """Runs commands with the environment as the test has set it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Ran:
        self._monkeypatch.setattr(sys, "argv", ["tidegauge", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = self._capsys.readouterr()
        code = ended.value.code
        return Ran(code if isinstance(code, int) else 0, shown.out, shown.err)
