"""`make fuzz` as a person meets it: what it says where it cannot run, and one input run again."""

import sys
from pathlib import Path

import pytest

from tests.fuzz import __main__ as command


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["fuzz", *arguments])
    return command.main()


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)], ids=["on a laptop", "in CI"])
def test_without_atheris_it_says_so_and_fails_in_ci_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ci: str, code: int
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(command, "find_spec", lambda _: None)
    assert run(monkeypatch) == code
    assert "nothing was fuzzed: atheris is not installed" in capsys.readouterr().err


def test_an_input_is_run_again_without_atheris(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = tmp_path / "found"
    found.write_bytes(b"[1]")
    assert run(monkeypatch, "--target", "decode", "--replay", str(found)) == 0
    assert "decode: 3 bytes, nothing found" in capsys.readouterr().out
    assert run(monkeypatch, "--target", "decode", "--replay", str(tmp_path / "none")) == 2


@pytest.mark.parametrize(
    "arguments", [["--seconds", "0"], ["--seconds", "soon"], ["--replay", "f"], ["--target", "x"]]
)
def test_what_cannot_be_meant_is_refused(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, *arguments)
    assert ended.value.code == 2


def test_of_a_log_the_error_is_told_and_the_last_number_counts(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("#1 ft: 5\n#2 ft: 17 corp\nValueError: too long\n==1== libFuzzer: deadly\n")
    assert command.last_words(log) == "ValueError: too long"
    assert command.last_number(r" ft: (\d+)", log.read_text()) == 17
    log.write_text("ALARM: working\n==1== ERROR: libFuzzer: timeout after 5 seconds\n")
    assert command.last_words(log) == "==1== ERROR: libFuzzer: timeout after 5 seconds"
