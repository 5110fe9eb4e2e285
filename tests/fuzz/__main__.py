"""`make fuzz`: gives each target its time under atheris, one a core, and says what it saw.

Exits 1 where something was found, with the input that shows it and how to run it again. What was
reached is kept below `.tidegauge/fuzz` and built upon the next time.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
from concurrent.futures import Executor, ThreadPoolExecutor
from hashlib import sha256
from importlib.util import find_spec
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.fuzz.targets import TARGETS

REPOSITORY = Path(__file__).resolve().parents[2]
KEPT = REPOSITORY / ".tidegauge" / "fuzz"
TOKENS = Path(__file__).with_name("tokens.dict")
_INPUT_SECONDS = 5  # longer is a hang; the slowest sound input takes a tenth of it
_RESIDENT_MB = 1_024
_SPARE_SECONDS = 120  # to start, to read what was kept, and to end
_COLUMNS = "{:<10} {:>12} {:>10} {:>9} {:>7} {:>8}  {}\n"


class Seen(NamedTuple):
    """What one target's process told."""

    executions: int
    per_second: int
    features: int
    peak_mb: int
    found: Path | None
    failed: bool
    log: Path


def main() -> int:
    """Return 0 where nothing was found, 1 where something was, 2 where the command is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=_at_least_one, default=20, help="for each target")
    parser.add_argument("--target", choices=list(TARGETS), help="this one alone")
    parser.add_argument("--replay", type=Path, help="run a target on this file, once")
    asked = parser.parse_args()
    if asked.replay is not None:
        if asked.target is None:
            parser.error("--replay needs the --target that the file is for")
        return _replay(asked.target, asked.replay)
    if find_spec("atheris") is None:
        return _without_atheris()
    names = [asked.target] if asked.target else list(TARGETS)
    team = ThreadPoolExecutor(os.cpu_count())  # each thread waits for a process
    try:
        return _fuzz(names, asked.seconds, team)
    except KeyboardInterrupt:
        return 130
    finally:
        team.shutdown(cancel_futures=True)


def _at_least_one(text: str) -> int:
    seconds = int(text)
    if seconds < 1:  # libFuzzer takes 0 for no end
        raise ValueError(text)
    return seconds


def _replay(name: str, path: Path) -> int:
    try:
        data = path.read_bytes()
    except OSError as error:
        sys.stderr.write(f"cannot read {path}: {error.strerror}\n")
        return 2
    TARGETS[name].run(data)  # what it raises is the answer
    sys.stdout.write(f"{name}: {len(data)} bytes, nothing found\n")
    return 0


def _without_atheris() -> int:
    here = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    sys.stderr.write(
        f"nothing was fuzzed: atheris is not installed for {here}. `make fuzz` installs it where it"
        " has wheels, which is Python 3.11 to 3.14 on Linux x86_64; the property tests run the same"
        " targets everywhere\n"
    )
    return 1 if os.environ.get("CI") else 0


def _fuzz(names: list[str], seconds: int, team: Executor) -> int:
    sys.stdout.write(
        _COLUMNS.format(
            "target", "executions", "per second", "features", "corpus", "peak MB", "result"
        )
    )
    lines = []
    for name, seen in zip(names, team.map(_fuzz_one, names, repeat(seconds)), strict=True):
        result = "found something" if seen.failed else "nothing found"
        n_kept = sum(1 for _ in (KEPT / name / "corpus").iterdir())
        sys.stdout.write(
            _COLUMNS.format(
                name,
                f"{seen.executions:,}",
                f"{seen.per_second:,}",
                f"{seen.features:,}",
                f"{n_kept:,}",
                seen.peak_mb,
                result,
            )
        )
        sys.stdout.flush()
        if seen.failed:
            lines.append(_how_to_go_on(name, seen))
    sys.stdout.write("".join(lines))
    return 1 if lines else 0


def _how_to_go_on(name: str, seen: Seen) -> str:
    if seen.found is None:
        return f"{name}: the process ended without a saved input; see {seen.log}\n"
    place = os.path.relpath(seen.found)
    return (
        f"{name}: {last_words(seen.log)}\n  input: {place}\n"
        f"  again: make fuzz TARGET={name} REPLAY={place}\n"
    )


def last_words(log: Path) -> str:
    """Return the line that names what was raised, or what libFuzzer says instead."""
    lines = log.read_text(errors="replace").splitlines()
    told = [line for line in lines if re.match(r"[A-Za-z.]+(Error|Exception|Rejected)\b", line)]
    told += [line for line in lines if "libFuzzer:" in line]
    return told[0][:200] if told else f"see {log}"


def _fuzz_one(name: str, seconds: int) -> Seen:
    target = TARGETS[name]
    folder = KEPT / name
    seeds, corpus, log = folder / "seeds", folder / "corpus", folder / "log"
    shutil.rmtree(seeds, ignore_errors=True)
    for place in (seeds, corpus):
        place.mkdir(parents=True, exist_ok=True)
    for data in target.seeds():
        (seeds / sha256(data).hexdigest()[:16]).write_bytes(data)
    before = set(folder.glob("found-*"))
    flags = [
        f"-artifact_prefix={folder}/found-",
        f"-dict={TOKENS}",
        f"-max_len={target.max_bytes}",
        f"-max_total_time={seconds}",
        f"-rss_limit_mb={_RESIDENT_MB}",
        f"-timeout={_INPUT_SECONDS}",
        "-print_final_stats=1",
    ]
    code = _run([name, *flags, str(corpus), str(seeds)], log, seconds + _SPARE_SECONDS)
    told = log.read_text(errors="replace")
    found = sorted(set(folder.glob("found-*")) - before)
    return Seen(
        executions=last_number(r"stat::number_of_executed_units: +(\d+)", told),
        per_second=last_number(r"stat::average_exec_per_sec: +(\d+)", told),
        features=last_number(r" ft: (\d+)", told),
        peak_mb=last_number(r"stat::peak_rss_mb: +(\d+)", told),
        found=found[0] if found else None,
        failed=code != 0 or bool(found),
        log=log,
    )


def _run(arguments: list[str], log: Path, seconds: int) -> int | None:
    """Run a target's process; None where it had to be ended."""
    command = [sys.executable, "-m", "tests.fuzz.engine", *arguments]
    # One thread for numpy: each would reserve address space of its own.
    told = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    with log.open("wb") as output, TemporaryDirectory() as scratch:
        told["TMPDIR"] = scratch  # libFuzzer ends a process without its last wishes
        try:
            return subprocess.run(  # noqa: S603  (our own module, no shell)
                command,
                cwd=REPOSITORY,
                env=told,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return None


def last_number(pattern: str, text: str) -> int:
    """Return the last number that a pattern finds."""
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0


if __name__ == "__main__":
    sys.exit(main())
