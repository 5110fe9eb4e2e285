"""Runs a command of `tidegauge` in this process, as a shell would."""

import json
import sys
from typing import Any

import pytest

from tidegauge.cli import main


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
