"""Plays seeds in several processes side by side."""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO

import msgspec

from tests.simulation.run import Verdict
from tidegauge.domain.errors import TidegaugeError


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_decode = msgspec.json.Decoder(Verdict).decode


def play_side_by_side(
    first: int, count: int, *, jobs: int, mutant: str | None = None
) -> Iterator[Verdict]:
    """Yield the verdicts of `count` seeds from `first` on, as they come.

    Args:
        first: The first seed.
        count: How many.
        jobs: Processes; they share the seeds in turns.
        mutant: The rule that is broken in all of them; None for none.

    Raises:
        TidegaugeError: a process ended before its work.
    """
    lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    with ExitStack() as stack:
        players = []
        for job in range(jobs):
            share = len(range(job, count, jobs))
            # safe path: a package `tests` of the user's folder must not come before ours
            command = [sys.executable, "-P", "-m", "tests.simulation"]
            command += [str(first + job), str(share), str(jobs), *([mutant] if mutant else [])]
            player = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))  # noqa: S603
            stack.callback(player.terminate)
            if player.stdout is not None:
                threading.Thread(target=_pass_on, args=(player.stdout, lines), daemon=True).start()
            players.append(player)
        ended = 0
        while ended < jobs:
            line = lines.get()
            if line is None:
                ended += 1
            else:
                yield _decode(line)
        if any(player.wait() for player in players):
            msg = "a process that plays seeds ended before its work; what it printed stands above"
            raise TidegaugeError(msg)


def _pass_on(pipe: IO[bytes], lines: "queue.SimpleQueue[bytes | None]") -> None:
    for line in pipe:
        lines.put(line)
    lines.put(None)
