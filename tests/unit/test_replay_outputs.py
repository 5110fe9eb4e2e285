"""`tidegauge replay`: where its results cannot go, and that long silences cost no memory."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.events import NOON_MS, event_json
from tidegauge.adapters.memory import MemoryCountStore
from tidegauge.adapters.replay_output import OutputPaths, replay_files
from tidegauge.domain.close import CloseRules
from tidegauge.domain.count import CompletedWindow
from tidegauge.domain.decode import SeriesBy, decode
from tidegauge.domain.errors import InvalidInput
from tidegauge.domain.event import RejectReason
from tidegauge.domain.fold import CountRules
from tidegauge.domain.offered import Offered
from tidegauge.domain.prediction import Prediction
from tidegauge.steps.replay import OfflineReplay
from tidegauge.steps.replay_clock import with_beats

COMMAND = [sys.executable, "-m", "tidegauge.cli", "replay"]
DAY_MS = 86_400_000


@pytest.fixture
def fixture(tmp_path: Path) -> Path:
    path = tmp_path / "f.jsonl"
    path.write_bytes(event_json("1", NOON_MS))
    return path


def ran(*arguments: str | Path, redirect: str = "") -> subprocess.CompletedProcess[bytes]:
    """Run the command behind a shell's redirection."""
    shell = ["sh", "-c", f'exec "$@" {redirect}', "sh"]
    command = [*shell, *COMMAND, *map(str, arguments), "--no-predict"]
    return subprocess.run(command, check=False, capture_output=True, timeout=60)  # noqa: S603


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_full_standard_output_is_told_in_a_sentence(fixture: Path, more: list[str]) -> None:
    ended = ran(fixture, *more, redirect=">/dev/full")
    assert ended.returncode == 1
    assert ended.stderr.startswith(b"tidegauge: standard output cannot be written")
    assert ended.stderr.count(b"\n") == 1


def test_closed_standard_streams_are_no_fault(fixture: Path) -> None:
    out = fixture.with_name("w.csv")
    ended = ran(fixture, "--windows-out", out, redirect=">&- 2>&-")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
    assert out.read_text().count("\n") == 2


def test_a_name_that_the_terminal_cannot_show_is_escaped(fixture: Path) -> None:
    odd = fixture.rename(fixture.with_name("ä.jsonl"))
    shell = ["env", "PYTHONIOENCODING=ascii", *COMMAND, str(odd), "--no-predict"]
    ascii_only = subprocess.run(shell, check=False, capture_output=True, timeout=60)  # noqa: S603
    assert (ascii_only.returncode, ascii_only.stderr) == (0, b"")
    assert b"\\xe4.jsonl" in ascii_only.stdout


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1"])
def test_results_may_go_to_standard_output_be_it_a_pipe_or_a_file(fixture: Path, name: str) -> None:
    piped = ran(fixture, "--json", "--windows-out", name)
    assert piped.returncode == 0
    header, row, sums = piped.stdout.splitlines()
    assert header.startswith(b"series,")
    assert row.startswith(b"order.placed,")
    assert json.loads(sums)["windows"] == 1
    kept = fixture.with_name("kept")
    ran(fixture, "--json", "--windows-out", name, redirect=f">{kept}")
    assert kept.read_bytes().splitlines()[:2] == [header, row]
    assert json.loads(kept.read_bytes().splitlines()[2])["windows"] == 1


def test_a_full_disk_names_the_output_that_it_stopped(tmp_path: Path) -> None:
    paths = OutputPaths(windows=tmp_path / "w.csv", quarantine=Path("/dev/full"))

    def too_much() -> None:
        with replay_files(paths, inputs=(), size_ms=1000) as files:
            for line in range(2):
                files.set_aside(line, "s", None, RejectReason.EMPTY, b"x" * 100_000)

    with pytest.raises(InvalidInput, match="/dev/full cannot be written: No space left"):
        too_much()
    assert list(tmp_path.iterdir()) == []


class _Watching:
    """Notes the most windows that were announced at once, and how many were given out."""

    def __init__(self) -> None:
        self.most = self.given = 0

    def judge(self, announced: Sequence[CompletedWindow]) -> None:
        self.most = max(self.most, len(announced))

    def prediction_of(self, _row: CompletedWindow) -> Prediction | None:
        return None

    def forget(self, before_ms: int) -> None:
        pass

    def window(self, _row: CompletedWindow, _prediction: Prediction | None) -> None:
        self.given += 1

    def alert(self, payload: bytes) -> None:
        pass

    def set_aside(
        self, line: int, shard: str, number: int | None, reason: RejectReason, data: bytes
    ) -> None:
        pass


def test_a_jump_of_years_is_closed_and_given_out_piece_by_piece() -> None:
    # held at once, the windows of a long silence took gigabytes
    watching = _Watching()
    rules = CountRules()
    close_rules = CloseRules(series_idle_ms=3660 * DAY_MS, max_rows=5_000)
    replay = OfflineReplay(
        MemoryCountStore(), rules, close_rules, judging=watching, output=watching
    )
    times = [NOON_MS + day * DAY_MS + n for day in (0, 300) for n in range(12)]
    lines = [event_json(str(number), time_ms) for number, time_ms in enumerate(times)]
    offered = [
        Offered(number, decode(line, SeriesBy())[0], line) for number, line in enumerate(lines)
    ]
    sums = replay.run_bare(with_beats(offered, rules))
    assert (sums.windows, watching.given) == (300 * 288 + 1, 300 * 288 + 1)
    assert watching.most <= 25_000
